#include "test/unit/unit.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "ctl/ctl.h"
#include "test/unit/ctl/fake.h"

/* The whole of ctld on a fake engine, fake probes and a fake lbd, in this process. Every wait is for an event. */
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

static struct loop *loop;
static struct ctl *ctl;
static struct conf *conf;
static char dir[64], path_lb[128], path_ctl[128], web_hash[17], db_hash[17];

static void start_ctl(void)
{
    struct ctl_options o = {.conf = conf, .runtime = &runtime_fake, .run_dir = dir, .state_dir = dir};
    struct err e;

    if (!ctl_new(loop, &o, &ctl, &e))
        fail_msg("%s", e.msg);
}

static void stop_ctl(void)
{
    ctl_free(ctl);
    ctl = NULL;
}

static int setup(void **state)
{
    struct conf_errors errs = {.n = 0};
    struct err e;

    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/lbctl-loop-XXXXXX");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path_lb, sizeof path_lb, "%s/lb.sock", dir);
    (void)snprintf(path_ctl, sizeof path_ctl, "%s/ctl.sock", dir);
    if (!conf_parse("test", text, strlen(text), &conf, &errs))
        fail_msg("%s", errs.v[0].msg);
    conf->services[0].health.interval_ms = 20;
    conf->services[0].scale.every_ms = 400;
    conf->services[1].health.interval_ms = 20;
    conf_service_hash(&conf->services[0], web_hash);
    conf_service_hash(&conf->services[1], db_hash);
    assert_true(loop_new(&loop, &e));
    fake_engine_reset(loop);
    lb = (struct fake_lb){.smallest = 99};
    fake_lb_open(loop, path_lb);
    return 0;
}

static int teardown(void **state)
{
    static const char *const files[] = {"ctl.json", "ctld.lock", "ctl.sock", "lb.sock"};
    char path[128];

    (void)state;
    stop_ctl();
    fake_lb_close();
    json_decref(lb.table);
    loop_free(loop);
    conf_free(conf);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(dir), 0);
    return 0;
}

static void on_alarm(void *arg)
{
    *(bool *)arg = true;
}

typedef bool cond_fn(void);

/* Runs the loop until the condition holds; false: not within ms. */
static bool holds_within(cond_fn *cond, uint64_t ms)
{
    bool late = false;
    struct timer t;

    timer_init(&t, loop, on_alarm, &late);
    timer_in(&t, ms);
    while (!cond() && !late)
        (void)event_base_loop(loop_base(loop), EVLOOP_ONCE);
    timer_fini(&t);
    return cond();
}

#define UNTIL(cond, ms)                                                                            \
    do {                                                                                           \
        if (!holds_within(cond, ms))                                                               \
            fail_msg("line %d: not within %d ms: %s", __LINE__, (int)(ms), #cond);                 \
    } while (0)

static bool never(void)
{
    return false;
}

static void run_for(uint64_t ms)
{
    (void)holds_within(never, ms);
}

static unsigned wanted;

static bool webs(void)
{
    return fake_count("web", RT_RUNNING) == wanted && fake_count("web", RT_EXITED) == 0 &&
           fake_count("web", RT_CREATED) == 0 && fake_lb_backends("web") == wanted && fake_count("db", RT_RUNNING) == 1;
}

static void expect_webs(unsigned n)
{
    wanted = n;
    UNTIL(webs, 3000);
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
    if (e != NULL)
        cli.e = *e;
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
static json_t *ask(enum proto_msg msg, json_t *body)
{
    struct chan_config cc = {.role = PROTO_CLI, .build = "test", .on_open = on_cli_open};
    struct chan_hub *hub;
    struct err e;

    cli.done = false;
    cli.e.msg[0] = '\0';
    cli.msg = msg;
    cli.ask = body;
    assert_true(chan_hub_new(loop, &cc, &hub, &e));
    assert_true(chan_hub_connect_once(hub, path_ctl, &e));
    UNTIL(cli_done, 2500);
    chan_hub_free(hub);
    return cli.body;
}

static void scale(unsigned n)
{
    json_t *a = ask(MSG_SCALE_SET, json_pack("{s:s, s:i}", "service", "web", "replicas", (int)n));

    if (a == NULL)
        fail_msg("%s", cli.e.msg);
    assert_int_equal(proto_uint(a, "to", 0), n);
    assert_string_equal(proto_str(a, "mode", ""), "manual");
    json_decref(a);
}

/* status.services[0].scaling.clock and friends */
static void expect_service(const char *mode, unsigned wish, const char *clock)
{
    json_t *doc = ask(MSG_STATUS_GET, json_object());
    const json_t *s = json_array_get(json_object_get(doc, "services"), 0);

    assert_string_equal(proto_str(s, "mode", ""), mode);
    assert_int_equal(proto_uint(s, "wish", 0), wish);
    assert_string_equal(proto_str(json_object_get(s, "scaling"), "clock", ""), clock);
    json_decref(doc);
}

static void expect_state(const char *state)
{
    json_t *doc = ask(MSG_STATUS_GET, json_object());

    assert_string_equal(proto_str(doc, "state", ""), state);
    json_decref(doc);
}

/* ---- the tests ---- */

static bool db_runs(void)
{
    return fake_count("db", RT_RUNNING) == 1;
}

static void test_starts_in_order(void **state)
{
    (void)state;
    start_ctl();
    UNTIL(db_runs, 2000);
    assert_int_equal(engine.n, 1);
    expect_webs(1);
    assert_int_equal(engine.creates, 2);
    run_for(100);
    assert_int_equal(lb.tables, 2); /* empty, then one backend: nothing is pushed twice */
    expect_state("ok");
}

static char old_id[65];

static bool replaced(void)
{
    const struct fake_box *b = fake_box("web", 0);

    return b != NULL && strcmp(b->id, old_id) != 0;
}

static void expect_replaced(unsigned n)
{
    UNTIL(replaced, 2500);
    expect_webs(n);
}

static void mark(void)
{
    (void)snprintf(old_id, sizeof old_id, "%s", fake_box("web", 0)->id);
}

static void test_replaces_a_sick_one_twice(void **state)
{
    (void)state;
    start_ctl();
    expect_webs(1);
    for (unsigned i = 0; i < 2; i++) {
        mark();
        fake_box("web", 0)->sick = true;
        expect_replaced(1);
    }
    assert_int_equal(engine.kills, 2);
    assert_int_equal(engine.stops, 0);
    assert_int_equal(lb.drains, 2);
    assert_int_equal(engine.creates, 4);
    assert_int_equal(fake_box("web", 0)->generation, 3);
}

static void test_replaces_hung_and_killed(void **state)
{
    (void)state;
    start_ctl();
    scale(2);
    expect_webs(2);
    mark();
    fake_box("web", 0)->hung = true;
    expect_replaced(2);
    mark();
    fake_kill(fake_box("web", 0));
    expect_replaced(2);
    mark();
    *fake_box("web", 0) = engine.boxes[--engine.n]; /* removed by hand, no hint */
    expect_replaced(2);
}

static void test_scales_by_hand(void **state)
{
    json_t *a;

    (void)state;
    start_ctl();
    expect_webs(1);
    scale(10);
    expect_webs(10);
    assert_in_range(engine.starts_at_once_max, 4, 8);
    expect_service("manual", 10, "off");
    scale(3);
    expect_webs(3);
    assert_int_equal(engine.stops, 7);
    assert_int_equal(engine.kills, 0);
    a = ask(MSG_SCALE_SET, json_pack("{s:s, s:b}", "service", "web", "auto", 1));
    assert_string_equal(proto_str(a, "mode", ""), "auto");
    json_decref(a);
    expect_service("auto", 3, "armed");
    expect_webs(1); /* no requests: the next decision goes back to the minimum */
    expect_service("auto", 1, "unarmed");
}

static void test_refuses_bad_wishes(void **state)
{
    static const struct {
        const char *body, *want;
    } rows[] = {
        {"{\"service\":\"web\",\"replicas\":0}", "1 to 10"},
        {"{\"service\":\"web\",\"replicas\":11}", "1 to 10"},
        {"{\"service\":\"web\"}", "either"},
        {"{\"service\":\"web\",\"replicas\":1,\"auto\":true}", "either"},
        {"{\"service\":\"wbe\",\"replicas\":1}", "did you mean 'web'"},
        {"{\"service\":\"something else\",\"replicas\":1}", "no service"},
    };

    (void)state;
    start_ctl();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_null(ask(MSG_SCALE_SET, json_loads(rows[i].body, 0, NULL)));
        ROW_HAS_STR(rows[i].body, cli.e.msg, rows[i].want);
    }
    assert_null(ask(MSG_SERVICE_RESET, json_pack("{s:s}", "service", "nobody")));
}

static void test_scales_by_load(void **state)
{
    (void)state;
    start_ctl();
    expect_webs(1);
    fake_lb_count(20, clock_mono_ms());
    expect_webs(2);
    fake_lb_count(45, clock_mono_ms());
    expect_webs(3);
    expect_webs(1);
    expect_service("auto", 1, "unarmed");
    fake_lb_count(19, clock_mono_ms());
    run_for(500);
    expect_webs(1);
    expect_service("auto", 1, "unarmed");
}

static void test_reset(void **state)
{
    json_t *a;

    (void)state;
    start_ctl();
    expect_webs(1);
    fake_lb_count(60, clock_mono_ms());
    expect_webs(4);
    fake_lb_count(1000, clock_mono_ms());
    lb.counted += 7; /* not told yet: the reset takes them with it */
    a = ask(MSG_SERVICE_RESET, json_pack("{s:s}", "service", "web"));
    assert_non_null(a);
    json_decref(a);
    expect_service("auto", 1, "unarmed");
    expect_webs(1);
}

static void test_no_numbers_no_scale_in(void **state)
{
    (void)state;
    start_ctl();
    expect_webs(1);
    fake_lb_count(60, clock_mono_ms());
    expect_webs(4);
    fake_lb_close();
    run_for(1200);
    assert_int_equal(fake_count("web", RT_RUNNING), 4);
    (void)snprintf(lb.boot, sizeof lb.boot, "boot2"); /* lbd died: it counts from zero again */
    lb.counted = 0;
    fake_lb_open(loop, path_lb);
    expect_webs(4);
    expect_webs(1); /* after a whole interval with numbers */
}

static void test_adopts_after_restart(void **state)
{
    unsigned creates;

    (void)state;
    start_ctl();
    scale(3);
    expect_webs(3);
    creates = engine.creates;
    lb.smallest = 99;
    for (unsigned i = 0; i < 3; i++) {
        stop_ctl();
        start_ctl();
        expect_service("manual", 3, "off");
        run_for(300);
        expect_webs(3);
    }
    assert_int_equal(engine.creates, creates);
    assert_int_equal(engine.stops + engine.kills + engine.removes, 0);
    assert_true(lb.smallest >= 3); /* no table emptier than reality was ever pushed */
    expect_state("ok");
}

static void test_restart_without_memory(void **state)
{
    char path[128];

    (void)state;
    start_ctl();
    expect_webs(1);
    fake_lb_count(60, clock_mono_ms());
    expect_webs(4);
    stop_ctl();
    (void)snprintf(path, sizeof path, "%s/ctl.json", dir);
    assert_int_equal(unlink(path), 0);
    start_ctl();
    run_for(250);
    expect_webs(4); /* reality is the memory */
    expect_service("auto", 4, "armed");
    assert_int_equal(engine.creates, 5);
}

/* ctld dies between the table without a sick one and its stop: its successor must not grant it a start period. */
static void test_restart_amid_a_replacement(void **state)
{
    (void)state;
    start_ctl();
    expect_webs(1);
    stop_ctl();
    mark();
    fake_box("web", 0)->sick = true;
    json_decref(lb.table); /* lbd has lost it already */
    lb.table = NULL;
    start_ctl();
    UNTIL(replaced, 900);
    expect_webs(1);
}

/* An end that no hint tells and no list has shown yet, of an instance that has never been ready. */
static void test_unheard_death(void **state)
{
    conf->services[0].health.start_period_ms = 60000;
    (void)state;
    fake_add("db", 0, 4, RT_RUNNING, db_hash, 0);
    fake_add("web", 0, 7, RT_RUNNING, web_hash, 21600)->listens_ms = UINT64_MAX;
    start_ctl();
    mark();
    run_for(300);
    fake_box("web", 0)->state = RT_EXITED;
    UNTIL(replaced, 2000);
    expect_webs(1);
}

static void test_damaged_memory(void **state)
{
    static const char *const files[] = {"", "{", "[]", "{\"schema\":1}", "{\"schema\":1,\"services\":[1]}",
                                        "{\"schema\":1,\"services\":{\"web\":{\"wish\":\"x\",\"slots\":{}}}}",
                                        "{\"schema\":1,\"services\":{\"web\":{\"wish\":99,\"manual\":true}}}"};
    char path[128];
    struct err e;

    (void)state;
    (void)snprintf(path, sizeof path, "%s/ctl.json", dir);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        assert_true(file_write_atomic(path, files[i], strlen(files[i]), 0600, &e));
        start_ctl();
        stop_ctl();
    }
}

static void test_adopts_leftovers(void **state)
{
    struct fake_box *b;

    (void)state;
    fake_add("db", 0, 4, RT_RUNNING, db_hash, 0);
    fake_add("db", 0, 5, RT_RUNNING, db_hash, 0);        /* a duplicate: the newest stays */
    fake_add("web", 0, 7, RT_CREATED, web_hash, 21600);  /* never started: used */
    fake_add("web", 0, 6, RT_EXITED, web_hash, 21600);   /* died before: removed */
    fake_add("web", 1, 2, RT_CREATED, "other", 21601);   /* of another configuration: removed */
    fake_add("gone", 0, 1, RT_RUNNING, "x", 0);          /* a service of former times */
    fake_add("web", 12, 1, RT_RUNNING, web_hash, 21612); /* a slot of former times */
    start_ctl();
    expect_webs(1);
    b = fake_box("db", 0);
    assert_int_equal(b->generation, 5);
    assert_int_equal(fake_box("web", 0)->generation, 7);
    assert_int_equal(engine.creates, 0);
    assert_int_equal(engine.n, 2);
}

static bool settled(void)
{
    return engine.n == 2 && webs();
}

static void test_lost_answers_make_no_duplicates(void **state)
{
    (void)state;
    engine.lose_create = engine.lose_start = true;
    start_ctl();
    expect_webs(1);
    UNTIL(settled, 2000);
    engine.lose_create = engine.lose_start = engine.lose_stop = true;
    mark();
    fake_box("web", 0)->sick = true;
    expect_replaced(1);
    UNTIL(settled, 2000);
    assert_int_equal(engine.creates, 3);
}

static void test_port_taken(void **state)
{
    (void)state;
    start_ctl();
    UNTIL(db_runs, 2000);
    engine.refuse_start = RT_PORT_BUSY;
    expect_webs(1);
    assert_int_equal(engine.creates, 2); /* the same instance, tried again */
}

static void test_engine_away(void **state)
{
    unsigned creates;

    (void)state;
    start_ctl();
    scale(2);
    expect_webs(2);
    creates = engine.creates;
    engine.away = true;
    mark();
    fake_box("web", 0)->sick = true;
    engine.hint(engine.hint_arg, "resync", "", "", 0);
    run_for(300);
    assert_int_equal(fake_lb_backends("web"), 1); /* out of rotation all the same */
    assert_int_equal(engine.creates, creates);
    assert_int_equal(engine.stops + engine.kills + engine.removes, 0);
    expect_state("degraded");
    engine.away = false;
    expect_replaced(2);
    assert_int_equal(engine.creates, creates + 1);
}

static bool lb_has_successor(void)
{
    return replaced() && fake_lb_has(fake_box("web", 0)->token);
}

static void test_lbd_away(void **state)
{
    (void)state;
    start_ctl();
    expect_webs(1);
    fake_lb_close();
    mark();
    fake_box("web", 0)->sick = true;
    UNTIL(replaced, 4000); /* after the bounded wait */
    expect_state("down");
    fake_lb_open(loop, path_lb);
    UNTIL(lb_has_successor, 2000);
    expect_webs(1);
}

static void test_generation_follows_lbd(void **state)
{
    (void)state;
    lb.generation = 1000;
    start_ctl();
    expect_webs(1);
    assert_true(lb.generation > 1000);
}

static void test_all_sick_one_at_a_time(void **state)
{
    (void)state;
    start_ctl();
    scale(4);
    expect_webs(4);
    engine.warm_ms = 1000000; /* no successor ever becomes ready */
    for (unsigned i = 0; i < 4; i++)
        fake_box("web", i)->sick = true;
    run_for(600);
    assert_int_equal(engine.kills, 1);
    assert_int_equal(fake_count("web", RT_RUNNING), 4);
    engine.warm_ms = 10;
    for (size_t i = 0; i < engine.n; i++)
        engine.boxes[i].sick = false, engine.boxes[i].listens_ms = 0; /* the common cause is over: nobody else needs to be replaced */
    expect_webs(4);
    assert_int_equal(engine.kills, 1);
}

static void test_one_ctld_a_project(void **state)
{
    struct ctl_options o = {.conf = conf, .runtime = &runtime_fake, .run_dir = dir, .state_dir = dir};
    struct ctl *second = NULL;
    struct err e;

    (void)state;
    start_ctl();
    assert_false(ctl_new(loop, &o, &second, &e));
    assert_non_null(strstr(e.msg, "one ctld a project"));
}

#define LIFE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIFE(test_starts_in_order),
        LIFE(test_replaces_a_sick_one_twice),
        LIFE(test_replaces_hung_and_killed),
        LIFE(test_scales_by_hand),
        LIFE(test_refuses_bad_wishes),
        LIFE(test_scales_by_load),
        LIFE(test_reset),
        LIFE(test_no_numbers_no_scale_in),
        LIFE(test_adopts_after_restart),
        LIFE(test_restart_without_memory),
        LIFE(test_restart_amid_a_replacement),
        LIFE(test_unheard_death),
        LIFE(test_damaged_memory),
        LIFE(test_adopts_leftovers),
        LIFE(test_lost_answers_make_no_duplicates),
        LIFE(test_port_taken),
        LIFE(test_engine_away),
        LIFE(test_lbd_away),
        LIFE(test_generation_follows_lbd),
        LIFE(test_all_sick_one_at_a_time),
        LIFE(test_one_ctld_a_project),
    };

    log_init("test", LOG_FMT_TEXT, getenv("LB_TEST_VERBOSE") != NULL ? LOG_LV_DEBUG : LOG_LV_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
