#include "test/unit/unit.h"

#include "common/base/macros.h"
#include "lb/core/limit.h"

static void test_places(void **state UNUSED)
{
    atomic_uint taken = 0;

    assert_false(limit_take(&taken, 0));
    assert_true(limit_take(&taken, 2));
    assert_true(limit_has_room(&taken, 2));
    assert_true(limit_take(&taken, 2));
    assert_false(limit_has_room(&taken, 2));
    assert_false(limit_take(&taken, 2));
    assert_false(limit_take(&taken, 1)); /* the limit was lowered meanwhile */
    limit_give(&taken);
    assert_false(limit_take(&taken, 1));
    assert_true(limit_take(&taken, 2));
    assert_int_equal(taken, 2);
}

/* What every row has unless it says otherwise. */
#define FULL .backends = 2, .queue_max = 10, .queue_ms = 5000, .hold_max = 8, .hold_ms = 10000
#define NONE                                                                                       \
    .expected = true, .safe = true, .queue_max = 10, .queue_ms = 5000, .hold_max = 8,              \
    .hold_ms = 10000

static const struct {
    const char *name;
    struct wait_in in;
    enum wait_verdict want;
} rows[] = {
    {"all full", {FULL}, WAIT_QUEUE},
    {"all full, a POST waits too", {FULL, .safe = false}, WAIT_QUEUE},
    {"the last place in the queue", {FULL, .waiting = 9}, WAIT_QUEUE},
    {"the queue is full", {FULL, .waiting = 10}, WAIT_FULL},
    {"more wait than may: the limit was lowered", {FULL, .waiting = 11}, WAIT_FULL},
    {"nobody is to wait", {.backends = 2, .queue_max = 10, .hold_max = 8, .hold_ms = 1}, WAIT_FULL},
    {"no backend, one expected", {NONE}, WAIT_HOLD},
    {"the last one that is held", {NONE, .waiting = 7}, WAIT_HOLD},
    {"as many are held as may", {NONE, .waiting = 8}, WAIT_FULL},
    {"a request that changes something",
     {.expected = true, .hold_max = 8, .hold_ms = 1},
     WAIT_NO_BACKEND},
    {"no backend, none expected", {.safe = true, .hold_max = 8, .hold_ms = 1}, WAIT_NO_BACKEND},
    {"holding is off by number", {.expected = true, .safe = true, .hold_ms = 1}, WAIT_NO_BACKEND},
    {"holding is off by time", {.expected = true, .safe = true, .hold_max = 8}, WAIT_NO_BACKEND},
    {"a stale hint beside backends", {FULL, .expected = true, .safe = true}, WAIT_QUEUE},
};

static void test_wait(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ROW_EQ_U64(rows[i].name, wait_decide(&rows[i].in), rows[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
