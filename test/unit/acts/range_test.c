#include "test/unit/unit.h"

#include "acts-service/range.h"
#include "common/base/macros.h"

#define MANY "111111111111111111111111111111"

static const struct {
    const char *query;
    int64_t n; /* acts; -1: no such category */
    int want;
} rows[] = {
    {"", -1, 204},
    {"", 0, 204},
    {"", 1, 200},
    {"", 100, 200},
    {"", 101, 413},
    {"x=1", 101, 413},
    {"start=1&end=1", -1, 204},
    {"start=a&end=b", -1, 204},
    {"start=1&end=1", 0, 204},
    {"start=0&end=5", 0, 204},
    {"start=1&end=100", 101, 200},
    {"start=1&end=101", 101, 413},
    {"start=2&end=101", 101, 200},
    {"start=101&end=101", 101, 200},
    {"start=102&end=102", 101, 400},
    {"end=101&start=101", 101, 200},
    {"a=b&start=1&c&end=1", 5, 200},
    {"start=140&end=300", 150, 400},
    {"start=0&end=5", 150, 400},
    {"start=5&end=4", 150, 400},
    {"start=1&end=150", 150, 413},
    {"start=1&end=151", 150, 400},
    {"start=%31&end=2", 5, 200},
    {"start=01&end=002", 5, 200},
    {"start=2", 5, 400},
    {"end=2", 5, 400},
    {"start&end", 5, 400},
    {"start=&end=", 5, 400},
    {"start=1&end=", 5, 400},
    {"start=a&end=b", 5, 400},
    {"start=1.0&end=2", 5, 400},
    {"start=-1&end=2", 5, 400},
    {"start=+1&end=2", 5, 400},
    {"start=1%20&end=2", 5, 400},
    {"start=%zz&end=2", 5, 400},
    {"start=1&start=1&end=2", 5, 400},
    {"start=" MANY "&end=" MANY, 5, 400},
    {"start=1&end=" MANY, 0, 400},
    {"start=1&end=1000000000000000000", 5, 400},
    {"Start=1&End=2", 5, 200}, /* other names: a plain list */
};

/* The decision as a whole: what is asked, what a category of n acts answers to that, what follows.
 */
static void ranges_are_judged(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct range r = range_parse(sv_of(rows[i].query));
        struct range_ask q = range_ask(&r);
        int64_t seen = rows[i].n < q.probe ? rows[i].n : q.probe;
        int status = range_status(&r, rows[i].n >= 0, rows[i].n < 0 ? 0 : seen);
        bool given = seen >= q.min_n && seen <= q.max_n;

        ROW_EQ_U64(rows[i].query, status, rows[i].want);
        if (rows[i].n >= 0)
            ROW_EQ_U64(rows[i].query, given, status == 200);
        if (given && !(q.limit >= 1 && q.limit <= RANGE_MAX && q.offset >= 0))
            fail_msg("row '%s': limit %lld offset %lld", rows[i].query, (long long)q.limit,
                     (long long)q.offset);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ranges_are_judged)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
