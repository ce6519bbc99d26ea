#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/base/macros.h"
#include "common/base/str.h"
#include "ctl/core/health.h"

/* A row is a story: '+' and '-' are probes one second apart, the word after it is the state at its
 * end. */
static const struct {
    const char *name;
    struct health_rule rule;
    bool adopted;
    const char *probes;
    enum health_state want;
    unsigned changes;
} rows[] = {
    {"new and unprobed", {1, 1, 5000, 0, 0}, false, "", HEALTH_STARTING, 0},
    {"first success ends the start period", {1, 1, 30000, 0, 0}, false, "+", HEALTH_UP, 1},
    {"failures within the start period are forgiven",
     {1, 1, 5000, 0, 0},
     false,
     "----",
     HEALTH_STARTING,
     0},
    {"the start period ends", {1, 1, 5000, 0, 0}, false, "-----", HEALTH_DOWN, 1},
    {"fall counts after the start period too",
     {8, 1, 5000, 0, 0},
     false,
     "-------",
     HEALTH_STARTING,
     0},
    {"first failure takes it out", {1, 1, 30000, 0, 0}, false, "+-", HEALTH_DOWN, 2},
    {"fall 3: two are not enough", {3, 1, 0, 0, 0}, false, "+--", HEALTH_UP, 1},
    {"fall 3: in a row", {3, 1, 0, 0, 0}, false, "+--+--", HEALTH_UP, 1},
    {"fall 3: three", {3, 1, 0, 0, 0}, false, "+---", HEALTH_DOWN, 2},
    {"rise 2: one is not enough", {1, 2, 30000, 0, 0}, false, "+", HEALTH_STARTING, 0},
    {"rise 2: in a row", {1, 2, 30000, 0, 0}, false, "+-+", HEALTH_STARTING, 0},
    {"rise 2: back up", {1, 2, 0, 0, 0}, false, "++-++", HEALTH_UP, 3},
    {"no start period", {1, 1, 0, 0, 0}, false, "-", HEALTH_DOWN, 1},
    {"adopted as up", {1, 1, 30000, 0, 0}, true, "", HEALTH_UP, 0},
    {"adopted as up, no start period for it", {1, 1, 30000, 0, 0}, true, "-", HEALTH_DOWN, 1},
    {"start_rise 3: a new one needs three", {1, 1, 30000, 3, 0}, false, "++", HEALTH_STARTING, 0},
    {"start_rise 3: in a row", {1, 1, 30000, 3, 0}, false, "++-+++", HEALTH_UP, 1},
    {"start_rise 3: one that was up needs only rise", {1, 1, 0, 3, 0}, true, "-+", HEALTH_UP, 2},
    {"replace_after 3: down at once, lost later", {1, 1, 0, 0, 3}, true, "---", HEALTH_DOWN, 2},
    {"many successes do not overflow into anything",
     {2, 1, 0, 0, 0},
     false,
     "+++++++++-",
     HEALTH_UP,
     1},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct health h;
        uint64_t now = 1000;
        unsigned changes = 0;

        (rows[i].adopted ? health_assume_up : health_begin)(&h, now);
        for (const char *p = rows[i].probes; *p != '\0'; p++)
            changes += health_result(&h, &rows[i].rule, *p == '+', now += 1000);
        if (h.state != rows[i].want || changes != rows[i].changes)
            fail_msg("%s: want state %d after %u changes, got %d after %u", rows[i].name,
                     (int)rows[i].want, rows[i].changes, (int)h.state, changes);
    }
}

/* Readiness is one thing, liveness another. */
static void test_lost(void **state)
{
    static const struct {
        const char *name;
        struct health_rule rule;
        const char *probes, *lost; /* after each probe: . no, L yes */
    } all[] = {
        {"as fall by default", {2, 1, 0, 0, 0}, "+--", "..L"},
        {"later than fall", {1, 1, 0, 0, 3}, "+----", "...LL"},
        {"a good one ends it", {1, 1, 0, 0, 2}, "+--+-", "..L.."},
        {"a good one starts the count anew", {1, 1, 0, 0, 3}, "+--+--", "......"},
        {"never", {1, 1, 0, 0, HEALTH_NEVER}, "+----------", "..........."},
        {"not within the start period", {1, 1, 5000, 0, 1}, "----", "...."},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct health h;
        uint64_t now = 1000;

        health_begin(&h, now);
        for (size_t k = 0; all[i].probes[k] != '\0'; k++) {
            (void)health_result(&h, &all[i].rule, all[i].probes[k] == '+', now += 1000);
            if (h.lost != (all[i].lost[k] == 'L'))
                fail_msg("%s: after probe %zu", all[i].name, k + 1);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_lost)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
