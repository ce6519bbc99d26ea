#include "test/unit/ctl/live.h"

#include "common/base/clock.h"

/* Wishes: the load's and the operator's. */

static void test_scales_by_hand(void **state)
{
    json_t *a;

    (void)state;
    live_start();
    live_webs(1);
    live_scale(10);
    live_webs(10);
    assert_in_range(engine.starts_at_once_max, 4, 8);
    live_expect_service("manual", 10, "off");
    live_scale(3);
    live_webs(3);
    assert_int_equal(engine.stops, 7);
    assert_int_equal(engine.kills, 0);
    a = live_ask(MSG_SCALE_SET, json_pack("{s:s, s:b}", "service", "web", "auto", 1));
    assert_string_equal(proto_str(a, "mode", ""), "auto");
    json_decref(a);
    live_expect_service("auto", 3, "armed");
    live_webs(1); /* no requests: the next decision goes back to the minimum */
    live_expect_service("auto", 1, "unarmed");
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
    live_start();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_null(live_ask(MSG_SCALE_SET, json_loads(rows[i].body, 0, NULL)));
        ROW_HAS_STR(rows[i].body, live.refusal, rows[i].want);
    }
    assert_null(live_ask(MSG_SERVICE_RESET, json_pack("{s:s}", "service", "nobody")));
}

static void test_scales_by_load(void **state)
{
    (void)state;
    live_start();
    live_webs(1);
    fake_lb_count(20, clock_mono_ms());
    live_webs(2);
    fake_lb_count(45, clock_mono_ms());
    live_webs(3);
    live_webs(1);
    live_expect_service("auto", 1, "unarmed");
    fake_lb_count(19, clock_mono_ms());
    live_run_for(500);
    live_webs(1);
    live_expect_service("auto", 1, "unarmed");
}

static void test_reset(void **state)
{
    json_t *a;

    (void)state;
    live_start();
    live_webs(1);
    fake_lb_count(60, clock_mono_ms());
    live_webs(4);
    fake_lb_count(1000, clock_mono_ms());
    lb.counted += 7; /* not told yet: the reset takes them with it */
    a = live_ask(MSG_SERVICE_RESET, json_pack("{s:s}", "service", "web"));
    assert_non_null(a);
    json_decref(a);
    live_expect_service("auto", 1, "unarmed");
    live_webs(1);
}

static void test_no_numbers_no_scale_in(void **state)
{
    (void)state;
    live_start();
    live_webs(1);
    fake_lb_count(60, clock_mono_ms());
    live_webs(4);
    fake_lb_close();
    live_run_for(1200);
    assert_int_equal(fake_count("web", RT_RUNNING), 4);
    (void)snprintf(lb.boot, sizeof lb.boot, "boot2"); /* lbd died: it counts from zero again */
    lb.counted = 0;
    fake_lb_open(live.loop, live.path_lb);
    live_webs(4);
    live_webs(1); /* after a whole interval with numbers */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIFE(test_scales_by_hand), LIFE(test_refuses_bad_wishes),     LIFE(test_scales_by_load),
        LIFE(test_reset),          LIFE(test_no_numbers_no_scale_in),
    };

    return live_main("wishes", tests, sizeof tests / sizeof tests[0]);
}
