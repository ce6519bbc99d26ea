#include "test/unit/unit.h"

#include "common/base/macros.h"
#include "common/base/str.h"
#include "common/conf/conf.h"
#include "common/wire/proto.h"
#include "ctl/model.h"
#include "ctl/table.h"

/* What of the configuration goes to lbd. */

static json_t *service_of(const char *keys)
{
    char text[2048];
    struct conf_errors errs;
    struct conf *conf = NULL;
    struct ctl c = {.magic = 0};
    json_t *table, *service;
    struct err e;

    snprintf(text, sizeof(text), "services:\n  files:\n    static: /srv\n%s", keys);
    if (!conf_parse("t", text, strlen(text), &conf, &errs))
        fail_msg("%s", errs.v[0].msg);
    c.conf = conf;
    assert_true(loop_new(&c.loop, &e));
    model_build(&c);
    table = table_build(&c);
    (void)json_object_set_new(table, "generation", json_integer(1));
    if (!proto_check(SHAPE_TABLE, table, &e))
        fail_msg("%s", e.msg);
    service = json_incref(json_array_get(json_object_get(table, "services"), 0));
    json_decref(table);
    model_fini(&c);
    loop_free(c.loop);
    conf_free(conf);
    return service;
}

static const struct {
    const char *name, *keys, *member, *want; /* want: JSON; NULL: not there */
} rows[] = {
    {"short form", "    route: [/a, /b]\n", "routes", "[{\"prefix\":\"/a\"},{\"prefix\":\"/b\"}]"},
    {"a route of two hosts is two", "    routes: [{ path: /a, host: [x, '*.y'] }]\n", "routes",
     "[{\"prefix\":\"/a\",\"host\":\"x\"},{\"prefix\":\"/a\",\"host\":\"*.y\"}]"},
    {"header changes",
     "    routes: [{ response_headers: { add: { A: b }, set: { C: d }, remove: E } }]\n", "routes",
     "[{\"prefix\":\"/"
     "\",\"response_headers\":[{\"op\":\"remove\",\"name\":\"E\"},{\"op\":\"set\",\"name\":"
     "\"C\",\"value\":\"d\"},{\"op\":\"add\",\"name\":\"A\",\"value\":\"b\"}]}]"},
    {"redirect", "    routes: [{ redirect: /b }]\n", "routes",
     "[{\"prefix\":\"/\",\"redirect\":{\"to\":\"/b\",\"status\":308,\"keep_path\":true}}]"},
    {"redirect at length",
     "    routes: [{ redirect: { to: /b, status: 303, keep_path: false } }]\n", "routes",
     "[{\"prefix\":\"/\",\"redirect\":{\"to\":\"/b\",\"status\":303,\"keep_path\":false}}]"},
    {"fixed answer", "    routes: [{ respond: { status: 410 } }]\n", "routes",
     "[{\"prefix\":\"/\",\"respond\":{\"status\":410,\"type\":\"text/plain; "
     "charset=utf-8\",\"body\":\"\"}}]"},
    {"error pages", "    route: /\n    error_pages: { 404: /p/404.html }\n", "error_pages",
     "[{\"status\":404,\"file\":\"/p/404.html\"}]"},
    {"no error pages", "    route: /\n", "error_pages", NULL},
    {"no maintenance", "    route: /\n    maintenance_page: /p\n", "maintenance_page", NULL},
    {"maintenance", "    route: /\n    maintenance: true\n    maintenance_page: /p\n",
     "maintenance_page", "\"/p\""},
    {"its time", "    route: /\n    maintenance: true\n    maintenance_retry_after: 90s\n",
     "maintenance_retry_s", "90"},
};

static void test_rows(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *service = service_of(rows[i].keys), *got, *want;

        got = json_object_get(service, rows[i].member);
        want = rows[i].want != NULL ? json_loads(rows[i].want, JSON_DECODE_ANY, NULL) : NULL;
        ROW_EQ_U64(rows[i].name, (want == NULL) == (rows[i].want == NULL), 1); /* the row itself */
        if ((got == NULL) != (want == NULL) || (got != NULL && !json_equal(got, want)))
            fail_msg("row '%s': got %s", rows[i].name,
                     got != NULL ? json_dumps(got, JSON_ENCODE_ANY) : "nothing");
        json_decref(want);
        json_decref(service);
    }
}

/* Strip is a rewrite to the root; the service needs instances for it. */
static void test_strip(void **state UNUSED)
{
    static const char more[] =
        "    route: /x\n  web:\n    image: w\n    port: 80\n    connect: direct\n    health: { "
        "tcp: "
        "true }\n    routes: [{ path: /a, strip: true }, { path: /b, rewrite: /c }]\n";
    char text[1024];
    struct conf_errors errs;
    struct conf *conf = NULL;
    struct ctl c = {.magic = 0};
    json_t *table, *routes;
    struct err e;

    snprintf(text, sizeof(text), "services:\n  files:\n    static: /srv\n%s", more);
    if (!conf_parse("t", text, strlen(text), &conf, &errs))
        fail_msg("%s", errs.v[0].msg);
    c.conf = conf;
    assert_true(loop_new(&c.loop, &e));
    model_build(&c);
    table = table_build(&c);
    routes = json_object_get(json_array_get(json_object_get(table, "services"), 1), "routes");
    assert_string_equal(proto_str(json_array_get(routes, 0), "rewrite", ""), "/");
    assert_string_equal(proto_str(json_array_get(routes, 1), "rewrite", ""), "/c");
    json_decref(table);
    model_fini(&c);
    loop_free(c.loop);
    conf_free(conf);
}

static void test_example(void **state UNUSED)
{
    struct conf_errors errs;
    struct conf *conf = NULL;

    if (!conf_load(LBCTL_SOURCE_DIR "/deploy/examples/routes.yaml", &conf, &errs))
        fail_msg("%s", errs.v[0].msg);
    assert_int_equal(conf->services[0].routes.n, 3);
    conf_free(conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_strip),
                                       cmocka_unit_test(test_example)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
