#include "test/unit/unit.h"

#include "common/base/macros.h"
#include "lb/core/wheel.h"

enum { START = 1000003 };
static struct wheel w;

/* When does a deadline fire if time goes on in steps? */
static uint64_t fires_at(uint64_t deadline, uint64_t step)
{
    struct wheel_node n;

    wheel_init(&w, START);
    wheel_node_init(&n);
    wheel_set(&w, &n, deadline);
    for (uint64_t now = START;; now += step) {
        struct wheel_node *got = wheel_pop(&w, now);

        if (got != NULL) {
            assert_ptr_equal(got, &n);
            assert_null(wheel_pop(&w, now));
            assert_int_equal(n.at_ms, 0);
            return now;
        }
    }
}

static void test_never_early_hardly_late(void **state UNUSED)
{
    static const uint64_t after[] = {0,     1,     31,    32,    33,    200,    1000,   4000,
                                     30000, 60000, 65535, 65536, 65537, 131072, 400000, 3600000};

    for (size_t i = 0; i < ARRAY_LEN(after); i++) {
        uint64_t got = fires_at(START + after[i], 1);

        assert_true(got >= START + after[i]);
        assert_true(got <= START + after[i] + WHEEL_TICK_MS);
    }
}

static void test_slept_over(void **state UNUSED)
{
    assert_int_equal(fires_at(START + 100, 1000000), START + 1000000);
    assert_int_equal(fires_at(START - 100, 1), START); /* in the past: at once */
}

static void test_moved_and_cleared(void **state UNUSED)
{
    struct wheel_node a, b;

    wheel_init(&w, START);
    wheel_node_init(&a);
    wheel_node_init(&b);
    wheel_set(&w, &a, START + 100);
    wheel_set(&w, &b, START + 200);
    wheel_set(&w, &a, START + 5000); /* moved back */
    wheel_clear(&w, &b);
    assert_null(wheel_pop(&w, START + 1000));
    wheel_set(&w, &a, START + 2000); /* moved forward */
    assert_ptr_equal(wheel_pop(&w, START + 2000 + WHEEL_TICK_MS), &a);
    /* the slots that were left stay marked until their turn: a useless look, then nothing more */
    assert_null(wheel_pop(&w, START + 6000));
    assert_int_equal(wheel_next_ms(&w), 0);
    wheel_clear(&w, &a); /* clearing an unset one is fine */
}

static void test_many_in_order(void **state UNUSED)
{
    enum { MANY = 3000 };
    static struct wheel_node n[MANY];
    uint64_t seed = 1;
    unsigned fired = 0;

    wheel_init(&w, START);
    for (unsigned i = 0; i < MANY; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        wheel_node_init(&n[i]);
        wheel_set(&w, &n[i], START + (seed >> 33) % 200000);
    }
    for (uint64_t now = START; fired < MANY; now += 7) {
        uint64_t next = wheel_next_ms(&w);
        struct wheel_node *got;

        assert_true(next != 0);
        while ((got = wheel_pop(&w, now)) != NULL) {
            fired++;
            assert_true(next <= now); /* the caller's timer would have been there in time */
        }
        assert_true(now < START + 200000 + 2 * WHEEL_TICK_MS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_never_early_hardly_late),
        cmocka_unit_test(test_slept_over),
        cmocka_unit_test(test_moved_and_cleared),
        cmocka_unit_test(test_many_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
