#include "test/unit/unit.h"

#include "common/base/macros.h"
#include "lb/core/proxy_in.h"

#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define RAW(s)                                                                                     \
    {                                                                                              \
        s, sizeof(s) - 1                                                                           \
    }
#define V4 "\xc0\0\2\1\xc0\0\2\2\xdc\4\0\x50"
#define V6                                                                                         \
    "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"                                                       \
    "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2\0\7\0\2"

static const struct {
    const char *name;
    struct sv raw;
    enum http_result want;
    size_t left;        /* bytes behind the header */
    const char *client; /* NULL: none */
    uint16_t port;
} rows[] = {
    {"v1 TCP4", RAW("PROXY TCP4 192.0.2.1 192.0.2.2 56324 80\r\nGET"), HTTP_DONE, 3, "192.0.2.1",
     56324},
    {"v1 TCP6", RAW("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n"), HTTP_DONE, 0, "2001:db8::1", 1},
    {"v1 the longest",
     RAW("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
     HTTP_DONE, 0, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535},
    {"v1 unknown", RAW("PROXY UNKNOWN\r\n"), HTTP_DONE, 0, NULL, 0},
    {"v1 unknown with more", RAW("PROXY UNKNOWN ffff:: anything 1\r\nx"), HTTP_DONE, 1, NULL, 0},
    {"v1 half", RAW("PROXY TCP4 192.0.2.1 192.0"), HTTP_MORE, 0, NULL, 0},
    {"v1 family", RAW("PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n"), HTTP_BAD, 0, NULL, 0},
    {"v1 of the other family", RAW("PROXY TCP4 ::1 ::1 1 2\r\n"), HTTP_BAD, 0, NULL, 0},
    {"v1 of the other family too", RAW("PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n"), HTTP_BAD, 0, NULL, 0},
    {"v1 bad address", RAW("PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n"), HTTP_BAD, 0, NULL, 0},
    {"v1 bad target", RAW("PROXY TCP4 192.0.2.1 x 1 2\r\n"), HTTP_BAD, 0, NULL, 0},
    {"v1 port too large", RAW("PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n"), HTTP_BAD, 0, NULL, 0},
    {"v1 port with a zero", RAW("PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n"), HTTP_BAD, 0, NULL, 0},
    {"v1 no port", RAW("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n"), HTTP_BAD, 0, NULL, 0},
    {"v1 a word too many", RAW("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n"), HTTP_BAD, 0, NULL, 0},
    {"v1 two blanks", RAW("PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n"), HTTP_BAD, 0, NULL, 0},
    {"v1 bare line feed", RAW("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n"), HTTP_BAD, 0, NULL, 0},
    {"v1 small letters", RAW("proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n"), HTTP_BAD, 0, NULL, 0},
    {"v1 too long",
     RAW("PROXY UNKNOWN 0123456789012345678901234567890123456789012345678901234567890123456789"
         "0123456789012345678901234567890123456789\r\n"),
     HTTP_BAD, 0, NULL, 0},
    {"no header", RAW("GET / HTTP/1.1\r\n"), HTTP_BAD, 0, NULL, 0},
    {"nothing yet", RAW(""), HTTP_MORE, 0, NULL, 0},
    {"v2 TCP4", RAW(SIG "\x21\x11\0\x0c" V4 "GET"), HTTP_DONE, 3, "192.0.2.1", 56324},
    {"v2 TCP6", RAW(SIG "\x21\x21\0\x24" V6), HTTP_DONE, 0, "2001:db8::1", 7},
    {"v2 with TLVs", RAW(SIG "\x21\x11\0\x10" V4 "\4\0\1xy"), HTTP_DONE, 1, "192.0.2.1", 56324},
    {"v2 local", RAW(SIG "\x20\0\0\0y"), HTTP_DONE, 1, NULL, 0},
    {"v2 local with addresses", RAW(SIG "\x20\x11\0\x0c" V4), HTTP_DONE, 0, NULL, 0},
    {"v2 of no family", RAW(SIG "\x21\0\0\0"), HTTP_DONE, 0, NULL, 0},
    {"v2 UDP", RAW(SIG "\x21\x12\0\x0c" V4), HTTP_DONE, 0, NULL, 0},
    {"v2 half", RAW(SIG "\x21\x11\0\x0c\xc0\0"), HTTP_MORE, 0, NULL, 0},
    {"v2 too short", RAW(SIG "\x21\x11\0\x0b\xc0\0\2\1\xc0\0\2\2\xdc\4\0"), HTTP_BAD, 0, NULL, 0},
    {"v2 IPv6 too short", RAW(SIG "\x21\x21\0\x0c" V4), HTTP_BAD, 0, NULL, 0},
    {"v2 command", RAW(SIG "\x22\x11\0\x0c" V4), HTTP_BAD, 0, NULL, 0},
    {"v2 version", RAW(SIG "\x11\x11\0\x0c" V4), HTTP_BAD, 0, NULL, 0},
    {"v2 too long", RAW(SIG "\x21\x11\x10\0"), HTTP_BAD, 0, NULL, 0},
    {"v2 signature", RAW("\r\n\r\n\0\r\nQUIX\n\x21\x11\0\x0c" V4), HTTP_BAD, 0, NULL, 0},
};

/* Whole, and byte by byte: more bytes never change an end. */
static void test_rows(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        enum http_result r = HTTP_MORE;
        struct proxy_in in;
        size_t len = 0, n;

        for (n = 0; n <= rows[i].raw.n && r == HTTP_MORE; n++)
            r = proxy_in_parse(rows[i].raw.p, n, &in, &len);
        ROW_EQ_U64(rows[i].name, r, rows[i].want);
        ROW_EQ_U64(rows[i].name, proxy_in_parse(rows[i].raw.p, rows[i].raw.n, &in, &len),
                   rows[i].want);
        if (r != HTTP_DONE)
            continue;
        ROW_EQ_U64(rows[i].name, n - 1, len);
        ROW_EQ_U64(rows[i].name, rows[i].raw.n - len, rows[i].left);
        ROW_EQ_U64(rows[i].name, in.has_client, rows[i].client != NULL);
        ROW_EQ_U64(rows[i].name, in.port, rows[i].port);
        if (in.has_client) {
            char text[46];

            (void)cidr_addr_format(&in.client, text, sizeof(text));
            ROW_EQ_STR(rows[i].name, text, rows[i].client);
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
