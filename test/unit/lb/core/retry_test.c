#include "test/unit/unit.h"

#include "common/base/macros.h"
#include "lb/core/retry.h"

/* What every row has unless it says otherwise: a GET on its first attempt, nothing else going on.
 */
#define BASE .idempotent = true, .replayable = true, .attempts = 1, .backends = 3, .active = 1

static const struct {
    const char *name;
    struct retry_in in;
    enum retry_verdict want;
} rows[] = {
    {"refused, others there", {BASE}, RETRY_OTHER},
    {"connect timed out, others there", {BASE, .timed_out = true}, RETRY_OTHER},
    {"POST refused: nothing was sent",
     {.replayable = true, .attempts = 1, .backends = 2, .active = 1},
     RETRY_OTHER},
    {"refused by the only one",
     {.replayable = true, .attempts = 1, .backends = 1, .active = 1},
     RETRY_NO},
    {"refused by all", {.replayable = true, .attempts = 3, .backends = 3, .active = 1}, RETRY_NO},
    {"never more than four",
     {.replayable = true, .attempts = 4, .backends = 9, .active = 1},
     RETRY_NO},
    {"pooled connection dead before a byte was sent", {BASE, .reused = true}, RETRY_OTHER},
    {"the same with one backend",
     {.idempotent = true,
      .replayable = true,
      .reused = true,
      .attempts = 1,
      .backends = 1,
      .active = 1},
     RETRY_FRESH},
    {"the same for POST",
     {.replayable = true, .reused = true, .attempts = 1, .backends = 1, .active = 1},
     RETRY_FRESH},
    {"pooled connection dead without an answer", {BASE, .reused = true, .sent = true}, RETRY_OTHER},
    {"the same with one backend and a byte sent",
     {.idempotent = true,
      .replayable = true,
      .reused = true,
      .sent = true,
      .attempts = 1,
      .backends = 1,
      .active = 1},
     RETRY_FRESH},
    {"fresh connection dead without an answer", {BASE, .sent = true}, RETRY_OTHER},
    {"POST that was sent",
     {.replayable = true, .sent = true, .reused = true, .attempts = 1, .backends = 3, .active = 1},
     RETRY_NO},
    {"an answer has begun", {BASE, .sent = true, .answered = true}, RETRY_NO},
    {"the body is gone",
     {.idempotent = true, .sent = true, .attempts = 1, .backends = 3, .active = 1},
     RETRY_NO},
    {"no answer in time", {BASE, .sent = true, .timed_out = true}, RETRY_NO},
    {"only once", {BASE, .sent = true, .repeated = true}, RETRY_NO},
    {"a repeat that was refused goes on", {BASE, .repeated = true}, RETRY_OTHER},
    {"three may repeat at any time", {BASE, .sent = true, .repeating = 2}, RETRY_OTHER},
    {"but not four", {BASE, .sent = true, .repeating = 3}, RETRY_NO},
#define MANY(n, b)                                                                                 \
    .idempotent = true, .replayable = true, .sent = true, .attempts = 1, .backends = (b),          \
    .active = 100, .repeating = (n)
    {"a fifth of many", {MANY(19, 9)}, RETRY_OTHER},
    {"not more than a fifth", {MANY(20, 9)}, RETRY_NO},
    {"what one of three had in flight", {MANY(33, 3)}, RETRY_OTHER},
    {"not more than that", {MANY(34, 3)}, RETRY_NO},
    {"the only one: a fifth", {MANY(20, 1)}, RETRY_NO},
    {"all that a backend had when it was taken out", {MANY(99, 3), .departed = true}, RETRY_OTHER},
    {"of those, too, no POST",
     {.replayable = true, .sent = true, .attempts = 1, .backends = 3, .departed = true},
     RETRY_NO},
    {"and none twice", {BASE, .sent = true, .repeated = true, .departed = true}, RETRY_NO},
};

static void test_rows(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ROW_EQ_U64(rows[i].name, retry_decide(&rows[i].in), rows[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
