#include "test/unit/unit.h"

#include <jansson.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "lb/site.h"
#include "lb/table.h"

enum { WORKERS = 3 };

static bool build(const char *text, const struct table *before, struct table **ret, struct err *e)
{
    json_error_t where;
    json_t *body = json_loads(text, 0, &where);
    bool ok;

    if (body == NULL)
        fail_msg("row is no JSON: %s", where.text);
    ok = table_new(body, WORKERS, before, NULL, NULL, ret, e);
    json_decref(body);
    return ok;
}

#define BACKEND(slot, inst, port)                                                                  \
    "{\"slot\":" #slot ",\"instance\":\"" inst "\",\"address\":\"127.0.0.1\",\"port\":" #port "}"
#define TABLE(gen, route, backends)                                                                \
    "{\"generation\":" #gen ",\"services\":[{\"name\":\"a\",\"routes\":[" route                    \
    "],\"backends\":[" backends "]}]}"
#define HEAVY(slot, inst, weight)                                                                  \
    "{\"slot\":" #slot ",\"instance\":\"" inst                                                     \
    "\",\"address\":\"127.0.0.1\",\"port\":8000,\"weight\":" #weight "}"
#define BALANCED(gen, balance, backends)                                                           \
    "{\"generation\":" #gen ",\"services\":[{\"name\":\"a\",\"routes\":[],\"balance\":{" balance   \
    "},\"backends\":[" backends "]}]}"
#define HROUTE(h, more) "{\"prefix\":\"/a\",\"host\":\"" h "\"" more "}"
#define ROUTE(p) "{\"prefix\":\"" p "\"}"

static const struct {
    const char *name, *text, *want; /* want: of the error; NULL: none */
} rows[] = {
    {"empty", "{\"generation\":1,\"services\":[]}", NULL},
    {"one", TABLE(1, ROUTE("/api/v1"), BACKEND(0, "i", 8000)), NULL},
    {"IPv6",
     TABLE(1, ROUTE("/"), "{\"slot\":0,\"instance\":\"i\",\"address\":\"::1\",\"port\":80}"), NULL},
    {"name for an address",
     TABLE(1, ROUTE("/"), "{\"slot\":0,\"instance\":\"i\",\"address\":\"localhost\",\"port\":80}"),
     "no address of a backend"},
    {"port 0", TABLE(1, ROUTE("/"), BACKEND(0, "i", 0)), "no address of a backend"},
    {"instance twice", TABLE(1, ROUTE("/"), BACKEND(0, "i", 1) "," BACKEND(1, "i", 2)),
     "listed twice"},
    {"route without slash", TABLE(1, ROUTE("api"), ""), "must begin with /"},
    {"route twice", TABLE(1, ROUTE("/a") "," ROUTE("/a/"), ""), "listed twice"},
    {"the same path of two hosts",
     TABLE(1, ROUTE("/a") "," HROUTE("x.example", "") "," HROUTE("*.example", ""), ""), NULL},
    {"host and path twice", TABLE(1, HROUTE("x.example", "") "," HROUTE("X.Example", ""), ""),
     "route 'X.Example/a' is listed twice"},
    {"bad host", TABLE(1, HROUTE("x:80", ""), ""), "'x:80' is no host"},
    {"edits",
     TABLE(1,
           HROUTE("",
                  ",\"rewrite\":\"/\",\"request_headers\":[{\"op\":\"add\",\"name\":\"a\","
                  "\"value\":\"b\"}],\"response_headers\":[{\"op\":\"remove\",\"name\":\"c\"}]"),
           ""),
     NULL},
    {"edit of no kind",
     TABLE(1, HROUTE("", ",\"request_headers\":[{\"op\":\"x\",\"name\":\"a\"}]"), ""),
     "'op' must be"},
    {"edit with a line end",
     TABLE(1,
           HROUTE("",
                  ",\"request_headers\":[{\"op\":\"add\",\"name\":\"a\",\"value\":\"b\\r\\nc\"}]"),
           ""),
     "no valid field name or value"},
    {"edit of framing",
     TABLE(1,
           HROUTE("", ",\"response_headers\":[{\"op\":\"set\",\"name\":\"content-length\","
                      "\"value\":\"0\"}]"),
           ""),
     "cannot be changed"},
    {"rewrite to no path", TABLE(1, HROUTE("", ",\"rewrite\":\"x\""), ""), "must be a path"},
    {"redirect", TABLE(1, HROUTE("", ",\"redirect\":{\"to\":\"/b\",\"status\":308}"), ""), NULL},
    {"redirect with another status",
     TABLE(1, HROUTE("", ",\"redirect\":{\"to\":\"/b\",\"status\":304}"), ""),
     "no redirect's status"},
    {"redirect with a line end",
     TABLE(1, HROUTE("", ",\"redirect\":{\"to\":\"/b\\r\\nX: y\",\"status\":308}"), ""),
     "no redirect's status or goal"},
    {"respond too early", TABLE(1, HROUTE("", ",\"respond\":{\"status\":100}"), ""),
     "no status or type"},
    {"a page that is not there",
     "{\"generation\":1,\"services\":[{\"name\":\"a\",\"routes\":[],\"backends\":[],"
     "\"error_pages\":[{\"status\":503,\"file\":\"/nonexistent\"}]}]}",
     NULL},
    {"files that are asked for by another path",
     "{\"generation\":1,\"services\":[{\"name\":\"a\",\"routes\":[{\"prefix\":\"/"
     "a\",\"rewrite\":\"/"
     "\"}],\"static\":\"/srv\",\"backends\":[]}]}",
     "requests for files cannot be changed"},
    {"files",
     "{\"generation\":1,\"services\":[{\"name\":\"a\",\"routes\":[],\"static\":\"/srv\","
     "\"backends\":[]}]}",
     NULL},
    {"files and backends",
     "{\"generation\":1,\"services\":[{\"name\":\"a\",\"routes\":[],\"static\":\"/srv\","
     "\"backends\":[" BACKEND(0, "i", 1) "]}]}",
     "must be an absolute path, without backends"},
    {"files of a relative path",
     "{\"generation\":1,\"services\":[{\"name\":\"a\",\"routes\":[],\"static\":\"srv\","
     "\"backends\":[]}]}",
     "must be an absolute path, without backends"},
    {"a policy", BALANCED(1, "\"policy\":\"hash\"", BACKEND(0, "i", 1)), NULL},
    {"no policy", BALANCED(1, "\"policy\":\"fast\"", BACKEND(0, "i", 1)),
     "service 'a': balance: 'fast' is no policy"},
    {"hash by cookie",
     BALANCED(1, "\"policy\":\"hash\",\"hash_by\":\"cookie\",\"hash_name\":\"a\"", ""), NULL},
    {"hash by a cookie without a name",
     BALANCED(1, "\"policy\":\"hash\",\"hash_by\":\"cookie\"", ""),
     "'hash_name' goes with 'hash_by' header or cookie"},
    {"hash by colour", BALANCED(1, "\"hash_by\":\"colour\"", ""), "'hash_by' must be address"},
    {"load bound", BALANCED(1, "\"load_bound_milli\":999", ""), "must be 0 or at least 1000"},
    {"sticky", BALANCED(1, "\"sticky\":\"a\",\"sticky_same_site\":\"Strict\"", ""), NULL},
    {"sticky without a name", BALANCED(1, "\"sticky\":\"\"", ""), "must be a cookie's name"},
    {"sticky of two lines", BALANCED(1, "\"sticky\":\"a\\r\\nb\"", ""), "must be a cookie's name"},
    {"path of two attributes", BALANCED(1, "\"sticky\":\"a\",\"sticky_path\":\"/;x\"", ""),
     "'sticky_path' must be a path"},
    {"same site", BALANCED(1, "\"sticky\":\"a\",\"sticky_same_site\":\"lax\"", ""),
     "must be Lax, Strict or None"},
    {"weights", TABLE(1, ROUTE("/"), HEAVY(0, "i", 3) "," HEAVY(1, "k", 256)), NULL},
    {"weight 0", TABLE(1, ROUTE("/"), HEAVY(0, "i", 3) "," HEAVY(1, "k", 0)),
     "service 'a': backends: [1]: 'weight' must be from 1 to 256"},
    {"service twice",
     "{\"generation\":1,\"services\":[{\"name\":\"a\",\"routes\":[],\"backends\":[]},{\"name\":"
     "\"a\",\"routes\":[],\"backends\":[]}]}",
     "listed twice"},
};

static void test_build(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct table *t = NULL;
        struct err e = {""};
        bool ok = build(rows[i].text, NULL, &t, &e);

        ROW_EQ_U64(rows[i].name, ok, rows[i].want == NULL);
        if (!ok)
            ROW_HAS_STR(rows[i].name, e.msg, rows[i].want);
        table_unref(t);
    }
}

static struct table *must(const char *text, const struct table *before)
{
    struct table *t;
    struct err e;

    if (!build(text, before, &t, &e))
        fail_msg("%s", e.msg);
    return t;
}

static void test_what_lives_on(void **state UNUSED)
{
    struct table *one =
        must(TABLE(1, ROUTE("/"), BACKEND(0, "x", 8000) "," BACKEND(1, "y", 8001)), NULL);
    struct table *two =
        must(TABLE(2, ROUTE("/"), BACKEND(0, "z", 8000) "," BACKEND(1, "y", 8001)), one);
    struct table *three = must(TABLE(3, ROUTE("/"), BACKEND(1, "y", 8002)), two);
    struct backend *y = table_find_backend(one, "a", "y");

    one->services[0].service->cursor = 41;
    assert_ptr_equal(one->services[0].service, two->services[0].service);
    assert_int_equal(three->services[0].service->cursor, 41);
    assert_ptr_equal(table_find_backend(two, "a", "y"), y);
    /* the same port, another instance: another backend; the same instance at another port, too */
    assert_ptr_not_equal(one->services[0].backends[0], two->services[0].backends[0]);
    assert_ptr_not_equal(table_find_backend(three, "a", "y"), y);
    assert_null(table_find_backend(three, "a", "x"));
    table_unref(one);
    cell_add(&y->cells[0].requests, 2);
    cell_add(&y->cells[2].requests, 3);
    assert_int_equal(CELLS_SUM(y, requests), 5);
    table_unref(two);
    table_unref(three);
}

static void test_plan(void **state UNUSED)
{
    struct table *alike =
        must(TABLE(1, ROUTE("/"), BACKEND(3, "x", 1) "," BACKEND(9, "y", 2)), NULL);
    struct table *heavy = must(TABLE(1, ROUTE("/"), HEAVY(0, "x", 4) "," HEAVY(1, "y", 2)), NULL);
    const struct pick_plan *p = &alike->services[0].balance.plan;

    assert_int_equal(p->policy, PICK_ROUND_ROBIN);
    assert_int_equal(p->n, 2);
    assert_null(p->weights);
    assert_null(p->order);
    assert_int_equal(p->ids[1], 9);
    assert_int_equal(p->slow_until_ms, 0);
    p = &heavy->services[0].balance.plan;
    assert_int_equal(p->weights[0], 4);
    assert_int_equal(p->weight_max, 4);
    assert_int_equal(p->order_n, 3);
    table_unref(alike);
    table_unref(heavy);
}

/* Slow is who joins others, for as long as it is in the table without a break. */
static void test_slow_start(void **state UNUSED)
{
    static const struct {
        const char *name, *backends;
        bool slow[2];
    } pushes[] = {
        {"the first", BACKEND(0, "x", 1), {false, false}},
        {"one joins", BACKEND(0, "x", 1) "," BACKEND(1, "y", 2), {false, true}},
        {"it stays", BACKEND(0, "x", 1) "," BACKEND(1, "y", 2), {false, true}},
        {"the first is replaced", BACKEND(0, "z", 1) "," BACKEND(1, "y", 2), {true, true}},
        {"another port: another backend", BACKEND(0, "z", 3) "," BACKEND(1, "y", 2), {true, true}},
        {"all go", "", {false, false}},
        {"they come into an empty table",
         BACKEND(0, "z", 3) "," BACKEND(1, "y", 2),
         {false, false}},
    };
    struct table *before = NULL;
    uint64_t since = 0;

    for (size_t i = 0; i < ARRAY_LEN(pushes); i++) {
        char text[512];
        const struct pick_plan *p;
        struct table *t;

        snprintf(text, sizeof(text), BALANCED(1, "\"slow_start_ms\":60000", "%s"),
                 pushes[i].backends);
        t = must(text, before);
        p = &t->services[0].balance.plan;
        for (unsigned k = 0; k < p->n; k++)
            ROW_EQ_U64(pushes[i].name, p->since_ms[k] > 0, pushes[i].slow[k]);
        if (i == 1)
            since = p->since_ms[1];
        if (i == 1 || i == 2)
            assert_int_equal(p->since_ms[1], since);
        ROW_EQ_U64(pushes[i].name, p->slow_until_ms > 0, pushes[i].slow[0] || pushes[i].slow[1]);
        table_unref(before);
        before = t;
    }
    table_unref(before);
}

static void test_limits(void **state UNUSED)
{
    static const struct {
        const char *name, *limits;
        struct table_limits want;
    } limits[] = {
        {"none", "{}", {.queue_ms = 5000, .hold_max = 256, .hold_ms = 10000}},
        {"all",
         "{\"per_instance\":5,\"in_flight\":7,\"queue\":9,\"queue_timeout_ms\":11,\"hold\":13,"
         "\"hold_timeout_ms\":17}",
         {5, 7, .queue_max = 9, .hold_max = 13, .queue_ms = 11, .hold_ms = 17}},
        {"a queue for each place",
         "{\"per_instance\":5}",
         {5, 0, .queue_max = 10, .hold_max = 256, .queue_ms = 5000, .hold_ms = 10000}},
        {"a queue for each place of the service",
         "{\"per_instance\":5,\"in_flight\":7}",
         {5, 7, .queue_max = 7, .hold_max = 256, .queue_ms = 5000, .hold_ms = 10000}},
        {"rate",
         "{\"rate\":10}",
         {.queue_ms = 5000,
          .hold_max = 256,
          .hold_ms = 10000,
          .has_rate = true,
          .rate = {100000, 900000}}},
        {"rate and burst",
         "{\"rate\":10,\"burst\":3}",
         {.queue_ms = 5000,
          .hold_max = 256,
          .hold_ms = 10000,
          .has_rate = true,
          .rate = {100000, 200000}}},
    };

    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        char text[800];
        const struct table_limits *got, *want = &limits[i].want;
        struct table *t;

        (void)snprintf(
            text, sizeof(text),
            "{\"generation\":1,\"services\":[{\"name\":\"a\",\"routes\":[],\"limits\":%s,"
            "\"backends\":[" BACKEND(0, "x", 1) "," BACKEND(1, "y", 2) "]}]}",
            limits[i].limits);
        t = must(text, NULL);
        got = &t->services[0].limits;
        ROW_EQ_U64(limits[i].name, got->per_backend, want->per_backend);
        ROW_EQ_U64(limits[i].name, got->in_flight_max, want->in_flight_max);
        ROW_EQ_U64(limits[i].name, got->queue_max, want->queue_max);
        ROW_EQ_U64(limits[i].name, got->hold_max, want->hold_max);
        ROW_EQ_U64(limits[i].name, got->queue_ms, want->queue_ms);
        ROW_EQ_U64(limits[i].name, got->hold_ms, want->hold_ms);
        ROW_EQ_U64(limits[i].name, got->has_rate, want->has_rate);
        ROW_EQ_U64(limits[i].name, got->rate.step_us, want->rate.step_us);
        ROW_EQ_U64(limits[i].name, got->rate.burst_us, want->rate.burst_us);
        ROW_EQ_U64(limits[i].name, t->services[0].service->rates != NULL, want->has_rate);
        table_unref(t);
    }
}

static void test_page(void **state UNUSED)
{
    struct table *t = must("{\"generation\":1,\"services\":[{\"name\":\"<b>&\\\"\",\"routes\":[],"
                           "\"backends\":[" BACKEND(0, "secret-token", 8123) "]}]}",
                           NULL);
    struct buf page;

    buf_init(&page, 65536);
    cell_add(&t->services[0].service->cells[0].requests, 4711);
    assert_true(site_render(t, &page));
    assert_non_null(strstr(page.data, "<td>&lt;b&gt;&amp;&quot;</td>"));
    assert_non_null(strstr(page.data, ">4711<"));
    assert_null(strstr(page.data, "secret-token"));
    assert_null(strstr(page.data, "127.0.0.1"));
    assert_null(strstr(page.data, "8123"));
    buf_clear(&page);
    assert_true(site_render(NULL, &page));
    assert_non_null(strstr(page.data, "Starting"));
    buf_fini(&page);
    table_unref(t);
}

#define HEARD(inst, listener)                                                                      \
    "{\"slot\":0,\"instance\":\"" inst "\",\"address\":\"127.0.0.1\",\"port\":8000" listener "}"

/* The socket that a backend is known by follows the newest table, for the same backend too. */
static void test_listener(void **state UNUSED)
{
    static const struct {
        const char *text;
        uint64_t want;
    } steps[] = {
        {TABLE(1, ROUTE("/"), HEARD("i", "")), 0},
        {TABLE(2, ROUTE("/"), HEARD("i", ",\"listener\":4294967296")), 4294967296},
        {TABLE(3, ROUTE("/"), HEARD("i", ",\"listener\":7")), 7},
        {TABLE(4, ROUTE("/"), HEARD("i", "")), 0},
    };
    struct table *before = NULL, *t;
    struct backend *b = NULL;
    struct err e;

    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        if (!build(steps[i].text, before, &t, &e))
            fail_msg("%s", e.msg);
        if (b != NULL)
            assert_ptr_equal(t->services[0].backends[0], b);
        b = t->services[0].backends[0];
        assert_true(atomic_load(&b->listener) == steps[i].want);
        table_unref(before);
        before = t;
    }
    table_unref(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listener),      cmocka_unit_test(test_build),
        cmocka_unit_test(test_what_lives_on), cmocka_unit_test(test_plan),
        cmocka_unit_test(test_slow_start),    cmocka_unit_test(test_page),
        cmocka_unit_test(test_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
