#include "test/unit/unit.h"

#include "common/base/macros.h"
#include "common/base/str.h"
#include "ctl/core/brake.h"

/* A story is a list of sentences divided by ';':
 *   bad N | dep down | dep up | unknown | known     what the shell sees (of 4 wished)
 *   failed                                          a replacement is bad itself
 *   t MS                                            time passes
 *   off N | dependency N | mass N                   the state now, and how many may be replaced
 *   wake MS                                         from now on */
static const struct {
    const char *name, *story;
} rows[] = {
    {"nothing is bad", "bad 0;off 1"},
    {"half are bad: no mass failure, but no replacement would help while the dependency is down",
     "bad 2;off 1;dep down;off 0;dep up;off 1"},
    {"all are bad and nobody is to blame: one at a time, at once", "bad 4;off 1;t 60000;off 1"},
    {"a dependency is down: nothing is replaced, however long",
     "bad 3;dep down;dependency 0;t 86400000;dependency 0"},
    {"the dependency comes back, and they with it",
     "bad 3;dep down;dependency 0;dep up;dependency 0;t 1000;bad 1;off 1"},
    {"the dependency comes back, they do not: replaced after a while",
     "bad 3;dep down;dependency 0;dep up;dependency 0;wake 3000;t 2999;dependency 0;t 1;off 1"},
    {"the dependency comes back for a moment",
     "bad 3;dep down;dependency 0;dep up;t 2000;dependency 0;dep down;dependency 0;dep up;"
     "dependency 0;t 2000;dependency 0;t 1000;off 1"},
    {"the dependencies are asked first", "unknown;bad 1;off 0;wake 2000;known;off 1"},
    {"they are asked, and one is down", "unknown;bad 4;off 0;known;dep down;dependency 0"},
    {"they do not answer: not for ever", "unknown;bad 4;off 0;t 1999;off 0;t 1;off 1"},
    {"replacements fail, too: pauses that grow, never for ever",
     "bad 4;off 1;failed;mass 0;wake 10000;t 9999;failed;mass 0;t 1;mass 1;failed;mass 0;wake "
     "20000;"
     "t 20000;mass 1;failed;t 39999;mass 0;t 1;mass 1;failed;wake 60000;mass 0;t 60000;mass 1;"
     "failed;t 59999;mass 0;t 1;mass 1"},
    {"replacements fail, then they recover: released, and forgotten",
     "bad 4;off 1;failed;mass 0;bad 2;off 1;bad 4;off 1;failed;mass 0;wake 10000"},
    {"replacements fail, then the culprit shows itself",
     "bad 4;off 1;failed;mass 0;dep down;dependency 0;dep up;dependency 0;t 3000;off 1"},
    {"a failure outside of a mass failure says nothing", "bad 1;failed;bad 4;off 1"},
};

struct run {
    const char *name;
    struct brake b;
    struct brake_in in;
};

static void expect(struct run *r, const char *text, const char *state, uint64_t limit)
{
    static const char *const names[] = {"off", "dependency", "mass"};
    unsigned got;

    (void)brake_update(&r->b, &r->in);
    got = brake_limit(&r->b, &r->in, 1);
    if (strcmp(names[r->b.state], state) != 0 || got != limit)
        fail_msg("%s: at \"%s\" got %s %u", r->name, text, names[r->b.state], got);
    if (r->b.state == BRAKE_DEPENDENCY)
        assert_string_equal(r->b.culprit, "db");
}

static void sentence(struct run *r, const char *text)
{
    char buf[64], *save = buf, *w, *arg;
    uint64_t n = 0;

    (void)snprintf(buf, sizeof buf, "%s", text);
    w = strsep(&save, " ");
    arg = save;
    if (arg != NULL && arg[0] >= '0' && arg[0] <= '9')
        assert_true(str_to_u64(sv_of(arg), 0, UINT32_MAX, &n, NULL));
    if (strcmp(w, "bad") == 0) {
        r->in.bad = (unsigned)n;
        (void)brake_update(&r->b, &r->in);
    } else if (strcmp(w, "dep") == 0) {
        r->in.culprit = strcmp(arg, "down") == 0 ? "db" : NULL;
    } else if (strcmp(w, "unknown") == 0 || strcmp(w, "known") == 0) {
        r->in.deps_unknown = w[0] == 'u';
    } else if (strcmp(w, "failed") == 0) {
        brake_failed(&r->b, r->in.now_ms);
    } else if (strcmp(w, "t") == 0) {
        r->in.now_ms += n;
    } else if (strcmp(w, "wake") == 0) {
        ROW_EQ_U64(r->name, brake_wake_ms(&r->b) - r->in.now_ms, n);
    } else {
        expect(r, text, w, n);
    }
}

static void test_stories(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct run r = {.name = rows[i].name, .in = {.wish = 4, .now_ms = 1000}};
        char buf[512], *save = buf;

        (void)snprintf(buf, sizeof buf, "%s", rows[i].story);
        for (char *p = strsep(&save, ";"); p != NULL; p = strsep(&save, ";"))
            sentence(&r, p);
    }
}

/* A single instance has its own back-off; a dependency that is down is to blame all the same. */
static void test_single(void **state)
{
    struct brake b = {.state = BRAKE_OFF};
    struct brake_in in = {.wish = 1, .bad = 1, .now_ms = 1000};

    (void)state;
    (void)brake_update(&b, &in);
    brake_failed(&b, 1000);
    assert_false(brake_update(&b, &in));
    assert_int_equal(brake_limit(&b, &in, 1), 1);
    in.culprit = "db";
    assert_true(brake_update(&b, &in));
    assert_int_equal(brake_limit(&b, &in, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_stories),
                                       cmocka_unit_test(test_single)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
