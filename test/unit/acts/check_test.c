#include "test/unit/unit.h"

#include "acts-service/check.h"

static const struct {
    const char *text, *want; /* NULL: refused */
} ids[] = {
    {"0", "0"},
    {"7001", "7001"},
    {"1733000000123", "1733000000123"},
    {"9007199254740993", "9007199254740993"},
    {"18446744073709551615", "18446744073709551615"},
    {"1234567890123456789012345678901234567890", "1234567890123456789012345678901234567890"},
    {"007", "7"},
    {"000", "0"},
    {"", NULL},
    {"-1", NULL},
    {"+1", NULL},
    {"1.5", NULL},
    {"1e3", NULL},
    {" 1", NULL},
    {"1 ", NULL},
    {"0x1", NULL},
    {"abc", NULL},
};

static void ids_are_whole_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        struct sv got = {"", 0};
        bool ok = check_id(sv_of(ids[i].text), &got);

        ROW_EQ_U64(ids[i].text, ok, ids[i].want != NULL);
        if (ok && !sv_eq(got, ids[i].want))
            fail_msg("row '%s': got '%.*s'", ids[i].text, (int)got.n, got.p);
    }
}

static const struct {
    const char *text;
    int64_t want; /* 0: refused */
} times[] = {
    {"05-11-2024:07-59-23", 20241105235907},
    {"29-02-2024:00-00-00", 20240229000000},
    {"29-02-2000:00-00-00", 20000229000000},
    {"31-12-1999:59-59-23", 19991231235959},
    {"01-01-2031:00-00-00", 20310101000000},
    {"31-12-9999:59-59-23", 99991231235959},
    {"01-01-0001:00-00-00", 10101000000},
    {"29-02-2023:00-00-00", 0},
    {"29-02-1900:00-00-00", 0},
    {"31-04-2024:10-10-10", 0},
    {"13-13-2024:10-10-10", 0},
    {"10-00-2024:10-10-10", 0},
    {"00-05-2024:10-10-10", 0},
    {"32-01-2024:10-10-10", 0},
    {"01-01-0000:00-00-00", 0},
    {"05-11-2024:07-10-45", 0},
    {"05-11-2024:07-10-24", 0},
    {"05-11-2024:60-00-00", 0},
    {"05-11-2024:00-60-00", 0},
    {"5-11-2024:7-9-3", 0},
    {"2024-11-05T23:59:07", 0},
    {"05/11/2024:07-59-23", 0},
    {"05-11-2024 07-59-23", 0},
    {" 05-11-2024:07-59-23", 0},
    {"05-11-2024:07-59-23 ", 0},
    {"05-11-2024:07-59-23Z", 0},
    {"+5-11-2024:07-59-23", 0},
    {"0x-11-2024:07-59-23", 0},
    {"", 0},
};

static void times_are_real(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        char back[CHECK_TS_LEN + 1];
        int64_t got = 0;

        ROW_EQ_U64(times[i].text, check_ts(sv_of(times[i].text), &got), times[i].want != 0);
        ROW_EQ_U64(times[i].text, got, times[i].want);
        if (got != 0) {
            check_ts_text(got, back);
            ROW_EQ_STR(times[i].text, back, times[i].text);
        }
    }
}

static const struct {
    const char *name, *text, *want; /* NULL: refused */
} images[] = {
    {"three bytes", "YWJj", "YWJj"},
    {"two bytes", "YWI=", "YWI="},
    {"one byte", "YQ==", "YQ=="},
    {"the contract's sample",
     "d2Fsa2VkIGEgc3RyYW5nZXIgaG9tZQ==", "d2Fsa2VkIGEgc3RyYW5nZXIgaG9tZQ=="},
    {"plus and slash", "+/+/", "+/+/"},
    {"broken lines", "YW\nJj\n", "YWJj"},
    {"broken lines of the other kind", "YWJj\r\nYWJj\r\n", "YWJjYWJj"},
    {"line break inside padding", "YQ=\n=", "YQ=="},
    {"empty", "", NULL},
    {"only line breaks", "\r\n\n", NULL},
    {"three characters", "YWJ", NULL},
    {"padding inside", "YW=j", NULL},
    {"padding too much", "YWJj=", NULL},
    {"only padding", "====", NULL},
    {"three padding", "Y===", NULL},
    {"padding, then more", "YQ==YWJj", NULL},
    {"asterisk", "YW*j", NULL},
    {"blank", "YW j", NULL},
    {"tab", "YWJj\tYWJ", NULL},
    {"minus", "YW-j", NULL},
    {"underscore", "YW_j", NULL},
    {"data URL", "data:image/png;base64,YWJj", NULL},
    {"not ASCII", "YW\xc3\xa4", NULL},
};

static void images_are_strict_base64(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(images); i++) {
        char buf[64] = "";
        size_t n = strlen(images[i].text);
        bool ok;

        memcpy(buf, images[i].text, n);
        ok = check_base64(buf, &n);
        ROW_EQ_U64(images[i].name, ok, images[i].want != NULL);
        if (ok && !sv_eq((struct sv){buf, n}, images[i].want))
            fail_msg("row '%s': got '%.*s'", images[i].name, (int)n, buf);
    }
}

static const struct {
    const char *text, *want; /* NULL: refused */
} encoded[] = {
    {"plain", "plain"},
    {"tree%20care", "tree care"},
    {"a%2Fb", "a/b"},
    {"a%2fb", "a/b"},
    {"%3Fx=1%23y", "?x=1#y"},
    {"a+b", "a+b"},
    {"%E0%B2%95", "ಕ"},
    {"%25", "%"},
    {"", ""},
    {"%", NULL},
    {"%2", NULL},
    {"%zz", NULL},
    {"a%", NULL},
    {"%2 ", NULL},
    {"..", ".."},
    {"%2E%2E", ".."},
};

static void percent_is_decoded(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(encoded); i++) {
        char out[64];
        size_t n = 0;
        bool ok = check_percent(sv_of(encoded[i].text), out, &n);

        ROW_EQ_U64(encoded[i].text, ok, encoded[i].want != NULL);
        if (ok && !sv_eq((struct sv){out, n}, encoded[i].want))
            fail_msg("row '%s': got '%.*s'", encoded[i].text, (int)n, out);
    }
}

static void text_has_no_nul(void **state)
{
    (void)state;
    assert_true(check_text(sv_of("")));
    assert_true(check_text(sv_of("ಕನ್ನಡ \xf0\x9f\x90\x98")));
    assert_false(check_text((struct sv){"a\0b", 3}));
    assert_false(check_text(sv_of("\xff")));
}

static const struct {
    const char *name, *text;
    bool want;
} hashes[] = {
    {"lower case", "d56224b0b0949fab9a2d2f4d6ad0da84deebc172", true},
    {"upper case", "D56224B0B0949FAB9A2D2F4D6AD0DA84DEEBC172", true},
    {"mixed case", "d56224b0b0949fab9a2d2f4d6ad0da84DEEBC172", true},
    {"39 digits", "d56224b0b0949fab9a2d2f4d6ad0da84deebc17", false},
    {"41 digits", "d56224b0b0949fab9a2d2f4d6ad0da84deebc1722", false},
    {"none", "", false},
    {"a g", "d56224b0b0949fab9a2d2f4d6ad0da84deebc17g", false},
    {"0x", "0x6224b0b0949fab9a2d2f4d6ad0da84deebc172", false},
    {"a sign", "+56224b0b0949fab9a2d2f4d6ad0da84deebc172", false},
    {"an underscore", "d5_224b0b0949fab9a2d2f4d6ad0da84deebc172", false},
    {"a blank", " d56224b0b0949fab9a2d2f4d6ad0da84deebc17", false},
    {"a line end in place of a digit", "d56224b0b0949fab9a2d2f4d6ad0da84deebc17\n", false},
    {"a line end after", "d56224b0b0949fab9a2d2f4d6ad0da84deebc172\n", false},
};

static void passwords_are_sha1(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(hashes); i++)
        ROW_EQ_U64(hashes[i].name, check_sha1(sv_of(hashes[i].text)), hashes[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_whole_numbers),    cmocka_unit_test(times_are_real),
        cmocka_unit_test(images_are_strict_base64), cmocka_unit_test(percent_is_decoded),
        cmocka_unit_test(text_has_no_nul),          cmocka_unit_test(passwords_are_sha1),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
