#include "test/unit/unit.h"

#include "common/base/macros.h"
#include "lb/core/asset.h"

#define TAG "\"5-64-a\""
#define DATE "Sun, 06 Nov 1994 08:49:37 GMT"
#define BEFORE "Sun, 06 Nov 1994 08:49:36 GMT"
#define AFTER "Sun, 06 Nov 1994 08:49:38 GMT"

static const struct {
    const char *rest,
        *want; /* want: "=PATH" of a file, "/PATH" of a folder, or the result's name */
} paths[] = {
    {"", "=."},
    {"/", "/."},
    {"/a", "=a"},
    {"/a/b.c", "=a/b.c"},
    {"/a/b/", "/a/b"},
    {"/a%20b", "=a b"},
    {"/a+b", "=a+b"},
    {"/%61/%62", "=a/b"},
    {"/a.", "=a."},
    {"/a..b", "=a..b"},
    {"/%C3%A4", "=\xc3\xa4"},
    /* once, and no more */
    {"/%2561", "=%61"},
    {"/%252e%252e", "=%2e%2e"},
    {"/a%252fb", "=a%2fb"},
    /* out of the directory, or hidden */
    {"/..", "none"},
    {"/../a", "none"},
    {"/a/../b", "none"},
    {"/a/..", "none"},
    {"/a/../../b", "none"},
    {"/.", "none"},
    {"/./a", "none"},
    {"/.git/config", "none"},
    {"/a/.htpasswd", "none"},
    {"/%2e%2e/a", "none"},
    {"/%2E%2E/a", "none"},
    {"/.%2e/a", "none"},
    {"/%2e./a", "none"},
    {"/%2e", "none"},
    {"/..%2fa", "none"},
    {"/a/%2e%2e%2fb", "none"},
    {"/a%2fb", "none"},
    {"/a%2Fb", "none"},
    {"/%2fetc/passwd", "none"},
    {"/%2f", "none"},
    /* one name for one file */
    {"//", "none"},
    {"//a", "none"},
    {"/a//b", "none"},
    {"/a//", "none"},
    /* bytes that are in no name of ours */
    {"/a%00", "none"},
    {"/a%00.html", "none"},
    {"/%0a", "none"},
    {"/a%0d%0ab", "none"},
    {"/%7f", "none"},
    {"/a\\b", "none"},
    {"/..\\a", "none"},
    {"/a%5cb", "none"},
    {"/%5c%2e%2e", "none"},
    /* overlong forms of a dot are other bytes: a name that begins with them may exist or not */
    {"/%c0%ae%c0%ae/a", "=\xc0\xae\xc0\xae/a"},
    {"/%e0%80%ae", "=\xe0\x80\xae"},
    /* no encoding */
    {"/%", "bad"},
    {"/%4", "bad"},
    {"/a%", "bad"},
    {"/%zz", "bad"},
    {"/%4z", "bad"},
    {"/%%41", "bad"},
    {"/% 1", "bad"},
    {"/%u002e", "bad"},
    /* the buffer of the test */
    {"/0123456789/0123456789/0123456789/0123456789/0123456789/012345", "=0123456789/0123456789/"
                                                                       "0123456789/0123456789/"
                                                                       "0123456789/012345"},
    {"/0123456789/0123456789/0123456789/0123456789/0123456789/0123456789", "long"},
    {"/%41%41%41%41%41%41%41%41%41%41%41%41%41%41%41%41%41%41%41%41%41%41",
     "=AAAAAAAAAAAAAAAAAAAAAA"},
};

static void test_paths(void **state UNUSED)
{
    static const char *const names[] = {
        [ASSET_PATH_BAD] = "bad", [ASSET_PATH_NONE] = "none", [ASSET_PATH_LONG] = "long"};

    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        char got[65] = "", buf[64];
        bool folder = false;
        enum asset_path r = asset_path(sv_of(paths[i].rest), buf, sizeof(buf), &folder);

        if (r == ASSET_PATH_OK)
            (void)snprintf(got, sizeof(got), "%c%s", folder ? '/' : '=', buf);
        else
            (void)snprintf(got, sizeof(got), "%s", names[r]);
        ROW_EQ_STR(paths[i].rest, got, paths[i].want);
    }
}

static void test_a_byte_0_is_no_end(void **state UNUSED)
{
    char buf[64];
    bool folder;

    assert_int_equal(asset_path((struct sv){"/a\0b", 4}, buf, sizeof(buf), &folder),
                     ASSET_PATH_NONE);
}

static const struct {
    const char *name, *want;
} types[] = {
    {"index.html", "text/html; charset=utf-8"},
    {"a/b/app.js", "text/javascript; charset=utf-8"},
    {"A.PNG", "image/png"},
    {"x.tar.gz", "application/gzip"},
    {"x.html.bin", "application/octet-stream"},
    {"README", "application/octet-stream"},
    {"a.html/README", "application/octet-stream"},
    {"end.", "application/octet-stream"},
    {"html", "application/octet-stream"},
};

static void test_types(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        ROW_EQ_STR(types[i].name, asset_type(types[i].name), types[i].want);
}

static const struct {
    const char *name;
    struct asset_ask ask;
    unsigned status;
    uint64_t first, n;
} rows[] = {
    {"plain", {.range = NULL}, 200, 0, 100},
    /* ranges */
    {"first byte", {.range = "bytes=0-0"}, 206, 0, 1},
    {"first half", {.range = "bytes=0-49"}, 206, 0, 50},
    {"all", {.range = "bytes=0-99"}, 206, 0, 100},
    {"from", {.range = "bytes=40-"}, 206, 40, 60},
    {"last byte", {.range = "bytes=99-"}, 206, 99, 1},
    {"end is cut", {.range = "bytes=90-200"}, 206, 90, 10},
    {"the last ten", {.range = "bytes=-10"}, 206, 90, 10},
    {"more than all from the end", {.range = "bytes=-1000"}, 206, 0, 100},
    {"huge end", {.range = "bytes=5-99999999999999999999999"}, 206, 5, 95},
    {"largest end", {.range = "bytes=0-18446744073709551615"}, 206, 0, 100},
    {"blank before and after", {.range = "bytes= 1-2 "}, 206, 1, 2},
    {"behind the end", {.range = "bytes=100-"}, 416, 0, 0},
    {"far behind", {.range = "bytes=99999999999999999999999-"}, 416, 0, 0},
    {"the last none", {.range = "bytes=-0"}, 416, 0, 0},
    {"backwards means nothing", {.range = "bytes=5-4"}, 200, 0, 100},
    {"list", {.range = "bytes=0-1,5-6"}, 200, 0, 100},
    {"other unit", {.range = "lines=0-1"}, 200, 0, 100},
    {"no unit", {.range = "0-1"}, 200, 0, 100},
    {"empty", {.range = ""}, 200, 0, 100},
    {"no numbers", {.range = "bytes=-"}, 200, 0, 100},
    {"nothing", {.range = "bytes="}, 200, 0, 100},
    {"one number", {.range = "bytes=5"}, 200, 0, 100},
    {"sign", {.range = "bytes=+5-9"}, 200, 0, 100},
    {"hexadecimal", {.range = "bytes=0x1-9"}, 200, 0, 100},
    {"three numbers", {.range = "bytes=1-2-3"}, 200, 0, 100},
    {"of HEAD", {.head = true, .range = "bytes=0-1"}, 200, 0, 100},
    /* known already */
    {"same tag", {.if_none_match = TAG}, 304, 0, 0},
    {"weak is enough", {.if_none_match = "W/" TAG}, 304, 0, 0},
    {"in a list", {.if_none_match = "\"x\", " TAG " ,\"y\""}, 304, 0, 0},
    {"any", {.if_none_match = "*"}, 304, 0, 0},
    {"HEAD too", {.head = true, .if_none_match = TAG}, 304, 0, 0},
    {"304 before the range", {.if_none_match = TAG, .range = "bytes=0-1"}, 304, 0, 0},
    {"other tag", {.if_none_match = "\"x\""}, 200, 0, 100},
    {"no quotes", {.if_none_match = "5-64-a"}, 200, 0, 100},
    {"open quote", {.if_none_match = "\"5-64-a"}, 200, 0, 100},
    {"part of it", {.if_none_match = "\"5-64\""}, 200, 0, 100},
    {"same date", {.if_modified_since = DATE}, 304, 0, 0},
    {"later date", {.if_modified_since = AFTER}, 304, 0, 0},
    {"earlier date", {.if_modified_since = BEFORE}, 200, 0, 100},
    {"no date", {.if_modified_since = "yesterday"}, 200, 0, 100},
    {"the tag rules", {.if_none_match = "\"x\"", .if_modified_since = AFTER}, 200, 0, 100},
    /* only if */
    {"match", {.if_match = TAG}, 200, 0, 100},
    {"match any", {.if_match = "*"}, 200, 0, 100},
    {"no match", {.if_match = "\"x\""}, 412, 0, 0},
    {"no weak match", {.if_match = "W/" TAG}, 412, 0, 0},
    {"unmodified", {.if_unmodified_since = DATE}, 200, 0, 100},
    {"modified", {.if_unmodified_since = BEFORE}, 412, 0, 0},
    {"match rules", {.if_match = TAG, .if_unmodified_since = BEFORE}, 200, 0, 100},
    /* the rest of the same file */
    {"if-range same", {.if_range = TAG, .range = "bytes=1-2"}, 206, 1, 2},
    {"if-range other", {.if_range = "\"x\"", .range = "bytes=1-2"}, 200, 0, 100},
    {"if-range weak", {.if_range = "W/" TAG, .range = "bytes=1-2"}, 200, 0, 100},
    {"if-range date", {.if_range = DATE, .range = "bytes=1-2"}, 206, 1, 2},
    {"if-range later date", {.if_range = AFTER, .range = "bytes=1-2"}, 200, 0, 100},
    {"if-range noise", {.if_range = "x", .range = "bytes=1-2"}, 200, 0, 100},
};

static void test_decisions(void **state UNUSED)
{
    const struct asset_file f = {.size = 100, .modified_s = 784111777, .etag = TAG};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct asset_answer a = asset_decide(&f, &rows[i].ask);

        ROW_EQ_U64(rows[i].name, a.status, rows[i].status);
        ROW_EQ_U64(rows[i].name, a.first, rows[i].first);
        ROW_EQ_U64(rows[i].name, a.n, rows[i].n);
    }
}

static void test_empty_file(void **state UNUSED)
{
    static const char *const outside[] = {"bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0"};
    const struct asset_file f = {.size = 0, .modified_s = 784111777, .etag = TAG};

    assert_int_equal(asset_decide(&f, &(struct asset_ask){.range = NULL}).status, 200);
    for (size_t i = 0; i < ARRAY_LEN(outside); i++)
        ROW_EQ_U64(outside[i], asset_decide(&f, &(struct asset_ask){.range = outside[i]}).status,
                   416);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),      cmocka_unit_test(test_a_byte_0_is_no_end),
        cmocka_unit_test(test_types),      cmocka_unit_test(test_decisions),
        cmocka_unit_test(test_empty_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
