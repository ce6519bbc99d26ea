#include "test/unit/unit.h"

#include "common/base/macros.h"
#include "lb/core/http_chunk.h"

/* Decode raw in slices; the payload goes to out. Returns the end's name and what was left over. */
static const char *decode(const char *raw, size_t slice, char *out, size_t *ret_left)
{
    struct http_chunk c;
    size_t n = strlen(raw), at = 0, len = 0;

    http_chunk_init(&c);
    while (at < n) {
        size_t have = n - at < slice ? n - at : slice, used, data;
        enum http_result r = http_chunk_next(&c, raw + at, have, &used, &data);

        at += used;
        if (r == HTTP_BAD)
            return http_fault_text(c.fault);
        if (r == HTTP_DONE) {
            out[len] = '\0';
            *ret_left = n - at;
            return "done";
        }
        memcpy(out + len, raw + at, data);
        len += data;
        at += data;
        if (data > 0)
            http_chunk_eat(&c, data);
    }
    out[len] = '\0';
    return "more";
}

static const struct {
    const char *name, *raw, *end, *payload;
    size_t left;
} rows[] = {
    {"one chunk", "5\r\nhello\r\n0\r\n\r\n", "done", "hello", 0},
    {"two chunks", "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", "done", "hello!", 0},
    {"no data", "0\r\n\r\n", "done", "", 0},
    {"the next message stays", "1\r\na\r\n0\r\n\r\nGET", "done", "a", 3},
    {"hex digits of both cases", "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "done",
     "01234567890123456789", 0},
    {"leading zeros", "0005\r\nhello\r\n000\r\n\r\n", "done", "hello", 0},
    {"extensions", "5;a=b;c=\"d e\"\r\nhello\r\n0;last\r\n\r\n", "done", "hello", 0},
    {"trailers", "1\r\na\r\n0\r\nX-A: b\r\nX-B:\r\n\r\n", "done", "a", 0},
    {"cut in the size", "5", "more", "", 0},
    {"cut in the data", "5\r\nhel", "more", "hel", 0},
    {"cut before the last LF", "1\r\na\r\n0\r\n\r", "more", "a", 0},
    {"0x", "0x3\r\nabc\r\n0\r\n\r\n", "invalid chunk size", "", 0},
    {"0X", "0X3\r\nabc\r\n0\r\n\r\n", "invalid chunk size", "", 0},
    {"plus", "+3\r\nabc\r\n0\r\n\r\n", "invalid chunk size", "", 0},
    {"minus", "-3\r\nabc\r\n0\r\n\r\n", "invalid chunk size", "", 0},
    {"blank before", " 3\r\nabc\r\n0\r\n\r\n", "invalid chunk size", "", 0},
    {"blank after", "3 \r\nabc\r\n0\r\n\r\n", "invalid chunk size", "", 0},
    {"blank before an extension", "3 ;x\r\nabc\r\n0\r\n\r\n", "invalid chunk size", "", 0},
    {"tab after", "3\t\r\nabc\r\n0\r\n\r\n", "invalid chunk size", "", 0},
    {"empty size", "\r\nabc", "invalid chunk size", "", 0},
    {"only an extension", ";x\r\nabc", "invalid chunk size", "", 0},
    {"17 digits", "10000000000000003\r\nabc", "invalid chunk size", "", 0},
    {"16 digits", "1000000000000000\r\nabc", "invalid chunk size", "", 0},
    {"bare LF after the size", "3\nabc\r\n0\r\n\r\n", "invalid chunk size", "", 0},
    {"bare CR after the size", "3\rabc", "invalid chunk size", "", 0},
    {"LF in an extension", "3;a\nb\r\nabc", "invalid or too long chunk extension", "", 0},
    {"control byte in an extension", "3;a\x01\r\nabc", "invalid or too long chunk extension", "",
     0},
    {"data too long", "3\r\nabcd\r\n0\r\n\r\n", "chunk data does not end with CRLF", "", 0},
    {"bare LF after data", "3\r\nabc\n0\r\n\r\n", "chunk data does not end with CRLF", "", 0},
    {"trailer with a bad name", "0\r\nX A: b\r\n\r\n", "invalid or too long trailer section", "",
     0},
    {"trailer without colon", "0\r\nXA\r\n\r\n", "invalid or too long trailer section", "", 0},
    {"folded trailer", "0\r\nX: a\r\n b\r\n\r\n", "invalid or too long trailer section", "", 0},
    {"bare LF ends trailers", "0\r\nX: a\r\n\n", "invalid or too long trailer section", "", 0},
    {"LF in a trailer", "0\r\nX: a\nY: b\r\n\r\n", "invalid or too long trailer section", "", 0},
    {"request for the trailer", "0\r\nGET / HTTP/1.1\r\n\r\n",
     "invalid or too long trailer section", "", 0},
};

static void test_rows(void **state UNUSED)
{
    static const size_t slices[] = {1, 2, 3, 1000};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (size_t k = 0; k < ARRAY_LEN(slices); k++) {
            char out[128];
            size_t left = 0;

            ROW_EQ_STR(rows[i].name, decode(rows[i].raw, slices[k], out, &left), rows[i].end);
            if (strcmp(rows[i].end, "done") == 0 || strcmp(rows[i].end, "more") == 0)
                ROW_EQ_STR(rows[i].name, out, rows[i].payload);
            if (strcmp(rows[i].end, "done") == 0 && slices[k] == 1000)
                ROW_EQ_U64(rows[i].name, left, rows[i].left);
        }
    }
}

static void test_limits(void **state UNUSED)
{
    static char raw[HTTP_TRAILER_MAX + HTTP_CHUNK_EXT_MAX + 64], out[64];
    size_t left;

    memset(raw, 'a', sizeof(raw) - 1);
    raw[0] = '1';
    raw[1] = ';';
    assert_string_equal(decode(raw, 4096, out, &left), "invalid or too long chunk extension");
    memset(raw, 'a', sizeof(raw) - 1);
    memcpy(raw, "0\r\nx:", 5);
    assert_string_equal(decode(raw, 4096, out, &left), "invalid or too long trailer section");
}

static void test_line(void **state UNUSED)
{
    static const struct {
        const char *name;
        size_t n;
        const char *want;
    } lines[] = {
        {"one", 1, "1\r\n"},
        {"fifteen", 15, "f\r\n"},
        {"sixteen", 16, "10\r\n"},
        {"64 KiB", 65536, "10000\r\n"},
        {"largest", SIZE_MAX, "ffffffffffffffff\r\n"},
    };

    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        char buf[HTTP_CHUNK_LINE_MAX + 1];

        buf[http_chunk_line(buf, lines[i].n)] = '\0';
        ROW_EQ_STR(lines[i].name, buf, lines[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
