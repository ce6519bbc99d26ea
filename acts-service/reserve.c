#include "acts-service/reserve.h"

#include <event2/event.h>
#include <malloc.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/macros.h"
#include "common/base/mem.h"

/* Events, lists and lines; pieces of buffers; tables of descriptors and timers. Pages that were
 * never used are only addresses. */
enum {
    SMALL = 1 << 10,
    SMALL_N = 1024,
    MIDDLE = 8 << 10,
    MIDDLE_N = 64,
    LARGE = 64 << 10,
    LARGE_N = 8,
    TELL_EVERY_MS = 1000,
};

static alignas(max_align_t) unsigned char small[SMALL_N * SMALL];
static alignas(max_align_t) unsigned char middle[MIDDLE_N * MIDDLE];
static alignas(max_align_t) unsigned char large[LARGE_N * LARGE];

struct block {
    struct block *next;
};

static struct shelf {
    unsigned char *base;
    size_t size, n, used, touched;
    struct block *free;
} shelves[] = {
    {small, SMALL, SMALL_N, 0, 0, NULL},
    {middle, MIDDLE, MIDDLE_N, 0, 0, NULL},
    {large, LARGE, LARGE_N, 0, 0, NULL},
};

/* What is told of it, at most once a second. */
static struct {
    uint64_t at_ms;
    bool told;
} short_of;

size_t reserve_used(void)
{
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_LEN(shelves); i++)
        n += shelves[i].used;
    return n;
}

/* The shelf that the block is from; NULL: it is from the heap. */
static struct shelf *shelf_of(const void *p)
{
    uintptr_t at = (uintptr_t)p;

    for (size_t i = 0; i < ARRAY_LEN(shelves); i++) {
        uintptr_t base = (uintptr_t)shelves[i].base;

        if (at >= base && at < base + shelves[i].size * shelves[i].n)
            return &shelves[i];
    }
    return NULL;
}

static void tell_short(size_t n)
{
    uint64_t now = clock_mono_ms();

    if (short_of.at_ms != 0 && now < short_of.at_ms + TELL_EVERY_MS)
        return;
    short_of.at_ms = now;
    short_of.told = true;
    log_warn("memory is short", "bytes=%zu action=\"the reserve is used\"", n);
}

static void *take(size_t n)
{
    for (size_t i = 0; i < ARRAY_LEN(shelves); i++) {
        struct shelf *s = &shelves[i];
        void *p = s->free;

        if (n > s->size || s->used == s->n)
            continue;
        if (!short_of.told)
            tell_short(n);
        s->used++;
        if (p != NULL)
            s->free = s->free->next;
        else
            p = s->base + s->size * s->touched++;
        return p;
    }
    return NULL;
}

static void give_back(struct shelf *s, void *p)
{
    struct block *b = p;

    b->next = s->free;
    s->free = b;
    s->used--;
    if (short_of.told && reserve_used() == 0) {
        short_of.told = false;
        log_info("memory is back", "action=\"the reserve is whole\"");
    }
}

static void *on_alloc(size_t size) /* libevent */
{
    void *p = mem_try_grow(NULL, size);

    return p != NULL ? p : take(size);
}

static void on_free(void *p) /* libevent */
{
    struct shelf *s = shelf_of(p);

    if (s != NULL)
        give_back(s, p);
    else
        mem_free(p);
}

static void *on_realloc(void *p, size_t size) /* libevent */
{
    struct shelf *s = p != NULL ? shelf_of(p) : NULL;
    size_t old;
    void *q;

    if (p == NULL)
        return on_alloc(size);
    q = s == NULL ? mem_try_grow(p, size) : on_alloc(size);
    if (q != NULL && s == NULL)
        return q;
    if (q == NULL)
        q = take(size);
    if (q == NULL)
        return NULL;
    old = s != NULL ? s->size : malloc_usable_size(p);
    memcpy(q, p, old < size ? old : size);
    on_free(p);
    return q;
}

void reserve_init(void)
{
    event_set_mem_functions(on_alloc, on_realloc, on_free);
}

bool reserve_is_low(void)
{
    for (size_t i = 0; i < ARRAY_LEN(shelves); i++) {
        if (shelves[i].used > shelves[i].n / 2)
            return true;
    }
    return false;
}
