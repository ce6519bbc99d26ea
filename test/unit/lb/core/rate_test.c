#include "test/unit/unit.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/macros.h"
#include "lb/core/rate.h"

enum { START_US = 1000000000 };

/* n requests at a time after the start; how many pass, and how long the last refused one waits. */
struct step {
    uint64_t at_ms;
    unsigned n, passed;
    uint64_t wait_ms;
};

static const struct {
    const char *name;
    unsigned rate, burst;
    struct step steps[6];
} rows[] = {
    {"as many at once as the burst", 10, 5, {{0, 9, 5, 100}}},
    {"one more for each step", 10, 5, {{0, 9, 5, 100}, {99, 1, 0, 1}, {100, 2, 1, 100}}},
    {"the bucket fills up to the burst, not beyond",
     10,
     3,
     {{0, 3, 3, 0}, {300, 4, 3, 100}, {60000, 9, 3, 100}}},
    {"who asks no faster is never refused",
     10,
     1,
     {{0, 1, 1, 0}, {100, 1, 1, 0}, {200, 1, 1, 0}, {300, 1, 1, 0}}},
    {"a refused request costs nothing", 1, 1, {{0, 1, 1, 0}, {500, 9, 0, 500}, {1000, 1, 1, 0}}},
    {"a burst larger than the rate", 1, 4, {{0, 5, 4, 1000}, {2000, 3, 2, 1000}}},
    {"once in a while", 1, 1, {{0, 1, 1, 0}, {100000, 2, 1, 1000}}},
};

static void test_bucket(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rate_rule r = rate_rule(rows[i].rate, rows[i].burst);
        uint64_t full = 0;

        for (size_t k = 0; k < ARRAY_LEN(rows[i].steps) && rows[i].steps[k].n > 0; k++) {
            const struct step *s = &rows[i].steps[k];
            uint64_t wait = 0;
            unsigned passed = 0;

            for (unsigned n = 0; n < s->n; n++)
                passed += rate_take(&r, &full, START_US + s->at_ms * 1000, &wait);
            ROW_EQ_U64(rows[i].name, passed, s->passed);
            ROW_EQ_U64(rows[i].name, wait, s->wait_ms * 1000);
        }
    }
}

static uint64_t key_of(const char *text, uint64_t seed)
{
    struct cidr_addr a;

    assert_true(cidr_addr_parse(sv_of(text), &a));
    return rate_client_key(&a, seed);
}

static const struct {
    const char *a, *b;
    bool same;
} clients[] = {
    {"192.0.2.1", "192.0.2.1", true},
    {"192.0.2.1", "192.0.2.2", false},
    {"192.0.2.1", "::ffff:192.0.2.1", true},
    {"2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true},
    {"2001:db8:1:2::1", "2001:db8:1:3::1", false},
    {"::1", "0.0.0.1", false},
};

static void test_clients(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(clients); i++)
        ROW_EQ_U64(clients[i].a, key_of(clients[i].a, 7) == key_of(clients[i].b, 7),
                   clients[i].same);
    assert_true(key_of("192.0.2.1", 1) != key_of("192.0.2.1", 2));
}

/* However many clients come, who asks too fast stays known and refused. */
static void test_table_is_bounded(void **state UNUSED)
{
    struct rate_table *t = calloc(1, sizeof(*t));
    struct rate_rule r = rate_rule(1, 10);
    uint64_t now = START_US, wait = 0, seed = 42;

    assert_non_null(t);
    for (unsigned i = 0; i < 10; i++)
        assert_true(rate_table_take(t, &r, 4711, now, &wait));
    assert_false(rate_table_take(t, &r, 4711, now, &wait));
    for (uint64_t i = 0; i < 20 * RATE_CLIENTS; i++) {
        uint8_t b[4] = {(uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
        struct cidr_addr a = cidr_addr_v4(b);

        assert_true(rate_table_take(t, &r, rate_client_key(&a, seed), now, &wait));
    }
    assert_false(rate_table_take(t, &r, 4711, now, &wait));
    assert_int_equal(wait, 1000000);
    free(t);
}

enum { THREADS = 4, TURNS = 50000 };

struct bed {
    struct rate_table *rates;
    struct crowd *crowd;
    atomic_uint passed, most, wrong;
};

static void *ask(void *arg)
{
    struct bed *b = arg;
    struct rate_rule r = rate_rule(1000, 777);

    for (unsigned i = 0; i < TURNS; i++) {
        uint64_t wait;
        uint32_t way;
        unsigned n;

        if (rate_table_take(b->rates, &r, 9, START_US, &wait))
            atomic_fetch_add(&b->passed, 1);
        n = crowd_enter(b->crowd, UINT64_C(99) << 32, &way);
        if (n < 1 || n > THREADS)
            atomic_fetch_add(&b->wrong, 1);
        crowd_leave(b->crowd, way);
    }
    return NULL;
}

static void test_threads(void **state UNUSED)
{
    struct bed b = {.rates = calloc(1, sizeof(*b.rates)), .crowd = calloc(1, sizeof(*b.crowd))};
    struct rate_rule r = rate_rule(1000, 777);
    pthread_t t[THREADS];
    uint64_t wait;
    uint32_t way;

    assert_non_null(b.rates);
    assert_non_null(b.crowd);
    b.passed = rate_table_take(b.rates, &r, 9, START_US, &wait); /* known before they begin */
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, ask, &b), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(b.passed, 777); /* exactly the burst, over all threads */
    assert_int_equal(b.wrong, 0);
    assert_int_equal(crowd_enter(b.crowd, UINT64_C(99) << 32, &way), 1);
    free(b.rates);
    free(b.crowd);
}

static void test_crowd(void **state UNUSED)
{
    struct crowd *c = calloc(1, sizeof(*c));
    uint32_t ways[CROWD_WAYS + 2], a, b;

    assert_non_null(c);
    assert_int_equal(crowd_enter(c, UINT64_C(1) << 32, &a), 1);
    assert_int_equal(crowd_enter(c, UINT64_C(1) << 32, &b), 2);
    crowd_leave(c, a);
    assert_int_equal(crowd_enter(c, UINT64_C(1) << 32, &a), 2);
    /* Others that meet in the same place: as many as there is room for, the rest is not counted. */
    for (uint64_t i = 0; i < CROWD_WAYS - 1; i++)
        assert_int_equal(crowd_enter(c, (i + 2) << 32, &ways[i]), 1);
    assert_int_equal(crowd_enter(c, UINT64_C(99) << 32, &ways[CROWD_WAYS]), 0);
    assert_int_equal(ways[CROWD_WAYS], CROWD_UNCOUNTED);
    crowd_leave(c, ways[CROWD_WAYS]);
    crowd_leave(c, ways[3]);
    assert_int_equal(crowd_enter(c, UINT64_C(99) << 32, &ways[CROWD_WAYS]), 1);
    crowd_leave(c, a);
    crowd_leave(c, b);
    assert_int_equal(crowd_enter(c, UINT64_C(1) << 32, &a), 1);
    free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bucket),  cmocka_unit_test(test_clients),
        cmocka_unit_test(test_crowd),   cmocka_unit_test(test_table_is_bounded),
        cmocka_unit_test(test_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
