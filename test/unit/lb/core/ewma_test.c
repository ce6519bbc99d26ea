#include "test/unit/unit.h"

#include "common/base/macros.h"
#include "lb/core/ewma.h"

/* A sequence of samples, and what is read afterwards. */
struct sample {
    uint32_t at_ms, us;
};

static const struct {
    const char *name;
    struct sample samples[6];
    unsigned n;
    uint32_t read_ms, least, most;
} rows[] = {
    {"nothing is known", {{0, 0}}, 0, 1000, 0, 0},
    {"the first sample", {{1000, 500}}, 1, 1000, 500, 500},
    {"a worse one counts at once", {{1000, 500}, {1001, 90000}}, 2, 1001, 90000, 90000},
    {"a better one hardly", {{1000, 90000}, {1010, 500}}, 2, 1010, 89000, 90000},
    {"better ones over half the time: half way", {{1000, 90000}, {6000, 0}}, 2, 6000, 45000, 45001},
    {"better ones for long", {{1000, 90000}, {61000, 500}}, 2, 61000, 500, 600},
    {"half is forgotten", {{1000, 800}}, 1, 6000, 400, 400},
    {"three quarters are", {{1000, 800}}, 1, 11000, 200, 200},
    {"in between: in between", {{1000, 800}}, 1, 3500, 600, 600},
    {"all is", {{1000, 800}}, 1, 201000, 0, 0},
    {"a clock that was read earlier", {{1000, 800}}, 1, 990, 800, 800},
    {"the clock wraps", {{UINT32_MAX - 999, 800}}, 1, 4000, 400, 400},
    {"no time at all is known still", {{1000, 0}}, 1, 1000, 1, 1},
    {"the slowest", {{1000, UINT32_MAX}}, 1, 1000, UINT32_MAX, UINT32_MAX},
};

static void test_rows(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t ewma = 0;
        uint32_t got;

        for (unsigned k = 0; k < rows[i].n; k++)
            ewma = ewma_add(ewma, rows[i].samples[k].us, rows[i].samples[k].at_ms);
        got = ewma_read(ewma, rows[i].read_ms);
        if (got < rows[i].least || got > rows[i].most)
            fail_msg("row '%s': want %u to %u, got %u", rows[i].name, rows[i].least, rows[i].most,
                     got);
    }
}

/* Samples lie between the least and the most of what came, and equal ones change nothing. */
static void test_stays_within(void **state UNUSED)
{
    uint64_t ewma = ewma_add(0, 1000, 0), same = ewma;

    for (uint32_t t = 1; t < 100000; t += 37) {
        ewma = ewma_add(ewma, 500 + t * 7919 % 500, t);
        assert_in_range(ewma_read(ewma, t), 499, 1000);
        same = ewma_add(same, 1000, t);
        assert_in_range(ewma_read(same, t), 1000, 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows),
                                       cmocka_unit_test(test_stays_within)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
