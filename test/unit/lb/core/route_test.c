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
        struct route r[4];
        const struct route *got;
        size_t n = 0;

        for (; n < 4 && rows[i].routes[n] != NULL; n++) {
            assert_true(route_prefix_clean(sv_of(rows[i].routes[n]), &r[n].prefix));
            r[n].service = (unsigned)n;
        }
        route_sort(r, n);
        got = route_find(r, n, sv_of(rows[i].path));
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_find), cmocka_unit_test(test_clean)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
