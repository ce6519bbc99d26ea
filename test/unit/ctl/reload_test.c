#include "test/unit/ctl/live.h"

#include <unistd.h>

/* The file changes while the services run. */

static const char *change_of(const json_t *plan, const char *service)
{
    const json_t *row;
    size_t i;

    json_array_foreach(json_object_get(plan, "services"), i, row)
    {
        if (strcmp(proto_str(row, "name", ""), service) == 0)
            return proto_str(row, "change", "");
    }
    return "none";
}

static void expect_plan(json_t *plan, const char *web, const char *db)
{
    assert_string_equal(change_of(plan, "web"), web);
    assert_string_equal(change_of(plan, "db"), db);
    assert_int_equal(json_array_size(json_object_get(plan, "errors")), 0);
    json_decref(plan);
}

static unsigned webs_of_old_form(void)
{
    unsigned n = 0;

    for (size_t i = 0; i < engine.n; i++)
        n += strcmp(engine.boxes[i].service, "web") == 0 &&
             strcmp(engine.boxes[i].hash, live.web_hash) == 0;
    return n;
}

static bool web_is_rolled(void)
{
    return webs_of_old_form() == 0 && live_has_webs();
}

static void test_the_same_file(void **state)
{
    (void)state;
    live_start();
    live_webs(1);
    expect_plan(live_reload(), "unchanged", "unchanged");
    assert_int_equal(live.loads, 1);
}

static void test_rolled_without_a_gap(void **state)
{
    (void)state;
    live_start();
    live_scale(3);
    live_webs(3);
    lb.smallest = 99;
    live_edit("web:1", "web:2");
    expect_plan(live_reload(), "recreated", "unchanged");
    assert_int_equal(live.loads, 2);
    UNTIL(web_is_rolled, 20000);
    live_webs(3);
    assert_int_equal(engine.creates, 1 + 3 + 4); /* db, web, and web again with one to spare */
    assert_true(lb.smallest >= 3);
    assert_int_equal(engine.kills, 0); /* every stop was a polite one */
    assert_int_equal(lb.drains, engine.stops);
    live_expect_service("manual", 3, "off");
    live_expect_state("ok");
}

/* Ten of ten ports are in use: one after another in its place. */
static void test_rolled_in_place(void **state)
{
    (void)state;
    live_start();
    live_scale(10);
    live_webs(10);
    lb.smallest = 99;
    live_edit("web:1", "web:2");
    expect_plan(live_reload(), "recreated", "unchanged");
    UNTIL(web_is_rolled, 60000);
    live_webs(10);
    assert_int_equal(lb.smallest, 9);
    assert_int_equal(engine.creates, 1 + 10 + 10);
}

/* The new form never becomes ready; what serves goes on serving. The next file is the old one. */
static void test_a_bad_form_costs_nothing(void **state)
{
    (void)state;
    live_start();
    live_scale(2);
    live_webs(2);
    lb.smallest = 99;
    live_edit("web:1", "web:2");
    engine.warm_ms = 1000000;
    expect_plan(live_reload(), "recreated", "unchanged");
    live_run_for(30000);
    assert_int_equal(webs_of_old_form(), 2);
    assert_int_equal(lb.smallest, 2);
    assert_int_equal(fake_lb_backends("web"), 2);
    live_edit("web:2", "web:1");
    engine.warm_ms = 10;
    expect_plan(live_reload(), "recreated", "unchanged");
    live_webs(2);
    assert_int_equal(webs_of_old_form(), 2);
    assert_int_equal(lb.smallest, 2);
}

/* The instances never got ready, and a better file comes: nothing is waited for. */
static void test_a_better_form_comes(void **state)
{
    (void)state;
    engine.warm_ms = 1000000;
    live_start();
    live_run_for(5000);
    engine.warm_ms = 10;
    live_edit("web:1", "web:2");
    expect_plan(live_reload(), "recreated", "unchanged");
    live_webs(1);
    assert_int_equal(webs_of_old_form(), 0);
}

static void test_updated_in_place(void **state)
{
    (void)state;
    live_start();
    live_webs(1);
    live_edit("min: 1", "min: 4");
    live_edit("route: /api", "route: /other");
    expect_plan(live_reload(), "updated", "unchanged");
    live_webs(4);
    assert_int_equal(engine.stops + engine.kills, 0);
    assert_int_equal(webs_of_old_form(), 4);
}

/* First what it stands on, then itself. */
static void test_dependencies_first(void **state)
{
    (void)state;
    live_start();
    live_webs(1);
    live_edit(":1\n", ":2\n");
    expect_plan(live_reload(), "recreated", "recreated");
    UNTIL(web_is_rolled, 20000);
    live_webs(1);
    assert_int_equal(fake_box("db", 0)->generation, 2);
    assert_true(strcmp(fake_box("db", 0)->id, fake_box("web", 0)->id) < 0); /* made earlier */
    assert_int_equal(engine.creates, 2 + 1 + 2);
}

static const char *const more = "  extra:\n    image: extra:1\n    health: none\n  db:\n";

static bool extra_runs(void)
{
    return fake_count("extra", RT_RUNNING) == 1;
}

static bool extra_is_gone(void)
{
    return fake_count("extra", RT_RUNNING) + fake_count("extra", RT_EXITED) == 0;
}

static void test_services_come_and_go(void **state)
{
    (void)state;
    live_start();
    live_webs(1);
    live_edit("  db:\n", more);
    expect_plan(live_reload(), "unchanged", "unchanged");
    UNTIL(extra_runs, 3000);
    live_edit(more, "  db:\n");
    expect_plan(live_reload(), "unchanged", "unchanged");
    UNTIL(extra_is_gone, 3000);
    live_webs(1);
    assert_int_equal(engine.kills, 0);
    assert_int_equal(engine.creates, 3);
}

static void test_a_bad_file_changes_nothing(void **state)
{
    static const char *const edits[][2] = {
        {"image: web:1", "imge: web:2"},
        {"project: t", "project: other"},
        {"services:", "services: {"},
    };

    (void)state;
    live_start();
    live_webs(1);
    for (size_t i = 0; i < ARRAY_LEN(edits); i++) {
        json_t *plan;

        live_edit(edits[i][0], edits[i][1]);
        plan = live_reload();
        assert_true(json_array_size(json_object_get(plan, "errors")) > 0);
        json_decref(plan);
        live_edit(edits[i][1], edits[i][0]);
    }
    assert_int_equal(unlink(live.path_conf), 0);
    json_decref(live_reload());
    live_edit("web:1", "web:1");
    assert_int_equal(live.loads, 1);
    live_webs(1);
    assert_int_equal(engine.creates, 2);
}

/* ctld dies in the middle of a roll: its successor ends it. */
static void test_killed_amid_a_roll(void **state)
{
    (void)state;
    live_start();
    live_scale(3);
    live_webs(3);
    lb.smallest = 99;
    live_edit("web:1", "web:2");
    expect_plan(live_reload(), "recreated", "unchanged");
    for (unsigned i = 0; i < 40; i++) {
        live_run_for(97);
        live_stop();
        live_start();
    }
    UNTIL(web_is_rolled, 20000);
    live_webs(3);
    assert_true(lb.smallest >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIFE(test_the_same_file),
        LIFE(test_rolled_without_a_gap),
        LIFE(test_rolled_in_place),
        LIFE(test_a_bad_form_costs_nothing),
        LIFE(test_a_better_form_comes),
        LIFE(test_updated_in_place),
        LIFE(test_dependencies_first),
        LIFE(test_services_come_and_go),
        LIFE(test_a_bad_file_changes_nothing),
        LIFE(test_killed_amid_a_roll),
    };

    return live_main("reload", tests, sizeof tests / sizeof tests[0]);
}
