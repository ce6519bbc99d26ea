#include "test/unit/unit.h"

#include "acts-service/router.h"
#include "common/base/macros.h"

/* Handlers as marks: which one was chosen. */
#define MARK(name)                                                                                 \
    static void name(struct ask *a)                                                                \
    {                                                                                              \
        (void)a;                                                                                   \
    }
MARK(service_root)
MARK(service_health)
MARK(service_crash)
MARK(count_get)
MARK(count_reset)
MARK(categories_list)
MARK(categories_add)
MARK(categories_delete)
MARK(categories_size)
MARK(acts_list)
MARK(acts_add)
MARK(acts_upvote)
MARK(acts_delete)
MARK(acts_total)

static const struct route table[] = {
#define ROUTE(pattern, counted, get, post, del) {pattern, counted, get, post, del},
#include "acts-service/routes.def"
#undef ROUTE
};

static const struct {
    const char *path;
    const char *pattern; /* NULL: no route */
    const char *param;
    route_fn *get, *post, *del;
} rows[] = {
    {"/", "/", "", service_root, NULL, NULL},
    {"/api/v1/categories", "/api/v1/categories", "", categories_list, categories_add, NULL},
    {"/api/v1/categories/", "/api/v1/categories", "", categories_list, categories_add, NULL},
    {"/api/v1/categories/x", "/api/v1/categories/*", "x", NULL, NULL, categories_delete},
    {"/api/v1/categories/x/", "/api/v1/categories/*", "x", NULL, NULL, categories_delete},
    {"/api/v1/categories/acts", "/api/v1/categories/*", "acts", NULL, NULL, categories_delete},
    {"/api/v1/categories/_health-tips", "/api/v1/categories/*", "_health-tips", NULL, NULL,
     categories_delete},
    {"/api/v1/categories/a%2Fb", "/api/v1/categories/*", "a%2Fb", NULL, NULL, categories_delete},
    {"/api/v1/categories/..", "/api/v1/categories/*", "..", NULL, NULL, categories_delete},
    {"/api/v1/categories/x/acts", "/api/v1/categories/*/acts", "x", acts_list, NULL, NULL},
    {"/api/v1/categories/acts/acts/", "/api/v1/categories/*/acts", "acts", acts_list, NULL, NULL},
    {"/api/v1/categories//acts", "/api/v1/categories/*/acts", "", acts_list, NULL, NULL},
    {"/api/v1/categories/x/acts/size", "/api/v1/categories/*/acts/size", "x", categories_size, NULL,
     NULL},
    {"/api/v1/acts", "/api/v1/acts", "", NULL, acts_add, NULL},
    {"/api/v1/acts/", "/api/v1/acts", "", NULL, acts_add, NULL},
    {"/api/v1/acts/7001", "/api/v1/acts/*", "7001", NULL, NULL, acts_delete},
    {"/api/v1/acts/abc", "/api/v1/acts/*", "abc", NULL, NULL, acts_delete},
    {"/api/v1/acts/upvote", "/api/v1/acts/upvote", "", NULL, acts_upvote, NULL},
    {"/api/v1/acts/upvote/", "/api/v1/acts/upvote", "", NULL, acts_upvote, NULL},
    {"/api/v1/acts/count", "/api/v1/acts/count", "", acts_total, NULL, NULL},
    {"/api/v1/_count", "/api/v1/_count", "", count_get, NULL, count_reset},
    {"/api/v1/_health", "/api/v1/_health", "", service_health, NULL, NULL},
    {"/api/v1/_crash", "/api/v1/_crash", "", NULL, service_crash, NULL},
    {"/api/v1", NULL, NULL, NULL, NULL, NULL},
    {"/api/v1/", NULL, NULL, NULL, NULL, NULL},
    {"/api/v1x/acts", NULL, NULL, NULL, NULL, NULL},
    {"/api/v1/Acts", NULL, NULL, NULL, NULL, NULL},
    {"/api/v1//acts", NULL, NULL, NULL, NULL, NULL},
    {"/api/v1/acts/1/2", NULL, NULL, NULL, NULL, NULL},
    {"/api/v1/categories/x/size", NULL, NULL, NULL, NULL, NULL},
    {"/api/v1/users", NULL, NULL, NULL, NULL, NULL},
    {"//", "/", "", service_root, NULL, NULL},
    {"*", NULL, NULL, NULL, NULL, NULL},
    {"", NULL, NULL, NULL, NULL, NULL},
};

static void paths_find_their_route(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct sv param = {"", 0};
        const struct route *r = router_find(table, ARRAY_LEN(table), sv_of(rows[i].path), &param);

        ROW_EQ_STR(rows[i].path, r != NULL ? r->pattern : "none",
                   rows[i].pattern != NULL ? rows[i].pattern : "none");
        if (r == NULL)
            continue;
        if (!sv_eq(param, rows[i].param))
            fail_msg("row '%s': parameter '%.*s'", rows[i].path, (int)param.n, param.p);
        if (router_method(r, METHOD_GET) != rows[i].get ||
            router_method(r, METHOD_HEAD) != rows[i].get ||
            router_method(r, METHOD_POST) != rows[i].post ||
            router_method(r, METHOD_DELETE) != rows[i].del ||
            router_method(r, METHOD_OTHER) != NULL)
            fail_msg("row '%s': wrong handler", rows[i].path);
    }
}

static void counted_are_the_api_routes_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        bool own =
            strcmp(table[i].pattern, "/") == 0 || strncmp(table[i].pattern, "/api/v1/_", 9) == 0;

        ROW_EQ_U64(table[i].pattern, table[i].counted, !own);
    }
}

static void allow_names_the_methods(void **state)
{
    char buf[64];

    (void)state;
    assert_string_equal(
        router_allow(&(struct route){.get = count_get, .post = acts_add, .del = count_reset}, buf,
                     sizeof(buf)),
        "GET, HEAD, POST, DELETE, OPTIONS");
    assert_string_equal(router_allow(&(struct route){.post = acts_add}, buf, sizeof(buf)),
                        "POST, OPTIONS");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_find_their_route),
        cmocka_unit_test(counted_are_the_api_routes_only),
        cmocka_unit_test(allow_names_the_methods),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
