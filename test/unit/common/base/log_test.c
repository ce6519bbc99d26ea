#include "test/unit/unit.h"

#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/macros.h"

static int saved_stderr, pipe_fds[2];

/* What one log call writes. */
static void capture_begin(void)
{
    fflush(stderr);
    saved_stderr = dup(STDERR_FILENO);
    assert_int_equal(pipe(pipe_fds), 0);
    dup2(pipe_fds[1], STDERR_FILENO);
    close(pipe_fds[1]);
}

static const char *capture_end(void)
{
    static char text[8192];
    ssize_t n;

    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    n = read(pipe_fds[0], text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    close(pipe_fds[0]);
    return text;
}

static void test_text(void **state UNUSED)
{
    const char *line;

    unsetenv("JOURNAL_STREAM");
    log_init("prog", LOG_FMT_TEXT, LOG_LV_INFO);
    capture_begin();
    log_warn("backend down", "slot=%u reason=\"%s\"", 3u, "line\nbreak");
    log_debug("not shown", "a=1");
    line = capture_end();
    assert_non_null(strstr(line, "Z prog warn: backend down: slot=3 reason=\"line break\"\n"));
    assert_null(strstr(line, "not shown"));
}

static void test_journal_priority(void **state UNUSED)
{
    setenv("JOURNAL_STREAM", "1:2", 1);
    log_init("prog", LOG_FMT_TEXT, LOG_LV_DEBUG);
    capture_begin();
    log_error("broken", "%s", "");
    assert_string_equal(capture_end(), "<3>prog error: broken\n");
    unsetenv("JOURNAL_STREAM");
}

static void test_json_is_json(void **state UNUSED)
{
    json_t *o;
    const char *line;

    log_init("prog", LOG_FMT_JSON, LOG_LV_INFO);
    capture_begin();
    log_info("it \"happened\"", "a=1 b=\"two words\" c= stray d=x\\y");
    line = capture_end();
    o = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(o);
    assert_string_equal(json_string_value(json_object_get(o, "event")), "it \"happened\"");
    assert_string_equal(json_string_value(json_object_get(o, "a")), "1");
    assert_string_equal(json_string_value(json_object_get(o, "b")), "two words");
    assert_string_equal(json_string_value(json_object_get(o, "c")), "");
    assert_string_equal(json_string_value(json_object_get(o, "d")), "x\\y");
    json_decref(o);
}

static void test_a_long_line_is_cut_but_ends(void **state UNUSED)
{
    static char big[20000];
    const char *line;

    memset(big, 'x', sizeof(big) - 1);
    log_init("prog", LOG_FMT_TEXT, LOG_LV_INFO);
    capture_begin();
    log_info("big", "v=%s", big);
    line = capture_end();
    assert_true(strlen(line) <= 4096);
    assert_int_equal(line[strlen(line) - 1], '\n');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_journal_priority),
        cmocka_unit_test(test_json_is_json),
        cmocka_unit_test(test_a_long_line_is_cut_but_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
