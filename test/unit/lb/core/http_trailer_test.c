#include "test/unit/unit.h"

#include "common/base/macros.h"
#include "lb/core/http_chunk.h"
#include "lb/core/http_trailer.h"

static const struct {
    const char *name, *section, *want;
} rows[] = {
    {"nothing", "", ""},
    {"one", "X-Sum: 1\r\n", "X-Sum: 1\r\n"},
    {"an empty one", "X-Sum:\r\n", "X-Sum:\r\n"},
    {"several", "A: 1\r\nb:2\r\nA: 3\r\n", "A: 1\r\nb:2\r\nA: 3\r\n"},
    {"framing", "Content-Length: 3\r\nA: 1\r\nTransfer-Encoding: chunked\r\n", "A: 1\r\n"},
    {"routing", "hOST: x\r\nA: 1\r\n", "A: 1\r\n"},
    {"who it is", "Authorization: x\r\nCookie: y\r\nX-Forwarded-For: z\r\n", ""},
    {"names that only begin alike", "Hosts: x\r\nTest: y\r\nDated: z\r\n",
     "Hosts: x\r\nTest: y\r\nDated: z\r\n"},
    {"families of names", "Content-MD5: x\r\nIf-Match: y\r\nProxy-X: z\r\nContents: 1\r\n",
     "Contents: 1\r\n"},
    {"the last goes", "A: 1\r\nConnection: close\r\n", "A: 1\r\n"},
};

static void test_filter(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[256];
        size_t n = strlen(rows[i].section);

        memcpy(text, rows[i].section, n);
        for (int k = 0; k < 2; k++) { /* again: no change */
            n = http_trailer_filter(text, n);
            text[n] = '\0';
            ROW_EQ_STR(rows[i].name, text, rows[i].want);
        }
    }
}

/* The decoder keeps the section byte for byte, however it is cut, and stops once for its room. */
static void test_kept(void **state UNUSED)
{
    static const char raw[] = "3\r\nabc\r\n0;x\r\nA: 1\r\nB:\r\n\r\nnext";
    static char room[HTTP_TRAILER_ROOM];

    for (size_t cut = 0; cut < sizeof(raw) - 1; cut++) {
        struct http_chunk c;
        enum http_result r = HTTP_MORE;
        size_t at = 0, stops = 0;

        http_chunk_init(&c);
        c.keep = true;
        while (r == HTTP_MORE && at < sizeof(raw) - 1) {
            size_t have = at < cut ? cut : sizeof(raw) - 1, used, data;

            r = http_chunk_next(&c, raw + at, have - at, &used, &data);
            at += used + data;
            if (data > 0)
                http_chunk_eat(&c, data);
            else if (r == HTTP_MORE && at < have) {
                c.trailer = room;
                stops++;
            }
        }
        assert_int_equal(r, HTTP_DONE);
        assert_int_equal(stops, 1);
        assert_string_equal(raw + at, "next");
        assert_int_equal(c.trailer_n, 10);
        assert_memory_equal(room, "A: 1\r\nB:\r\n", 10);
    }
}

static void test_none_needs_no_room(void **state UNUSED)
{
    static const char raw[] = "0\r\n\r\n";
    struct http_chunk c;
    size_t used, data;

    http_chunk_init(&c);
    c.keep = true;
    assert_int_equal(http_chunk_next(&c, raw, sizeof(raw) - 1, &used, &data), HTTP_DONE);
}

/* As many of the shortest lines as may be: the room is enough. */
static void test_most(void **state UNUSED)
{
    static char room[HTTP_TRAILER_ROOM + 1];
    struct http_chunk c;
    enum http_result r = HTTP_MORE;
    size_t used, data;

    http_chunk_init(&c);
    c.keep = true;
    c.trailer = room;
    room[HTTP_TRAILER_ROOM] = 'E';
    r = http_chunk_next(&c, "0\r\n", 3, &used, &data);
    for (unsigned i = 0; i < HTTP_TRAILER_MAX && r == HTTP_MORE; i++)
        r = http_chunk_next(&c, "a:\r\n", 4, &used, &data);
    assert_int_equal(r, HTTP_BAD);
    assert_true(c.trailer_n <= HTTP_TRAILER_ROOM);
    assert_int_equal(room[HTTP_TRAILER_ROOM], 'E');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filter),
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_none_needs_no_room),
        cmocka_unit_test(test_most),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
