#include "test/unit/unit.h"

#include <jansson.h>

#include "ctl/lbctl/show.h"

static void test_ages(void **state)
{
    static const struct {
        uint64_t ms;
        const char *want;
    } rows[] = {{0, "0ms"},           {999, "999ms"},      {1000, "1s"},
                {59999, "59s"},       {60000, "1m00s"},    {192000, "3m12s"},
                {3599999, "59m59s"},  {3600000, "1h00m"},  {7500000, "2h05m"},
                {86399999, "23h59m"}, {86400000, "1d00h"}, {273600000, "3d04h"}};
    char buf[32];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ROW_EQ_STR(rows[i].want, show_age(rows[i].ms, buf, sizeof buf), rows[i].want);
}

static void expect_text(const char *name, const char *json, const char *want)
{
    json_t *doc = json_loads(json, 0, NULL);
    struct buf out;

    buf_init(&out, 1 << 20);
    show_status(doc, &out);
    ROW_EQ_STR(name, out.data, want);
    buf_fini(&out);
    json_decref(doc);
}

static const char whole[] =
    "{\"schema\":1,\"state\":\"degraded\",\"reasons\":[\"acts slot 1 is waiting: \\u0007 no "
    "image\"],"
    "\"lbd\":{\"connected\":true,\"pid\":13,\"generation\":7,\"connections\":3},"
    "\"engine\":{\"runtime\":\"docker\",\"up\":true,\"version\":\"20.10.24\"},"
    "\"services\":[{\"name\":\"postgres\",\"mode\":\"fixed\",\"wish\":1,\"ready\":1,\"slots\":[{"
    "\"slot\":0,\"port\":0,"
    "\"id\":\"aaaaaaaaaaaaaaaabbbbbbbbbbbb\",\"state\":\"ready\",\"health\":\"ok\",\"since_ms\":"
    "90000,\"requests\":0,"
    "\"in_flight\":0}]},{\"name\":\"acts\",\"mode\":\"auto\",\"wish\":2,\"ready\":1,\"min\":1,"
    "\"max\":10,"
    "\"scaling\":{\"clock\":\"armed\",\"next_decision_ms\":61000,\"count\":20,\"would_be\":2,"
    "\"last\":{\"ago_ms\":59000,\"count\":20,\"from\":1,\"to\":2,\"reason\":\"20 requests in "
    "2m\"}},"
    "\"slots\":[{\"slot\":0,\"port\":8000,\"id\":\"c0ffee\",\"state\":\"ready\",\"health\":\"ok\","
    "\"since_ms\":1000,"
    "\"requests\":617,\"in_flight\":1},{\"slot\":1,\"port\":8001,\"id\":\"\",\"state\":\"waiting\","
    "\"health\":\"none\","
    "\"since_ms\":10}]}],\"totals\":{\"wish\":3,\"ready\":2,\"requests\":1234,\"in_flight\":1}}";

static void test_whole(void **state)
{
    (void)state;
    expect_text(
        "whole", whole,
        "SERVICE   SLOT  PORT  CONTAINER     STATE    HEALTH  SINCE  REQUESTS  IN-FLIGHT\n"
        "postgres     0     -  aaaaaaaaaaaa  ready    ok      1m30s         0          0\n"
        "acts         0  8000  c0ffee        ready    ok         1s       617          1\n"
        "acts         1  8001  -             waiting  none     10ms         0          0\n"
        "\n"
        "total: 2 of 3 ready, 1234 requests, 1 in flight; state: degraded\n"
        "acts: auto, 2 of 1..10 instances, 20 counted; decision in 1m01s, now it would be 2\n"
        "  last decision 59s ago: 1 -> 2, 20 requests in 2m\n"
        "lbd: pid 13, table 7, 3 connections; engine: docker 20.10.24\n"
        "! acts slot 1 is waiting: \\x07 no image\n");
}

static void test_events(void **state)
{
    static const struct {
        const char *name, *json, *want;
    } rows[] = {
        {"a slot",
         "{\"seq\":7,\"at\":\"2026-01-01T12:00:00.123Z\",\"kind\":\"slot\",\"code\":\"probe-"
         "failed\","
         "\"text\":\"ready -> unhealthy: probe: \\u0007\",\"service\":\"acts\",\"slot\":2}",
         "2026-01-01T12:00:00.123Z  acts/2  slot  ready -> unhealthy: probe: \\x07 "
         "[probe-failed]\n"},
        {"a receipt",
         "{\"seq\":8,\"at\":\"T\",\"kind\":\"drain\",\"code\":\"drained\",\"text\":\"x\","
         "\"service\":\"acts\","
         "\"slot\":0,\"inputs\":{\"generation\":17,\"in_flight_at_mark\":3,\"in_flight\":0,"
         "\"took_ms\":120,\"after_mark\":0}}",
         "T  acts/0  drain  x [drained] (table 17, 3 in flight at the mark, 0 after 120ms, 0 "
         "requests "
         "after the mark)\n"},
        {"a stop",
         "{\"at\":\"T\",\"kind\":\"stop\",\"code\":\"stop\",\"text\":\"x\",\"service\":\"acts\","
         "\"slot\":0,"
         "\"inputs\":{\"receipt\":8}}",
         "T  acts/0  stop  x [stop] (receipt: event 8)\n"},
        {"nothing", "{}", "-  -  -  - [-]\n"},
        {"nonsense", "[1]", "-  -  -  - [-]\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *o = json_loads(rows[i].json, 0, NULL);
        struct buf out;

        buf_init(&out, 1 << 16);
        show_event(o, &out);
        ROW_EQ_STR(rows[i].name, out.data, rows[i].want);
        buf_fini(&out);
        json_decref(o);
    }
}

static void test_empty(void **state)
{
    (void)state;
    expect_text("empty", "{}",
                "SERVICE  SLOT  PORT  CONTAINER  STATE  HEALTH  SINCE  REQUESTS  IN-FLIGHT\n"
                "\n"
                "total: 0 of 0 ready, 0 requests, 0 in flight; state: -\n"
                "lbd: not reached for 0ms; engine: - - does not answer for 0ms: -\n");
}

/* Whatever a broken or hostile ctld says: no crash, no control bytes. */
static void test_nonsense(void **state)
{
    static const char *const rows[] = {
        "[]",
        "{\"services\":7,\"totals\":[],\"reasons\":{},\"lbd\":1,\"engine\":\"x\"}",
        "{\"services\":[1,null,{\"slots\":[1,{\"slot\":-1,\"port\":\"x\",\"id\":7}]},{\"name\":"
        "\"\\u001b[2J\",\"slots\":[{}]}]}",
        "{\"services\":[{\"mode\":\"auto\",\"scaling\":{\"clock\":3,\"last\":{\"reason\":"
        "\"\\n\\r\"}}}],\"state\":\"\\u0000\"}",
        "{\"reasons\":[\"\\u001b]0;x\\u0007\",null,{}]}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *doc = json_loads(rows[i], JSON_ALLOW_NUL, NULL);
        struct buf out;

        assert_non_null(doc);
        buf_init(&out, 1 << 20);
        show_status(doc, &out);
        assert_false(out.over);
        for (size_t k = 0; k < out.len; k++)
            if ((unsigned char)out.data[k] < ' ' && out.data[k] != '\n')
                fail_msg("row %zu: control byte %d", i, out.data[k]);
        buf_fini(&out);
        json_decref(doc);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ages),     cmocka_unit_test(test_whole),
        cmocka_unit_test(test_events),   cmocka_unit_test(test_empty),
        cmocka_unit_test(test_nonsense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
