#include "common/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_fini(struct buf *b)
{
    mem_free(b->data);
    *b = (struct buf){.max = b->max};
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->over = false;
    if (b->data != NULL)
        b->data[0] = '\0';
}

/* Room for n more bytes and the NUL. */
static bool reserve(struct buf *b, size_t n)
{
    size_t want, cap;
    char *data;

    if (b->over || n > b->max - b->len) {
        b->over = true;
        return false;
    }
    want = b->len + n + 1;
    if (want <= b->cap)
        return true;
    for (cap = b->cap > 0 ? b->cap : 256; cap < want;)
        cap *= 2;
    data = mem_try_grow(b->data, cap);
    if (data == NULL) {
        b->over = true;
        return false;
    }
    b->data = data;
    b->cap = cap;
    return true;
}

bool buf_add(struct buf *b, const void *p, size_t n)
{
    if (!reserve(b, n))
        return false;
    if (n > 0)
        memcpy(b->data + b->len, p, n);
    b->len += n;
    b->data[b->len] = '\0';
    return true;
}

bool buf_adds(struct buf *b, const char *s)
{
    return buf_add(b, s, strlen(s));
}

bool buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0 || !reserve(b, (size_t)n))
        return false;
    va_start(ap, fmt);
    vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
    return true;
}

void buf_drop_front(struct buf *b, size_t n)
{
    if (n >= b->len) {
        buf_clear(b);
        return;
    }
    b->len -= n;
    memmove(b->data, b->data + n, b->len + 1);
}

char *buf_take(struct buf *b)
{
    char *s = b->data != NULL ? b->data : mem_strdup("");
    size_t max = b->max;

    buf_init(b, max);
    return s;
}
