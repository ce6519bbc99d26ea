#include "test/unit/unit.h"

#include "ctl/core/why.h"

enum { NOW_MS = 200000 };
static const uint64_t WALL_MS = UINT64_C(1767225600000); /* 2026-01-01T00:00:00Z */

static void test_slots(void **state)
{
    static const struct {
        const char *name;
        struct slot s;
        bool wanted;
        const char *want[4];
    } rows[] = {
        {"ready",
         {.state = SLOT_READY,
          .why = REASON_PROBE_PASSED,
          .reason = "first successful probe",
          .since_ms = NOW_MS - 90000,
          .cur = {.id = "c0ffee0123456789", .generation = 7}},
         true,
         {"acts/2 is ready since 2025-12-31T23:58:30.000Z (for 1m30s): its probes succeed",
          "[probe-passed]", "container is c0ffee012345, instance 7 of the slot, on port 8002",
          "Next: it serves until"}},
        {"waiting for a port",
         {.state = SLOT_WAITING,
          .why = REASON_PORT_TAKEN,
          .reason = "host port 8002 is taken",
          .since_ms = NOW_MS - 12000,
          .retry_ms = NOW_MS + 2500,
          .fails = 3,
          .replaced = 2},
         true,
         {"acts/2 is waiting", "[port-taken] (host port 8002 is taken)",
          "Instances of this slot were replaced 2 times. Failures that are remembered: 3.",
          "the next try is in 3s."}},
        {"leaving",
         {.state = SLOT_DRAINING,
          .why = REASON_UNWANTED,
          .reason = "no longer wanted",
          .since_ms = NOW_MS - 20},
         false,
         {"acts/2 is draining", "(for 20ms)", "[not-wanted]", "does not wish it any more."}},
        {"foreign bytes",
         {.state = SLOT_WAITING, .why = REASON_START_FAILED, .reason = "a\nb\x7f"},
         true,
         {"(a\\x0ab\\x7f)", "", "", ""}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out;

        buf_init(&out, 1 << 16);
        why_slot(&(struct why_slot){.service = "acts",
                                    .slot = 2,
                                    .s = &rows[i].s,
                                    .port = 8002,
                                    .health = "ok",
                                    .wanted = rows[i].wanted,
                                    .now_ms = NOW_MS,
                                    .now_wall_ms = WALL_MS},
                 &out);
        for (size_t k = 0; k < 4; k++)
            ROW_HAS_STR(rows[i].name, out.data, rows[i].want[k]);
        assert_null(strchr(out.data, '\n'));
        buf_fini(&out);
    }
}

static void test_services(void **state)
{
    static const struct {
        const char *name;
        struct why_service in;
        const char *want[3];
    } rows[] = {
        {"armed",
         {"acts", "auto", 2, 1, 1, 10, true, 61000, 45, 3, "20 requests", 59000, NULL, NULL},
         {"acts has 1 of 2 instances ready (auto, 1 to 10).",
          "Next: a scaling decision in 1m1s; with the 45 requests counted so far it would be 3.",
          "The last scaling decision was 59s ago: 20 requests."}},
        {"unarmed",
         {"acts", "auto", 1, 1, 1, 10, false, 0, 0, 1, NULL, 0, NULL, NULL},
         {"the next counted request starts the clock", "", ""}},
        {"pinned",
         {"acts", "manual", 5, 5, 1, 10, false, 0, 0, 5, NULL, 0, NULL, NULL},
         {"The operator has pinned the number.", "", ""}},
        {"waits",
         {"acts", "fixed", 1, 0, 1, 1, false, 0, 0, 1, NULL, 0, "waits for db", ""},
         {"Instances are not started: it waits for db.", "", ""}},
        {"files",
         {"www", "static", 0, 0, 0, 0, false, 0, 0, 0, NULL, 0, NULL, NULL},
         {"www is a directory", "no instances", ""}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out;

        buf_init(&out, 1 << 16);
        why_service(&rows[i].in, &out);
        for (size_t k = 0; k < 3; k++)
            ROW_HAS_STR(rows[i].name, out.data, rows[i].want[k]);
        buf_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_slots),
                                       cmocka_unit_test(test_services)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
