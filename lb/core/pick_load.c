#include "common/base/splitmix.h"
#include "lb/core/pick-internal.h"

/* Policies that look at what backends have to do. Costs are fractions, compared without division:
 * `top` stays below 2^46 and weights are at most 2^18. */
enum {
    IN_FLIGHT_MAX = (1 << 18) - 1,
    LATENCY_MAX_US = 1 << 26,
    LATENCY_UNKNOWN_US = 1000000, /* so one request at a time shows how fast a new backend is */
    DRAWS = 16,
};

struct cost {
    uint64_t top;
    uint32_t weight;
};

static int compare(struct cost a, struct cost b)
{
    uint64_t x = a.top * b.weight, y = b.top * a.weight;

    return (x > y) - (x < y);
}

static uint64_t in_flight(const struct pick_in *in, unsigned i)
{
    uint32_t n = in->view->in_flight(in->arg, i);

    return n < IN_FLIGHT_MAX ? n : IN_FLIGHT_MAX;
}

static struct cost load_cost(const struct pick_in *in, unsigned i)
{
    return (struct cost){in_flight(in, i), pick_weight(in, i)};
}

/* How long the next request would take if all before it were waited for. */
static struct cost latency_cost(const struct pick_in *in, unsigned i)
{
    uint64_t us = in->view->latency_us(in->arg, i), n = in_flight(in, i);

    if (us == 0)
        us = n > 0 ? LATENCY_UNKNOWN_US : 0;
    if (us > LATENCY_MAX_US)
        us = LATENCY_MAX_US;
    return (struct cost){us * (n + 1), pick_weight(in, i)};
}

/* ---- least in flight ---- */

/* A slow starter that has not its turn looks as if it had one request more: while all are idle it
 * would get as many as the others. */
static struct cost turn_cost(const struct pick_in *in, unsigned i, uint64_t c)
{
    struct cost cost = load_cost(in, i);

    if (pick_is_slow(in) && !pick_takes_turn(in, i, c))
        cost.top++;
    return cost;
}

/* The number-th of the backends that cost no more than `least`; loads may have moved since. */
static unsigned nth_of_least(const struct pick_in *in, uint64_t c, struct cost least,
                             uint64_t number, unsigned otherwise)
{
    for (unsigned i = 0; i < in->plan->n; i++) {
        if (pick_is_usable(in, i) && compare(turn_cost(in, i, c), least) <= 0 && number-- == 0)
            return i;
    }
    return otherwise;
}

unsigned pick_by_least_in_flight(const struct pick_in *in)
{
    const struct pick_plan *p = in->plan;
    uint64_t c = atomic_fetch_add_explicit(in->cursor, 1, memory_order_relaxed);
    unsigned turn = pick_turn(p, c), best = PICK_NONE, equal = 0;
    bool turn_equal = false;
    struct cost least = {0, 1};

    for (unsigned i = 0; i < p->n; i++) {
        struct cost cost;
        int order;

        if (!pick_is_usable(in, i))
            continue;
        cost = turn_cost(in, i, c);
        order = best == PICK_NONE ? -1 : compare(cost, least);
        if (order > 0)
            continue;
        if (order < 0) {
            best = i;
            least = cost;
            equal = 0;
            turn_equal = false;
        }
        equal++;
        turn_equal = turn_equal || i == turn;
    }
    /* Among equals round robin decides: whose turn it is, else each in his. */
    if (equal <= 1)
        return best;
    return turn_equal ? turn : nth_of_least(in, c, least, c / p->n % equal, best);
}

/* ---- two choices ---- */

/* By weight among all that are usable, exactly; for when drawing at random met none. */
static unsigned draw_by_list(const struct pick_in *in, unsigned but)
{
    unsigned chosen = PICK_NONE;
    uint64_t sum = 0;

    for (unsigned i = 0; i < in->plan->n; i++) {
        uint32_t w;

        if (i == but || !pick_is_usable(in, i))
            continue;
        w = pick_weight(in, i);
        sum += w; /* it takes the place of those before it with its share of the sum so far */
        if (splitmix_next(in->random) % sum < w)
            chosen = i;
    }
    return chosen;
}

/* A usable backend other than `but`, at random by weight. */
static unsigned draw(const struct pick_in *in, unsigned but)
{
    const struct pick_plan *p = in->plan;
    uint64_t most = (uint64_t)(p->weights != NULL ? p->weight_max : 1) * PICK_FULL;
    bool alike = p->weights == NULL && !pick_is_slow(in);

    for (unsigned t = 0; t < DRAWS; t++) {
        uint64_t r = splitmix_next(in->random);
        unsigned i = (unsigned)((r >> 32) * p->n >> 32);

        if (i == but || (!alike && (r & UINT32_MAX) * most >> 32 >= pick_weight(in, i)))
            continue;
        if (pick_is_usable(in, i))
            return i;
    }
    return draw_by_list(in, but);
}

static unsigned cheaper_of_two(const struct pick_in *in,
                               struct cost (*cost)(const struct pick_in *in, unsigned i))
{
    unsigned a = draw(in, PICK_NONE), b;

    if (a == PICK_NONE)
        return PICK_NONE;
    b = draw(in, a);
    return b != PICK_NONE && compare(cost(in, b), cost(in, a)) < 0 ? b : a;
}

unsigned pick_by_two_choices(const struct pick_in *in)
{
    return cheaper_of_two(in, load_cost);
}

unsigned pick_by_peak_ewma(const struct pick_in *in)
{
    return cheaper_of_two(in, latency_cost);
}
