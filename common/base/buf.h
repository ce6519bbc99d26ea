#ifndef LBCTL_BASE_BUF_H
#define LBCTL_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/macros.h"

/* A growing run of bytes with a maximum given at birth. Appending past the maximum (or out of
 * memory) changes nothing, marks the buffer `over`, and returns false; a chain of appends can be
 * judged once at the end with !b.over. data is NUL-terminated whenever it is not NULL (the NUL is
 * not in len). */
struct buf {
    char *data;
    size_t len, cap, max;
    bool over;
};

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b);
void buf_clear(struct buf *b);
bool buf_add(struct buf *b, const void *p, size_t n);
bool buf_adds(struct buf *b, const char *s);
bool buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
void buf_drop_front(struct buf *b, size_t n);
char *buf_take(struct buf *b); /* caller owns the string (mem_free); the buffer is empty again */

#endif
