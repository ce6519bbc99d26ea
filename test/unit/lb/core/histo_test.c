#include "test/unit/unit.h"

#include "common/base/macros.h"
#include "lb/core/histo.h"

static void test_every_bucket_ends_where_the_next_begins(void **state UNUSED)
{
    for (unsigned i = 0; i + 1 < HISTO_BUCKETS; i++) {
        if (histo_index(histo_upper(i)) != i || histo_index(histo_upper(i) + 1) != i + 1)
            fail_msg("bucket %u ends at %llu", i, (unsigned long long)histo_upper(i));
    }
}

static const struct {
    const char *name;
    uint64_t us;
    unsigned index;
} places[] = {
    {"nothing", 0, 0},
    {"seven", 7, 7},
    {"eight", 8, 8},
    {"fifteen", 15, 15},
    {"sixteen", 16, 16},
    {"seventeen is with sixteen", 17, 16},
    {"the last of a doubling", 31, 23},
    {"2^30 - 1", (UINT64_C(1) << 30) - 1, HISTO_BUCKETS - 1},
    {"18 minutes and more", UINT64_C(1) << 30, HISTO_BUCKETS - 1},
    {"for ever", UINT64_MAX, HISTO_BUCKETS - 1},
};

static void test_places(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        ROW_EQ_U64(places[i].name, histo_index(places[i].us), places[i].index);
}

static void test_quantiles_are_at_most_an_eighth_high(void **state UNUSED)
{
    static const unsigned permille[] = {1, 100, 500, 990, 999, 1000};
    uint64_t counts[HISTO_BUCKETS] = {0};

    assert_int_equal(histo_quantile(counts, 500), 0);
    for (uint64_t us = 1; us <= 100000; us++)
        counts[histo_index(us)]++;
    for (size_t i = 0; i < ARRAY_LEN(permille); i++) {
        uint64_t exact = 100 * permille[i], got = histo_quantile(counts, permille[i]);

        if (got < exact || got > exact + exact / 8)
            fail_msg("%u permille: want %llu, got %llu", permille[i], (unsigned long long)exact,
                     (unsigned long long)got);
    }
}

static void test_few(void **state UNUSED)
{
    uint64_t counts[HISTO_BUCKETS] = {0};

    counts[histo_index(5)] = 99;
    counts[histo_index(7)] = 1;
    assert_int_equal(histo_quantile(counts, 990), 5);
    assert_int_equal(histo_quantile(counts, 991), 7);
    assert_int_equal(histo_quantile(counts, 0), 5);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_bucket_ends_where_the_next_begins),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_quantiles_are_at_most_an_eighth_high),
        cmocka_unit_test(test_few),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
