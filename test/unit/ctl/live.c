#include "test/unit/ctl/live.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/log.h"

static const char text[] =
    "project: t\n"
    "listen: 127.0.0.1:21500\n"
    "services:\n"
    "  web:\n"
    "    image: web:1\n"
    "    depends_on: [db]\n"
    "    route: /api\n"
    "    port: 80\n"
    "    host_ports: 21600-21609\n"
    "    health: { path: /h, interval: 100ms, timeout: 50ms, fall: 1, rise: 1, start_period: 1s }\n"
    "    scale: { min: 1, max: 10, every: 1s, per: 20 }\n"
    "    drain: 500ms\n"
    "    stop_grace_period: 200ms\n"
    "  db:\n"
    "    image: db:1\n"
    "    port: 5432\n"
    "    health: { tcp: true, interval: 100ms, timeout: 50ms, fall: 3, start_period: 1s }\n";

struct live live;

static void on_next(void *arg, struct conf *next) /* ctl_options.on_next */
{
    (void)arg;
    live.next = next;
}

void live_start(void)
{
    struct ctl_options o = {
        .conf = live.conf,
        .runtime = &runtime_fake,
        .run_dir = live.dir,
        .state_dir = live.dir,
        .loads = ++live.loads,
        .on_next = on_next,
    };
    struct err e;

    if (!ctl_new(live.loop, &o, &live.ctl, &e))
        fail_msg("%s", e.msg);
}

void live_stop(void)
{
    ctl_free(live.ctl);
    live.ctl = NULL;
}

static void hurry(struct conf *c)
{
    c->services[0].health.interval_ms = 20;
    c->services[0].scale.every_ms = 400;
    c->services[1].health.interval_ms = 20;
}

static void write_conf(void)
{
    struct err e;

    if (!file_write_atomic(live.path_conf, live.text, strlen(live.text), 0600, &e))
        fail_msg("%s", e.msg);
}

void live_edit(const char *from, const char *to)
{
    char *at = strstr(live.text, from);
    size_t n = strlen(from), m = strlen(to);

    assert_non_null(at);
    for (; at != NULL; at = strstr(at + m, from)) {
        assert_true(strlen(live.text) + m < sizeof live.text + n);
        memmove(at + m, at + n, strlen(at + n) + 1);
        memcpy(at, to, m);
    }
    write_conf();
}

json_t *live_reload(void)
{
    json_t *plan = live_ask(MSG_RELOAD, json_object());

    if (plan == NULL)
        fail_msg("%s", live.refusal);
    if (live.next == NULL)
        return plan;
    live_stop();
    conf_free(live.conf);
    live.conf = live.next;
    live.next = NULL;
    if (live.conf->services_n > 1)
        hurry(live.conf);
    live_start();
    return plan;
}

int live_setup(void **state)
{
    struct conf_errors errs = {.n = 0};
    struct err e;

    (void)state;
    (void)snprintf(live.dir, sizeof live.dir, "/tmp/lbctl-loop-XXXXXX");
    assert_non_null(mkdtemp(live.dir));
    (void)snprintf(live.path_lb, sizeof live.path_lb, "%s/lb.sock", live.dir);
    (void)snprintf(live.path_ctl, sizeof live.path_ctl, "%s/ctl.sock", live.dir);
    (void)snprintf(live.path_conf, sizeof live.path_conf, "%s/lbctl.yaml", live.dir);
    (void)snprintf(live.text, sizeof live.text, "%s", text);
    write_conf();
    if (!conf_load(live.path_conf, &live.conf, &errs))
        fail_msg("%s", errs.v[0].msg);
    hurry(live.conf);
    live.loads = 0;
    conf_service_hash(&live.conf->services[0], live.web_hash);
    conf_service_hash(&live.conf->services[1], live.db_hash);
    assert_true(loop_new(&live.loop, &e));
    fake_engine_reset(live.loop);
    lb = (struct fake_lb){.smallest = 99};
    fake_lb_open(live.loop, live.path_lb);
    return 0;
}

int live_teardown(void **state)
{
    static const char *const files[] = {"ctl.json",   "ctld.lock",    "ctl.sock",      "lb.sock",
                                        "lbctl.yaml", "events.jsonl", "events.jsonl.1"};
    char path[128];

    (void)state;
    live_stop();
    fake_lb_close();
    json_decref(lb.table);
    loop_free(live.loop);
    conf_free(live.conf);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", live.dir, files[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(live.dir), 0);
    return 0;
}

static void on_alarm(void *arg)
{
    *(bool *)arg = true;
}

/* Runs the live.loop until the condition holds; false: not within ms. */
bool live_within(live_cond *cond, uint64_t ms)
{
    bool late = false;
    struct timer t;

    timer_init(&t, live.loop, on_alarm, &late);
    timer_in(&t, ms);
    while (!cond() && !late)
        (void)event_base_loop(loop_base(live.loop), EVLOOP_ONCE);
    timer_fini(&t);
    return cond();
}

static bool never(void)
{
    return false;
}

void live_run_for(uint64_t ms)
{
    (void)live_within(never, ms);
}

static unsigned wanted;

bool live_has_webs(void)
{
    return fake_count("web", RT_RUNNING) == wanted && fake_count("web", RT_EXITED) == 0 &&
           fake_count("web", RT_CREATED) == 0 && fake_lb_backends("web") == wanted &&
           fake_count("db", RT_RUNNING) == 1;
}

void live_webs(unsigned n)
{
    wanted = n;
    UNTIL(live_has_webs, 3000);
    for (unsigned i = 0; i < n; i++) {
        assert_non_null(fake_box("web", i));
        assert_int_equal(fake_box("web", i)->host_port, 21600 + i);
    }
    assert_int_equal(engine.stopped_in_table, 0);
    assert_true(engine.probes_at_once_max <= 1);
}

/* ---- as lbctl ---- */

static struct {
    bool done;
    json_t *body;
    struct err e;
    enum proto_msg msg;
    json_t *ask;
} cli;

static void on_cli_answer(void *arg, const json_t *body, const struct err *e)
{
    (void)arg;
    cli.body = json_incref((json_t *)body);
    (void)snprintf(live.refusal, sizeof live.refusal, "%s", e != NULL ? e->msg : "");
    cli.done = true;
}

static void on_cli_open(struct chan *ch, void *arg)
{
    (void)arg;
    chan_request(ch, cli.msg, cli.ask, 2000, on_cli_answer, NULL);
}

static bool cli_done(void)
{
    return cli.done;
}

/* The answer, or NULL and cli.e. */
json_t *live_ask(enum proto_msg msg, json_t *body)
{
    struct chan_config cc = {.role = PROTO_CLI, .build = "test", .on_open = on_cli_open};
    struct chan_hub *hub;
    struct err e;

    cli.done = false;
    cli.msg = msg;
    cli.ask = body;
    assert_true(chan_hub_new(live.loop, &cc, &hub, &e));
    assert_true(chan_hub_connect_once(hub, live.path_ctl, &e));
    UNTIL(cli_done, 2500);
    chan_hub_free(hub);
    return cli.body;
}

void live_scale(unsigned n)
{
    json_t *a =
        live_ask(MSG_SCALE_SET, json_pack("{s:s, s:i}", "service", "web", "replicas", (int)n));

    if (a == NULL)
        fail_msg("%s", live.refusal);
    assert_int_equal(proto_uint(a, "to", 0), n);
    assert_string_equal(proto_str(a, "mode", ""), "manual");
    json_decref(a);
}

/* status.services[0].scaling.clock and friends */
void live_expect_service(const char *mode, unsigned wish, const char *clock)
{
    json_t *doc = live_ask(MSG_STATUS_GET, json_object());
    const json_t *s = json_array_get(json_object_get(doc, "services"), 0);

    assert_string_equal(proto_str(s, "mode", ""), mode);
    assert_int_equal(proto_uint(s, "wish", 0), wish);
    assert_string_equal(proto_str(json_object_get(s, "scaling"), "clock", ""), clock);
    json_decref(doc);
}

void live_expect_state(const char *state)
{
    json_t *doc = live_ask(MSG_STATUS_GET, json_object());

    assert_string_equal(proto_str(doc, "state", ""), state);
    json_decref(doc);
}

static char old_id[65];

bool live_is_replaced(void)
{
    const struct fake_box *b = fake_box("web", 0);

    return b != NULL && strcmp(b->id, old_id) != 0;
}

void live_replaced(unsigned n)
{
    UNTIL(live_is_replaced, 2500);
    live_webs(n);
}

void live_mark(void)
{
    assert_non_null(fake_box("web", 0));
    (void)snprintf(old_id, sizeof old_id, "%s", fake_box("web", 0)->id);
}

int live_main(const char *name, const struct CMUnitTest *tests, size_t n)
{
    log_init("test", LOG_FMT_TEXT, getenv("LB_TEST_VERBOSE") != NULL ? LOG_LV_DEBUG : LOG_LV_ERROR);
    return _cmocka_run_group_tests(name, tests, n, NULL, NULL);
}
