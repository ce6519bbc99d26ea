#include "test/unit/unit.h"

#include "common/base/macros.h"
#include "lb/core/proxy_in.h"
#include "lb/core/proxy_out.h"

#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define RAW(s)                                                                                     \
    {                                                                                              \
        s, sizeof(s) - 1                                                                           \
    }

static const struct {
    const char *name;
    unsigned version;
    const char *from, *to;
    uint16_t from_port, to_port;
    struct sv want;
} rows[] = {
    {"v1 IPv4", 1, "192.0.2.1", "192.0.2.2", 56324, 80,
     RAW("PROXY TCP4 192.0.2.1 192.0.2.2 56324 80\r\n")},
    {"v1 IPv6", 1, "2001:db8::1", "::1", 1, 65535, RAW("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n")},
    {"v1 of both", 1, "2001:db8::1", "127.0.0.1", 1, 2,
     RAW("PROXY TCP6 2001:db8::1 ::ffff:127.0.0.1 1 2\r\n")},
    {"v1 the longest", 1, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
     "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535, 65535,
     RAW("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n")},
    {"v2 IPv4", 2, "192.0.2.1", "192.0.2.2", 56324, 80,
     RAW(SIG "\x21\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\xdc\4\0\x50")},
    {"v2 IPv6", 2, "2001:db8::1", "2001:db8::2", 7, 2,
     RAW(SIG "\x21\x21\0\x24\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x20\1\x0d\xb8\0\0\0\0\0"
             "\0\0\0\0\0\0\2\0\7\0\2")},
    {"v2 of both", 2, "192.0.2.1", "::1", 7, 2,
     RAW(SIG "\x21\x21\0\x24\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1\0\0\0\0\0\0\0\0\0\0\0\0\0"
             "\0\0\1\0\7\0\2")},
};

/* Written as wanted, and read back by our own strict reader. */
static void test_rows(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct proxy_out p = {.from_port = rows[i].from_port, .to_port = rows[i].to_port};
        struct proxy_in in;
        char buf[PROXY_OUT_MAX];
        size_t n, len = 0;

        assert_true(cidr_addr_parse(sv_of(rows[i].from), &p.from));
        assert_true(cidr_addr_parse(sv_of(rows[i].to), &p.to));
        n = proxy_out_write(rows[i].version, &p, buf);
        ROW_EQ_U64(rows[i].name, n, rows[i].want.n);
        ROW_EQ_U64(rows[i].name, memcmp(buf, rows[i].want.p, n), 0);
        ROW_EQ_U64(rows[i].name, proxy_in_parse(buf, n, &in, &len), HTTP_DONE);
        ROW_EQ_U64(rows[i].name, len, n);
        ROW_EQ_U64(rows[i].name, in.has_client && in.port == rows[i].from_port, 1);
        ROW_EQ_U64(rows[i].name, memcmp(&in.client, &p.from, sizeof(p.from)), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
