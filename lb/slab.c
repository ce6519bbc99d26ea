#include "lb/slab.h"

#include "common/base/mem.h"

void slab_init(struct slab *s, size_t size, unsigned keep)
{
    *s = (struct slab){.size = size, .keep = keep};
}

void slab_fini(struct slab *s)
{
    while (s->first != NULL) {
        void *p = s->first;

        s->first = *(void **)p;
        mem_free(p);
    }
    s->n = 0;
}

void *slab_take(struct slab *s)
{
    void *p = s->first;

    if (p == NULL)
        return mem_try_alloc(s->size);
    s->first = *(void **)p;
    s->n--;
    return p;
}

void slab_give(struct slab *s, void *p)
{
    if (s->n == s->keep) {
        mem_free(p);
        return;
    }
    *(void **)p = s->first;
    s->first = p;
    s->n++;
}
