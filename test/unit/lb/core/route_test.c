#include "test/unit/unit.h"

#include "common/base/macros.h"
#include "lb/core/route.h"

static const struct {
    const char *name;
    const char *routes[4]; /* service i: routes[i] */
    const char *path;
    int want; /* service, -1: none */
} rows[] = {
    {"itself", {"/api/v1"}, "/api/v1", 0},
    {"below", {"/api/v1"}, "/api/v1/acts/1", 0},
    {"slash behind", {"/api/v1"}, "/api/v1/", 0},
    {"only at a segment's end", {"/api/v1"}, "/api/v1x", -1},
    {"above", {"/api/v1"}, "/api", -1},
    {"root", {"/api/v1"}, "/", -1},
    {"case matters", {"/api/v1"}, "/API/v1", -1},
    {"no decoding", {"/api/v1"}, "/api%2fv1/x", -1},
    {"double slash before", {"/api/v1"}, "//api/v1", -1},
    {"double slash behind", {"/api/v1"}, "/api/v1//x", 0},
    {"encoded dots behind", {"/api/v1"}, "/api/v1/%2e%2e/x", 0},
    {"longest wins", {"/api/v1", "/api/v1/users"}, "/api/v1/users/a", 1},
    {"longest wins in any order", {"/api/v1/users", "/api/v1"}, "/api/v1/users", 0},
    {"the longer one does not fit", {"/api/v1", "/api/v1/users"}, "/api/v1/usersx", 0},
    {"an encoded letter is another name", {"/api/v1", "/api/v1/users"}, "/api/v1/%75sers", 0},
    {"a slash at the prefix's end is nothing", {"/app/"}, "/app", 0},
    {"a root route takes all", {"/api/v1", "/"}, "/x", 1},
    {"a root route takes the root", {"/api/v1", "/"}, "/", 1},
    {"but is the shortest", {"/", "/api/v1"}, "/api/v1/x", 1},
    {"an asterisk is no path", {"/"}, "*", -1},
};

static void test_find(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct route r[4] = {{.service = 0}};
        const struct route *got;
        size_t n = 0;

        for (; n < 4 && rows[i].routes[n] != NULL; n++) {
            assert_true(route_prefix_clean(sv_of(rows[i].routes[n]), &r[n].prefix));
            r[n].service = (unsigned)n;
        }
        route_sort(r, n);
        got = route_find(r, n, sv_of("any"), sv_of(rows[i].path));
        ROW_EQ_U64(rows[i].name, got != NULL ? (int)got->service : -1, rows[i].want);
    }
}

static void test_clean(void **state UNUSED)
{
    static const struct {
        const char *text;
        bool want;
    } texts[] = {{"/a", true}, {"/", true}, {"", false}, {"a", false}, {"/a?b", false}};

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct sv s;

        ROW_EQ_U64(texts[i].text, route_prefix_clean(sv_of(texts[i].text), &s), texts[i].want);
    }
}

static const struct {
    const char *name, *host, *path;
    int want; /* of the routes below, -1: none */
} host_rows[] = {
    {"whole name", "a.example.org", "/", 1},
    {"whole name, any case", "A.Example.ORG", "/", 1},
    {"with a port", "a.example.org:8080", "/", 1},
    {"with a dot behind", "a.example.org.", "/", 1},
    {"with a dot and a port", "a.example.org.:80", "/", 1},
    {"the longest prefix of the host", "a.example.org", "/api/x", 0},
    {"wildcard", "b.example.org", "/", 3},
    {"wildcard, further below", "x.y.example.org", "/", 3},
    {"the longer wildcard", "x.sub.example.org", "/", 2},
    {"a wildcard is not the name itself", "example.org", "/", 5},
    {"a wildcard needs the dot", "xexample.org", "/", 5},
    {"a wildcard needs something before the dot", ".example.org", "/", 5},
    {"whole host without the prefix falls to the wildcard", "c.example.org", "/other", 3},
    {"and has its own", "c.example.org", "/only/x", 4},
    {"any other host", "nowhere", "/", 5},
    {"no host", "", "/", 5},
    {"the longest prefix of any host", "nowhere", "/api", 6},
    {"a host's shorter prefix comes before any host's longer one", "b.example.org", "/api", 3},
    {"IPv6 with a port", "[::1]:80", "/", 7},
    {"IPv6 without", "[::1]", "/", 7},
    {"not below a prefix", "[::1]", "/apix", 7},
};

static void test_hosts(void **state UNUSED)
{
    static const char *const routes[][2] = {{"a.example.org", "/api"},
                                            {"a.example.org", "/"},
                                            {"*.sub.example.org", "/"},
                                            {"*.example.org", "/"},
                                            {"C.example.org", "/only"},
                                            {"", "/"},
                                            {"", "/api"},
                                            {"[::1]", "/"}};

    for (unsigned turn = 0; turn < ARRAY_LEN(routes); turn++) { /* in any order */
        struct route r[ARRAY_LEN(routes)] = {{.service = 0}};

        for (unsigned k = 0; k < ARRAY_LEN(routes); k++) {
            unsigned from = (k * 3 + turn) % ARRAY_LEN(routes);

            r[k].host = sv_of(routes[from][0]);
            r[k].service = from;
            assert_true(route_prefix_clean(sv_of(routes[from][1]), &r[k].prefix));
        }
        route_sort(r, ARRAY_LEN(routes));
        for (size_t i = 0; i < ARRAY_LEN(host_rows); i++) {
            const struct route *got =
                route_find(r, ARRAY_LEN(routes), route_host(sv_of(host_rows[i].host)),
                           sv_of(host_rows[i].path));

            ROW_EQ_U64(host_rows[i].name, got != NULL ? (int)got->service : -1, host_rows[i].want);
        }
    }
}

static const struct {
    const char *name, *prefix, *to;
    bool keep;
    const char *path, *query, *want;
} location_rows[] = {
    {"goal only", "/old", "https://new.example/x", false, "/old/a", "", "https://new.example/x"},
    {"with the query", "/old", "/new", false, "/old/a", "b=c&d", "/new?b=c&d"},
    {"with the path", "/old", "https://new.example", true, "/old/a/b", "q",
     "https://new.example/a/b?q"},
    {"with the path, none", "/old", "https://new.example", true, "/old", "", "https://new.example"},
    {"with the path, a slash", "/old", "/new", true, "/old/", "", "/new/"},
    {"one slash between", "/old", "https://new.example/", true, "/old/a", "",
     "https://new.example/a"},
    {"all of the host", "/", "https://new.example", true, "/a", "", "https://new.example/a"},
    {"the query of the goal stays", "/old", "/new?x=1", false, "/old", "y=2", "/new?x=1&y=2"},
    {"no path behind a query", "/old", "/new?x=1", true, "/old/a", "", "/new?x=1"},
    {"never to another host", "/old", "/", true, "/old//evil.example/x", "", "/evil.example/x"},
    {"nor by a backslash", "/old", "/", true, "/old/\\evil.example", "", "/evil.example"},
    {"nor by many of them", "/old", "/", true, "/old/\\/\\/evil", "", "/evil"},
    {"nothing behind the root", "/old", "/", true, "/old", "", "/"},
};

static void test_location(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(location_rows); i++) {
        char text[128];
        struct http_out o = {.p = text, .cap = sizeof(text) - 1};
        struct route r = {
            .redirect = {.to = sv_of(location_rows[i].to), .keep_path = location_rows[i].keep}};

        assert_true(route_prefix_clean(sv_of(location_rows[i].prefix), &r.prefix));
        route_location(&o, &r, sv_of(location_rows[i].path), sv_of(location_rows[i].query));
        text[o.n] = '\0';
        ROW_EQ_STR(location_rows[i].name, text, location_rows[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_find), cmocka_unit_test(test_clean),
                                       cmocka_unit_test(test_hosts),
                                       cmocka_unit_test(test_location)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
