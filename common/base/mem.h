#ifndef LBCTL_BASE_MEM_H
#define LBCTL_BASE_MEM_H

#include <stddef.h>
#include <stdlib.h>

#include "common/base/macros.h"

/* Allocation. The x* functions abort when memory is out (the supervisor restarts us): use them for
 * everything whose size we choose. Where a peer chooses the size, use mem_try_* with a bound, and
 * answer the peer when it returns NULL. Everything is released with mem_free(). */
void *mem_zalloc(size_t size);
void *mem_array(size_t n, size_t size); /* zeroed; overflow-checked */
void *mem_grow(void *p, size_t n, size_t size);
char *mem_strdup(const char *s); /* NULL stays NULL */
char *mem_strndup(const char *s, size_t n);
char *mem_printf(const char *fmt, ...) PRINTF(1, 2);
void *mem_try_alloc(size_t size);
void *mem_try_grow(void *p, size_t size);
void mem_free(void *p);
/* Give what is free to the system, wherever it lies. Takes milliseconds and holds up other threads'
 * allocations: for after a crowd. */
void mem_give_back(void);

/* For AUTO(): frees what the pointer variable holds. */
static inline void mem_freep(void *pp)
{
    mem_free(*(void **)pp);
}

#endif
