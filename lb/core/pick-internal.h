#ifndef LBCTL_LB_CORE_PICK_INTERNAL_H
#define LBCTL_LB_CORE_PICK_INTERNAL_H

#include <stddef.h>

#include "lb/core/pick.h"

/* The policies: pick.c, pick_load.c (those that look at the load), pick_hash.c. */
#define POLICY(sym, word, counts) unsigned pick_by_##word(const struct pick_in *in);
#include "common/base/balance.def"
#undef POLICY

static inline bool pick_is_usable(const struct pick_in *in, unsigned i)
{
    return in->view->usable(in->arg, i);
}

/* Is any backend still below its full weight? */
static inline bool pick_is_slow(const struct pick_in *in)
{
    return in->now_ms < in->plan->slow_until_ms;
}

/* A backend's weight now, in units of 1/PICK_FULL: 1 to 2^18. */
static inline uint32_t pick_weight(const struct pick_in *in, unsigned i)
{
    uint32_t w = in->plan->weights != NULL ? in->plan->weights[i] : 1;

    return w * (pick_is_slow(in) ? pick_warmth(in->plan, i, in->now_ms) : PICK_FULL);
}

/* Take number c of the cursor: whose turn is it? */
static inline unsigned pick_turn(const struct pick_plan *p, uint64_t c)
{
    return p->order != NULL ? p->order[c % p->order_n] : (unsigned)(c % p->n);
}

/* A backend that is still slow takes part in that part of the turns. */
bool pick_takes_turn(const struct pick_in *in, unsigned i, uint64_t c);

#endif
