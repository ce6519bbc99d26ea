#include "test/unit/unit.h"

#include "common/base/macros.h"
#include "lb/core/http_date.h"

static const struct {
    const char *text;
    int64_t s;
} good[] = {
    {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
    {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
    {"Tue, 29 Feb 2000 23:59:59 GMT", 951868799},
    {"Wed, 01 Mar 2000 00:00:00 GMT", 951868800},
    {"Fri, 31 Dec 2027 12:00:00 GMT", 1830254400},
    {"Mon, 01 Mar 2100 00:00:00 GMT", INT64_C(4107542400)},
    {"Fri, 31 Dec 9999 23:59:59 GMT", INT64_C(253402300799)},
};

static void test_both_ways(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        char text[HTTP_DATE_SIZE];
        int64_t s = -1;

        http_date_format(good[i].s, text);
        ROW_EQ_STR(good[i].text, text, good[i].text);
        ROW_EQ_U64(good[i].text, http_date_parse(sv_of(good[i].text), &s), true);
        ROW_EQ_U64(good[i].text, s, good[i].s);
    }
}

static void test_every_day_of_400_years(void **state UNUSED)
{
    for (int64_t day = 0; day < 146097; day++) {
        char text[HTTP_DATE_SIZE];
        int64_t s = -1;

        http_date_format(day * 86400 + day % 86400, text);
        ROW_EQ_U64(text, http_date_parse(sv_of(text), &s), true);
        ROW_EQ_U64(text, s, day * 86400 + day % 86400);
    }
}

static void test_out_of_range(void **state UNUSED)
{
    char text[HTTP_DATE_SIZE];

    http_date_format(-5, text);
    assert_string_equal(text, "Thu, 01 Jan 1970 00:00:00 GMT");
    http_date_format(INT64_MAX, text);
    assert_string_equal(text, "Fri, 31 Dec 9999 23:59:59 GMT");
}

static const char *const bad[] = {
    "",
    "Sun, 06 Nov 1994 08:49:37",
    "Sunday, 06-Nov-94 08:49:37 GMT",
    "Sun Nov  6 08:49:37 1994",
    "Xxx, 06 Nov 1994 08:49:37 GMT",
    "Sun, 06 nov 1994 08:49:37 GMT",
    "Sun, 31 Nov 1994 08:49:37 GMT",
    "Sun, 29 Feb 1900 08:49:37 GMT",
    "Sun, 29 Feb 2023 08:49:37 GMT",
    "Sun, 00 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 1969 08:49:37 GMT",
    "Sun, 06 Nov 1994 24:49:37 GMT",
    "Sun, 06 Nov 1994 08:60:37 GMT",
    "Sun, 06 Nov 1994 08:49:61 GMT",
    "Sun, +6 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 08:49:37 UTC",
    "Sun, 06 Nov 1994 08:49:37 GMT ",
};

static void test_bad(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int64_t s;

        ROW_EQ_U64(bad[i], http_date_parse(sv_of(bad[i]), &s), false);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways),
        cmocka_unit_test(test_every_day_of_400_years),
        cmocka_unit_test(test_out_of_range),
        cmocka_unit_test(test_bad),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
