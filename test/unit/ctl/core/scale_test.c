#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/base/macros.h"
#include "common/base/str.h"
#include "ctl/core/scale.h"

static const struct scale_rule acts = {.min = 1, .max = 10, .per = 20, .every_ms = 120000};

static void test_targets(void **state)
{
    static const struct {
        uint64_t count;
        unsigned want;
    } rows[] = {{0, 1},  {1, 1},   {19, 1},   {20, 2},   {39, 2},   {40, 3},   {59, 3},
                {60, 4}, {179, 9}, {180, 10}, {199, 10}, {200, 10}, {500, 10}, {UINT64_MAX, 10}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (scale_target(&acts, rows[i].count) != rows[i].want)
            fail_msg("%llu requests: want %u, got %u", (unsigned long long)rows[i].count,
                     rows[i].want, scale_target(&acts, rows[i].count));
    for (uint64_t n = 0; n <= 250; n++)
        assert_int_equal(scale_target(&acts, n), n / 20 + 1 > 10 ? 10 : n / 20 + 1);
    assert_int_equal(scale_target(&(struct scale_rule){.min = 3, .max = 5, .per = 20}, 0), 3);
    assert_int_equal(scale_target(&(struct scale_rule){.min = 3, .max = 5, .per = 0}, 100), 5);
}

/* A story in seconds: "T+N" N requests at T; "T!" a decision with complete numbers; "T?" one
 * without; "T=W" expects W wished; "T~" the feed has a gap; "Tarmed S", "Tunarmed" expect the clock
 * (S: second of the next decision). */
static const struct {
    const char *name;
    const char *story;
} stories[] = {
    {"nothing ever happens", "0unarmed 500! 500=1 500unarmed"},
    {"the assignment's scenario", "10+20 10armed:130 129! 129=1 130! 130=2 130armed:250 142+4 "
                                  "200+60 250! 250=4 250armed:370 370! 370=1 370unarmed"},
    {"nineteen do not scale", "0+19 120! 120=1 120unarmed"},
    {"the first request arms at its own time, whenever it is heard of", "100+1 100armed:220"},
    {"later requests do not move the clock", "100+1 150+1 219+1 219armed:220"},
    {"a tick that ends at the minimum unarms, the next request arms again",
     "0+1 120! 120unarmed 500+20 500armed:620 620! 620=2"},
    {"no drift when the decision is late", "0+20 125! 125=2 125armed:240 241! 241=1"},
    {"several intervals late", "0+20 365! 365=2 365armed:480"},
    {"at most ten", "0+5000 120! 120=10 240! 240=1"},
    {"no numbers: never smaller, stays due", "0+40 120! 120=3 240? 240=3 250? 250=3 260! 260=1"},
    {"no numbers: grows early, decides when they come",
     "0+40 120? 120=3 125+20 126! 126=4 126armed:240"},
    {"a gap in the interval: never smaller",
     "0+40 120! 120=3 130~ 240! 240=3 240armed:360 360! 360=1"},
    {"a gap does not stop growth", "0+20 120! 120=2 130~ 130+90 240! 240=5"},
    {"requests at the tick's own moment count once", "0+20 120+20 120! 120=3 240! 240=1"},
};

static void run(const char *name, const char *story)
{
    struct scale s = {0};
    unsigned wish = 1;
    char text[512], *save = text;

    (void)snprintf(text, sizeof text, "%s", story);
    for (char *w = strsep(&save, " "); w != NULL; w = strsep(&save, " ")) {
        size_t digits = strspn(w, "0123456789");
        uint64_t t = 0, n = 0;
        const char *op = w + digits;
        struct scale_decision d;

        assert_true(str_to_u64((struct sv){w, digits}, 0, 1000000, &t, NULL));
        t = 1000000 + t * 1000;
        if (op[1] != '\0' && strchr("+=", op[0]) != NULL)
            assert_true(str_to_u64(sv_of(op + 1), 0, 1000000, &n, NULL));
        if (op[0] == '+') {
            scale_count(&s, &acts, n, t, false, t + 150);
        } else if (op[0] == '~') {
            scale_count(&s, &acts, 0, 0, true, t);
        } else if (op[0] == '!' || op[0] == '?') {
            if (scale_decide(&s, &acts, wish, op[0] == '!', t, &d)) {
                assert_int_equal(d.from, wish);
                wish = d.to;
            }
        } else if (op[0] == '=') {
            if (wish != n)
                fail_msg("%s, at %s: want %u, got %u", name, w, (unsigned)n, wish);
        } else if (op[0] == 'a') {
            assert_true(str_to_u64(sv_of(op + strlen("armed:")), 0, 1000000, &n, NULL));
            if (!s.armed || s.at_ms != 1000000 + n * 1000)
                fail_msg("%s, at %s: armed %d for %lld s", name, w, s.armed,
                         (long long)(s.at_ms / 1000) - 1000);
        } else {
            if (s.armed)
                fail_msg("%s, at %s: still armed", name, w);
        }
    }
}

static void test_stories(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(stories); i++)
        run(stories[i].name, stories[i].story);
}

static void test_reason(void **state)
{
    struct scale s = {0};
    struct scale_decision d;

    (void)state;
    scale_count(&s, &acts, 20, 1000, false, 1000);
    assert_true(scale_decide(&s, &acts, 1, true, 121000, &d));
    assert_string_equal(d.reason, "20 requests in 2m: floor(20/20)+1 = 2");
    scale_count(&s, &acts, 400, 0, false, 122000);
    assert_true(scale_decide(&s, &acts, 2, true, 241000, &d));
    assert_string_equal(d.reason, "400 requests in 2m: floor(400/20)+1 = 21, limited by max");
}

static void test_reset_and_resume(void **state)
{
    struct scale s = {0};

    (void)state;
    scale_count(&s, &acts, 7, 1000, false, 1000);
    scale_reset(&s);
    assert_false(s.armed);
    assert_int_equal(s.count, 0);
    scale_resume(&s, &acts, 1, 5000);
    assert_false(s.armed);
    scale_resume(&s, &acts, 4, 5000);
    assert_true(s.armed);
    assert_int_equal(s.at_ms, 125000);
}

static void test_first_request_heard_of_late(void **state)
{
    struct scale s = {0};

    (void)state;
    scale_count(&s, &acts, 1, 900000, false, 901000);
    assert_int_equal(s.at_ms, 1020000);
    s = (struct scale){0};
    scale_count(&s, &acts, 1, 0, false, 901000); /* time unknown */
    assert_int_equal(s.at_ms, 1021000);
    s = (struct scale){0};
    scale_count(&s, &acts, 1, 1000, false, 901000); /* before the last interval began */
    assert_int_equal(s.at_ms, 901000);
    s = (struct scale){0};
    scale_count(&s, &acts, 1, 999000, false, 901000); /* from the future */
    assert_int_equal(s.at_ms, 1021000);
    s = (struct scale){0};
    scale_count(&s, &(struct scale_rule){.min = 1, .max = 1, .per = 1}, 5, 1, false, 1);
    assert_false(s.armed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_stories),
        cmocka_unit_test(test_reason),
        cmocka_unit_test(test_reset_and_resume),
        cmocka_unit_test(test_first_request_heard_of_late),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
