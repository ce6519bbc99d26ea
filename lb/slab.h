#ifndef LBCTL_LB_SLAB_H
#define LBCTL_LB_SLAB_H

#include <stddef.h>

/* A free list of objects of one size, for one thread: what is given back is taken again first,
 * while it is still in the cache. At most `keep` objects wait in it. Contents are not cleared. */
struct slab {
    size_t size;
    unsigned keep, n;
    void *first;
};

void slab_init(struct slab *s, size_t size, unsigned keep); /* size >= a pointer's */
void slab_fini(struct slab *s);
void *slab_take(struct slab *s); /* NULL: out of memory */
void slab_give(struct slab *s, void *p);

#endif
