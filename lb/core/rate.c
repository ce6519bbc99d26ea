#include "lb/core/rate.h"

#include <string.h>

#include "common/base/splitmix.h"

struct rate_rule rate_rule(unsigned rate, unsigned burst)
{
    uint64_t step = 1000000 / rate;

    if (step == 0)
        step = 1;
    return (struct rate_rule){.step_us = step, .burst_us = step * (burst - 1)};
}

bool rate_take(const struct rate_rule *r, uint64_t *full_us, uint64_t now_us, uint64_t *ret_wait_us)
{
    uint64_t from = *full_us > now_us ? *full_us : now_us;

    if (from - now_us > r->burst_us) {
        *ret_wait_us = from - now_us - r->burst_us;
        return false;
    }
    *full_us = from + r->step_us;
    return true;
}

uint64_t rate_client_key(const struct cidr_addr *a, uint64_t seed)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    uint64_t state = seed, half[2], key;
    bool v4 = memcmp(a->b, mapped, sizeof(mapped)) == 0;

    memcpy(half, a->b, sizeof(half));
    state ^= half[0];
    key = splitmix_next(&state);
    if (v4) {
        state = key ^ half[1];
        key = splitmix_next(&state);
    }
    return key != 0 ? key : 1;
}

/* The way of this client; it takes the place of the one whose bucket is the fullest. */
static unsigned find_way(struct rate_table *t, uint64_t key)
{
    unsigned first = (unsigned)(key % RATE_SETS) * RATE_WAYS;

    for (;;) {
        unsigned victim = first;
        uint64_t least = UINT64_MAX, old;

        for (unsigned i = first; i < first + RATE_WAYS; i++) {
            uint64_t full;

            if (atomic_load_explicit(&t->ways[i].key, memory_order_acquire) == key)
                return i;
            full = atomic_load_explicit(&t->ways[i].full_us, memory_order_relaxed);
            if (full < least) {
                least = full;
                victim = i;
            }
        }
        old = atomic_load_explicit(&t->ways[victim].key, memory_order_relaxed);
        if (old != key && atomic_compare_exchange_strong(&t->ways[victim].key, &old, key)) {
            atomic_store_explicit(&t->ways[victim].full_us, 0, memory_order_release);
            return victim;
        }
    }
}

bool rate_table_take(struct rate_table *t, const struct rate_rule *r, uint64_t key, uint64_t now_us,
                     uint64_t *ret_wait_us)
{
    _Atomic uint64_t *at = &t->ways[find_way(t, key)].full_us;
    uint64_t old = atomic_load_explicit(at, memory_order_relaxed), next;

    do {
        next = old;
        if (!rate_take(r, &next, now_us, ret_wait_us))
            return false;
    } while (!atomic_compare_exchange_weak_explicit(at, &old, next, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

/* ---- connections ---- */

#define COUNT_MASK ((UINT64_C(1) << 20) - 1)

unsigned crowd_enter(struct crowd *c, uint64_t key, uint32_t *ret_way)
{
    unsigned first = (unsigned)(key % CROWD_SETS) * CROWD_WAYS;
    uint64_t who = key & ~COUNT_MASK;

    for (;;) {
        unsigned at = CROWD_UNCOUNTED;
        uint64_t old = 0;

        for (unsigned i = first; i < first + CROWD_WAYS; i++) {
            uint64_t v = atomic_load(&c->ways[i]);

            if ((v & COUNT_MASK) == 0 ? at == CROWD_UNCOUNTED : (v & ~COUNT_MASK) == who) {
                at = i;
                old = v;
                if ((v & COUNT_MASK) != 0)
                    break;
            }
        }
        *ret_way = at;
        if (at == CROWD_UNCOUNTED || (old & COUNT_MASK) == COUNT_MASK) {
            *ret_way = CROWD_UNCOUNTED;
            return 0;
        }
        if (atomic_compare_exchange_strong(&c->ways[at], &old, who | ((old & COUNT_MASK) + 1)))
            return (unsigned)(old & COUNT_MASK) + 1;
    }
}

void crowd_leave(struct crowd *c, uint32_t way)
{
    if (way != CROWD_UNCOUNTED)
        atomic_fetch_sub(&c->ways[way], 1);
}
