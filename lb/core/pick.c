#include "lb/core/pick.h"

enum { HOLD_FIRST_MS = 200, HOLD_MAX_MS = 5000 };

static unsigned choose_rr(_Atomic uint64_t *cursor, unsigned n,
                          bool (*usable)(void *arg, unsigned i), void *arg)
{
    unsigned first = 0;

    for (unsigned tries = 0; tries < n; tries++) {
        uint64_t c = atomic_fetch_add_explicit(cursor, 1, memory_order_relaxed);
        unsigned i = (unsigned)(c % n);

        if (usable(arg, i))
            return i;
        if (tries == 0)
            first = i;
    }
    /* Other threads move the cursor meanwhile, so n numbers need not have met every backend. */
    for (unsigned i = 0; i < n; i++) {
        if (usable(arg, (first + i) % n))
            return (first + i) % n;
    }
    return first;
}

const struct pick_ops pick_round_robin = {.name = "round-robin", .choose = choose_rr};

uint64_t pick_hold_ms(unsigned fails)
{
    uint64_t ms = HOLD_FIRST_MS;

    while (fails-- > 1 && ms < HOLD_MAX_MS)
        ms *= 2;
    return ms < HOLD_MAX_MS ? ms : HOLD_MAX_MS;
}
