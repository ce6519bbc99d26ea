#include "test/unit/unit.h"

#include "acts-service/http_check.h"
#include "common/base/macros.h"

static const struct {
    const char *name;
    const char *fields[6]; /* name, value, ... */
    int major, minor, want;
} heads[] = {
    {"ordinary", {"Host", "a", "Content-Length", "3"}, 1, 1, 0},
    {"any host", {"Host", "127.0.0.1:8000"}, 1, 1, 0},
    {"IPv6 host", {"Host", "[::1]:80"}, 1, 1, 0},
    {"empty host", {"Host", ""}, 1, 1, 0},
    {"no host", {"Accept", "a"}, 1, 1, 400},
    {"no host in 1.0", {"Accept", "a"}, 1, 0, 0},
    {"two hosts", {"Host", "a", "host", "a"}, 1, 1, 400},
    {"two hosts in 1.0", {"Host", "a", "host", "b"}, 1, 0, 400},
    {"blank in host", {"Host", "a b"}, 1, 1, 400},
    {"path in host", {"Host", "a/b"}, 1, 1, 400},
    {"list of hosts", {"Host", "a,b"}, 1, 1, 400},
    {"signed length", {"Host", "a", "Content-Length", "+5"}, 1, 1, 400},
    {"list of lengths", {"Host", "a", "Content-Length", "5, 5"}, 1, 1, 400},
    {"hexadecimal length", {"Host", "a", "Content-Length", "0x5"}, 1, 1, 400},
    {"huge length", {"Host", "a", "Content-Length", "99999999999999999999"}, 1, 1, 400},
    {"chunked", {"Host", "a", "Transfer-Encoding", "Chunked"}, 1, 1, 0},
    {"gzip, chunked", {"Host", "a", "Transfer-Encoding", "gzip, chunked"}, 1, 1, 400},
    {"unknown coding", {"Host", "a", "Transfer-Encoding", "xchunked"}, 1, 1, 400},
    {"blank before the colon", {"Host", "a", "Content-Length ", "5"}, 1, 1, 400},
    {"empty name", {"Host", "a", "", "5"}, 1, 1, 400},
    {"name with brackets", {"Host", "a", "X(y)", "5"}, 1, 1, 400},
    {"control byte in a value", {"Host", "a", "X", "a\x01"}, 1, 1, 400},
    {"tab and bytes above 127 in a value", {"Host", "a", "X", "a\t\xc3\xa4"}, 1, 1, 0},
    {"version 2", {"Host", "a"}, 2, 0, 505},
    {"version 0.9", {"Host", "a"}, 0, 9, 505},
};

static void heads_are_judged(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        struct http_check c = {0};

        for (size_t k = 0; k < ARRAY_LEN(heads[i].fields) && heads[i].fields[k] != NULL; k += 2)
            http_check_field(&c, heads[i].fields[k], heads[i].fields[k + 1]);
        ROW_EQ_U64(heads[i].name, http_check_status(&c, heads[i].major, heads[i].minor),
                   heads[i].want);
    }
}

static void fields_are_limited(void **state)
{
    struct http_check c = {0};

    (void)state;
    http_check_field(&c, "Host", "a");
    for (int i = 0; i < 99; i++)
        http_check_field(&c, "X", "y");
    assert_int_equal(http_check_status(&c, 1, 1), 0);
    http_check_field(&c, "X", "y");
    assert_int_equal(http_check_status(&c, 1, 1), 431);
}

static const struct {
    const char *target, *path, *query; /* NULL: refused */
} targets[] = {
    {"/", "/", ""},
    {"/a/b?x=1&y=2", "/a/b", "x=1&y=2"},
    {"/a?", "/a", ""},
    {"/a?b?c", "/a", "b?c"},
    {"/a%2Fb", "/a%2Fb", ""},
    {"//a", "//a", ""},
    {"http://host/a?b", "/a", "b"},
    {"HTTP://host:80/a", "/a", ""},
    {"http://host", "/", ""},
    {"http:///a", NULL, NULL},
    {"http://host?x", NULL, NULL},
    {"https://host/", NULL, NULL},
    {"host:443", NULL, NULL},
    {"*", NULL, NULL},
    {"", NULL, NULL},
    {"/a b", NULL, NULL},
    {"/a\x7f", NULL, NULL},
};

static void targets_are_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
        struct sv path = {NULL, 0}, query = {NULL, 0};
        bool ok = http_check_target(targets[i].target, &path, &query);

        ROW_EQ_U64(targets[i].target, ok, targets[i].path != NULL);
        if (ok && (!sv_eq(path, targets[i].path) || !sv_eq(query, targets[i].query)))
            fail_msg("row '%s': path '%.*s' query '%.*s'", targets[i].target, (int)path.n, path.p,
                     (int)query.n, query.p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_are_judged),
        cmocka_unit_test(fields_are_limited),
        cmocka_unit_test(targets_are_split),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
