#include "test/unit/unit.h"

#include "acts-service/jscan.h"
#include "common/base/mem.h"

/* The tokens of a text, one letter each: { } [ ] k(ey) s(tring) n(umber) t f 0(null) .(end)
 * !(error) */
static const char letters[] = {
    [JT_ERROR] = '!', [JT_END] = '.',     [JT_OBJ] = '{',   [JT_OBJ_END] = '}',
    [JT_ARR] = '[',   [JT_ARR_END] = ']', [JT_KEY] = 'k',   [JT_STR] = 's',
    [JT_NUM] = 'n',   [JT_TRUE] = 't',    [JT_FALSE] = 'f', [JT_NULL] = '0'};

static void tokens(const char *text, size_t n, char *out, size_t max)
{
    char *copy =
        mem_zalloc(n > 0 ? n : 1); /* exact size: reading past the end is seen by the sanitizers */
    struct jscan j;
    size_t i = 0;
    enum jtok tok;

    memcpy(copy, text, n);
    jscan_init(&j, copy, n);
    do {
        tok = jscan_next(&j);
        out[i++] = letters[tok];
    } while (tok != JT_ERROR && tok != JT_END && i < max - 1);
    out[i] = '\0';
    mem_free(copy);
}

static const struct {
    const char *text, *want;
} rows[] = {
    {"{}", "{}."},
    {"[]", "[]."},
    {" [ ] ", "[]."},
    {"[1]", "[n]."},
    {"[1, 2,\t3\r\n]", "[nnn]."},
    {"{\"a\": 1, \"b\": [true, false, null]}", "{knk[tf0]}."},
    {"{\"a\": {\"b\": {}}, \"c\": \"\"}", "{k{k{}}ks}."},
    {"\"x\"", "s."},
    {"0", "n."},
    {"-0.5e+10", "n."},
    {"1E5", "n."},
    {"", "!"},
    {"   ", "!"},
    {"{", "{!"},
    {"[", "[!"},
    {"[1", "[n!"},
    {"[1,", "[n!"},
    {"[1,]", "[n!"},
    {"[,1]", "[!"},
    {"[1 2]", "[n!"},
    {"[1}", "[n!"},
    {"{]", "{!"},
    {"{\"a\"", "{!"},
    {"{\"a\":", "{k!"},
    {"{\"a\" 1}", "{!"},
    {"{\"a\": 1,}", "{kn!"},
    {"{\"a\": 1 \"b\": 2}", "{kn!"},
    {"{a: 1}", "{!"},
    {"{1: 2}", "{!"},
    {"{} {}", "{}!"},
    {"{}x", "{}!"},
    {"nul", "!"},
    {"nulll", "0!"},
    {"True", "!"},
    {"'x'", "!"},
    {"\"x", "!"},
    {"\"a\nb\"", "!"},
    {"\"\\x\"", "!"},
    {"\"\\", "!"},
    {"\"\\u12\"", "!"},
    {"\"\\u12g4\"", "!"},
    {"\"\\ud800\"", "!"},
    {"\"\\ud800x\"", "!"},
    {"\"\\ud800\\u0041\"", "!"},
    {"\"\\udc00\"", "!"},
    {"\"\xff\"", "!"},
    {"\"\xc3", "!"},
    {"01", "n!"},
    {"-", "!"},
    {"+1", "!"},
    {".5", "!"},
    {"1.", "!"},
    {"1e", "!"},
    {"1e+", "!"},
    {"0x10", "n!"},
    {"NaN", "!"},
    {"Infinity", "!"},
    {"// c\n1", "!"},
    {"\xef\xbb\xbf{}", "!"},
};

static void grammar_is_strict(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char got[64];

        tokens(rows[i].text, strlen(rows[i].text), got, sizeof(got));
        ROW_EQ_STR(rows[i].text, got, rows[i].want);
    }
}

static const struct {
    const char *json, *want;
    size_t want_n;
} strings[] = {
    {"\"\"", "", 0},
    {"\"plain\"", "plain", 5},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8},
    {"\"\\u0041\\u00e4\\u0C95\"", "A\xc3\xa4\xe0\xb2\x95", 6},
    {"\"\\ud83d\\udc18\"", "\xf0\x9f\x90\x98", 4},
    {"\"a\\u0000b\"", "a\0b", 3},
    {"\"\xf0\x9f\x90\x98 raw\"", "\xf0\x9f\x90\x98 raw", 8},
    {"\"before\\tafter \xc3\xa4\"", "before\tafter \xc3\xa4", 15},
};

static void strings_are_decoded_in_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(strings); i++) {
        char buf[64];
        struct jscan j;

        memcpy(buf, strings[i].json, strlen(strings[i].json));
        jscan_init(&j, buf, strlen(strings[i].json));
        ROW_EQ_U64(strings[i].json, jscan_next(&j), JT_STR);
        ROW_EQ_U64(strings[i].json, j.text.n, strings[i].want_n);
        if (memcmp(j.text.p, strings[i].want, strings[i].want_n) != 0)
            fail_msg("row '%s'", strings[i].json);
    }
}

static void numbers_keep_their_text(void **state)
{
    char text[] = "[1234567890123456789012345678901234567890,-1.50e7]";
    struct jscan j;

    (void)state;
    jscan_init(&j, text, strlen(text));
    assert_int_equal(jscan_next(&j), JT_ARR);
    assert_int_equal(jscan_next(&j), JT_NUM);
    assert_true(sv_eq(j.text, "1234567890123456789012345678901234567890"));
    assert_int_equal(jscan_next(&j), JT_NUM);
    assert_true(sv_eq(j.text, "-1.50e7"));
}

static void depth_is_limited(void **state)
{
    char text[2 * JSCAN_DEPTH + 8], got[2 * JSCAN_DEPTH + 8];

    (void)state;
    memset(text, '[', JSCAN_DEPTH);
    memset(text + JSCAN_DEPTH, ']', JSCAN_DEPTH);
    tokens(text, 2 * JSCAN_DEPTH, got, sizeof(got));
    assert_int_equal(got[2 * JSCAN_DEPTH], '.');
    memset(text, '[', JSCAN_DEPTH + 1);
    tokens(text, JSCAN_DEPTH + 1, got, sizeof(got));
    assert_int_equal(got[JSCAN_DEPTH], '!');
}

static void values_are_skipped(void **state)
{
    char text[] = "[{\"a\": [1, {\"b\": []}]}, 2]";
    struct jscan j;

    (void)state;
    jscan_init(&j, text, strlen(text));
    assert_int_equal(jscan_next(&j), JT_ARR);
    assert_true(jscan_skip(&j, jscan_next(&j)));
    assert_int_equal(jscan_next(&j), JT_NUM);
    assert_true(jscan_skip(&j, JT_NUM));
    assert_int_equal(jscan_next(&j), JT_ARR_END);
    assert_int_equal(jscan_next(&j), JT_END);
}

/* Every prefix of a valid text is an error, never a crash. */
static void a_cut_text_is_an_error(void **state)
{
    const char *text = "{\"a\": [1.5e3, \"\\u00e4\\ud83d\\udc18\xc3\xa4\", true, {\"b\": null}]}";
    char got[64];

    (void)state;
    for (size_t n = 0; n < strlen(text); n++) {
        tokens(text, n, got, sizeof(got));
        if (got[strlen(got) - 1] != '!')
            fail_msg("cut after %zu bytes: %s", n, got);
    }
    tokens(text, strlen(text), got, sizeof(got));
    assert_string_equal(got, "{k[nst{k0}]}.");
}

/* Strings are read in words of eight bytes where nothing special is in them: any byte at any place.
 */
static void every_byte_is_seen_at_every_place(void **state)
{
    enum { LEN = 25 };

    (void)state;
    for (size_t at = 0; at < LEN; at++) {
        for (unsigned c = 0; c < 256; c++) {
            char text[LEN + 2];
            struct jscan j;
            enum jtok tok = JT_ERROR;
            bool good = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';

            memset(text, 'x', sizeof(text));
            text[0] = text[LEN + 1] = '"';
            text[1 + at] = (char)c;
            jscan_init(&j, text, sizeof(text));
            tok = jscan_next(&j);
            if (tok == JT_STR && (j.text.n != LEN || (unsigned char)j.text.p[at] != c))
                tok = JT_ERROR;
            if ((tok == JT_STR && jscan_next(&j) == JT_END) != good)
                fail_msg("byte 0x%02x at %zu: %s", c, at, good ? "refused" : "accepted");
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_is_seen_at_every_place),
        cmocka_unit_test(grammar_is_strict),
        cmocka_unit_test(strings_are_decoded_in_place),
        cmocka_unit_test(numbers_keep_their_text),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(values_are_skipped),
        cmocka_unit_test(a_cut_text_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
