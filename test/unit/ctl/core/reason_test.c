#include "test/unit/unit.h"

#include <ctype.h>

#include "ctl/core/reason.h"

/* Each code is one short word for scripts, and each has its two half sentences. */
static void test_rows(void **state)
{
    (void)state;
    for (unsigned i = 0; i < REASON_COUNT; i++) {
        const char *code = reason_code((enum reason)i);

        assert_in_range(strlen(code), 1, 32);
        for (const char *p = code; *p != '\0'; p++)
            if (!islower((unsigned char)*p) && *p != '-')
                fail_msg("code '%s' has something else than a-z and '-'", code);
        for (unsigned k = 0; k < i; k++)
            if (strcmp(code, reason_code((enum reason)k)) == 0)
                fail_msg("code '%s' is there twice", code);
        assert_true(strlen(reason_meaning((enum reason)i)) > 10);
        assert_true(strlen(reason_next((enum reason)i)) > 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
