/* Allocations that fail when a test says so. The test maps the file that ALLOC_FAULTS names:
 * eight-byte numbers in the order of struct faults. Loaded with LD_PRELOAD it stands before the C
 * library's functions, for every library of the program; compiled with ALLOC_FAULTS_WRAP it is
 * linked with --wrap, for builds whose sanitizer has these places itself. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct faults {
    uint64_t count;    /* allocations since the test set it to 0 */
    uint64_t from, to; /* those with from <= number < to fail */
    uint64_t failed;
};

static struct faults none, *faults = &none;

static __attribute__((constructor)) void faults_open(void)
{
    const char *path = getenv("ALLOC_FAULTS");
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *p = fd >= 0 ? mmap(NULL, sizeof(*faults), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                      : MAP_FAILED;

    if (fd >= 0)
        (void)close(fd);
    if (p != MAP_FAILED)
        faults = p;
}

static bool is_to_fail(void)
{
    uint64_t n = __atomic_add_fetch(&faults->count, 1, __ATOMIC_SEQ_CST);

    if (n < __atomic_load_n(&faults->from, __ATOMIC_SEQ_CST) ||
        n >= __atomic_load_n(&faults->to, __ATOMIC_SEQ_CST))
        return false;
    (void)__atomic_add_fetch(&faults->failed, 1, __ATOMIC_SEQ_CST);
    errno = ENOMEM;
    return true;
}

#ifdef ALLOC_FAULTS_WRAP
#define OURS(name) __wrap_##name
#define REAL(name) __real_##name
#else
#define OURS(name) name
#define REAL(name) __libc_##name
#endif

void *REAL(malloc)(size_t n);
void *REAL(calloc)(size_t n, size_t size);
void *REAL(realloc)(void *p, size_t n);
void *OURS(malloc)(size_t n);
void *OURS(calloc)(size_t n, size_t size);
void *OURS(realloc)(void *p, size_t n);

void *OURS(malloc)(size_t n)
{
    return is_to_fail() ? NULL : REAL(malloc)(n);
}

void *OURS(calloc)(size_t n, size_t size)
{
    return is_to_fail() ? NULL : REAL(calloc)(n, size);
}

void *OURS(realloc)(void *p, size_t n)
{
    return is_to_fail() ? NULL : REAL(realloc)(p, n);
}
