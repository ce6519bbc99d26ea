#include "test/unit/ctl/live.h"

#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "ctl/sweep.h"

/* ctld finds a world that was there before it. */

static void test_adopts_after_restart(void **state)
{
    unsigned creates;

    (void)state;
    live_start();
    live_scale(3);
    live_webs(3);
    creates = engine.creates;
    lb.smallest = 99;
    for (unsigned i = 0; i < 3; i++) {
        live_stop();
        live_start();
        live_expect_service("manual", 3, "off");
        live_run_for(300);
        live_webs(3);
    }
    assert_int_equal(engine.creates, creates);
    assert_int_equal(engine.stops + engine.kills + engine.removes, 0);
    assert_true(lb.smallest >= 3); /* no table emptier than reality was ever pushed */
    live_expect_state("ok");
}

static void test_restart_without_memory(void **state)
{
    char path[128];

    (void)state;
    live_start();
    live_webs(1);
    fake_lb_count(60, clock_mono_ms());
    live_webs(4);
    live_stop();
    (void)snprintf(path, sizeof path, "%s/ctl.json", live.dir);
    assert_int_equal(unlink(path), 0);
    live_start();
    live_run_for(250);
    live_webs(4); /* reality is the memory */
    live_expect_service("auto", 4, "armed");
    assert_int_equal(engine.creates, 5);
}

/* ctld dies between the table without a sick one and its stop: its successor must not grant it a
 * start period. */
static void test_restart_amid_a_replacement(void **state)
{
    (void)state;
    live_start();
    live_webs(1);
    live_stop();
    live_mark();
    fake_box("web", 0)->sick = true;
    (void)snprintf(lb.sick_token, sizeof lb.sick_token, "%s", fake_box("web", 0)->token);
    json_decref(lb.table); /* lbd has lost it already */
    lb.table = NULL;
    live_start();
    UNTIL(live_is_replaced, 900);
    live_webs(1);
    assert_int_equal(lb.sick_tables, 0); /* probed before the first push */
}

/* An end that no hint tells and no list has shown yet, of an instance that has never been ready. */
static void test_unheard_death(void **state)
{
    live.conf->services[0].health.start_period_ms = 60000;
    (void)state;
    fake_add("db", 0, 4, RT_RUNNING, live.db_hash, 0);
    fake_add("web", 0, 7, RT_RUNNING, live.web_hash, 21600)->listens_ms = UINT64_MAX;
    live_start();
    live_mark();
    live_run_for(300);
    fake_box("web", 0)->state = RT_EXITED;
    UNTIL(live_is_replaced, 2000);
    live_webs(1);
}

static void test_damaged_memory(void **state)
{
    static const char *const files[] = {
        "",
        "{",
        "[]",
        "{\"schema\":1}",
        "{\"schema\":1,\"services\":[1]}",
        "{\"schema\":1,\"services\":{\"web\":{\"wish\":\"x\",\"slots\":{}}}}",
        "{\"schema\":1,\"services\":{\"web\":{\"wish\":99,\"manual\":true}}}"};
    char path[128];
    struct err e;

    (void)state;
    (void)snprintf(path, sizeof path, "%s/ctl.json", live.dir);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        assert_true(file_write_atomic(path, files[i], strlen(files[i]), 0600, &e));
        live_start();
        live_stop();
    }
}

static void test_adopts_leftovers(void **state)
{
    struct fake_box *b;

    (void)state;
    fake_add("db", 0, 4, RT_RUNNING, live.db_hash, 0);
    fake_add("db", 0, 5, RT_RUNNING, live.db_hash, 0);       /* a duplicate: the newest stays */
    fake_add("web", 0, 7, RT_CREATED, live.web_hash, 21600); /* never started: used */
    fake_add("web", 0, 6, RT_EXITED, live.web_hash, 21600);  /* died before: removed */
    fake_add("web", 1, 2, RT_CREATED, "other", 21601);       /* of another configuration: removed */
    fake_add("gone", 0, 1, RT_RUNNING, "x", 0);              /* a service of former times */
    fake_add("web", 12, 1, RT_RUNNING, live.web_hash, 21612); /* a slot of former times */
    live_start();
    live_webs(1);
    b = fake_box("db", 0);
    assert_int_equal(b->generation, 5);
    assert_int_equal(fake_box("web", 0)->generation, 7);
    assert_int_equal(engine.creates, 0);
    assert_int_equal(engine.n, 2);
}

/* Everything of the project goes, dependents first; what cannot be removed is told. */
static void test_sweep(void **state)
{
    struct err e;

    (void)state;
    live_start();
    live_scale(3);
    live_webs(3);
    live_stop();
    fake_add("of former times", 0, 1, RT_RUNNING, "x", 0);
    fake_add("web", 4, 1, RT_CREATED, "x", 0);
    engine.need_alive = "db";
    if (!sweep(live.loop, live.conf, &runtime_fake, &e))
        fail_msg("%s", e.msg);
    assert_int_equal(engine.n, 0);
    assert_int_equal(engine.too_early, 0);
    assert_int_equal(engine.kills, 0);
    engine.away = true;
    assert_false(sweep(live.loop, live.conf, &runtime_fake, &e));
    assert_non_null(strstr(e.msg, "the fake is away"));
}

static void test_one_ctld_a_project(void **state)
{
    struct ctl_options o = {
        .conf = live.conf, .runtime = &runtime_fake, .run_dir = live.dir, .state_dir = live.dir};
    struct ctl *second = NULL;
    struct err e;

    (void)state;
    live_start();
    assert_false(ctl_new(live.loop, &o, &second, &e));
    assert_non_null(strstr(e.msg, "one ctld a project"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIFE(test_adopts_after_restart),
        LIFE(test_restart_without_memory),
        LIFE(test_restart_amid_a_replacement),
        LIFE(test_unheard_death),
        LIFE(test_damaged_memory),
        LIFE(test_adopts_leftovers),
        LIFE(test_sweep),
        LIFE(test_one_ctld_a_project),
    };

    return live_main("restart", tests, sizeof tests / sizeof tests[0]);
}
