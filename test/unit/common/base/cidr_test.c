#include "test/unit/unit.h"

#include "common/base/cidr.h"
#include "common/base/macros.h"

static const struct {
    const char *name, *text;
    const char *error; /* NULL: fine */
    const char *in, *out;
} rows[] = {
    {"IPv4", "10.0.0.0/8", NULL, "10.255.1.2", "11.0.0.0"},
    {"IPv4 within a byte", "192.168.128.0/18", NULL, "192.168.191.255", "192.168.192.0"},
    {"one address", "192.0.2.1", NULL, "192.0.2.1", "192.0.2.2"},
    {"all of IPv4", "0.0.0.0/0", NULL, "255.1.2.3", "2001:db8::1"},
    {"all", "::/0", NULL, "1.2.3.4", NULL},
    {"IPv6", "2001:db8::/33", NULL, "2001:db8:7fff::1", "2001:db8:8000::1"},
    {"IPv4 in IPv6", "::ffff:10.0.0.0/104", NULL, "10.9.9.9", "11.0.0.1"},
    {"loopback", "loopback", NULL, "127.9.9.9", "128.0.0.1"},
    {"loopback of IPv6", "loopback", NULL, "::1", "::2"},
    {"nothing", "", "is no network", NULL, NULL},
    {"a name", "localhost/8", "is no network", NULL, NULL},
    {"too many bits", "10.0.0.0/33", "must be 0 to 32", NULL, NULL},
    {"too many bits of IPv6", "::/129", "must be 0 to 128", NULL, NULL},
    {"no bits", "10.0.0.0/", "must be 0 to 32", NULL, NULL},
    {"a sign", "10.0.0.0/+8", "must be 0 to 32", NULL, NULL},
    {"a mask", "10.0.0.0/255.0.0.0", "must be 0 to 32", NULL, NULL},
    {"an address in it", "10.1.0.0/8", "clear those bits", NULL, NULL},
    {"short", "10/8", "is no network", NULL, NULL},
};

static bool has(const struct cidr_list *l, const char *text)
{
    struct cidr_addr a;

    if (!cidr_addr_parse(sv_of(text), &a))
        fail_msg("'%s' is no address", text);
    return cidr_list_has(l, &a);
}

static void test_rows(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cidr_list l = {.n = 0};
        struct err e = {""};

        ROW_EQ_U64(rows[i].name, cidr_list_add(&l, sv_of(rows[i].text), &e), rows[i].error == NULL);
        if (rows[i].error != NULL)
            ROW_HAS_STR(rows[i].name, e.msg, rows[i].error);
        if (rows[i].in != NULL)
            ROW_EQ_U64(rows[i].name, has(&l, rows[i].in), true);
        if (rows[i].out != NULL)
            ROW_EQ_U64(rows[i].name, has(&l, rows[i].out), false);
    }
}

static void test_full(void **state UNUSED)
{
    struct cidr_list l = {.n = 0};
    struct err e;

    for (unsigned i = 0; i < CIDR_LIST_MAX; i++)
        assert_true(cidr_list_add(&l, sv_of("10.0.0.0/8"), &e));
    assert_false(cidr_list_add(&l, sv_of("10.0.0.0/8"), &e));
    assert_int_equal(l.n, CIDR_LIST_MAX);
}

static void test_format(void **state UNUSED)
{
    static const char *const texts[][2] = {
        {"1.2.3.4", "1.2.3.4"}, {"::ffff:1.2.3.4", "1.2.3.4"}, {"2001:DB8:0:0::1", "2001:db8::1"}};
    char buf[46];

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct cidr_addr a;

        assert_true(cidr_addr_parse(sv_of(texts[i][0]), &a));
        assert_int_equal(cidr_addr_format(&a, buf, sizeof(buf)), strlen(texts[i][1]));
        ROW_EQ_STR(texts[i][0], buf, texts[i][1]);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_format),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
