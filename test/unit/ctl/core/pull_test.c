#include "test/unit/unit.h"

#include "common/base/macros.h"
#include "ctl/core/pull.h"

static void test_one_at_a_time(void **state)
{
    struct pull p = {0};
    enum reason why = REASON_NONE;
    char text[200];

    (void)state;
    assert_false(pull_blocks(&p, 5, &why));
    assert_true(pull_want(&p, 5));
    assert_false(pull_want(&p, 6));
    assert_true(pull_blocks(&p, 100000000, &why)); /* as long as it takes */
    assert_int_equal(why, REASON_PULLING);
    pull_text(&p, "a:1", 0, text, sizeof text);
    assert_string_equal(
        text, "pulls a:1 since 1970-01-01T00:00:00.000Z: the engine has said nothing yet");
    pull_said(&p, "Downloading");
    pull_text(&p, "a:1", 0, text, sizeof text);
    assert_string_equal(text, "pulls a:1 since 1970-01-01T00:00:00.000Z: Downloading");
    pull_ended(&p, NULL, 7);
    assert_false(pull_blocks(&p, 7, &why));
    assert_int_equal(p.fails, 0);
}

/* 0, 1, 2, 4 ... 60 s, and in between nothing is begun. */
static void test_back_off(void **state)
{
    static const uint64_t pauses[] = {0, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
    struct pull p = {0};
    enum reason why = REASON_NONE;
    uint64_t now = 1000;
    char text[200];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pauses); i++) {
        assert_true(pull_want(&p, now));
        pull_text(&p, "a:1", 0, text, sizeof text);
        assert_int_equal(strstr(text, "the last one: no way") != NULL, i > 0);
        pull_ended(&p, "no way", now);
        assert_int_equal(p.retry_ms - now, pauses[i]);
        pull_text(&p, "a:1", 0, text, sizeof text);
        assert_string_equal(text, "no way");
        if (pauses[i] > 0) {
            assert_true(pull_blocks(&p, now + pauses[i] - 1, &why));
            assert_int_equal(why, REASON_PULL_FAILED);
            assert_false(pull_want(&p, now + pauses[i] - 1));
        }
        now += pauses[i];
        assert_false(pull_blocks(&p, now, &why));
    }
    assert_true(pull_want(&p, now));
    pull_ended(&p, NULL, now);
    assert_int_equal(p.state, PULL_DONE);
}

/* A pull that went well and an engine that has no such image: no loop at full speed. */
static void test_pulled_and_not_there(void **state)
{
    struct pull p = {0};
    enum reason why = REASON_NONE;
    unsigned pulls = 0;

    (void)state;
    for (uint64_t now = 0; now < 60000; now += 10) {
        if (pull_blocks(&p, now, &why))
            continue;
        if (pull_want(&p, now)) {
            pulls++;
            pull_ended(&p, NULL, now);
        }
    }
    assert_in_range(pulls, 3, 8);
    assert_non_null(strstr(p.error, "no such image all the same"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_at_a_time),
        cmocka_unit_test(test_back_off),
        cmocka_unit_test(test_pulled_and_not_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
