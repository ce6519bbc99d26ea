#include "common/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"

static void close_fdp(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

bool file_read(const char *path, size_t max, char **ret, size_t *ret_len, struct err *e)
{
    AUTO(close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    AUTO(mem_freep) char *data = NULL;
    size_t n = 0, cap = 4096;
    struct stat st;

    if (fd < 0)
        return err_sys(e, "open '%s'", path);
    if (fstat(fd, &st) < 0)
        return err_sys(e, "stat '%s'", path);
    if (!S_ISREG(st.st_mode))
        return err_set(e, "'%s' is not a regular file", path);
    if (st.st_size > 0 && (size_t)st.st_size > max)
        return err_set(e, "'%s' is larger than %zu bytes", path, max);
    data = mem_grow(NULL, cap + 1, 1);
    for (;;) {
        ssize_t got = read(fd, data + n, cap - n);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys(e, "read '%s'", path);
        if (got == 0)
            break;
        n += (size_t)got;
        if (n > max)
            return err_set(e, "'%s' is larger than %zu bytes", path, max);
        if (n == cap) {
            cap *= 2;
            data = mem_grow(data, cap + 1, 1);
        }
    }
    data[n] = '\0';
    *ret_len = n;
    *ret = MOVE(data);
    return true;
}

static bool write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t put = write(fd, p, n);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        p += put;
        n -= (size_t)put;
    }
    return true;
}

/* The rename itself is on disk only when its directory is. */
static bool sync_dir_of(const char *path, struct err *e)
{
    AUTO(mem_freep) char *copy = mem_strdup(path);
    AUTO(close_fdp) int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fsync(fd) < 0)
        return err_sys(e, "sync the directory of '%s'", path);
    return true;
}

bool file_write_atomic(const char *path, const void *data, size_t n, mode_t mode, struct err *e)
{
    AUTO(mem_freep) char *tmp = mem_printf("%s.tmp", path);
    AUTO(close_fdp) int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);

    if (fd < 0)
        return err_sys(e, "create '%s'", tmp);
    if (!write_all(fd, data, n) || fsync(fd) < 0) {
        err_sys(e, "write '%s'", tmp);
        unlink(tmp);
        return false;
    }
    if (rename(tmp, path) < 0) {
        err_sys(e, "rename '%s' to '%s'", tmp, path);
        unlink(tmp);
        return false;
    }
    return sync_dir_of(path, e);
}

bool file_mkdir_p(const char *path, mode_t mode, struct err *e)
{
    AUTO(mem_freep) char *p = mem_strdup(path);
    struct stat st;

    for (char *slash = p;;) {
        slash = strchr(slash + 1, '/');
        if (slash != NULL)
            *slash = '\0';
        if (mkdir(p, mode) < 0 && errno != EEXIST)
            return err_sys(e, "make directory '%s'", p);
        if (slash == NULL)
            break;
        *slash = '/';
    }
    if (stat(path, &st) < 0)
        return err_sys(e, "stat '%s'", path);
    if (!S_ISDIR(st.st_mode))
        return err_set(e, "'%s' is not a directory", path);
    return true;
}

bool file_lock(const char *path, int *ret_fd, struct err *e)
{
    AUTO(close_fdp) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    char pid[32] = "";

    if (fd < 0)
        return err_sys(e, "open the lock file '%s'", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        ssize_t n = errno == EWOULDBLOCK ? pread(fd, pid, sizeof(pid) - 1, 0) : -1;

        if (n < 0)
            return err_sys(e, "lock '%s'", path);
        pid[strcspn(pid, "\n")] = '\0';
        return err_set(e, "'%s' is held by another process (pid %s): stop it first", path,
                       pid[0] != '\0' ? pid : "unknown");
    }
    snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    /* The number is for people only; the lock is what counts. */
    if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, strlen(pid), 0) < 0)
        return err_sys(e, "write '%s'", path);
    *ret_fd = fd;
    fd = -1;
    return true;
}
