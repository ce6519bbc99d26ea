#include "test/unit/ctl/live.h"

/* Images that the engine does not have: pulled once, and only those that want them wait. */

static const json_t *web_of(const json_t *status)
{
    const json_t *s;
    size_t i;

    json_array_foreach(json_object_get(status, "services"), i, s)
    {
        if (strcmp(proto_str(s, "name", ""), "web") == 0)
            return s;
    }
    fail_msg("web is not in the status");
    return NULL;
}

/* How many slots of web wait with the code, the reason having the word. */
static unsigned waiting(const char *code, const char *word)
{
    json_t *doc = live_ask(MSG_STATUS_GET, json_object());
    const json_t *slot;
    unsigned n = 0;
    size_t i;

    json_array_foreach(json_object_get(web_of(doc), "slots"), i, slot)
    {
        n += strcmp(proto_str(slot, "state", ""), "waiting") == 0 &&
             strcmp(proto_str(slot, "code", ""), code) == 0 &&
             strstr(proto_str(slot, "reason", ""), word) != NULL;
    }
    json_decref(doc);
    return n;
}

static bool is_failing(void)
{
    json_t *doc = live_ask(MSG_STATUS_GET, json_object());
    const char *failing = proto_str(web_of(doc), "failing", "");
    bool yes = strstr(failing, "no way there") != NULL;

    json_decref(doc);
    return yes;
}

/* Most of the time nothing happens: no need to be quick. */
static void begin(void)
{
    live.conf->services[1].health.interval_ms = 5000;
    live_start();
}

static bool three_pull(void)
{
    return waiting("pulling", "1a2b: Downloading") == 3;
}

/* These ask, which takes no time: not for UNTIL. */
static bool one_pulls(void)
{
    return waiting("pulling", "pulls web:1 since 2026-") == 1;
}

static bool one_failed(void)
{
    return waiting("pull-failed", "no way there") == 1;
}

static bool db_runs(void)
{
    return fake_count("db", RT_RUNNING) == 1;
}

/* Minutes are no deadline: progress is. */
static void test_one_pull_for_three_slots(void **state)
{
    (void)state;
    live.conf->services[0].scale.min = 3;
    engine.missing = "web:1";
    engine.pull_ms = 120000;
    begin();
    live_run_for(70000);
    assert_true(three_pull());
    live_run_for(40000);
    assert_int_equal(waiting("pulling", "Downloading"), 3);
    assert_int_equal(engine.pulls, 1);
    assert_int_equal(engine.creates, 1); /* db */
    live_run_for(12000);
    live_webs(3);
    assert_int_equal(engine.pulls, 1);
    assert_int_equal(engine.creates, 4);
    live_expect_state("ok");
}

static void test_there_is_never_pulled(void **state)
{
    (void)state;
    begin();
    live_webs(1);
    live_mark();
    fake_kill(fake_box("web", 0));
    live_replaced(1);
    assert_int_equal(engine.pulls + engine.looks, 0);
}

/* The image of web is being pulled, which takes so long. */
static void begin_in_pull(uint64_t ms)
{
    engine.missing = "web:1";
    engine.pull_ms = ms;
    begin();
    live_run_for(1000);
    assert_true(one_pulls());
}

/* What hangs in a pull holds up neither the other service nor a stop. */
static void test_others_go_on(void **state)
{
    (void)state;
    begin_in_pull(120000);
    UNTIL(db_runs, 2000);
    for (unsigned i = 0; i < 3; i++) {
        fake_kill(fake_box("db", 0));
        UNTIL(db_runs, 30000);
        live_run_for(3000);
    }
    assert_int_equal(engine.pulls, 1);
    live_stop();
    assert_int_equal(engine.pulls_at_once, 0);
    engine.pull_ms = 100;
    begin(); /* begins again */
    live_webs(1);
    assert_int_equal(engine.pulls, 2);
    assert_int_equal(fake_count("web", RT_CREATED), 0);
}

static void test_failure_backs_off(void **state)
{
    (void)state;
    engine.missing = "web:1";
    engine.pull_error = "no way there";
    engine.pull_ms = 10;
    begin();
    live_run_for(500);
    assert_true(one_failed());
    live_run_for(40000);
    assert_in_range(engine.pulls, 4, 8); /* after 0, 1, 2, 4 ... s */
    assert_int_equal(engine.pulls_at_once_max, 1);
    assert_true(is_failing());
    engine.pull_error = NULL;
    live_run_for(70000);
    live_webs(1);
    assert_false(is_failing());
    live_expect_state("ok");
}

/* Somebody builds it: used without another pull. */
static void test_put_there_by_hand(void **state)
{
    unsigned pulls;

    (void)state;
    engine.missing = "web:1";
    engine.pull_error = "no way there";
    begin();
    live_run_for(30000);
    assert_true(one_failed());
    pulls = engine.pulls;
    engine.missing = NULL;
    live_run_for(70000);
    live_webs(1);
    assert_int_equal(engine.pulls, pulls);
}

static bool create_failed(void)
{
    return waiting("create-failed", "") == 1;
}

static void test_never(void **state)
{
    (void)state;
    live.conf->services[0].pull_policy = CONF_PULL_NEVER;
    engine.missing = "web:1";
    begin();
    live_run_for(1000);
    assert_true(create_failed());
    live_run_for(10000);
    assert_int_equal(engine.pulls, 0);
    engine.missing = NULL;
    live_run_for(70000);
    live_webs(1);
}

static bool engine_is_back(void)
{
    return engine.info.up;
}

/* The pull ends with it, and begins again. */
static void test_engine_goes_away(void **state)
{
    (void)state;
    begin_in_pull(20000);
    engine.away = true;
    live_run_for(10000);
    engine.away = false;
    UNTIL(engine_is_back, 30000);
    live_run_for(30000);
    live_webs(1);
    assert_int_equal(engine.pulls_at_once_max, 1);
    assert_int_equal(engine.creates, 2);
}

/* ---- a roll ---- */

static void change_image(void)
{
    live_edit("web:1", "web:2");
    json_decref(live_reload());
}

static unsigned of_form(const char *hash, bool same)
{
    unsigned n = 0;

    for (size_t i = 0; i < engine.n; i++)
        n += strcmp(engine.boxes[i].service, "web") == 0 && engine.boxes[i].state == RT_RUNNING &&
             (strcmp(engine.boxes[i].hash, hash) == 0) == same;
    return n;
}

static bool rolled(void)
{
    return of_form(live.web_hash, true) == 0 && live_has_webs();
}

/* surge: there is a port for one more, which waits; without it all wait. */
static void roll(unsigned n)
{
    begin();
    live_scale(n);
    live_webs(n);
    engine.missing = "web:2";
    engine.pull_error = "no way there";
    engine.pull_ms = 500;
    lb.smallest = 99;
    change_image();
    live_run_for(20000);
    assert_true(is_failing());
    assert_int_equal(of_form(live.web_hash, true), n);
    assert_int_equal(engine.stops + engine.kills, 0);
    assert_true(engine.pulls < 20);
    assert_int_equal(engine.pulls_at_once_max, 1);
    engine.pull_error = NULL;
    UNTIL(rolled, 100000);
    assert_false(is_failing());
    assert_int_equal(engine.kills, 0);
}

static void test_roll_with_one_more(void **state)
{
    (void)state;
    roll(3);
    assert_true(lb.smallest >= 3);
}

static void test_roll_in_place(void **state)
{
    (void)state;
    roll(10);
    assert_true(lb.smallest >= 9);
}

/* The engine has it: a roll costs one look. */
static void test_roll_of_what_is_there(void **state)
{
    (void)state;
    begin();
    live_scale(10);
    live_webs(10);
    change_image();
    UNTIL(rolled, 100000);
    assert_int_equal(engine.pulls, 0);
    assert_int_equal(engine.looks, 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        LIFE(test_one_pull_for_three_slots),
        LIFE(test_there_is_never_pulled),
        LIFE(test_others_go_on),
        LIFE(test_failure_backs_off),
        LIFE(test_put_there_by_hand),
        LIFE(test_never),
        LIFE(test_engine_goes_away),
        LIFE(test_roll_with_one_more),
        LIFE(test_roll_in_place),
        LIFE(test_roll_of_what_is_there),
    };

    return live_main("pulling", tests, sizeof tests / sizeof tests[0]);
}
