#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/base/macros.h"
#include "ctl/core/verdict.h"

static const struct {
    const char *name;
    unsigned wish, ready;
    bool needed;
    enum verdict want;
} rows[] = {
    {"all", 2, 2, true, VERDICT_OK},
    {"more than wished", 2, 3, true, VERDICT_OK},
    {"one short", 2, 1, true, VERDICT_DEGRADED},
    {"none", 2, 0, true, VERDICT_DOWN},
    {"none, but nobody needs it", 1, 0, false, VERDICT_DEGRADED},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        enum verdict got = verdict_service(rows[i].wish, rows[i].ready, rows[i].needed);

        if (got != rows[i].want)
            fail_msg("%s: want %s, got %s", rows[i].name, verdict_name(rows[i].want),
                     verdict_name(got));
    }
    assert_int_equal(verdict_worse(VERDICT_DOWN, VERDICT_OK), VERDICT_DOWN);
    assert_int_equal(verdict_worse(VERDICT_OK, VERDICT_DEGRADED), VERDICT_DEGRADED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
