#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/base/macros.h"
#include "ctl/core/adopt.h"

enum { MAX = 5 };

#define CREATED ADOPT_IS_CREATED
#define RUNNING ADOPT_IS_RUNNING
#define OVER ADOPT_IS_OVER
#define REMOVING ADOPT_IS_REMOVING

/* an instance: service, slot, known place, claimed, slot free, ready, same configuration, state,
 * generation */
static const struct {
    const char *name;
    size_t n;
    struct adopt_item v[MAX];
    enum adopt_verdict want[MAX];
} rows[] = {
    {"nothing", 0, {{0}}, {0}},
    {"one running", 1, {{0, 0, true, false, true, false, true, RUNNING, 1}}, {ADOPT_TAKE}},
    {"other configuration, running: kept",
     1,
     {{0, 0, true, false, true, false, false, RUNNING, 1}},
     {ADOPT_TAKE}},
    {"created, never started: reused",
     1,
     {{0, 0, true, false, true, false, true, CREATED, 4}},
     {ADOPT_TAKE}},
    {"created from another configuration",
     1,
     {{0, 0, true, false, true, false, false, CREATED, 4}},
     {ADOPT_REMOVE}},
    {"exited", 1, {{0, 0, true, false, true, false, true, OVER, 4}}, {ADOPT_REMOVE}},
    {"being removed", 1, {{0, 0, true, false, true, false, true, REMOVING, 4}}, {ADOPT_WAIT}},
    {"two running: the newest",
     2,
     {{0, 0, true, false, true, false, true, RUNNING, 1},
      {0, 0, true, false, true, false, true, RUNNING, 2}},
     {ADOPT_REMOVE, ADOPT_TAKE}},
    {"two running: the ready one",
     2,
     {{0, 0, true, false, true, true, true, RUNNING, 1},
      {0, 0, true, false, true, false, true, RUNNING, 2}},
     {ADOPT_TAKE, ADOPT_REMOVE}},
    {"running before created, whatever the age",
     3,
     {{0, 0, true, false, true, false, true, CREATED, 9},
      {0, 0, true, false, true, false, true, RUNNING, 2},
      {0, 0, true, false, true, false, true, OVER, 1}},
     {ADOPT_REMOVE, ADOPT_TAKE, ADOPT_REMOVE}},
    {"equals: exactly one",
     2,
     {{0, 0, true, false, true, false, true, RUNNING, 3},
      {0, 0, true, false, true, false, true, RUNNING, 3}},
     {ADOPT_TAKE, ADOPT_REMOVE}},
    {"same slot of two services",
     2,
     {{0, 0, true, false, true, false, true, RUNNING, 3},
      {1, 0, true, false, true, false, true, RUNNING, 3}},
     {ADOPT_TAKE, ADOPT_TAKE}},
    {"claimed ones are left alone, strays beside them go",
     3,
     {{0, 0, true, true, false, true, true, RUNNING, 3},
      {0, 0, true, false, false, false, true, RUNNING, 4},
      {0, 0, true, false, false, false, true, CREATED, 5}},
     {ADOPT_KNOWN, ADOPT_REMOVE, ADOPT_REMOVE}},
    {"unknown place: gracefully if it runs",
     2,
     {{0, 99, false, false, false, false, true, RUNNING, 1},
      {0, 99, false, false, false, false, true, OVER, 1}},
     {ADOPT_EVICT, ADOPT_REMOVE}},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        enum adopt_verdict got[MAX] = {0};

        adopt_judge(rows[i].v, rows[i].n, got);
        for (size_t k = 0; k < rows[i].n; k++)
            if (got[k] != rows[i].want[k])
                fail_msg("%s, instance %zu: want %d, got %d", rows[i].name, k, (int)rows[i].want[k],
                         (int)got[k]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
