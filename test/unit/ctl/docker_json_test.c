#include "test/unit/unit.h"

#include "ctl/docker_json.h"

#define ID64 "3d382f273ff085784ec122fc34f509355b249add803c0219ffe8456cda51cfec"

static void test_version(void **state)
{
    static const struct {
        const char *name, *text, *api, *engine, *error; /* error: part of it, NULL for success */
    } rows[] = {
        {"20.10", "{\"Version\":\"20.10.24\",\"ApiVersion\":\"1.41\",\"MinAPIVersion\":\"1.12\"}",
         "1.41", "20.10.24", NULL},
        {"29: newer than we speak",
         "{\"Version\":\"29.0\",\"ApiVersion\":\"1.52\",\"MinAPIVersion\":\"1.44\"}", "1.47",
         "29.0", NULL},
        {"just old enough",
         "{\"Version\":\"17\",\"ApiVersion\":\"1.30\",\"MinAPIVersion\":\"1.12\"}", "1.30", "17",
         NULL},
        {"just new enough",
         "{\"Version\":\"40\",\"ApiVersion\":\"1.60\",\"MinAPIVersion\":\"1.47\"}", "1.47", "40",
         NULL},
        {"no minimum", "{\"Version\":\"x\",\"ApiVersion\":\"1.40\"}", "1.40", "x", NULL},
        {"no engine version", "{\"ApiVersion\":\"1.40\"}", "1.40", "?", NULL},
        {"line end in the engine version", "{\"Version\":\"a\\nb\",\"ApiVersion\":\"1.40\"}",
         "1.40", "a\\x0ab", NULL},
        {"too old", "{\"Version\":\"x\",\"ApiVersion\":\"1.29\"}", NULL, NULL,
         "too old, 1.30 is needed: update the engine"},
        {"too new", "{\"Version\":\"x\",\"ApiVersion\":\"1.60\",\"MinAPIVersion\":\"1.48\"}", NULL,
         NULL, "wants API 1.48 or newer, we speak 1.47"},
        {"other major", "{\"ApiVersion\":\"2.0\"}", NULL, NULL, "no API version that we know"},
        {"no number", "{\"ApiVersion\":\"1.4x\"}", NULL, NULL, "no API version that we know"},
        {"empty", "{\"ApiVersion\":\"\"}", NULL, NULL, "no API version that we know"},
        {"bad minimum", "{\"ApiVersion\":\"1.40\",\"MinAPIVersion\":\"new\"}", NULL, NULL,
         "no API version that we know"},
        {"a number", "{\"ApiVersion\":1.41}", NULL, NULL, "no API version that we know"},
        {"no version", "{}", NULL, NULL, "no API version that we know"},
        {"an array", "[]", NULL, NULL, "no JSON object"},
        {"no JSON", "OK", NULL, NULL, "no JSON"},
        {"cut off", "{\"ApiVersion\":\"1.4", NULL, NULL, "no JSON"},
        {"nothing", "", NULL, NULL, "no JSON"},
        {"said twice", "{\"ApiVersion\":\"1.41\",\"ApiVersion\":\"1.20\"}", NULL, NULL, "no JSON"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct docker_version v;
        struct err e = {""};
        bool ok = docker_parse_version(rows[i].text, strlen(rows[i].text), &v, &e);

        ROW_EQ_U64(rows[i].name, ok, rows[i].error == NULL);
        if (!ok) {
            ROW_HAS_STR(rows[i].name, e.msg, rows[i].error);
            continue;
        }
        ROW_EQ_STR(rows[i].name, v.api, rows[i].api);
        ROW_EQ_STR(rows[i].name, v.engine, rows[i].engine);
    }
}

static void test_created(void **state)
{
    static const struct {
        const char *name, *text, *id; /* NULL: an error */
    } rows[] = {
        {"good", "{\"Id\":\"" ID64 "\",\"Warnings\":[]}", ID64},
        {"warnings", "{\"Id\":\"abc\",\"Warnings\":[\"x\"]}", "abc"},
        {"no id", "{\"Warnings\":[]}", NULL},
        {"empty id", "{\"Id\":\"\"}", NULL},
        {"path as id", "{\"Id\":\"../..\"}", NULL},
        {"capitals", "{\"Id\":\"ABC\"}", NULL},
        {"too long", "{\"Id\":\"" ID64 "0\"}", NULL},
        {"a number", "{\"Id\":1}", NULL},
        {"an array", "[\"Id\"]", NULL},
        {"cut off", "{\"Id\":\"" ID64, NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char id[DOCKER_ID_MAX + 1] = "";
        struct err e;
        bool ok = docker_parse_created(rows[i].text, strlen(rows[i].text), id, &e);

        ROW_EQ_U64(rows[i].name, ok, rows[i].id != NULL);
        if (ok)
            ROW_EQ_STR(rows[i].name, id, rows[i].id);
    }
}

static void test_network(void **state)
{
    static const struct {
        const char *name, *text;
        bool ok, same;
    } rows[] = {
        {"ours", "{\"Name\":\"lb\"}", true, true},
        {"found by its id", "{\"Name\":\"other\",\"Id\":\"lb00\"}", true, false},
        {"no name", "{}", true, false},
        {"no object", "[]", false, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bool same = false;
        struct err e;

        ROW_EQ_U64(rows[i].name,
                   docker_parse_network(rows[i].text, strlen(rows[i].text), "lb", &same, &e),
                   rows[i].ok);
        ROW_EQ_U64(rows[i].name, same, rows[i].same);
    }
}

static void test_address(void **state)
{
#define NET(members) "\"NetworkSettings\":{\"Networks\":{\"lb\":{" members "}}}"
    static const struct {
        const char *name, *text, *address; /* NULL: an error */
    } rows[] = {
        {"running", "{\"State\":{\"Status\":\"running\"}," NET("\"IPAddress\":\"172.18.0.2\"") "}",
         "172.18.0.2"},
        {"paused", "{\"State\":{\"Status\":\"paused\"}," NET("\"IPAddress\":\"172.18.0.2\"") "}",
         "172.18.0.2"},
        {"exited: the address is stale",
         "{\"State\":{\"Status\":\"exited\"}," NET("\"IPAddress\":\"172.18.0.2\"") "}", ""},
        {"IPv6 only",
         "{\"State\":{\"Status\":\"running\"}," NET(
             "\"IPAddress\":\"\",\"GlobalIPv6Address\":\"fd00::2\"") "}",
         "fd00::2"},
        {"both",
         "{\"State\":{\"Status\":\"running\"}," NET(
             "\"IPAddress\":\"10.0.0.1\",\"GlobalIPv6Address\":\"fd00::2\"") "}",
         "10.0.0.1"},
        {"no address", "{\"State\":{\"Status\":\"running\"}," NET("\"IPAddress\":\"nope\"") "}",
         ""},
        {"other network",
         "{\"State\":{\"Status\":\"running\"},\"NetworkSettings\":{\"Networks\":{\"x\":{"
         "\"IPAddress\":\"10.0.0.1\"}}}}",
         ""},
        {"no networks", "{\"State\":{\"Status\":\"running\"}}", ""},
        {"networks null",
         "{\"State\":{\"Status\":\"running\"},\"NetworkSettings\":{\"Networks\":null}}", ""},
        {"no state", "{}", NULL},
        {"no object", "\"running\"", NULL},
    };
#undef NET

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char address[64] = "?";
        struct err e;
        bool ok = docker_parse_address(rows[i].text, strlen(rows[i].text), "lb", address,
                                       sizeof(address), &e);

        ROW_EQ_U64(rows[i].name, ok, rows[i].address != NULL);
        if (ok)
            ROW_EQ_STR(rows[i].name, address, rows[i].address);
    }
}

static void test_message(void **state)
{
    static const struct {
        const char *name, *text, *want;
    } rows[] = {
        {"json", "{\"message\":\"No such container: x\"}\n", "No such container: x"},
        {"text", "client version 1.10 is too old\n", "client version 1.10 is too old"},
        {"quotes become single ones", "{\"message\":\"name \\\"/a\\\" is taken\"}",
         "name '/a' is taken"},
        {"json without a message", "{\"error\":1}", "{'error':1}"},
        {"nothing", "", ""},
        {"message is no string", "{\"message\":7}", "{'message':7}"},
    };
    char out[64], raw[5000];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ROW_EQ_STR(rows[i].name,
                   docker_message(rows[i].text, strlen(rows[i].text), out, sizeof(out)),
                   rows[i].want);
    memset(raw, '\n', sizeof(raw));
    assert_null(strchr(docker_message(raw, sizeof(raw), out, sizeof(out)), '\n'));
    memset(raw, 'x', sizeof(raw));
    assert_int_equal(strlen(docker_message(raw, sizeof(raw), out, sizeof(out))) < sizeof(out),
                     true);
}

#define LABELS_BUT(project, slot, port)                                                            \
    "\"Labels\":{\"lbctl.project\":\"" project                                                     \
    "\",\"lbctl.service\":\"web\",\"lbctl.slot\":\"" slot                                          \
    "\",\"lbctl.generation\":\"18446744073709551615\",\"lbctl.token\":\"t0k\",\"lbctl.confhash\":" \
    "\"00ff\","                                                                                    \
    "\"lbctl.port\":\"" port "\",\"x\":\"y\"}"
#define ROW(members, labels)                                                                       \
    "{\"Id\":\"" ID64 "\",\"Names\":[\"/p-web-1-9\"]," members "," labels "}"

static void test_list_good_row(void **state)
{
    static const char text[] = "[" ROW("\"State\":\"running\",\"Status\":\"Up 3 "
                                       "seconds\",\"NetworkSettings\":{\"Networks\":{\"lb\":{"
                                       "\"IPAddress\":\"172.18.0.2\"}}}",
                                       LABELS_BUT("p", "1", "8001")) "]";
    struct docker_list l;
    struct err e;

    (void)state;
    assert_true(docker_parse_list(text, sizeof(text) - 1, "p", "lb", &l, &e));
    assert_int_equal(l.n, 1);
    assert_int_equal(l.skipped, 0);
    assert_string_equal(l.v[0].id, ID64);
    assert_string_equal(l.v[0].name, "p-web-1-9");
    assert_string_equal(l.v[0].service, "web");
    assert_int_equal(l.v[0].slot, 1);
    assert_true(l.v[0].generation == UINT64_MAX);
    assert_string_equal(l.v[0].token, "t0k");
    assert_string_equal(l.v[0].conf_hash, "00ff");
    assert_int_equal(l.v[0].state, RT_RUNNING);
    assert_string_equal(l.v[0].address, "172.18.0.2");
    assert_int_equal(l.v[0].host_port, 8001);
    assert_int_equal(l.v[0].exit_code, 0);
    docker_list_fini(&l);
}

static void test_list_states(void **state)
{
    static const struct {
        const char *name, *members;
        enum rt_state want;
        int exit_code;
    } rows[] = {
        {"created", "\"State\":\"created\",\"Status\":\"Created\"", RT_CREATED, 0},
        {"running", "\"State\":\"running\",\"Status\":\"Up 2 days\"", RT_RUNNING, 0},
        {"paused", "\"State\":\"paused\",\"Status\":\"Up 3 seconds (Paused)\"", RT_PAUSED, 0},
        {"restarting", "\"State\":\"restarting\",\"Status\":\"Restarting (1) 2 seconds ago\"",
         RT_RESTARTING, 0},
        {"killed", "\"State\":\"exited\",\"Status\":\"Exited (137) 2 minutes ago\"", RT_EXITED,
         137},
        {"ended well", "\"State\":\"exited\",\"Status\":\"Exited (0) 2 minutes ago\"", RT_EXITED,
         0},
        {"odd code", "\"State\":\"exited\",\"Status\":\"Exited (9999) now\"", RT_EXITED, 0},
        {"no code", "\"State\":\"exited\",\"Status\":\"Exited (\"", RT_EXITED, 0},
        {"dead", "\"State\":\"dead\",\"Status\":\"Dead\"", RT_DEAD, 0},
        {"removing", "\"State\":\"removing\",\"Status\":\"Removal In Progress\"", RT_REMOVING, 0},
        {"unheard of", "\"State\":\"stopping\",\"Status\":\"\"", RT_OTHER, 0},
        {"no status", "\"State\":\"exited\"", RT_EXITED, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[1024];
        struct docker_list l;
        struct err e;

        snprintf(
            text, sizeof(text),
            "[{\"Id\":\"" ID64
            "\",\"Names\":[\"/n\"],%s,\"NetworkSettings\":{\"Networks\":{\"lb\":{\"IPAddress\":"
            "\"10.0.0.1\"}}}," LABELS_BUT("p", "0", "0") "}]",
            rows[i].members);
        assert_true(docker_parse_list(text, strlen(text), "p", "lb", &l, &e));
        ROW_EQ_U64(rows[i].name, l.n, 1);
        ROW_EQ_STR(rows[i].name, rt_state_name(l.v[0].state), rt_state_name(rows[i].want));
        ROW_EQ_U64(rows[i].name, l.v[0].exit_code, rows[i].exit_code);
        ROW_EQ_STR(rows[i].name, l.v[0].address,
                   rows[i].want == RT_RUNNING || rows[i].want == RT_PAUSED ? "10.0.0.1" : "");
        docker_list_fini(&l);
    }
}

static void test_list_bad_rows(void **state)
{
    static const char good[] = ROW("\"State\":\"running\"", LABELS_BUT("p", "1", "8001"));
    static const struct {
        const char *name, *row;
        size_t n, skipped; /* of the bad row alone */
        const char *why;
    } rows[] = {
        {"foreign project", ROW("\"State\":\"running\"", LABELS_BUT("q", "1", "8001")), 0, 0, ""},
        {"project begins alike", ROW("\"State\":\"running\"", LABELS_BUT("p2", "1", "8001")), 0, 0,
         ""},
        {"no labels", ROW("\"State\":\"running\"", "\"Labels\":{}"), 0, 0, ""},
        {"labels null", ROW("\"State\":\"running\"", "\"Labels\":null"), 0, 0, ""},
        {"labels a list", ROW("\"State\":\"running\"", "\"Labels\":[\"lbctl.project=p\"]"), 0, 0,
         ""},
        {"a number", "7", 0, 0, ""},
        {"null", "null", 0, 0, ""},
        {"slot no number", ROW("\"State\":\"running\"", LABELS_BUT("p", "one", "8001")), 0, 1,
         "label lbctl.slot"},
        {"slot negative", ROW("\"State\":\"running\"", LABELS_BUT("p", "-1", "8001")), 0, 1,
         "label lbctl.slot"},
        {"slot too large", ROW("\"State\":\"running\"", LABELS_BUT("p", "65536", "8001")), 0, 1,
         "label lbctl.slot"},
        {"slot empty", ROW("\"State\":\"running\"", LABELS_BUT("p", "", "8001")), 0, 1,
         "label lbctl.slot"},
        {"port too large", ROW("\"State\":\"running\"", LABELS_BUT("p", "1", "65536")), 0, 1,
         "label lbctl.port"},
        {"only the project's label",
         ROW("\"State\":\"running\"", "\"Labels\":{\"lbctl.project\":\"p\"}"), 0, 1,
         "label lbctl.service"},
        {"no state", ROW("\"Stat\":\"running\"", LABELS_BUT("p", "1", "8001")), 0, 1, "no state"},
        {"no id", "{\"Names\":[\"/n\"],\"State\":\"running\"," LABELS_BUT("p", "1", "8001") "}", 0,
         1, "no id"},
        {"odd id", "{\"Id\":\"a/b\",\"State\":\"running\"," LABELS_BUT("p", "1", "8001") "}", 0, 1,
         "no id"},
        {"no names: being removed",
         "{\"Id\":\"ab\",\"Names\":null,\"State\":\"removing\"," LABELS_BUT("p", "1", "8001") "}",
         1, 0, ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[4096];
        struct docker_list l;
        struct err e = {""};

        snprintf(text, sizeof(text), "[%s,%s,%s]", good, rows[i].row, good);
        ROW_EQ_U64(rows[i].name, docker_parse_list(text, strlen(text), "p", "lb", &l, &e), true);
        ROW_EQ_U64(rows[i].name, l.n, 2 + rows[i].n);
        ROW_EQ_U64(rows[i].name, l.skipped, rows[i].skipped);
        if (l.skipped > 0)
            ROW_HAS_STR(rows[i].name, l.first.msg, rows[i].why);
        docker_list_fini(&l);
    }
}

static void test_list_bad_answers(void **state)
{
    static const char *const texts[] = {
        "", "{}", "null", "[", "[{}", "[{}] x", "{\"message\":\"no\"}", "\xff\xfe"};
    struct docker_list l;
    struct err e;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (docker_parse_list(texts[i], strlen(texts[i]), "p", "lb", &l, &e))
            fail_msg("'%s' was taken for a list", texts[i]);
    assert_true(docker_parse_list("[]", 2, "p", "lb", &l, &e));
    assert_int_equal(l.n, 0);
    docker_list_fini(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version),          cmocka_unit_test(test_created),
        cmocka_unit_test(test_network),          cmocka_unit_test(test_address),
        cmocka_unit_test(test_message),          cmocka_unit_test(test_list_good_row),
        cmocka_unit_test(test_list_states),      cmocka_unit_test(test_list_bad_rows),
        cmocka_unit_test(test_list_bad_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
