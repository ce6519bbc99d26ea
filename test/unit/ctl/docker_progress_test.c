#include "test/unit/unit.h"

#include "ctl/docker_progress.h"

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_target(void **state)
{
    static const struct {
        const char *name, *image, *from, *error; /* error NULL: good */
    } rows[] = {
        {"name and tag", "acts:2", "acts&tag=2", NULL},
        {"no tag", "acts", "acts&tag=latest", NULL},
        {"path", "team/acts:2", "team%2Facts&tag=2", NULL},
        {"host with a port, no tag", "h:5000/acts", "h%3A5000%2Facts&tag=latest", NULL},
        {"host with a port, tag", "h:5000/acts:2", "h%3A5000%2Facts&tag=2", NULL},
        {"digest", "acts@" DIGEST,
         "acts&tag=sha256%3A0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
         NULL},
        {"tag and digest", "h:5000/acts:2@" DIGEST,
         "h%3A5000%2Facts&tag="
         "sha256%3A0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
         NULL},
        {"what would be another parameter", "a&repo=b:2&x=#?", "a%26repo%3Db&tag=2%26x%3D%23%3F",
         NULL},
        {"not ASCII", "\xc3\xa4:1", "%C3%A4&tag=1", NULL},
        {"an id", DIGEST, NULL, "id cannot be pulled"},
        {"no name", ":2", NULL, "no name of an image"},
        {"empty tag", "acts:", NULL, "no name of an image"},
        {"empty digest", "acts@", NULL, "no name of an image"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char want[256];
        struct buf b;
        struct err e = {""};
        bool ok;

        buf_init(&b, 4096);
        ok = docker_pull_target(rows[i].image, &b, &e);
        ROW_EQ_U64(rows[i].name, ok, rows[i].error == NULL);
        (void)snprintf(want, sizeof want, "/images/create?fromImage=%s",
                       rows[i].from != NULL ? rows[i].from : "");
        if (ok)
            ROW_EQ_STR(rows[i].name, b.data, want);
        else
            ROW_HAS_STR(rows[i].name, e.msg, rows[i].error);
        buf_fini(&b);
    }
}

static void test_bounded_target(void **state)
{
    struct err e = {""};
    struct buf b;

    (void)state;
    buf_init(&b, 40);
    assert_false(docker_pull_target("a/name/that/does/not/fit:1", &b, &e));
    assert_non_null(strstr(e.msg, "too long"));
    buf_fini(&b);
    buf_init(&b, 100);
    assert_true(docker_look_target("h:5000/a:1", &b, &e));
    assert_string_equal(b.data, "/images/h%3A5000%2Fa%3A1/json");
    buf_fini(&b);
}

static const struct answer {
    const char *name, *text, *line;
    const char *error; /* NULL: it ends well */
    bool no_stream;    /* feed says so */
} answers[] = {
    {"nothing at all", "", "", NULL, false},
    {"a pull",
     "{\"status\":\"Pulling from x\",\"id\":\"1\"}\r\n"
     "{\"status\":\"Downloading\",\"progressDetail\":{\"current\":1500,\"total\":9000},\"id\":"
     "\"a\"}"
     "\r\n{\"status\":\"Status: Downloaded newer image for x:1\"}\r\n",
     "Status: Downloaded newer image for x:1", NULL, false},
    {"small progress",
     "{\"status\":\"Downloading\",\"progressDetail\":{\"current\":1500,\"total\":9000},\"id\":"
     "\"a\"}",
     "a: Downloading, 1 of 9 kB", NULL, false},
    {"large progress",
     "{\"status\":\"Extracting\",\"progressDetail\":{\"current\":31000000,\"total\":90000000},"
     "\"id\":\"a\"}",
     "a: Extracting, 31 of 90 MB", NULL, false},
    {"no total", "{\"status\":\"Downloading\",\"progressDetail\":{\"current\":31000000}}",
     "Downloading", NULL, false},
    {"not printable", "{\"status\":\"a\\u001b[2J\"}", "a\\x1b[2J", NULL, false},
    {"error", "{\"errorDetail\":{\"message\":\"no space\"},\"error\":\"no space\"}", "", "no space",
     false},
    {"errorDetail alone", "{\"errorDetail\":{\"message\":\"no space\"}}", "", "no space", false},
    {"first of two errors", "{\"error\":\"one\"}{\"error\":\"two\"}", "", "one", false},
    {"error of another kind", "{\"error\":5}", "", "an error without words", false},
    {"empty error", "{\"error\":\"\"}", "", "an error without words", false},
    {"braces in strings", "{\"status\":\"}{\\\"\"}", "}{'", NULL, false},
    {"unknown members", "{\"aux\":{\"ID\":\"x\"},\"status\":3}", "", NULL, false},
    {"cut", "{\"status\":\"a\"}{\"stat", "a", "in the middle of an object", false},
    {"text", "<html>", "", NULL, true},
    {"array", "[1]", "", NULL, true},
    {"no JSON in braces", "{x}", "", NULL, true},
};

/* Whole, byte by byte, and in pieces of every size: the same. */
static void test_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        const struct answer *a = &answers[i];

        for (size_t step = 1; step <= strlen(a->text) + 1; step++) {
            struct docker_progress p;
            struct err e = {""};
            bool ok = true;

            docker_progress_init(&p);
            for (size_t at = 0; ok && at < strlen(a->text); at += step) {
                size_t left = strlen(a->text) - at;

                ok = docker_progress_feed(&p, a->text + at, left < step ? left : step, &e);
            }
            ROW_EQ_U64(a->name, ok, !a->no_stream);
            if (ok) {
                ROW_EQ_STR(a->name, p.line, a->line);
                ROW_EQ_U64(a->name, docker_progress_end(&p, &e), a->error == NULL);
                ROW_HAS_STR(a->name, e.msg, a->error != NULL ? a->error : "");
            } else {
                ROW_HAS_STR(a->name, e.msg, "pull stream");
            }
            docker_progress_fini(&p);
        }
    }
}

static void test_bounded(void **state)
{
    struct docker_progress p;
    struct err e = {""};
    char pad[1024];
    size_t fed = 0;

    (void)state;
    memset(pad, 'x', sizeof pad);
    docker_progress_init(&p);
    assert_true(docker_progress_feed(&p, "{\"status\":\"", 11, &e));
    while (docker_progress_feed(&p, pad, sizeof pad, &e)) {
        fed += sizeof pad;
        assert_true(fed <= DOCKER_PROGRESS_OBJECT_MAX);
    }
    assert_non_null(strstr(e.msg, "longer than"));
    docker_progress_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_target),
        cmocka_unit_test(test_bounded_target),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
