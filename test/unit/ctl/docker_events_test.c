#include "test/unit/unit.h"

#include "common/base/mem.h"
#include "ctl/docker_events.h"

#define ID "947502c65984531c182c97f880453f19ea6d94db95d51bbd4737c89ff2a26f36"
#define EVENT_OF(type, action, id, project, slot, nano)                                            \
    "{\"status\":\"x\",\"Type\":\"" type "\",\"Action\":\"" action "\",\"Actor\":{\"ID\":\"" id    \
    "\",\"Attributes\":{\"image\":\"i}{\\\"\\\\\",\"lbctl.project\":\"" project                    \
    "\",\"lbctl.service\":\"web\",\"lbctl.slot\":\"" slot "\"}},\"time\":1,\"timeNano\":" nano "}"
#define OURS(action, slot, nano) EVENT_OF("container", action, ID, "p", slot, nano)

struct fixture {
    struct docker_events s;
    char log[1024];
};

static void on_event(void *arg, const struct docker_event *ev)
{
    struct fixture *f = arg;
    size_t n = strlen(f->log);

    assert_string_equal(ev->id, ID);
    snprintf(f->log + n, sizeof(f->log) - n, "%s %s %u;", ev->action, ev->service, ev->slot);
}

static int up(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));

    docker_events_init(&f->s, "p", on_event, f);
    *state = f;
    return 0;
}

static int down(void **state)
{
    struct fixture *f = *state;

    docker_events_fini(&f->s);
    mem_free(f);
    return 0;
}

static void test_cuts(void **state)
{
    static const char text[] =
        OURS("create", "0", "5") "\n" OURS("start", "1", "7") OURS("die", "2", "6") " \r\n\t";
    struct fixture *f = *state;
    size_t n = sizeof(text) - 1;

    for (size_t piece = 1; piece <= n; piece++) {
        struct err e = {""};

        f->log[0] = '\0';
        for (size_t at = 0; at < n; at += piece)
            if (!docker_events_feed(&f->s, text + at, piece < n - at ? piece : n - at, &e))
                fail_msg("pieces of %zu: %s", piece, e.msg);
        if (strcmp(f->log, "create web 0;start web 1;die web 2;") != 0)
            fail_msg("pieces of %zu: got '%s'", piece, f->log);
    }
    assert_true(f->s.last_ns == 7); /* the latest, whatever their order */
    assert_int_equal(f->s.ignored, 0);
}

static void test_what_counts(void **state)
{
    static const struct {
        const char *name, *text, *want;
    } rows[] = {
        {"create", OURS("create", "0", "1"), "create web 0;"},
        {"start", OURS("start", "0", "1"), "start web 0;"},
        {"die", OURS("die", "0", "1"), "die web 0;"},
        {"oom", OURS("oom", "0", "1"), "oom web 0;"},
        {"pause", OURS("pause", "0", "1"), "pause web 0;"},
        {"unpause", OURS("unpause", "0", "1"), "unpause web 0;"},
        {"stop", OURS("stop", "0", "1"), "stop web 0;"},
        {"destroy", OURS("destroy", "0", "1"), "destroy web 0;"},
        {"exec", OURS("exec_create: sh -c x", "0", "1"), ""},
        {"health", OURS("health_status: healthy", "0", "1"), ""},
        {"attach", OURS("attach", "0", "1"), ""},
        {"foreign project", EVENT_OF("container", "die", ID, "q", "0", "1"), ""},
        {"of a network", EVENT_OF("network", "create", ID, "p", "0", "1"), ""},
        {"bad slot", OURS("die", "x", "1"), ""},
        {"bad id", EVENT_OF("container", "die", "../x", "p", "0", "1"), ""},
        {"no actor", "{\"Type\":\"container\",\"Action\":\"die\"}", ""},
        {"empty object", "{}", ""},
        {"wrong kinds", "{\"Type\":1,\"Action\":[],\"Actor\":\"x\",\"timeNano\":\"y\"}", ""},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e = {""};

        f->log[0] = '\0';
        f->s.ignored = 0;
        ROW_EQ_U64(rows[i].name, docker_events_feed(&f->s, rows[i].text, strlen(rows[i].text), &e),
                   true);
        ROW_EQ_STR(rows[i].name, f->log, rows[i].want);
        ROW_EQ_U64(rows[i].name, f->s.ignored, rows[i].want[0] == '\0');
    }
}

static void test_no_stream(void **state)
{
    static const struct {
        const char *name, *text, *error;
    } rows[] = {
        {"text", "hello", "something else than objects"},
        {"array", "[]", "something else than objects"},
        {"closing brace", "}", "something else than objects"},
        {"NUL", "\0", "something else than objects"},
        {"no JSON in the braces", "{x}", "no JSON"},
        {"said twice", "{\"Type\":1,\"Type\":2}", "no JSON"},
        {"bracket left open", "{[}", "no JSON"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e = {""};
        size_t n = rows[i].text[0] == '\0' ? 1 : strlen(rows[i].text);

        ROW_EQ_U64(rows[i].name, docker_events_feed(&f->s, rows[i].text, n, &e), false);
        ROW_HAS_STR(rows[i].name, e.msg, rows[i].error);
        docker_events_restart(&f->s);
        ROW_EQ_U64(
            rows[i].name,
            docker_events_feed(&f->s, OURS("die", "0", "1"), strlen(OURS("die", "0", "1")), &e),
            true);
    }
}

static void test_restart_forgets_half_an_event(void **state)
{
    struct fixture *f = *state;
    struct err e;

    assert_true(docker_events_feed(&f->s, "{\"Type\":\"conta", 14, &e));
    docker_events_restart(&f->s);
    assert_true(
        docker_events_feed(&f->s, OURS("die", "4", "9"), strlen(OURS("die", "4", "9")), &e));
    assert_string_equal(f->log, "die web 4;");
}

static void test_bounded(void **state)
{
    struct fixture *f = *state;
    char pad[4096];
    struct err e = {""};
    size_t fed = 2;

    memset(pad, 'x', sizeof(pad));
    assert_true(docker_events_feed(&f->s, "{\"", 2, &e));
    while (docker_events_feed(&f->s, pad, sizeof(pad), &e)) {
        fed += sizeof(pad);
        assert_true(fed <= DOCKER_EVENT_MAX);
    }
    assert_non_null(strstr(e.msg, "longer than"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_cuts, up, down),
        cmocka_unit_test_setup_teardown(test_what_counts, up, down),
        cmocka_unit_test_setup_teardown(test_no_stream, up, down),
        cmocka_unit_test_setup_teardown(test_restart_forgets_half_an_event, up, down),
        cmocka_unit_test_setup_teardown(test_bounded, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
