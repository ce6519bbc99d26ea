#include "test/unit/ctl/live.h"

#include "ctl/model.h"

/* Mass failure: the whole of ctld, with a dependency to blame or none. */

static const json_t *service_of(const json_t *doc, const char *list, const char *name)
{
    const json_t *s;
    size_t i;

    json_array_foreach(json_object_get(doc, list), i, s)
    {
        if (strcmp(proto_str(s, "name", ""), name) == 0)
            return s;
    }
    return NULL;
}

static bool fails_open(void)
{
    return proto_bool(service_of(lb.table, "services", "web"), "fail_open", false);
}

static void set_sick(const char *service, bool sick)
{
    for (size_t i = 0; i < engine.n; i++)
        if (strcmp(engine.boxes[i].service, service) == 0)
            engine.boxes[i].sick = sick;
}

static void expect_brake(const char *brake, const char *words)
{
    json_t *doc = live_ask(MSG_STATUS_GET, json_object()), *why;
    const json_t *b = json_object_get(service_of(doc, "services", "web"), "brake");

    assert_string_equal(proto_str(b, "state", "none"), brake);
    assert_non_null(strstr(proto_str(b, "text", ""), words));
    json_decref(doc);
    why = live_ask(MSG_WHY_GET, json_pack("{s:s}", "service", "web"));
    assert_non_null(strstr(proto_str(why, "text", ""), words));
    json_decref(why);
}

static unsigned noted(const char *code)
{
    json_t *doc = live_ask(MSG_EVENTS_GET, json_pack("{s:i, s:i}", "after", 0, "limit", 1000));
    const json_t *o;
    unsigned n = 0;
    size_t i;

    json_array_foreach(json_object_get(doc, "events"), i, o)
    {
        n += strcmp(proto_str(o, "code", ""), code) == 0;
    }
    json_decref(doc);
    return n;
}

/* What everybody depends on fails: nobody is replaced, requests go on, and all recover by
 * themselves. db is "ready" for two more bad probes, and is to blame all the same. */
static void test_a_dependency(void **state)
{
    (void)state;
    live_start();
    live_scale(4);
    live_webs(4);
    engine.born_sick = true;
    set_sick("db", true);
    set_sick("web", true);
    UNTIL(fails_open, 5000);
    assert_int_equal(fake_lb_backends("web"), 4);
    expect_brake("dependency", "'db', which it depends on, fails its own probes");
    live_run_for(10000);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(fake_box("web", i)->generation, 1);
    assert_true(fails_open());
    engine.born_sick = false;
    set_sick("db", false);
    set_sick("web", false);
    live_run_for(70000); /* db has its own pauses */
    live_webs(4);
    assert_false(fails_open());
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(fake_box("web", i)->generation, 1);
    assert_int_equal(noted("brake-dependency"), 1);
    assert_int_equal(noted("brake-released"), 1);
    live_expect_state("ok");
}

/* It is back and they are not: then they are replaced after all. */
static void test_a_dependency_is_back(void **state)
{
    (void)state;
    live_start();
    live_scale(3);
    live_webs(3);
    set_sick("db", true); /* its successor is well */
    set_sick("web", true);
    UNTIL(fails_open, 5000);
    live_run_for(1000);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(fake_box("web", i)->generation, 1);
    live_run_for(20000);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(fake_box("web", i)->generation, 2);
    live_webs(3);
}

static bool all_replaced(void)
{
    for (unsigned i = 0; i < 3; i++)
        if (fake_box("web", i) == NULL || fake_box("web", i)->generation != 2)
            return false;
    return live_has_webs();
}

/* Each of them has a fault of its own: replaced one after the other, without a pause. */
static void test_all_crash(void **state)
{
    (void)state;
    live_start();
    live_scale(3);
    live_webs(3);
    set_sick("web", true);
    UNTIL(all_replaced, 2000);
    assert_int_equal(noted("brake-mass"), 0);
    assert_int_equal(noted("brake-dependency"), 0);
}

/* What takes their place fails in the same way: the others are left alone but for a try now and
 * then, and the way back needs no restart. */
static void test_replacements_fail(void **state)
{
    unsigned untouched = 0;

    (void)state;
    live.conf->services[0].health.start_period_ms = 1000;
    live_start();
    live_scale(4);
    live_webs(4);
    set_sick("web", true);
    engine.born_sick = true;
    live_run_for(8000);
    for (unsigned i = 0; i < 4; i++)
        untouched += fake_box("web", i) != NULL && fake_box("web", i)->generation == 1;
    assert_in_range(untouched, 2, 3);
    expect_brake("mass", "one at a time is tried");
    assert_true(fails_open());
    live_run_for(120000);
    untouched = 0;
    for (unsigned i = 0; i < 4; i++)
        untouched += fake_box("web", i) != NULL && fake_box("web", i)->generation == 1;
    assert_in_range(untouched, 0, 2); /* it never holds for ever */
    engine.born_sick = false;
    set_sick("web", false);
    live_run_for(70000);
    live_webs(4);
    assert_false(fails_open());
    live_expect_state("ok");
}

static void test_fail_closed(void **state)
{
    (void)state;
    live.conf->services[0].fail_open = false;
    live_start();
    live_scale(3);
    live_webs(3);
    engine.born_sick = true;
    set_sick("db", true);
    set_sick("web", true);
    live_run_for(3000);
    expect_brake("dependency", "'db'");
    assert_false(fails_open());
    assert_int_equal(fake_lb_backends("web"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIFE(test_a_dependency),      LIFE(test_a_dependency_is_back), LIFE(test_all_crash),
        LIFE(test_replacements_fail), LIFE(test_fail_closed),
    };

    return live_main("brake", tests, sizeof tests / sizeof tests[0]);
}
