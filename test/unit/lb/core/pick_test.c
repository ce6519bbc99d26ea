#include "test/unit/unit.h"

#include <pthread.h>

#include "common/base/macros.h"
#include "common/base/splitmix.h"
#include "lb/core/ewma.h"
#include "lb/core/pick.h"

/* Backends as a policy sees them; everything in it may be set by a test. */
enum { MOST = 32 };

struct world {
    struct pick_plan plan;
    uint16_t weights[MOST], order[MOST * PICK_WEIGHT_MAX];
    uint32_t ids[MOST];
    uint64_t since_ms[MOST];
    uint64_t usable; /* bits */
    bool flickers;   /* other workers hold, eject and release backends while one is chosen */
    uint64_t flicker;
    uint32_t in_flight[MOST], latency_us[MOST];
    _Atomic uint64_t own_cursor, *cursor; /* copies of a world share the first one's */
    uint64_t random, now_ms;
    bool has_key;
    uint64_t key;
    unsigned looked[2], looked_n; /* whose load was asked for, first and last */
};

static bool usable(void *arg, unsigned i)
{
    struct world *w = arg;

    if (w->flickers && (splitmix_next(&w->flicker) & 3) != 0)
        return false;
    return (((const struct world *)arg)->usable >> i & 1) != 0;
}

static uint32_t in_flight(void *arg, unsigned i)
{
    struct world *w = arg;

    w->looked[w->looked_n > 0] = i;
    w->looked_n++;
    return w->in_flight[i];
}

static uint32_t latency_us(void *arg, unsigned i)
{
    return ((const struct world *)arg)->latency_us[i];
}

static unsigned choose(struct world *w)
{
    static const struct pick_view view = {usable, in_flight, latency_us};
    struct pick_in in = {&w->plan, &view, w, w->cursor, w->now_ms, &w->random, w->has_key, w->key};

    w->looked_n = 0;
    return pick_backend(&in);
}

static void setup(struct world *w, enum pick_policy policy, unsigned n, uint64_t seed)
{
    memset(w, 0, sizeof(*w));
    w->cursor = &w->own_cursor;
    w->plan.policy = policy;
    w->plan.n = n;
    w->plan.ids = w->ids;
    for (unsigned i = 0; i < n; i++)
        w->ids[i] = i;
    w->usable = (UINT64_C(1) << n) - 1;
    w->random = seed;
    w->now_ms = 1000000;
}

/* "5 1 1": one weight for each backend; "": all alike. */
static void set_weights(struct world *w, const char *text)
{
    unsigned n = 0;

    for (const char *p = text; *p != '\0'; p++) {
        if (*p == ' ')
            n++;
        else
            w->weights[n] = (uint16_t)(w->weights[n] * 10 + (*p - '0'));
        if (w->weights[n] > w->plan.weight_max)
            w->plan.weight_max = w->weights[n];
    }
    if (text[0] == '\0')
        return;
    assert_int_equal(n + 1, w->plan.n);
    w->plan.weights = w->weights;
    w->plan.order_n = pick_order_n(w->weights, w->plan.n);
    pick_order(w->weights, w->plan.n, w->order);
    w->plan.order = w->order;
}

static unsigned weight_of(const struct world *w, unsigned i)
{
    return w->plan.weights != NULL ? w->weights[i] : 1;
}

static void count(struct world *w, unsigned picks, unsigned *counts)
{
    memset(counts, 0, MOST * sizeof(*counts));
    for (unsigned k = 0; k < picks; k++) {
        unsigned i = choose(w);

        assert_in_range(i, 0, w->plan.n - 1);
        counts[i]++;
    }
}

/* What is usable changes at any moment: the choice is a backend or none, whatever was seen. */
static void test_candidates_come_and_go(void **state)
{
    uint64_t r = 815;

    (void)state;
    for (unsigned turn = 0; turn < 60000; turn++) {
        struct world w;
        unsigned n = 1 + (unsigned)(splitmix_next(&r) % 5), i;

        setup(&w, (enum pick_policy)(turn % PICK_POLICIES), n, r);
        w.flickers = true;
        w.flicker = splitmix_next(&r);
        w.has_key = true;
        w.key = r;
        w.plan.bound_milli = turn & 1 ? 1250 : 0;
        for (unsigned k = 0; k < n; k++)
            w.in_flight[k] = (uint32_t)(splitmix_next(&r) % 3);
        i = choose(&w);
        if (i != PICK_NONE)
            assert_in_range(i, 0, n - 1);
    }
}

static void near(const char *row, unsigned got, unsigned want, unsigned within)
{
    if (got + within < want || got > want + within)
        fail_msg("row '%s': want %u +- %u, got %u", row, want, within, got);
}

/* ---- all of them ---- */

static void test_names(void **state UNUSED)
{
    for (unsigned p = 0; p < PICK_POLICIES; p++) {
        enum pick_policy found = PICK_POLICIES;

        assert_true(pick_policy_find(pick_policy_name((enum pick_policy)p), &found));
        assert_int_equal(found, p);
    }
    assert_false(pick_policy_find("rond_robin", &(enum pick_policy){PICK_HASH}));
    assert_int_equal(PICK_ROUND_ROBIN, 0); /* what a plan of zeros means */
    assert_false(pick_policy_counts(PICK_ROUND_ROBIN));
}

/* Whatever the weights, loads, ages and candidates: the choice is a candidate, and there is one
 * whenever there are candidates. So a retry never meets a backend that the caller leaves out. */
static void test_only_candidates(void **state UNUSED)
{
    uint64_t r = 4711;

    for (unsigned turn = 0; turn < 60000; turn++) {
        struct world w;
        unsigned n = 1 + (unsigned)(splitmix_next(&r) % 9), i;

        setup(&w, (enum pick_policy)(turn % PICK_POLICIES), n, r);
        if (splitmix_next(&r) & 1)
            set_weights(&w, (const char *[]){"1", "1 2", "3 1 1", "1 1 1 9", "256 1 1 1 1",
                                             "1 2 3 4 5 6", "7 7 7 7 7 7 1", "1 1 1 1 1 1 1 1",
                                             "9 8 7 6 5 4 3 2 1"}[n - 1]);
        if (splitmix_next(&r) & 1) {
            w.plan.since_ms = w.since_ms;
            w.plan.slow_ms = 10000;
            w.plan.slow_until_ms = w.now_ms + 5000;
        }
        for (unsigned k = 0; k < n; k++) {
            w.in_flight[k] = (uint32_t)(splitmix_next(&r) % 4);
            w.latency_us[k] = (uint32_t)(splitmix_next(&r) % 3 * 1000);
            w.since_ms[k] = splitmix_next(&r) & 1 ? w.now_ms - splitmix_next(&r) % 12000 : 0;
        }
        *w.cursor = splitmix_next(&r);
        w.has_key = splitmix_next(&r) & 1;
        w.key = splitmix_next(&r);
        w.plan.bound_milli = splitmix_next(&r) & 1 ? 1000 + turn % 1000 : 0;
        w.usable &= splitmix_next(&r);
        i = choose(&w);
        if (w.usable == 0)
            assert_int_equal(i, PICK_NONE);
        else if (i >= n || (w.usable >> i & 1) == 0)
            fail_msg("%s of %u: chose %u among %llx", pick_policy_name(w.plan.policy), n, i,
                     (unsigned long long)w.usable);
    }
}

/* While all are idle each policy gives each backend its share by weight. */
static void test_shares_while_idle(void **state UNUSED)
{
    static const struct {
        const char *name;
        enum pick_policy policy;
        unsigned n;
        const char *weights;
        unsigned within; /* of 60000 picks, for each backend; 0: exact */
    } rows[] = {
        {"round robin", PICK_ROUND_ROBIN, 3, "", 0},
        {"round robin by weight", PICK_ROUND_ROBIN, 3, "3 2 1", 0},
        {"least in flight", PICK_LEAST_IN_FLIGHT, 3, "", 0},
        {"least in flight by weight", PICK_LEAST_IN_FLIGHT, 3, "3 2 1", 0},
        {"two choices", PICK_TWO_CHOICES, 3, "", 500},
        {"two choices by weight", PICK_TWO_CHOICES, 3, "3 2 1", 500},
        {"peak EWMA", PICK_PEAK_EWMA, 3, "", 500},
        {"hash without a key", PICK_HASH, 3, "3 2 1", 0},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned counts[MOST], sum = 0;
        struct world w;

        setup(&w, rows[i].policy, rows[i].n, 12345);
        set_weights(&w, rows[i].weights);
        count(&w, 60000, counts);
        for (unsigned b = 0; b < w.plan.n; b++)
            sum += weight_of(&w, b);
        for (unsigned b = 0; b < w.plan.n; b++)
            near(rows[i].name, counts[b], 60000 * weight_of(&w, b) / sum, rows[i].within);
    }
}

/* ---- round robin ---- */

static void test_order(void **state UNUSED)
{
    static const struct {
        const char *name;
        unsigned n, usable;
        const char *weights, *want; /* want: of nine picks from cursor 0; -: none */
    } rows[] = {
        {"three", 3, 7, "", "012012012"},
        {"one", 1, 1, "", "000000000"},
        {"the middle one is out", 3, 5, "", "020202020"},
        {"none is usable", 3, 0, "", "---------"},
        {"only the last", 3, 4, "", "222222222"},
        {"five, one, one", 3, 7, "5 1 1", "001020000"},
        {"three to one", 2, 3, "3 1", "001000100"},
        {"two to four is one to two", 2, 3, "2 4", "101101101"},
        {"weights that are alike", 3, 7, "8 8 8", "012012012"},
        {"the heavy one is out", 3, 6, "5 1 1", "121212121"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        char got[10] = {0};

        setup(&w, PICK_ROUND_ROBIN, rows[i].n, 0);
        set_weights(&w, rows[i].weights);
        w.usable = rows[i].usable;
        for (size_t k = 0; k < 9; k++) {
            unsigned b = choose(&w);

            got[k] = b == PICK_NONE ? '-' : (char)('0' + b);
        }
        ROW_EQ_STR(rows[i].name, got, rows[i].want);
    }
}

/* A whole order has each backend exactly by its weight, and at no place in it is one further than
 * one turn from where it would be if turns could be divided. */
static void test_order_is_smooth(void **state UNUSED)
{
    uint64_t r = 99;

    for (unsigned turn = 0; turn < 200; turn++) {
        uint16_t weights[MOST], order[MOST * PICK_WEIGHT_MAX];
        unsigned n = 1 + (unsigned)(splitmix_next(&r) % 8), sum = 0, order_n, given[MOST] = {0};

        for (unsigned i = 0; i < n; i++)
            sum += weights[i] = (uint16_t)(1 + splitmix_next(&r) % (turn % 2 ? 9 : 256));
        order_n = pick_order_n(weights, n);
        assert_int_equal(sum % order_n, 0);
        pick_order(weights, n, order);
        for (unsigned t = 0; t < order_n; t++) {
            given[order[t]]++;
            for (unsigned i = 0; i < n; i++) {
                double due = (double)(t + 1) * weights[i] / sum;

                if (given[i] > due + 1.0 * n || given[i] + 1.0 * n < due)
                    fail_msg("turn %u of %u: %u has %u, due are %f", t, order_n, i, given[i], due);
            }
        }
        for (unsigned i = 0; i < n; i++)
            assert_int_equal(given[i] * sum, weights[i] * order_n);
    }
}

enum { THREADS = 4, PICKS = 30000 };

struct share {
    struct world w;
    unsigned counts[MOST];
};

static void *pick_many(void *arg)
{
    struct share *s = arg;

    for (unsigned i = 0; i < PICKS; i++)
        s->counts[choose(&s->w)]++;
    return NULL;
}

static void test_exact_over_threads(void **state UNUSED)
{
    static const struct {
        const char *name, *weights;
        unsigned want[3]; /* of six */
    } rows[] = {{"alike", "", {2, 2, 2}}, {"by weight", "3 2 1", {3, 2, 1}}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct share s[THREADS];
        pthread_t t[THREADS];
        struct world w;

        setup(&w, PICK_ROUND_ROBIN, 3, 0);
        set_weights(&w, rows[i].weights);
        for (unsigned k = 0; k < THREADS; k++)
            s[k] = (struct share){w, {0}};
        for (unsigned k = 0; k < THREADS; k++)
            assert_int_equal(pthread_create(&t[k], NULL, pick_many, &s[k]), 0);
        for (unsigned k = 0; k < THREADS; k++)
            pthread_join(t[k], NULL);
        for (unsigned b = 0; b < 3; b++) {
            unsigned sum = 0;

            for (unsigned k = 0; k < THREADS; k++)
                sum += s[k].counts[b];
            ROW_EQ_U64(rows[i].name, sum, THREADS * PICKS / 6 * rows[i].want[b]);
        }
    }
}

/* ---- slow start ---- */

static void test_warmth(void **state UNUSED)
{
    static const struct {
        const char *name;
        uint64_t since, now;
        unsigned want;
    } rows[] = {
        {"was always there", 0, 5, PICK_FULL},
        {"at once: a tenth", 1000, 1000, 102},
        {"a clock that is behind", 1000, 990, 102},
        {"a twentieth of the time", 1000, 1500, 102},
        {"half of it", 1000, 6000, 512},
        {"nearly all", 1000, 10999, 1023},
        {"all", 1000, 11000, PICK_FULL},
        {"long ago", 1000, 99999999, PICK_FULL},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pick_plan p = {.n = 1, .since_ms = &rows[i].since, .slow_ms = 10000};

        ROW_EQ_U64(rows[i].name, pick_warmth(&p, 0, rows[i].now), rows[i].want);
    }
}

/* The third backend joined `age` ago and is fully there after 10 s. */
static void test_slow_start(void **state UNUSED)
{
    static const struct {
        const char *name;
        enum pick_policy policy;
        const char *weights;
        uint64_t age;
        unsigned want, within; /* of 60000 picks */
    } rows[] = {
        /* the others have one part each, the new one its warmth */
        {"round robin, at once", PICK_ROUND_ROBIN, "", 0, 2846, 60},
        {"round robin, half", PICK_ROUND_ROBIN, "", 5000, 12000, 100},
        {"round robin, three quarters", PICK_ROUND_ROBIN, "", 7500, 16363, 100},
        {"round robin, over", PICK_ROUND_ROBIN, "", 10000, 20000, 0},
        {"round robin, by weight", PICK_ROUND_ROBIN, "1 1 2", 5000, 20000, 100},
        /* one choice for each number here: the new one has a part of its own turns only */
        {"least in flight, at once", PICK_LEAST_IN_FLIGHT, "", 0, 1992, 60},
        {"least in flight, half", PICK_LEAST_IN_FLIGHT, "", 5000, 10000, 60},
        {"two choices, at once", PICK_TWO_CHOICES, "", 0, 2846, 800},
        {"two choices, half", PICK_TWO_CHOICES, "", 5000, 12000, 800},
        {"hash, without a key", PICK_HASH, "", 5000, 12000, 100},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned counts[MOST];
        struct world w;

        setup(&w, rows[i].policy, 3, 5);
        set_weights(&w, rows[i].weights);
        w.plan.since_ms = w.since_ms;
        w.plan.slow_ms = 10000;
        w.since_ms[2] = w.now_ms - rows[i].age;
        w.plan.slow_until_ms = w.since_ms[2] + w.plan.slow_ms;
        count(&w, 60000, counts);
        near(rows[i].name, counts[2], rows[i].want, rows[i].within);
        if (rows[i].weights[0] == '\0')
            near(rows[i].name, counts[0], counts[1], rows[i].within);
    }
}

/* ---- least in flight ---- */

static void test_least_in_flight(void **state UNUSED)
{
    static const struct {
        const char *name;
        unsigned n;
        const char *weights;
        uint32_t in_flight[4];
        unsigned usable;
        const char *want; /* of eight picks */
    } rows[] = {
        {"idle: round robin", 3, "", {0, 0, 0}, 7, "01201201"},
        {"all equal: round robin", 3, "", {4, 4, 4}, 7, "01201201"},
        {"one is least", 3, "", {2, 1, 2}, 7, "11111111"},
        {"two are least: in turn", 3, "", {1, 5, 1}, 7, "00202200"},
        {"the least is out", 3, "", {2, 0, 1}, 5, "22222222"},
        {"none", 3, "", {0, 0, 0}, 0, "--------"},
        {"twice the weight, twice the load", 2, "1 2", {2, 4}, 3, "10110110"},
        {"twice the weight, less", 2, "1 2", {2, 3}, 3, "11111111"},
        {"twice the weight, more", 2, "1 2", {2, 5}, 3, "00000000"},
        {"very many", 2, "", {UINT32_MAX, 100000}, 3, "11111111"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        char got[9] = {0};

        setup(&w, PICK_LEAST_IN_FLIGHT, rows[i].n, 0);
        set_weights(&w, rows[i].weights);
        memcpy(w.in_flight, rows[i].in_flight, sizeof(rows[i].in_flight));
        w.usable = rows[i].usable;
        for (size_t k = 0; k < 8; k++) {
            unsigned b = choose(&w);

            got[k] = b == PICK_NONE ? '-' : (char)('0' + b);
        }
        ROW_EQ_STR(rows[i].name, got, rows[i].want);
    }
}

/* Requests that stay: loads never part by more than one a unit of weight. */
static void test_least_in_flight_fills_evenly(void **state UNUSED)
{
    struct world w;

    setup(&w, PICK_LEAST_IN_FLIGHT, 4, 0);
    set_weights(&w, "1 2 3 4");
    for (unsigned k = 1; k <= 1000; k++) {
        w.in_flight[choose(&w)]++;
        for (unsigned i = 0; i < 4; i++)
            near("fills", w.in_flight[i] * 10, k * w.weights[i], 10);
    }
}

/* ---- two choices ---- */

/* Two different ones are looked at, and never is the busier of them taken. */
static void test_two_choices(void **state UNUSED)
{
    uint64_t r = 31;

    for (unsigned turn = 0; turn < 20000; turn++) {
        unsigned n = 2 + turn % 9, i, other;
        struct world w;

        setup(&w, PICK_TWO_CHOICES, n, splitmix_next(&r));
        for (unsigned k = 0; k < n; k++)
            w.in_flight[k] = (uint32_t)(splitmix_next(&r) % 20);
        i = choose(&w);
        assert_int_equal(w.looked_n, 2);
        assert_int_not_equal(w.looked[0], w.looked[1]);
        assert_true(i == w.looked[0] || i == w.looked[1]);
        other = i == w.looked[0] ? w.looked[1] : w.looked[0];
        if (w.in_flight[i] > w.in_flight[other])
            fail_msg("took %u (%u in flight), not %u (%u)", i, w.in_flight[i], other,
                     w.in_flight[other]);
    }
}

/* With half of a thousand draws in vain the list decides, and is as fair. */
static void test_two_choices_among_few(void **state UNUSED)
{
    unsigned counts[MOST];
    struct world w;

    setup(&w, PICK_TWO_CHOICES, 30, 8);
    w.usable = 1 << 3 | 1 << 29;
    count(&w, 20000, counts);
    near("first", counts[3], 10000, 300);
    near("second", counts[29], 10000, 300);
    w.usable = 1 << 7;
    count(&w, 100, counts);
    assert_int_equal(counts[7], 100);
}

/* ---- peak EWMA ---- */

static void test_peak_ewma(void **state UNUSED)
{
    static const struct {
        const char *name;
        uint32_t latency_us[2], in_flight[2];
        const char *weights;
        unsigned want; /* the one that is taken always; 2: either */
    } rows[] = {
        {"faster", {2000, 1000}, {0, 0}, "", 1},
        {"faster, but with more to do", {2000, 1000}, {1, 4}, "", 0},
        {"twice as fast with twice as much to do", {2000, 1000}, {1, 3}, "", 2},
        {"unknown and idle", {1, 0}, {0, 0}, "", 1},
        {"unknown and asked already", {50000, 0}, {3, 1}, "", 0},
        {"slower than what is unknown", {3000000, 0}, {0, 0}, "", 1},
        {"as fast, with more weight", {1000, 1000}, {0, 0}, "1 2", 1},
        {"very slow, very busy", {UINT32_MAX, 1000}, {UINT32_MAX, 100}, "", 1},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned counts[MOST];
        struct world w;

        setup(&w, PICK_PEAK_EWMA, 2, i);
        set_weights(&w, rows[i].weights);
        memcpy(w.latency_us, rows[i].latency_us, sizeof(rows[i].latency_us));
        memcpy(w.in_flight, rows[i].in_flight, sizeof(rows[i].in_flight));
        count(&w, 200, counts);
        if (rows[i].want == 2)
            near(rows[i].name, counts[0], 100, 40);
        else
            ROW_EQ_U64(rows[i].name, counts[rows[i].want], 200);
    }
}

/* A request each 10 ms, one after the other, for `seconds`. Returns how many went to the last. */
static unsigned serve(struct world *w, uint64_t *ewmas, const uint32_t *takes_us, unsigned seconds)
{
    unsigned n = w->plan.n, last = 0;

    for (unsigned k = 0; k < seconds * 100; k++, w->now_ms += 10) {
        unsigned i;

        for (unsigned b = 0; b < n; b++)
            w->latency_us[b] = ewma_read(ewmas[b], (uint32_t)w->now_ms);
        i = choose(w);
        ewmas[i] = ewma_add(ewmas[i], takes_us[i], (uint32_t)w->now_ms);
        last += i == n - 1;
    }
    return last;
}

/* One of three turns slow: it is left alone at once, tried again when its past is forgotten, and
 * has its share again when it is as fast as the others. */
static void test_peak_ewma_over_time(void **state UNUSED)
{
    static const uint32_t alike[] = {2000, 2000, 2000}, slow[] = {2000, 2000, 200000};
    uint64_t ewmas[3] = {0};
    unsigned got;
    struct world w;

    setup(&w, PICK_PEAK_EWMA, 3, 3);
    got = serve(&w, ewmas, alike, 30); /* of 3000 */
    assert_in_range(got, 700, 1300);
    got = serve(&w, ewmas, slow, 60); /* of 6000: a try now and then, each forgotten after 30 s */
    assert_in_range(got, 2, 20);
    (void)serve(&w, ewmas, alike, 60);
    got = serve(&w, ewmas, alike, 30);
    assert_in_range(got, 700, 1300);
}

/* ---- hash ---- */

enum { KEYS = 20000 };

static void map_keys(struct world *w, uint8_t *to, unsigned *counts)
{
    memset(counts, 0, MOST * sizeof(*counts));
    w->has_key = true;
    for (unsigned k = 0; k < KEYS; k++) {
        w->key = k; /* the worst of hashes: the policy mixes itself */
        to[k] = (uint8_t)choose(w);
        counts[to[k]]++;
    }
}

static void test_hash_shares(void **state UNUSED)
{
    static const struct {
        const char *name;
        unsigned n;
        const char *weights;
    } rows[] = {{"ten", 10, ""}, {"one", 1, ""}, {"by weight", 4, "1 2 3 4"}};
    static uint8_t to[KEYS], again[KEYS];

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned counts[MOST], sum = 0;
        struct world w;

        setup(&w, PICK_HASH, rows[i].n, 0);
        set_weights(&w, rows[i].weights);
        map_keys(&w, to, counts);
        for (unsigned b = 0; b < w.plan.n; b++)
            sum += weight_of(&w, b);
        for (unsigned b = 0; b < w.plan.n; b++)
            near(rows[i].name, counts[b], KEYS * weight_of(&w, b) / sum, KEYS / 50);
        w.random = 77; /* nothing but the key decides */
        *w.cursor = 5;
        w.in_flight[0] = 1000;
        map_keys(&w, again, counts);
        assert_memory_equal(to, again, KEYS);
    }
}

/* Who goes, by leaving the candidates or the table, takes only its own keys along; who comes takes
 * keys from the others to itself only. */
static void test_hash_moves_little(void **state UNUSED)
{
    static uint8_t before[KEYS], after[KEYS];
    static const char *const weights[] = {"", "1 2 3 4 5 6 7 8 9 10"};

    for (size_t i = 0; i < ARRAY_LEN(weights); i++) {
        for (unsigned gone = 0; gone < 10; gone++) {
            unsigned counts[MOST], moved = 0;
            struct world w;

            setup(&w, PICK_HASH, 10, 0);
            set_weights(&w, weights[i]);
            map_keys(&w, before, counts);
            w.usable &= ~(UINT64_C(1) << gone);
            map_keys(&w, after, counts);
            for (unsigned k = 0; k < KEYS; k++) {
                if (before[k] != gone)
                    assert_int_equal(after[k], before[k]);
                else
                    moved++;
                assert_int_not_equal(after[k], gone);
            }
            assert_true(moved > 0);
        }
    }
}

/* Ids count, not places: the same backends in a table without the third. */
static void test_hash_goes_by_id(void **state UNUSED)
{
    static uint8_t before[KEYS], after[KEYS];
    unsigned counts[MOST];
    struct world w;

    setup(&w, PICK_HASH, 4, 0);
    map_keys(&w, before, counts);
    setup(&w, PICK_HASH, 3, 0);
    w.ids[2] = 3;
    map_keys(&w, after, counts);
    for (unsigned k = 0; k < KEYS; k++) {
        if (before[k] != 2)
            assert_int_equal(w.ids[after[k]], before[k]);
    }
}

/* A slow starter takes its keys one by one, and none comes back while it grows. */
static void test_hash_slow_start(void **state UNUSED)
{
    static uint8_t to[KEYS], last[KEYS];
    unsigned counts[MOST], had = 0;
    struct world w;

    setup(&w, PICK_HASH, 3, 0);
    w.plan.since_ms = w.since_ms;
    w.plan.slow_ms = 10000;
    w.since_ms[2] = w.now_ms;
    w.plan.slow_until_ms = w.now_ms + 10000;
    memset(last, 9, sizeof(last));
    for (unsigned t = 0; t <= 10; t++, w.now_ms += 1000) {
        map_keys(&w, to, counts);
        assert_true(counts[2] >= had);
        had = counts[2];
        for (unsigned k = 0; k < KEYS; k++) {
            if (last[k] != 9 && to[k] != 2)
                assert_int_equal(to[k], last[k]);
            if (last[k] == 2)
                assert_int_equal(to[k], 2);
        }
        memcpy(last, to, sizeof(last));
    }
    near("in the end", had, KEYS / 3, KEYS / 50);
}

/* Whatever the keys, requests that stay never bring a backend above `bound` times its fair share,
 * rounded up; and a bound changes nothing for a key whose first choice has room. */
static void test_hash_bound(void **state UNUSED)
{
    static const struct {
        const char *name;
        const char *weights;
        unsigned bound, hot; /* hot: of 100 requests so many have one and the same key */
    } rows[] = {{"tight", "", 1000, 100},
                {"one key", "", 1250, 100},
                {"half hot", "", 1250, 50},
                {"loose", "", 3000, 90},
                {"by weight", "1 2 3 4 10", 1250, 80}};
    uint64_t r = 6;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned sum = 0, at_first = 0;
        struct world w;

        setup(&w, PICK_HASH, 5, 0);
        set_weights(&w, rows[i].weights);
        w.has_key = true;
        w.plan.bound_milli = rows[i].bound;
        for (unsigned b = 0; b < 5; b++)
            sum += weight_of(&w, b);
        for (unsigned total = 1; total <= 2000; total++) {
            unsigned first, b, weight, most;

            w.key = splitmix_next(&r) % 100 < rows[i].hot ? 42 : splitmix_next(&r);
            b = choose(&w);
            weight = weight_of(&w, b);
            most = (rows[i].bound * total * weight + 1000 * sum - 1) / (1000 * sum);
            w.in_flight[b]++;
            if (w.in_flight[b] > most)
                fail_msg("row '%s': %u of %u requests at %u, at most %u may be", rows[i].name,
                         w.in_flight[b], total, b, most);
            w.in_flight[b]--;
            w.plan.bound_milli = 0;
            first = choose(&w);
            w.plan.bound_milli = rows[i].bound;
            if (first != b) {
                weight = weight_of(&w, first);
                most = (rows[i].bound * total * weight + 1000 * sum - 1) / (1000 * sum);
                assert_true(w.in_flight[first] >= most);
            }
            at_first += first == b;
            w.in_flight[b]++;
        }
        assert_true(at_first > 300);
    }
}

/* ---- passive health ---- */

static void test_hold(void **state UNUSED)
{
    static const struct {
        unsigned fails;
        uint64_t want;
    } holds[] = {{0, 200}, {1, 200}, {2, 400}, {3, 800}, {6, 5000}, {1000000, 5000}};

    for (size_t i = 0; i < ARRAY_LEN(holds); i++)
        assert_int_equal(pick_hold_ms(holds[i].fails), holds[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_only_candidates),
        cmocka_unit_test(test_candidates_come_and_go),
        cmocka_unit_test(test_shares_while_idle),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_order_is_smooth),
        cmocka_unit_test(test_exact_over_threads),
        cmocka_unit_test(test_warmth),
        cmocka_unit_test(test_slow_start),
        cmocka_unit_test(test_least_in_flight),
        cmocka_unit_test(test_least_in_flight_fills_evenly),
        cmocka_unit_test(test_two_choices),
        cmocka_unit_test(test_two_choices_among_few),
        cmocka_unit_test(test_peak_ewma),
        cmocka_unit_test(test_peak_ewma_over_time),
        cmocka_unit_test(test_hash_shares),
        cmocka_unit_test(test_hash_moves_little),
        cmocka_unit_test(test_hash_goes_by_id),
        cmocka_unit_test(test_hash_slow_start),
        cmocka_unit_test(test_hash_bound),
        cmocka_unit_test(test_hold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
