#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/base/macros.h"
#include "ctl/core/feed.h"

struct report {
    const char *boot;
    uint64_t total;
    uint64_t added;
    bool gap;
};

static const struct {
    const char *name;
    struct report r[6];
} rows[] = {
    {"first contact with a fresh lbd",
     {{"a", 0, 0, false}, {"a", 3, 3, false}, {"a", 3, 0, false}, {"a", 10, 7, false}}},
    {"first contact with an old lbd: its past is not ours",
     {{"a", 100, 0, true}, {"a", 101, 1, false}}},
    {"lbd restarts: the new life counts from zero",
     {{"a", 5, 0, true}, {"a", 9, 4, false}, {"b", 2, 2, true}, {"b", 3, 1, false}}},
    {"lbd restarts with nothing counted",
     {{"a", 0, 0, false}, {"b", 0, 0, true}, {"b", 4, 4, false}}},
    {"the new life's number is larger",
     {{"a", 0, 0, false}, {"a", 5, 5, false}, {"b", 50, 50, true}}},
    {"the service came back to the table",
     {{"a", 0, 0, false}, {"a", 5, 5, false}, {"a", 2, 2, true}}},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct feed f = {0};

        for (size_t k = 0; k < ARRAY_LEN(rows[i].r) && rows[i].r[k].boot != NULL; k++) {
            const struct report *r = &rows[i].r[k];
            struct feed_step got = feed_report(&f, r->boot, r->total);

            if (got.added != r->added || got.gap != r->gap)
                fail_msg("%s, report %zu: want %llu gap %d, got %llu gap %d", rows[i].name, k,
                         (unsigned long long)r->added, r->gap, (unsigned long long)got.added,
                         got.gap);
        }
    }
}

static void test_a_copy_goes_on_where_it_was_saved(void **state)
{
    struct feed f = {0}, saved;

    (void)state;
    (void)feed_report(&f, "boot", 10);
    saved = f;
    (void)feed_report(&f, "boot", 25);
    assert_int_equal(feed_report(&saved, "boot", 25).added, 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_a_copy_goes_on_where_it_was_saved),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
