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
MARK(answer_count)
MARK(answer_count_reset)
MARK(categories_list)
MARK(categories_add)
MARK(categories_delete)
MARK(categories_size)
MARK(acts_list)
MARK(acts_add)
MARK(acts_upvote)
MARK(acts_delete)
MARK(acts_total)
MARK(accounts_list)
MARK(accounts_add)
MARK(accounts_delete)

#define ROUTE(pattern, counted, get, post, del) {pattern, counted, get, post, del},
static const struct route table[] = {
#include "acts-service/routes.def"
};
static const struct route users[] = {
#include "acts-service/users_routes.def"
};
#undef ROUTE

struct row {
    const char *path;
    const char *pattern; /* NULL: no route */
    const char *param;
    route_fn *get, *post, *del;
};

static const struct row rows[] = {
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
    {"/api/v1/_count", "/api/v1/_count", "", answer_count, NULL, answer_count_reset},
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

static const struct row users_rows[] = {
    {"/", "/", "", service_root, NULL, NULL},
    {"/api/v1/_count", "/api/v1/_count", "", answer_count, NULL, answer_count_reset},
    {"/api/v1/users", "/api/v1/users", "", accounts_list, accounts_add, NULL},
    {"/api/v1/users/", "/api/v1/users", "", accounts_list, accounts_add, NULL},
    {"/api/v1/users/a%2Fb", "/api/v1/users/*", "a%2Fb", NULL, NULL, accounts_delete},
    {"/api/v1/users/a/b", NULL, NULL, NULL, NULL, NULL},
    {"/api/v1/usersx", NULL, NULL, NULL, NULL, NULL},
    {"/api/v1/_health", NULL, NULL, NULL, NULL, NULL},
    {"/api/v1/_crash", NULL, NULL, NULL, NULL, NULL},
    {"/api/v1/acts", NULL, NULL, NULL, NULL, NULL},
};

static void check_row(const struct row *row, const struct route *routes, size_t n)
{
    struct sv param = {"", 0};
    const struct route *r = router_find(routes, n, sv_of(row->path), &param);

    ROW_EQ_STR(row->path, r != NULL ? r->pattern : "none",
               row->pattern != NULL ? row->pattern : "none");
    if (r == NULL)
        return;
    if (!sv_eq(param, row->param))
        fail_msg("row '%s': parameter '%.*s'", row->path, (int)param.n, param.p);
    if (router_method(r, METHOD_GET) != row->get || router_method(r, METHOD_HEAD) != row->get ||
        router_method(r, METHOD_POST) != row->post || router_method(r, METHOD_DELETE) != row->del ||
        router_method(r, METHOD_OTHER) != NULL)
        fail_msg("row '%s': wrong handler", row->path);
}

static void paths_find_their_route(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check_row(&rows[i], table, ARRAY_LEN(table));
    for (size_t i = 0; i < ARRAY_LEN(users_rows); i++)
        check_row(&users_rows[i], users, ARRAY_LEN(users));
}

static void check_counted(const struct route *r)
{
    bool own = strcmp(r->pattern, "/") == 0 || strncmp(r->pattern, "/api/v1/_", 9) == 0;

    ROW_EQ_U64(r->pattern, r->counted, !own);
}

static void counted_are_the_api_routes_only(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        check_counted(&table[i]);
    for (size_t i = 0; i < ARRAY_LEN(users); i++)
        check_counted(&users[i]);
}

static void allow_names_the_methods(void **state)
{
    char buf[64];

    (void)state;
    assert_string_equal(
        router_allow(
            &(struct route){.get = answer_count, .post = acts_add, .del = answer_count_reset}, buf,
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
