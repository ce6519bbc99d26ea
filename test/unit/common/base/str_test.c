#include "test/unit/unit.h"

#include "common/base/macros.h"
#include "common/base/str.h"

typedef bool parse_fn(struct sv s, uint64_t *ret, struct err *e);

static bool u64_1_to_100(struct sv s, uint64_t *ret, struct err *e)
{
    return str_to_u64(s, 1, 100, ret, e);
}

static bool u64_any(struct sv s, uint64_t *ret, struct err *e)
{
    return str_to_u64(s, 0, UINT64_MAX, ret, e);
}

static const struct {
    const char *name;
    parse_fn *parse;
    const char *text;
    bool ok;
    uint64_t want;
} numbers[] = {
    {"one", u64_1_to_100, "1", true, 1},
    {"leading zeros are digits", u64_1_to_100, "007", true, 7},
    {"below the range", u64_1_to_100, "0", false, 0},
    {"above the range", u64_1_to_100, "101", false, 0},
    {"empty", u64_any, "", false, 0},
    {"plus", u64_any, "+1", false, 0},
    {"minus", u64_any, "-1", false, 0},
    {"blank before", u64_any, " 1", false, 0},
    {"blank after", u64_any, "1 ", false, 0},
    {"hexadecimal", u64_any, "0x10", false, 0},
    {"largest", u64_any, "18446744073709551615", true, UINT64_MAX},
    {"one more than the largest", u64_any, "18446744073709551616", false, 0},
    {"thirty digits", u64_any, "111111111111111111111111111111", false, 0},
    {"milliseconds", str_to_duration_ms, "250ms", true, 250},
    {"seconds", str_to_duration_ms, "1s", true, 1000},
    {"minutes", str_to_duration_ms, "2m", true, 120000},
    {"a day", str_to_duration_ms, "1d", true, 86400000},
    {"composed", str_to_duration_ms, "1m30s", true, 90000},
    {"zero needs no unit", str_to_duration_ms, "0", true, 0},
    {"a unit is needed", str_to_duration_ms, "5", false, 0},
    {"wrong order", str_to_duration_ms, "30s1m", false, 0},
    {"a unit twice", str_to_duration_ms, "1s1s", false, 0},
    {"unknown unit", str_to_duration_ms, "1y", false, 0},
    {"unit without number", str_to_duration_ms, "s", false, 0},
    {"fraction", str_to_duration_ms, "1.5s", false, 0},
    {"overflowing", str_to_duration_ms, "999999999999999999d", false, 0},
    {"bytes", str_to_size, "4096", true, 4096},
    {"kilobytes", str_to_size, "512k", true, 524288},
    {"megabytes, two letters, capital", str_to_size, "16MB", true, 16777216},
    {"gigabytes", str_to_size, "2g", true, UINT64_C(2147483648)},
    {"size with unknown unit", str_to_size, "2t", false, 0},
    {"size, overflowing", str_to_size, "99999999999999999g", false, 0},
    {"half a CPU", str_to_milli, "0.5", true, 500},
    {"two CPUs", str_to_milli, "2", true, 2000},
    {"three places", str_to_milli, "1.025", true, 1025},
    {"four places", str_to_milli, "1.0251", false, 0},
    {"point without places", str_to_milli, "1.", false, 0},
    {"point only", str_to_milli, ".5", false, 0},
    {"two points", str_to_milli, "1.2.3", false, 0},
};

static void test_numbers(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        uint64_t got = 12345;
        struct err e = {""};
        bool ok = numbers[i].parse(sv_of(numbers[i].text), &got, &e);

        ROW_EQ_U64(numbers[i].name, ok, numbers[i].ok);
        ROW_EQ_U64(numbers[i].name, got, ok ? numbers[i].want : 12345); /* untouched on failure */
        ROW_EQ_U64(numbers[i].name, e.msg[0] == '\0', ok);
    }
}

static void test_duration_text(void **state UNUSED)
{
    static const struct {
        uint64_t ms;
        const char *want;
    } rows[] = {{0, "0s"},
                {350, "350ms"},
                {120000, "2m"},
                {90500, "1m30s500ms"},
                {90061001, "1d1h1m1s1ms"}};
    char buf[64];

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t back;

        ROW_EQ_STR(rows[i].want, str_duration(rows[i].ms, buf, sizeof(buf)), rows[i].want);
        assert_true(str_to_duration_ms(sv_of(buf), &back, NULL)); /* what we print we also read */
        ROW_EQ_U64(rows[i].want, back, rows[i].ms);
    }
}

static void test_suggest(void **state UNUSED)
{
    static const char *const keys[] = {"image", "route", "scale", "health", "host_ports"};
    static const struct {
        const char *word, *want;
    } rows[] = {{"imgae", "image"},          {"rout", "route"},  {"scael", "scale"},
                {"host_port", "host_ports"}, {"zzzzz", NULL},    {"", NULL},
                {"completely", NULL},        {"helth", "health"}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *got = str_suggest(rows[i].word, keys, ARRAY_LEN(keys));

        ROW_EQ_STR(rows[i].word, got != NULL ? got : "-",
                   rows[i].want != NULL ? rows[i].want : "-");
    }
}

static void test_quote(void **state UNUSED)
{
    static const struct {
        const char *name;
        struct sv in;
        size_t room;
        const char *want;
    } rows[] = {
        {"plain", {"abc", 3}, 16, "abc"},
        {"exact fit", {"abc", 3}, 4, "abc"},
        {"cut", {"abcdefghij", 10}, 8, "abcd..."},
        {"control and high bytes", {"a\n\xff", 3}, 16, "a\\x0a\\xff"},
        {"quote", {"\"", 1}, 16, "\\x22"},
        {"NUL", {"a\0b", 3}, 16, "a\\x00b"},
        {"no room", {"abc", 3}, 1, ""},
        {"empty", {"", 0}, 4, ""},
    };
    char buf[32];

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ROW_EQ_STR(rows[i].name, str_quote(rows[i].in, buf, rows[i].room), rows[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_duration_text),
        cmocka_unit_test(test_suggest),
        cmocka_unit_test(test_quote),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
