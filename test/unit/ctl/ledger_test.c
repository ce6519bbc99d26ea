#include "test/unit/ctl/live.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "ctl/ledger.h"

/* The ledger of decisions, as lbctl sees it. */

static json_t *events(json_t *ask)
{
    json_t *doc = live_ask(MSG_EVENTS_GET, ask), *list;

    if (doc == NULL)
        fail_msg("%s", live.refusal);
    list = json_incref(json_object_get(doc, "events"));
    json_decref(doc);
    return list;
}

static json_t *all_events(void)
{
    return events(json_pack("{s:i, s:i}", "after", 0, "limit", 1000));
}

/* The first one at or behind *at with that kind and code, whose number *at then is behind. */
static const json_t *find(const json_t *list, size_t *at, const char *kind, const char *code)
{
    for (; *at < json_array_size(list); ++*at) {
        const json_t *o = json_array_get(list, *at);

        if (strcmp(proto_str(o, "kind", ""), kind) == 0 &&
            strcmp(proto_str(o, "code", ""), code) == 0) {
            ++*at;
            return o;
        }
    }
    fail_msg("no event %s %s", kind, code);
    return NULL;
}

static void expect_gapless(const json_t *list)
{
    uint64_t first = proto_uint(json_array_get(list, 0), "seq", 0);

    for (size_t i = 0; i < json_array_size(list); i++)
        assert_int_equal(proto_uint(json_array_get(list, i), "seq", 0), first + i);
}

/* A sick instance: from the failed probe over the receipt and the stop to its successor. */
static void test_a_replacement(void **state)
{
    const json_t *receipt, *stop, *in;
    char token[40];
    json_t *list;
    size_t at = 0;

    (void)state;
    live_start();
    live_webs(1);
    (void)snprintf(token, sizeof token, "%s", fake_box("web", 0)->token);
    live_mark();
    fake_box("web", 0)->sick = true;
    live_replaced(1);
    list = all_events();
    expect_gapless(list);
    (void)find(list, &at, "daemon", "ctld-began");
    (void)find(list, &at, "slot", "dependency");
    (void)find(list, &at, "slot", "probe-passed");
    (void)find(list, &at, "slot", "probe-failed");
    receipt = find(list, &at, "drain", "drained");
    in = json_object_get(receipt, "inputs");
    assert_string_equal(proto_str(receipt, "service", ""), "web");
    assert_int_equal(proto_uint(receipt, "slot", 9), 0);
    assert_string_equal(proto_str(in, "instance", ""), token);
    assert_int_equal(proto_uint(in, "in_flight_at_mark", 9), 1);
    assert_int_equal(proto_uint(in, "in_flight", 9), 0);
    assert_int_equal(proto_uint(in, "after_mark", 9), 0);
    assert_int_not_equal(proto_uint(in, "acked_ms", 0), 0);
    stop = find(list, &at, "stop", "stop");
    assert_int_equal(proto_uint(json_object_get(stop, "inputs"), "receipt", 0),
                     proto_uint(receipt, "seq", 1));
    assert_string_equal(proto_str(json_object_get(stop, "inputs"), "instance", ""), token);
    (void)find(list, &at, "slot", "replaces");
    (void)find(list, &at, "slot", "probe-passed");
    json_decref(list);
}

/* No receipt, no quiet stop: it says so. */
static void test_lbd_is_deaf(void **state)
{
    json_t *list;
    size_t at = 0;

    (void)state;
    live_start();
    live_webs(1);
    lb.deaf = true;
    live_mark();
    fake_box("web", 0)->sick = true;
    UNTIL(live_is_replaced, 10000);
    list = all_events();
    (void)find(list, &at, "drain", "drain-forced");
    (void)find(list, &at, "stop", "stop");
    json_decref(list);
}

static void test_wishes_and_filters(void **state)
{
    json_t *list;
    size_t at = 0;

    (void)state;
    live_start();
    live_scale(3);
    live_webs(3);
    json_decref(live_ask(MSG_SCALE_SET, json_pack("{s:s, s:b}", "service", "web", "auto", 1)));
    live_webs(1); /* no requests */
    json_decref(live_ask(MSG_SERVICE_RESET, json_pack("{s:s}", "service", "web")));
    list = events(json_pack("{s:s, s:i}", "service", "web", "limit", 1000));
    (void)find(list, &at, "operator", "pinned");
    (void)find(list, &at, "operator", "unpinned");
    assert_int_equal(
        proto_uint(json_object_get(find(list, &at, "scale", "scaled"), "inputs"), "to", 0), 1);
    at = 0;
    (void)find(list, &at, "operator", "reset");
    for (size_t i = 0; i < json_array_size(list); i++)
        assert_string_equal(proto_str(json_array_get(list, i), "service", ""), "web");
    json_decref(list);
    list = events(json_pack("{s:s, s:i, s:i}", "service", "web", "slot", 2, "limit", 2));
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(proto_str(json_array_get(list, 1), "text", ""),
                        "stopping -> empty: no longer wanted");
    json_decref(list);
}

/* What was noted is there after a restart, whatever the file looks like. */
static void test_survives(void **state)
{
    char path[128];
    uint64_t last;
    json_t *list;
    int fd;

    (void)state;
    (void)snprintf(path, sizeof path, "%s/events.jsonl", live.dir);
    live_start();
    live_webs(1);
    live_stop();
    fd = open(path, O_WRONLY | O_APPEND);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "nonsense\n{\"seq\":1}\n{\"seq\":99999,\"at\":\"cut of", 44), 44);
    close(fd);
    live_start();
    live_webs(1);
    list = all_events();
    expect_gapless(list);
    last = proto_uint(json_array_get(list, json_array_size(list) - 1), "seq", 0);
    json_decref(list);
    assert_in_range(last, 8, 98);
    live_stop();
    live_start(); /* the torn line has not swallowed the next one */
    list = all_events();
    expect_gapless(list);
    assert_true(json_array_size(list) > last);
    json_decref(list);
}

static void test_rotation(void **state)
{
    char path[128];
    struct stat st;
    json_t *list;

    (void)state;
    live_start();
    live_webs(1);
    for (unsigned i = 0; i < 8000; i++)
        (void)ledger_note(live.ctl->ledger,
                          &(struct ledger_entry){LEDGER_SLOT, REASON_WANTED, "web", 0, NULL},
                          "an entry of some length, as most of them have, number %u", i);
    (void)snprintf(path, sizeof path, "%s/events.jsonl.1", live.dir);
    assert_int_equal(stat(path, &st), 0);
    assert_in_range(st.st_size, (1 << 20) - 2000, 1 << 20);
    (void)snprintf(path, sizeof path, "%s/events.jsonl", live.dir);
    assert_int_equal(stat(path, &st), 0);
    assert_in_range(st.st_size, 1, 1 << 20);
    live_stop();
    live_start();
    list = all_events(); /* as many as were asked for; the oldest kept one first */
    expect_gapless(list);
    assert_int_equal(json_array_size(list), 1000);
    assert_true(proto_uint(json_array_get(list, 0), "seq", 0) > 2000);
    json_decref(list);
}

/* The file cannot be written: services are kept running all the same, and memory has the events. */
static void test_no_disk(void **state)
{
    char path[128];
    json_t *list;
    size_t at = 0;

    (void)state;
    (void)snprintf(path, sizeof path, "%s/events.jsonl", live.dir);
    assert_int_equal(mkdir(path, 0700), 0);
    live_start();
    live_webs(1);
    list = all_events();
    (void)find(list, &at, "slot", "probe-passed");
    json_decref(list);
    assert_int_equal(rmdir(path), 0);
    live_run_for(11000);
    live_scale(2);
    live_webs(2);
    assert_int_equal(access(path, F_OK), 0); /* and the file, once that is possible again */
}

static json_t *told;

static void on_told(void *arg, const json_t *body, const struct err *e)
{
    (void)arg;
    (void)e;
    told = json_incref((json_t *)body);
}

static bool is_told(void)
{
    return told != NULL;
}

static uint64_t after;

static void on_follower_open(struct chan *ch, void *arg)
{
    (void)arg;
    chan_request(ch, MSG_EVENTS_GET,
                 json_pack("{s:I, s:i}", "after", (json_int_t)after, "wait_ms", 4000), 10000,
                 on_told, NULL);
}

/* lbctl events -f: the answer comes with the next event, or empty after the wait. */
static void test_follow(void **state)
{
    struct chan_config cc = {.role = PROTO_CLI, .build = "test", .on_open = on_follower_open};
    struct chan_hub *hub;
    struct err e;
    json_t *list;

    (void)state;
    live_start();
    live_webs(1);
    list = all_events();
    after = json_array_size(list);
    json_decref(list);
    assert_true(chan_hub_new(live.loop, &cc, &hub, &e));
    assert_true(chan_hub_connect_once(hub, live.path_ctl, &e));
    live_run_for(500);
    assert_null(told);
    live_scale(1);
    UNTIL(is_told, 1000);
    assert_string_equal(proto_str(json_array_get(json_object_get(told, "events"), 0), "code", ""),
                        "pinned");
    assert_int_equal(proto_uint(told, "last", 0), after + 1);
    json_decref(told);
    told = NULL;
    chan_hub_free(hub);

    after++;
    assert_true(chan_hub_new(live.loop, &cc, &hub, &e));
    assert_true(chan_hub_connect_once(hub, live.path_ctl, &e));
    UNTIL(is_told, 6000);
    assert_int_equal(json_array_size(json_object_get(told, "events")), 0);
    json_decref(told);
    told = NULL;
    live_run_for(10);
    chan_hub_free(hub); /* ctld ends while somebody follows: live_teardown() */
}

static void test_why(void **state)
{
    static const struct {
        const char *ask, *want;
    } rows[] = {
        {"{\"service\":\"web\"}", "web has 0 of 1 instances ready (auto, 1 to 10). Instances are "
                                  "not started: it waits for db."},
        {"{\"service\":\"web\",\"slot\":0}", "web/0 is waiting since 20"},
        {"{\"service\":\"web\",\"slot\":0}", "[dependency] (waits for db)"},
        {"{\"service\":\"db\",\"slot\":0}", "db/0 is starting"},
    };

    (void)state;
    engine.warm_ms = 1000000;
    live_start();
    live_run_for(500);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *a = live_ask(MSG_WHY_GET, json_loads(rows[i].ask, 0, NULL));

        if (a == NULL)
            fail_msg("%s", live.refusal);
        ROW_HAS_STR(rows[i].ask, proto_str(a, "text", ""), rows[i].want);
        json_decref(a);
    }
    assert_null(live_ask(MSG_WHY_GET, json_pack("{s:s}", "service", "wbe")));
    assert_non_null(strstr(live.refusal, "did you mean 'web'"));
    assert_null(live_ask(MSG_WHY_GET, json_pack("{s:s, s:i}", "service", "web", "slot", 10)));
    assert_non_null(strstr(live.refusal, "slots 0 to 9"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIFE(test_a_replacement), LIFE(test_lbd_is_deaf), LIFE(test_wishes_and_filters),
        LIFE(test_survives),      LIFE(test_rotation),    LIFE(test_no_disk),
        LIFE(test_follow),        LIFE(test_why),
    };

    return live_main("ledger", tests, sizeof tests / sizeof tests[0]);
}
