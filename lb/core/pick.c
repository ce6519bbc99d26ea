#include "lb/core/pick.h"

#include <string.h>

#include "common/base/macros.h"
#include "lb/core/pick-internal.h"

enum {
    HOLD_FIRST_MS = 200,
    HOLD_MAX_MS = 5000,
    WARMTH_LEAST = PICK_FULL / 10,
    TRIES_MAX = PICK_BACKENDS_MAX
};

static const struct {
    const char *word;
    bool counts;
    unsigned (*choose)(const struct pick_in *in);
} policies[] = {
#define POLICY(sym, word, counts) {#word, counts, pick_by_##word},
#include "common/base/balance.def"
#undef POLICY
};

const char *pick_policy_name(enum pick_policy p)
{
    return policies[p].word;
}

bool pick_policy_find(const char *word, enum pick_policy *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(policies); i++) {
        if (strcmp(word, policies[i].word) == 0) {
            *ret = (enum pick_policy)i;
            return true;
        }
    }
    return false;
}

bool pick_policy_counts(enum pick_policy p)
{
    return policies[p].counts;
}

unsigned pick_backend(const struct pick_in *in)
{
    return policies[in->plan->policy].choose(in);
}

/* ---- slow start ---- */

unsigned pick_warmth(const struct pick_plan *p, unsigned i, uint64_t now_ms)
{
    uint64_t since = p->since_ms != NULL ? p->since_ms[i] : 0, warmth;

    if (since == 0 || now_ms >= since + p->slow_ms)
        return PICK_FULL;
    warmth = now_ms > since ? (now_ms - since) * PICK_FULL / p->slow_ms : 0;
    return warmth > WARMTH_LEAST ? (unsigned)warmth : WARMTH_LEAST;
}

/* The fractions of c times the golden ratio are spread evenly, whatever stretch of numbers one
 * looks at: so the share is right at once and without remembering anything. */
bool pick_takes_turn(const struct pick_in *in, unsigned i, uint64_t c)
{
    uint64_t fraction = (c * UINT64_C(0x9e3779b97f4a7c15)) >> 32;

    return (fraction * PICK_FULL) >> 32 < pick_warmth(in->plan, i, in->now_ms);
}

/* ---- round robin ---- */

unsigned pick_by_round_robin(const struct pick_in *in)
{
    const struct pick_plan *p = in->plan;
    unsigned tries_max = p->order_n > p->n ? p->order_n : p->n, first = 0;
    bool slow = pick_is_slow(in);

    if (tries_max > TRIES_MAX)
        tries_max = TRIES_MAX;
    for (unsigned tries = 0; tries < tries_max; tries++) {
        uint64_t c = atomic_fetch_add_explicit(in->cursor, 1, memory_order_relaxed);
        unsigned i = pick_turn(p, c);

        if ((!slow || pick_takes_turn(in, i, c)) && pick_is_usable(in, i))
            return i;
        if (tries == 0)
            first = i;
    }
    /* Other threads move the cursor meanwhile, so these turns need not have met every backend. */
    for (unsigned k = 0; k < p->n; k++) {
        unsigned i = (first + k) % p->n;

        if (pick_is_usable(in, i))
            return i;
    }
    return PICK_NONE;
}

static unsigned common_divisor(const uint16_t *weights, unsigned n)
{
    unsigned d = 0;

    for (unsigned i = 0; i < n; i++) {
        unsigned a = weights[i];

        while (a != 0) {
            unsigned rest = d % a;

            d = a;
            a = rest;
        }
    }
    return d > 0 ? d : 1;
}

unsigned pick_order_n(const uint16_t *weights, unsigned n)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < n; i++)
        sum += weights[i];
    return sum / common_divisor(weights, n);
}

/* Each turn all gain their weight, and the one that has most gives the sum away. What a backend has
 * is kept in credit[]; it needs no more room than the numbers up to the sum of all weights. */
void pick_order(const uint16_t *weights, unsigned n, uint16_t *ret)
{
    int32_t credit[PICK_BACKENDS_MAX] = {0}, sum = 0;
    unsigned turns = pick_order_n(weights, n);

    for (unsigned i = 0; i < n; i++)
        sum += weights[i];
    for (unsigned t = 0; t < turns; t++) {
        unsigned most = 0;

        for (unsigned i = 0; i < n; i++) {
            credit[i] += weights[i];
            if (credit[i] > credit[most])
                most = i;
        }
        credit[most] -= sum;
        ret[t] = (uint16_t)most;
    }
}

/* ---- passive health ---- */

uint64_t pick_hold_ms(unsigned fails)
{
    uint64_t ms = HOLD_FIRST_MS;

    while (fails-- > 1 && ms < HOLD_MAX_MS)
        ms *= 2;
    return ms < HOLD_MAX_MS ? ms : HOLD_MAX_MS;
}
