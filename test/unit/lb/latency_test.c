#include "test/unit/unit.h"

#include "common/base/macros.h"
#include "lb/latency.h"

static void add(struct latency *l, unsigned worker, uint64_t us, unsigned times)
{
    while (times-- > 0)
        latency_add(l, worker, us);
}

static void test_sums_workers(void **state UNUSED)
{
    struct latency *l = latency_new(3);
    struct latency_quantiles q = latency_read(l, 1000);

    assert_int_equal(q.p50_us, 0);
    add(l, 0, 3, 60);
    add(l, 1, 5, 38);
    add(l, 2, 7, 2);
    q = latency_read(l, 1001);
    assert_int_equal(q.p50_us, 3);
    assert_int_equal(q.p99_us, 7);
    latency_free(l);
}

/* What happened counts for one to two minutes. */
static void test_forgets(void **state UNUSED)
{
    struct latency *l = latency_new(1);

    latency_read(l, 1000);
    add(l, 0, 7, 100);
    assert_int_equal(latency_read(l, 61000).p50_us, 7);
    add(l, 0, 3, 10);
    assert_int_equal(latency_read(l, 120999).p50_us, 7);
    assert_int_equal(latency_read(l, 121000).p50_us, 3);
    assert_int_equal(latency_read(l, 400000).p50_us, 0);
    latency_free(l);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums_workers),
        cmocka_unit_test(test_forgets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
