#include "test/unit/ctl/live.h"

#include "ctl/hold.h"
#include "ctl/scaler.h"

/* The operator's hand: hold, release, pins with an end, containers stopped by hand. */

static json_t *hold(const char *body)
{
    return live_ask(MSG_HOLD_SET, json_loads(body, 0, NULL));
}

static void must(const char *body, unsigned remaining)
{
    json_t *a = hold(body);

    if (a == NULL)
        fail_msg("%s: %s", body, live.refusal);
    ROW_EQ_U64(body, proto_uint(a, "ready", 99), remaining);
    json_decref(a);
}

static struct place *web(unsigned slot)
{
    return model_place(live.ctl, "web", slot);
}

static bool web1_is_held(void)
{
    return web(1)->s.state == SLOT_HELD;
}

static bool all_are_held(void)
{
    return web(0)->s.state == SLOT_HELD && web(1)->s.state == SLOT_HELD;
}

static void expect_code(unsigned slot, const char *code)
{
    json_t *a = live_ask(MSG_WHY_GET, json_pack("{s:s, s:i}", "service", "web", "slot", (int)slot));

    assert_string_equal(proto_str(a, "code", ""), code);
    json_decref(a);
}

static void test_hold_and_release(void **state)
{
    char id[65];

    (void)state;
    live_start();
    live_scale(2);
    live_webs(2);
    (void)snprintf(id, sizeof id, "%s", fake_box("web", 1)->id);
    must("{\"service\":\"web\",\"slot\":1}", 1);
    UNTIL(web1_is_held, 2000);
    assert_int_equal(fake_lb_backends("web"), 1);
    assert_int_equal(lb.drains, 1);
    fake_box("web", 1)->sick = true; /* whatever the operator does to it */
    live_run_for(3000);
    assert_string_equal(fake_box("web", 1)->id, id);
    assert_int_equal(engine.stops + engine.kills + engine.removes, 0);
    expect_code(1, "held");
    live_expect_state("degraded");
    fake_box("web", 1)->sick = false;
    must("{\"service\":\"web\",\"slot\":1,\"release\":true}", 1);
    live_webs(2);
    assert_string_equal(fake_box("web", 1)->id, id);
    live_expect_state("ok");
}

/* It stays as it is over restarts of ctld, and is replaced only once it is released. */
static void test_stopped_and_left(void **state)
{
    char token[40];

    (void)state;
    live_start();
    live_scale(2);
    live_webs(2);
    (void)snprintf(token, sizeof token, "%s", fake_box("web", 1)->token);
    must("{\"service\":\"web\",\"slot\":1,\"stop\":true}", 1);
    UNTIL(web1_is_held, 2000);
    live_run_for(500);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(engine.stops, 1);
        assert_int_equal(engine.removes, 0);
        assert_int_equal(fake_count("web", RT_EXITED), 1);
        live_stop();
        live_start();
        live_run_for(1500);
        assert_int_equal(web(1)->s.state, SLOT_HELD);
        assert_string_equal(web(1)->s.cur.token, token);
    }
    must("{\"service\":\"web\",\"slot\":1,\"release\":true}", 1);
    live_webs(2);
    assert_string_not_equal(fake_box("web", 1)->token, token);
}

static void test_a_whole_service(void **state)
{
    (void)state;
    live_start();
    live_scale(2);
    live_webs(2);
    must("{\"service\":\"web\"}", 0);
    UNTIL(all_are_held, 2000);
    assert_int_equal(fake_lb_backends("web"), 0);
    live_scale(3); /* wished, and held like the others */
    live_stop();
    live_start();
    live_run_for(1500);
    assert_int_equal(fake_count("web", RT_RUNNING), 2);
    assert_int_equal(fake_lb_backends("web"), 0);
    live_expect_state("down");
    must("{\"service\":\"web\",\"release\":true}", 0);
    live_webs(3);
    assert_int_equal(engine.stops + engine.kills, 0);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *body, *want;
    } rows[] = {
        {"{\"service\":\"wbe\"}", "did you mean 'web'"},
        {"{\"service\":\"web\",\"slot\":10}", "slots 0 to 9"},
        {"{\"service\":\"web\",\"release\":true}", "nothing of 'web' is held"},
        {"{\"service\":\"web\",\"slot\":0,\"release\":true}", "nothing of 'web' is held"},
    };

    (void)state;
    live_start();
    live_webs(1);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_null(hold(rows[i].body));
        ROW_HAS_STR(rows[i].body, live.refusal, rows[i].want);
    }
    must("{\"service\":\"web\"}", 0);
    assert_null(hold("{\"service\":\"web\",\"slot\":0,\"release\":true}"));
    assert_non_null(strstr(live.refusal, "held as a whole"));
}

static void stop_by_hand(struct fake_box *b)
{
    engine.hint(engine.hint_arg, "kill", b->id, b->service, b->slot);
    fake_kill(b);
}

/* The default: like any other end. */
static void test_by_hand_replaced(void **state)
{
    (void)state;
    live_start();
    live_webs(1);
    live_mark();
    stop_by_hand(fake_box("web", 0));
    live_replaced(1);
}

static void test_by_hand_held(void **state)
{
    (void)state;
    live.conf->services[0].manual_stop = CONF_MANUAL_STOP_HOLD;
    live_start();
    live_scale(2);
    live_webs(2);
    stop_by_hand(fake_box("web", 1));
    UNTIL(web1_is_held, 2000);
    live_run_for(1000);
    assert_int_equal(fake_count("web", RT_EXITED), 1);
    expect_code(1, "manual-stop");
    live_mark(); /* a crash is no work of somebody's hand */
    fake_kill(fake_box("web", 0));
    UNTIL(live_is_replaced, 2000);
    /* nor is one long after a signal that it has survived */
    engine.hint(engine.hint_arg, "kill", fake_box("web", 0)->id, "web", 0);
    live_run_for(20000);
    live_mark();
    fake_kill(fake_box("web", 0));
    UNTIL(live_is_replaced, 2000);
    live_run_for(500);
    must("{\"service\":\"web\",\"slot\":1,\"release\":true}", 1);
    live_webs(2);
}

/* The program closes its port long before it ends; or the engine still calls it running after it
 * has ended. */
static void test_by_hand_slowly(void **state)
{
    (void)state;
    live.conf->services[0].manual_stop = CONF_MANUAL_STOP_HOLD;
    live_start();
    live_scale(2);
    live_webs(2);
    engine.hint(engine.hint_arg, "kill", fake_box("web", 1)->id, "web", 1);
    fake_box("web", 1)->sick = true;
    UNTIL(web1_is_held, 2000);
    fake_kill(fake_box("web", 1));
    live_run_for(1000);
    assert_int_equal(web(1)->s.state, SLOT_HELD);
    assert_int_equal(engine.stops + engine.kills, 0);
    must("{\"service\":\"web\",\"slot\":1,\"release\":true}", 1);
    live_webs(2);
    engine.hint(engine.hint_arg, "kill", fake_box("web", 1)->id, "web", 1);
    engine.hint(engine.hint_arg, "die", fake_box("web", 1)->id, "web", 1);
    UNTIL(web1_is_held, 2000);
    live_run_for(1000);
    assert_int_equal(engine.stops + engine.kills, 0);
}

/* Our own stops are not somebody's hand. */
static void test_ours_are_not_by_hand(void **state)
{
    (void)state;
    live.conf->services[0].manual_stop = CONF_MANUAL_STOP_HOLD;
    live_start();
    live_webs(1);
    live_mark();
    fake_box("web", 0)->sick = true;
    live_replaced(1);
    live_scale(3);
    live_webs(3);
    live_scale(1);
    live_webs(1);
}

static void pin(unsigned n, unsigned for_ms)
{
    json_t *a = live_ask(MSG_SCALE_SET, json_pack("{s:s, s:i, s:i}", "service", "web", "replicas",
                                                  (int)n, "for_ms", (int)for_ms));

    assert_non_null(a);
    json_decref(a);
}

static void test_a_pin_ends(void **state)
{
    json_t *doc;
    const json_t *left;

    (void)state;
    live_start();
    pin(3, 7200000);
    live_webs(3);
    live_run_for(3600000);
    live_expect_service("manual", 3, "off");
    doc = live_ask(MSG_STATUS_GET, json_object());
    left = json_object_get(
        json_object_get(json_array_get(json_object_get(doc, "services"), 0), "scaling"),
        "pin_left_ms");
    assert_in_range(json_integer_value(left), 3500000, 3600000);
    json_decref(doc);
    live_stop();
    live_start(); /* over a restart */
    live_run_for(3500000);
    live_expect_service("manual", 3, "off");
    live_run_for(110000);
    live_webs(1); /* the autoscaler has had its say */
    live_expect_service("auto", 1, "unarmed");
    pin(2, 1000);
    live_scale(3); /* without an end */
    live_run_for(5000);
    live_expect_service("manual", 3, "off");
}

/* It ended while no ctld ran. */
static void test_a_pin_ended_meanwhile(void **state)
{
    (void)state;
    live_start();
    pin(3, 1000);
    live_webs(3);
    live_stop();
    live_run_for(2000);
    live_start();
    live_webs(1);
    live_expect_service("auto", 1, "unarmed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIFE(test_hold_and_release), LIFE(test_stopped_and_left),
        LIFE(test_a_whole_service),  LIFE(test_refusals),
        LIFE(test_by_hand_replaced), LIFE(test_by_hand_held),
        LIFE(test_by_hand_slowly),   LIFE(test_ours_are_not_by_hand),
        LIFE(test_a_pin_ends),       LIFE(test_a_pin_ended_meanwhile),
    };

    return live_main("hold", tests, sizeof tests / sizeof tests[0]);
}
