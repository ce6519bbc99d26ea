#include "test/unit/unit.h"

#include "common/base/macros.h"
#include "lb/core/eject.h"

enum { RUN = 5, START_MS = 123456789 };

/* A story: b a bad answer, g a good one, a digit so many seconds pass. want: after how many
 * characters it is ejected first; 0: never. */
static const struct {
    const char *name, *story;
    unsigned want;
} rows[] = {
    {"five in a row", "bbbbb", 5},
    {"four are not enough", "bbbb", 0},
    {"a good one between", "bbbbgbbbb", 0},
    {"and five after it", "bbbbgbbbbb", 10},
    {"one in two never makes a run", "bgbgbgbgbgbgbgbgbgbgbg", 0},
    {"good ones before the first bad one do not count", "ggggggggggggggggggggbbbbb", 25},
    {"most answers are good", "bgggggggggbbbbb", 0},
    {"until half are bad", "bgggggggggbbbbbbbb", 18},
    {"slowly, within the window", "b2b2b2b2b", 9},
    {"too slowly", "b3b3b3b3b", 0},
    {"an old run is over", "bbbb9999b", 0},
    {"an old window with good ones is over", "bggggggggggggggggggg9999bbbbb", 29},
};

static void test_run(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t known = 0, now = START_MS;
        unsigned at = 0;

        for (unsigned k = 0; rows[i].story[k] != '\0'; k++) {
            char c = rows[i].story[k];
            bool out = false;

            if (c >= '0' && c <= '9')
                now += (uint64_t)(c - '0') * 1000;
            else
                known = eject_note(known, c == 'b', RUN, now, &out);
            if (out && at == 0)
                at = k + 1;
        }
        ROW_EQ_U64(rows[i].name, at, rows[i].want);
    }
}

static void test_numbers_stay_small(void **state UNUSED)
{
    uint64_t known = 0;
    bool out = false;

    /* In one window: more good answers than the number has room for, then bad ones only. */
    known = eject_note(known, true, RUN, START_MS, &out);
    for (unsigned i = 0; i < 100000; i++)
        known = eject_note(known, false, RUN, START_MS + 1, &out);
    assert_false(out);
    for (unsigned i = 0; i < 1000; i++) {
        known = eject_note(known, true, RUN, START_MS + 2, &out);
        assert_false(out); /* at least 2047 good ones are still known */
    }
    for (unsigned i = 0; i < 10000 && !out; i++)
        known = eject_note(known, true, RUN, START_MS + 2, &out);
    assert_true(out);
    assert_int_equal(known, 0);
}

static void test_small(void **state UNUSED)
{
    static const unsigned most[][2] = {{0, 0}, {1, 0}, {2, 1}, {3, 1}, {4, 2}, {5, 2}, {10, 5}};
    static const unsigned ms[][2] = {{0, 2000},  {1, 2000},  {2, 4000},       {3, 8000},
                                     {4, 16000}, {5, 30000}, {1000000, 30000}};
    static const struct {
        unsigned status;
        bool bad;
    } statuses[] = {{200, false}, {404, false}, {429, false}, {500, true},  {501, false},
                    {502, true},  {503, true},  {504, true},  {505, false}, {599, false}};

    for (size_t i = 0; i < ARRAY_LEN(most); i++)
        assert_int_equal(eject_max(most[i][0]), most[i][1]);
    for (size_t i = 0; i < ARRAY_LEN(ms); i++)
        assert_int_equal(eject_ms(ms[i][0]), ms[i][1]);
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
        assert_int_equal(eject_is_bad(statuses[i].status), statuses[i].bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_numbers_stay_small),
        cmocka_unit_test(test_small),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
