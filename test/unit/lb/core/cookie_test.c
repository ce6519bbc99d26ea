#include "test/unit/unit.h"

#include "common/base/macros.h"
#include "lb/core/cookie.h"

static const struct {
    const char *name, *field, *want; /* want: "name=value|" for each pair */
} rows[] = {
    {"one", "a=b", "a=b|"},
    {"some", "a=b; c=d; e=f", "a=b|c=d|e=f|"},
    {"no blanks, many blanks", "a=b;c=d;   e \t= f \t", "a=b|c=d|e=f|"},
    {"nothing", "", ""},
    {"blanks", "  ", ""},
    {"semicolons", ";; ;a=b;;", "a=b|"},
    {"no equals sign", "a; b=c; d", "b=c|"},
    {"no name", "=x; a=b", "a=b|"},
    {"no value", "a=; b=c", "a=|b=c|"},
    {"equals signs in a value", "a=b=c==", "a=b=c==|"},
    {"quoted", "a=\"b\"; c=\"", "a=b|c=\"|"},
    {"quotes around nothing", "a=\"\"", "a=|"},
    {"the same name", "a=1; a=2", "a=1|a=2|"},
    {"case counts", "A=1; a=2", "A=1|a=2|"},
};

static void test_rows(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct sv rest = sv_of(rows[i].field), name, value;
        char got[128] = "";
        size_t n = 0;

        while (cookie_next(&rest, &name, &value))
            n += (size_t)snprintf(got + n, sizeof(got) - n, "%.*s=%.*s|", (int)name.n, name.p,
                                  (int)value.n, value.p);
        ROW_EQ_STR(rows[i].name, got, rows[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
