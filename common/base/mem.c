#include "common/base/mem.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"

void *cast_check(void *ptr, uint32_t magic, const char *type)
{
    if (ptr == NULL || *(const uint32_t *)ptr != magic) {
        log_error("wrong object", "want=%s", type);
        abort();
    }
    return ptr;
}

static NORETURN void out_of_memory(size_t n)
{
    log_error("out of memory", "bytes=%zu", n);
    abort();
}

static void *resize(void *p, size_t n, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(n, size, &bytes))
        out_of_memory(n);
    p = realloc(p, bytes > 0 ? bytes : 1);
    if (p == NULL)
        out_of_memory(bytes);
    return p;
}

void *mem_array(size_t n, size_t size)
{
    void *p = calloc(n > 0 ? n : 1, size > 0 ? size : 1); /* calloc checks the product itself */

    if (p == NULL)
        out_of_memory(n);
    return p;
}

void *mem_zalloc(size_t size)
{
    return mem_array(1, size);
}

void *mem_grow(void *p, size_t n, size_t size)
{
    return resize(p, n, size);
}

char *mem_strndup(const char *s, size_t n)
{
    char *copy = resize(NULL, n + 1, 1);

    memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

char *mem_strdup(const char *s)
{
    return s != NULL ? mem_strndup(s, strlen(s)) : NULL;
}

char *mem_printf(const char *fmt, ...)
{
    va_list ap;
    char *s = NULL;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&s, fmt, ap);
    va_end(ap);
    if (n < 0)
        out_of_memory(0);
    return s;
}

void *mem_try_alloc(size_t size)
{
    return calloc(1, size > 0 ? size : 1);
}

void *mem_try_grow(void *p, size_t size)
{
    return realloc(p, size > 0 ? size : 1);
}

void mem_free(void *p)
{
    free(p);
}

void mem_give_back(void)
{
    malloc_trim(0);
}
