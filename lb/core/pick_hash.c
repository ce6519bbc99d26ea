#include <math.h>

#include "common/base/splitmix.h"
#include "lb/core/pick-internal.h"

/* Rendezvous hashing: every backend draws a number from the key and its own id, and the largest
 * wins. Who leaves takes only the keys along that it had won; who joins wins its share from all.
 * With weights (and slow start) the number u of (0, 1) is weighed as w / -ln(u), which keeps both
 * and makes the shares proportional (the "weighted rendezvous" method of Schindelhauer and
 * Schomaker). */
struct score {
    double value;
    unsigned i;
};

static double value_of(const struct pick_in *in, unsigned i)
{
    uint64_t h = splitmix(in->key ^ splitmix(in->plan->ids[i] + UINT64_C(0x9e3779b97f4a7c15)));
    double u = ((double)(h >> 12) + 0.5) / 4503599627370496.0; /* 2^52 */

    if (in->plan->weights == NULL && !pick_is_slow(in))
        return u;
    return pick_weight(in, i) / -log(u);
}

static bool beats(struct score a, struct score b)
{
    return a.value > b.value || (a.value >= b.value && a.i < b.i);
}

/* Second and later choices are asked for only while first ones are over their bound, so looking
 * through all again is cheap on the whole. */
static unsigned best_below(const struct pick_in *in, struct score *limit)
{
    struct score best = {-1.0, PICK_NONE};

    for (unsigned i = 0; i < in->plan->n; i++) {
        struct score s;

        if (!pick_is_usable(in, i))
            continue;
        s = (struct score){value_of(in, i), i};
        if (beats(*limit, s) && (best.i == PICK_NONE || beats(s, best)))
            best = s;
    }
    *limit = best;
    return best.i;
}

struct total {
    uint64_t in_flight, weight;
};

static struct total total_of(const struct pick_in *in)
{
    struct total t = {0, 0};

    for (unsigned i = 0; i < in->plan->n; i++) {
        if (pick_is_usable(in, i)) {
            t.in_flight += in->view->in_flight(in->arg, i);
            t.weight += pick_weight(in, i);
        }
    }
    if (t.in_flight > UINT64_C(1) << 24)
        t.in_flight = UINT64_C(1) << 24;
    return t;
}

/* At most `bound` times its share of all requests, the new one included, rounded up. */
static bool has_room(const struct pick_in *in, unsigned i, struct total t)
{
    uint64_t share = (t.in_flight + 1) * pick_weight(in, i) * in->plan->bound_milli;
    uint64_t whole = t.weight * 1000;

    if (whole == 0) /* none was usable when they were counted, and now this one is */
        return true;
    return in->view->in_flight(in->arg, i) < (share + whole - 1) / whole;
}

unsigned pick_by_hash(const struct pick_in *in)
{
    struct score limit = {INFINITY, 0};
    unsigned first, i;
    struct total t;

    if (!in->has_key)
        return pick_by_round_robin(in);
    first = best_below(in, &limit);
    if (in->plan->bound_milli == 0 || first == PICK_NONE)
        return first;
    t = total_of(in);
    for (i = first; i != PICK_NONE; i = best_below(in, &limit)) {
        if (has_room(in, i, t))
            return i;
    }
    return first; /* loads have moved meanwhile: somebody had room */
}
