#include "test/unit/ctl/live.h"

/* ctld keeps its services running: in order, replaced, whatever the engine and lbd do. */

static bool db_runs(void)
{
    return fake_count("db", RT_RUNNING) == 1;
}

static void test_starts_in_order(void **state)
{
    (void)state;
    live_start();
    UNTIL(db_runs, 2000);
    assert_int_equal(engine.n, 1);
    live_webs(1);
    assert_int_equal(engine.creates, 2);
    live_run_for(100);
    /* empty, then with a backend on its way, then with it: nothing is pushed twice */
    assert_int_equal(lb.tables, 3);
    live_expect_state("ok");
}

static bool expects(void)
{
    return fake_lb_expects("web");
}

/* lbd holds requests while there is hope, and only then. */
static void test_says_that_one_is_on_its_way(void **state)
{
    (void)state;
    live_start();
    UNTIL(expects, 2000);
    live_webs(1);
    assert_false(expects());
    live_mark();
    engine.warm_ms = 50; /* so that it takes a while */
    fake_box("web", 0)->sick = true;
    UNTIL(expects, 2000);
    assert_int_equal(fake_lb_backends("web"), 0);
    live_replaced(1);
    assert_false(expects());
    live_scale(2);
    live_webs(2);
    live_mark();
    fake_box("web", 0)->sick = true;
    live_replaced(2);
    assert_false(expects()); /* the other one was there all along */
}

static void test_replaces_a_sick_one_twice(void **state)
{
    (void)state;
    live_start();
    live_webs(1);
    for (unsigned i = 0; i < 2; i++) {
        live_mark();
        fake_box("web", 0)->sick = true;
        live_replaced(1);
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
    live_start();
    live_scale(2);
    live_webs(2);
    live_mark();
    fake_box("web", 0)->hung = true;
    live_replaced(2);
    live_mark();
    fake_kill(fake_box("web", 0));
    live_replaced(2);
    live_mark();
    fake_vanish(fake_box("web", 0)); /* removed by hand, no hint */
    live_replaced(2);
}

static bool nobody_serves(void)
{
    return fake_lb_backends("web") == 0;
}

/* Readiness takes it out and lets it back in; liveness replaces it. */
static void test_out_of_rotation_is_not_lost(void **state)
{
    (void)state;
    live.conf->services[0].health.replace_after = 50; /* a second of probes */
    live_start();
    live_webs(1);
    live_mark();
    fake_box("web", 0)->sick = true;
    UNTIL(nobody_serves, 500);
    live_run_for(300);
    assert_false(live_is_replaced());
    fake_box("web", 0)->sick = false;
    live_webs(1);
    assert_false(live_is_replaced());
    fake_box("web", 0)->sick = true;
    live_replaced(1);
    assert_int_equal(engine.kills, 1);
}

static void test_never_replaced(void **state)
{
    (void)state;
    live.conf->services[0].health.replace_after = CONF_NEVER;
    live_start();
    live_webs(1);
    live_mark();
    fake_box("web", 0)->sick = true;
    UNTIL(nobody_serves, 500);
    live_run_for(60000);
    assert_false(live_is_replaced());
    fake_box("web", 0)->sick = false;
    live_webs(1);
    fake_kill(fake_box("web", 0)); /* its end is another matter */
    live_replaced(1);
}

static bool settled(void)
{
    return engine.n == 2 && live_has_webs();
}

static void test_lost_answers_make_no_duplicates(void **state)
{
    (void)state;
    engine.lose_create = engine.lose_start = true;
    live_start();
    live_webs(1);
    UNTIL(settled, 2000);
    engine.lose_create = engine.lose_start = engine.lose_stop = true;
    live_mark();
    fake_box("web", 0)->sick = true;
    live_replaced(1);
    UNTIL(settled, 2000);
    assert_int_equal(engine.creates, 3);
}

/* Lists that were asked for before an act of ours say nothing about its outcome. */
static void test_lists_from_the_past(void **state)
{
    (void)state;
    engine.list_ms = 60;
    live_start();
    live_webs(1);
    for (unsigned i = 0; i < 5; i++) {
        engine.hint(engine.hint_arg, "resync", "", "", 0);
        live_run_for(7 * i);
        live_mark();
        fake_box("web", 0)->sick = true;
        live_replaced(1);
    }
    assert_int_equal(engine.creates, 7);
    assert_int_equal(engine.starts, 7);
}

static void test_port_taken(void **state)
{
    (void)state;
    live_start();
    UNTIL(db_runs, 2000);
    engine.refuse_start = RT_PORT_BUSY;
    live_webs(1);
    assert_int_equal(engine.creates, 2); /* the same instance, tried again */
}

static void test_engine_away(void **state)
{
    unsigned creates;

    (void)state;
    live_start();
    live_scale(2);
    live_webs(2);
    creates = engine.creates;
    engine.away = true;
    live_mark();
    fake_box("web", 0)->sick = true;
    engine.hint(engine.hint_arg, "resync", "", "", 0);
    live_run_for(300);
    assert_int_equal(fake_lb_backends("web"), 1); /* out of rotation all the same */
    assert_int_equal(engine.creates, creates);
    assert_int_equal(engine.stops + engine.kills + engine.removes, 0);
    live_expect_state("degraded");
    engine.away = false;
    live_replaced(2);
    assert_int_equal(engine.creates, creates + 1);
}

static bool lb_has_successor(void)
{
    return live_is_replaced() && fake_lb_has(fake_box("web", 0)->token);
}

static void test_lbd_away(void **state)
{
    (void)state;
    live_start();
    live_webs(1);
    fake_lb_close();
    live_mark();
    fake_box("web", 0)->sick = true;
    UNTIL(live_is_replaced, 4000); /* after the bounded wait */
    live_expect_state("down");
    fake_lb_open(live.loop, live.path_lb);
    UNTIL(lb_has_successor, 2000);
    live_webs(1);
}

/* It holds the channel open and never answers. */
static void test_lbd_hangs(void **state)
{
    (void)state;
    live_start();
    live_webs(1);
    lb.deaf = true;
    live_mark();
    fake_box("web", 0)->sick = true;
    UNTIL(live_is_replaced, 4000);
    lb.deaf = false;
    UNTIL(lb_has_successor, 4000);
}

static void test_generation_follows_lbd(void **state)
{
    (void)state;
    lb.generation = 1000;
    live_start();
    live_webs(1);
    assert_true(lb.generation > 1000);
}

static void test_all_sick_one_at_a_time(void **state)
{
    (void)state;
    live_start();
    live_scale(4);
    live_webs(4);
    engine.warm_ms = 1000000; /* no successor ever becomes ready */
    for (unsigned i = 0; i < 4; i++)
        fake_box("web", i)->sick = true;
    live_run_for(600);
    assert_int_equal(engine.kills, 1);
    assert_int_equal(fake_count("web", RT_RUNNING), 4);
    engine.warm_ms = 10;
    for (size_t i = 0; i < engine.n; i++)
        engine.boxes[i].sick = false,
        engine.boxes[i].listens_ms =
            0; /* the common cause is over: nobody else needs to be replaced */
    live_webs(4);
    assert_int_equal(engine.kills, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIFE(test_starts_in_order),
        LIFE(test_says_that_one_is_on_its_way),
        LIFE(test_replaces_a_sick_one_twice),
        LIFE(test_replaces_hung_and_killed),
        LIFE(test_out_of_rotation_is_not_lost),
        LIFE(test_never_replaced),
        LIFE(test_lost_answers_make_no_duplicates),
        LIFE(test_lists_from_the_past),
        LIFE(test_port_taken),
        LIFE(test_engine_away),
        LIFE(test_lbd_away),
        LIFE(test_lbd_hangs),
        LIFE(test_generation_follows_lbd),
        LIFE(test_all_sick_one_at_a_time),
    };

    return live_main("loop", tests, sizeof tests / sizeof tests[0]);
}
