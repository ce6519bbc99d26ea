#ifndef LBCTL_LB_CORE_PICK_H
#define LBCTL_LB_CORE_PICK_H

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Choice of a backend. Pure but for the cursor, which all threads share: each choice takes the next
 * number, so that round robin is exact over all of them. Nothing here locks or allocates. */
enum pick_policy {
#define POLICY(sym, word, counts) PICK_##sym,
#include "common/base/balance.def"
#undef POLICY
    PICK_POLICIES
};

enum {
    PICK_BACKENDS_MAX = 1024,
    PICK_WEIGHT_MAX = 256,
    PICK_FULL = 1024, /* pick_warmth() of a backend at its full weight */
};
#define PICK_NONE UINT_MAX

const char *pick_policy_name(enum pick_policy p);
bool pick_policy_find(const char *word, enum pick_policy *ret);
bool pick_policy_counts(enum pick_policy p); /* reads pick_view.in_flight */

/* What a table says of a service's backends: constant. All arrays have n members. */
struct pick_plan {
    enum pick_policy policy;
    unsigned n;
    const uint16_t *weights; /* 1..PICK_WEIGHT_MAX; NULL: all alike, and no order then */
    unsigned weight_max;
    const uint16_t *order; /* order_n members: the turns of weighted round robin, pick_order() */
    unsigned order_n;
    const uint32_t *ids; /* for HASH: what stays the same when a backend is replaced */
    /* Slow start: a backend that joined at since_ms[i] (0: long ago) is at full weight slow_ms
     * later; nobody is slow from slow_until_ms on. */
    const uint64_t *since_ms;
    uint64_t slow_ms, slow_until_ms;
    unsigned bound_milli; /* for HASH: at most so many thousandths of a fair share; 0: any */
};

/* What changes all the time. Indexes are those of the plan; `usable` says which backends are
 * candidates at all: those that are full, ejected or already tried are left out here. The others
 * are called only where the policy needs them. */
struct pick_view {
    bool (*usable)(void *arg, unsigned i);
    uint32_t (*in_flight)(void *arg, unsigned i);  /* over all workers */
    uint32_t (*latency_us)(void *arg, unsigned i); /* as ewma_read(); 0: not known */
};

struct pick_in {
    const struct pick_plan *plan;
    const struct pick_view *view;
    void *arg; /* of the view's functions */
    _Atomic uint64_t *cursor;
    uint64_t now_ms;  /* the clock of since_ms */
    uint64_t *random; /* state of splitmix_next() */
    bool has_key;     /* for HASH; a request without takes round robin */
    uint64_t key;     /* any hash of it */
};

/* An index in [0, n), or PICK_NONE when no backend is usable. */
unsigned pick_backend(const struct pick_in *in);

/* Smooth weighted round robin: each backend as often in ret (of pick_order_n() members) as its
 * weight over the greatest common divisor, as evenly spread as can be. */
unsigned pick_order_n(const uint16_t *weights, unsigned n);
void pick_order(const uint16_t *weights, unsigned n, uint16_t *ret);

/* The part of its weight, in 1..PICK_FULL, that a backend has: grows evenly from a tenth. */
unsigned pick_warmth(const struct pick_plan *plan, unsigned i, uint64_t now_ms);

/* How long a backend that failed `fails` times in a row (connections refused, or closed unused) is
 * left alone while others are ready. Milliseconds. */
uint64_t pick_hold_ms(unsigned fails);

#endif
