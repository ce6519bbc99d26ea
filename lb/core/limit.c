#include "lb/core/limit.h"

bool limit_take(atomic_uint *taken, unsigned max)
{
    unsigned n = atomic_load_explicit(taken, memory_order_relaxed);

    while (n < max) {
        if (atomic_compare_exchange_weak(taken, &n, n + 1))
            return true;
    }
    return false;
}

void limit_give(atomic_uint *taken)
{
    atomic_fetch_sub(taken, 1);
}

bool limit_has_room(const atomic_uint *taken, unsigned max)
{
    return atomic_load(taken) < max;
}

enum wait_verdict wait_decide(const struct wait_in *in)
{
    if (in->backends > 0) {
        if (in->queue_ms == 0 || in->waiting >= in->queue_max)
            return WAIT_FULL;
        return WAIT_QUEUE;
    }
    /* A request that changes something is better repeated by who knows whether it may be. */
    if (!in->expected || !in->safe || in->hold_ms == 0 || in->hold_max == 0)
        return WAIT_NO_BACKEND;
    return in->waiting < in->hold_max ? WAIT_HOLD : WAIT_FULL;
}
