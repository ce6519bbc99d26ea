#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/base/macros.h"
#include "ctl/core/plan.h"

enum { MAX = 12 };

/* slots: one letter each: . empty, c creating, s starting, R ready, U unhealthy and lost, u
 * unhealthy, D draining because sick, d draining because unwanted, P stopping because sick, w
 * waiting, S starting in the place of a sick one, B its port is taken, O ready but outdated, H held
 * and outdated, o the same draining. want: one word a slot: w wanted, s may start, r may be
 * replaced, l may leave, o may be rolled, - nothing. */
static const struct {
    const char *name;
    unsigned wish;
    bool engine, deps;
    const char *slots;
    const char *want;
} rows[] = {
    {"from nothing, the lowest", 2, true, true, "....", "ws ws s s"},
    {"dependencies not ready", 2, true, false, "..", "w w"},
    {"engine away", 2, false, true, "U.", "w w"},
    {"all as it should be", 2, true, true, "RR.", "ws ws s"},
    {"scale in: highest first, all at once", 1, true, true, "RRRR", "ws sl sl sl"},
    {"scale in by one", 3, true, true, "RRRR", "ws ws ws sl"},
    {"a ready one stands in for a missing one", 1, true, true, "sR", "ws s"},
    {"stands in for a sick one, which may be replaced", 1, true, true, "UR", "wsr s"},
    {"only as many stand in as are missing", 3, true, true, "RwRRRR", "ws ws ws s sl sl"},
    {"one sick", 2, true, true, "RU", "ws wsr"},
    {"out of rotation, but not to be replaced yet", 2, true, true, "uU", "ws wsr"},
    {"all sick: one at a time", 3, true, true, "UUU", "wsr ws ws"},
    {"one on its way: the others wait", 3, true, true, "DUU", "ws ws ws"},
    {"being stopped counts", 3, true, true, "PUU", "ws ws ws"},
    {"its successor is starting: the others still wait", 3, true, true, "SUU", "ws ws ws"},
    {"an ordinary start does not hold up a replacement", 3, true, true, "sUR", "ws wsr ws"},
    {"a quarter of eight", 8, true, true, "UUUUUUUU", "wsr wsr ws ws ws ws ws ws"},
    {"dependency down: nothing is replaced", 2, true, false, "UU", "w w"},
    {"outdated, a spare slot: the new form is tried there", 2, true, true, "OO.", "ws ws ws"},
    {"the spare one is ready: the highest old one makes way", 2, true, true, "OOR", "ws wso ws"},
    {"one on its way: the other waits", 2, true, true, "OoR", "ws ws ws"},
    {"its successor starts: the other waits", 2, true, true, "OcR", "ws ws ws"},
    {"and then its turn", 2, true, true, "ORR", "wso ws ws"},
    {"the last one goes: the spare one is no longer wanted, but stands in", 2, true, true, "cRR",
     "ws ws s"},
    {"all in the new form: the spare one leaves", 2, true, true, "RRR", "ws ws sl"},
    {"no spare slot: in place, one after another", 2, true, true, "OO", "ws wso"},
    {"no spare slot, one on its way", 2, true, true, "Oo", "ws ws"},
    {"the spare one does not come up: the old ones stay", 2, true, true, "OOw", "ws ws ws"},
    {"the spare one is outdated itself: it goes first", 2, true, true, "OOO", "ws ws wso"},
    {"an old one is sick: it is replaced, none is rolled", 2, true, true, "UOR", "wsr ws ws"},
    {"an old one above, unwanted: it leaves", 1, true, true, "RRO", "ws sl sl"},
    {"a held one is left alone, and none runs beside it for its sake", 2, true, true, "RH.",
     "ws ws s"},
    {"engine away: nothing moves", 2, false, true, "OOR", "w w w"},
};

static struct slot make(char c)
{
    struct slot s = {.state = SLOT_EMPTY};

    switch (c) {
    case 'c':
        s.state = SLOT_CREATING;
        break;
    case 'S':
        s.cause = SLOT_SICK;
        s.state = SLOT_STARTING;
        break;
    case 's':
        s.state = SLOT_STARTING;
        break;
    case 'R':
        s.state = SLOT_READY;
        break;
    case 'U':
        s.state = SLOT_UNHEALTHY;
        s.health.lost = true;
        break;
    case 'u':
        s.state = SLOT_UNHEALTHY;
        break;
    case 'B':
        s.state = SLOT_WAITING;
        s.fails = 3;
        s.trouble_why = REASON_PORT_TAKEN;
        break;
    case 'H':
        s.state = SLOT_HELD;
        s.cur.phase = INST_RUNNING;
        s.cur.outdated = true;
        break;
    case 'O':
    case 'o':
        s.state = c == 'O' ? SLOT_READY : SLOT_DRAINING;
        s.cause = c == 'O' ? SLOT_STAYS : SLOT_OUTDATED;
        s.cur.phase = INST_RUNNING;
        s.cur.outdated = true;
        break;
    case 'D':
        s.cause = SLOT_SICK;
        s.state = SLOT_DRAINING;
        break;
    case 'd':
        s.cause = SLOT_UNWANTED;
        s.state = SLOT_DRAINING;
        break;
    case 'P':
        s.cause = SLOT_SICK;
        s.state = SLOT_STOPPING;
        break;
    case 'w':
        s.state = SLOT_WAITING;
        break;
    default:
        break;
    }
    return s;
}

static void make_all(const char *letters, struct slot *slots, const struct slot **p)
{
    for (size_t k = 0; letters[k] != '\0'; k++) {
        slots[k] = make(letters[k]);
        p[k] = &slots[k];
    }
}

static void describe(const struct slot_env *env, size_t n, char *buf, size_t size)
{
    size_t at = 0;

    buf[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        char word[8] = "", *p = word;

        if (env[i].wanted)
            *p++ = 'w';
        if (env[i].may_start)
            *p++ = 's';
        if (env[i].may_replace)
            *p++ = 'r';
        if (env[i].may_leave)
            *p++ = 'l';
        if (env[i].may_roll)
            *p++ = 'o';
        *p = '\0';
        at += (size_t)snprintf(buf + at, size - at, "%s%s", i > 0 ? " " : "",
                               word[0] != '\0' ? word : "-");
    }
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct slot slots[MAX];
        const struct slot *p[MAX];
        struct slot_env env[MAX];
        size_t n = strlen(rows[i].slots);
        char got[128];
        struct plan_in in = {.wish = rows[i].wish,
                             .engine_up = rows[i].engine,
                             .deps_ready = rows[i].deps,
                             .replace_max = plan_replace_limit(rows[i].wish),
                             .may_surge = true,
                             .may_roll = true};

        make_all(rows[i].slots, slots, p);
        plan_service(&in, p, n, env);
        describe(env, n, got, sizeof got);
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s: want \"%s\", got \"%s\"", rows[i].name, rows[i].want, got);
    }
}

/* The same letters; the service may move to further slots. */
static void test_stand_ins(void **state)
{
    static const struct {
        const char *name;
        unsigned wish;
        const char *slots, *want;
    } all[] = {
        {"a further one for each whose port is taken", 2, "BR..", "ws ws ws s"},
        {"two of them", 2, "BB..", "ws ws ws ws"},
        {"the stand-in is blocked, too", 2, "BRB.", "ws ws ws ws"},
        {"no more slots than there are", 2, "BBB", "ws ws ws"},
        {"the port is free: it starts, the stand-in stays meanwhile", 2, "sRR.", "ws ws s s"},
        {"and leaves when all are ready", 2, "RRR.", "ws ws sl s"},
        {"one that is blocked holds up no roll", 2, "BORR", "ws wso ws ws"},
        {"not wanted, and blocked: nothing for it", 1, "RB.", "ws s s"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct slot slots[MAX];
        const struct slot *p[MAX];
        struct slot_env env[MAX];
        struct plan_in in = {.wish = all[i].wish,
                             .engine_up = true,
                             .deps_ready = true,
                             .may_surge = true,
                             .may_roll = true,
                             .may_move = true};
        size_t n = strlen(all[i].slots);
        char got[128];

        make_all(all[i].slots, slots, p);
        plan_service(&in, p, n, env);
        describe(env, n, got, sizeof got);
        if (strcmp(got, all[i].want) != 0)
            fail_msg("%s: want \"%s\", got \"%s\"", all[i].name, all[i].want, got);
        in.may_move = false;
        plan_service(&in, p, n, env); /* who must wait gets no stand-in */
        assert_false(all[i].slots[0] == 'B' && strchr(all[i].slots, 'O') == NULL &&
                     n > all[i].wish && env[all[i].wish].wanted);
    }
}

static void test_nothing_is_rolled(void **state)
{
    struct slot old = {.state = SLOT_READY, .cur = {.phase = INST_RUNNING, .outdated = true}};
    struct slot spare = {.state = SLOT_READY, .cur = {.phase = INST_RUNNING}};
    const struct slot *v[] = {&old, &spare};
    struct plan_in in = {.wish = 1, .engine_up = true, .deps_ready = true, .may_surge = true};
    struct slot_env env[2];

    (void)state;
    plan_service(&in, v, 2, env); /* what it stands on is rolled first: not even a spare one */
    assert_false(env[0].may_roll);
    assert_false(env[1].wanted);
    in.may_roll = in.hold = true;
    plan_service(&in, v, 2, env); /* the spare one has just come up */
    assert_false(env[0].may_roll);
    assert_true(env[1].wanted);
    in.hold = false;
    plan_service(&in, v, 2, env);
    assert_true(env[0].may_roll);
    in.may_surge = false;
    plan_service(&in, v, 2, env);
    assert_false(env[1].wanted);
}

static void test_old_evidence_is_not_enough(void **state)
{
    struct slot sick = {.state = SLOT_UNHEALTHY, .health = {.lost = true}, .bad_ms = 1000};
    const struct slot *p = &sick;
    struct plan_in in = {
        .wish = 1, .engine_up = true, .deps_ready = true, .replace_max = 1, .settled_ms = 1001};
    struct slot_env env;

    (void)state;
    plan_service(&in, &p, 1, &env);
    assert_false(env.may_replace);
    in.settled_ms = 1000;
    plan_service(&in, &p, 1, &env);
    assert_true(env.may_replace);
    in.replace_max = 0; /* the brake is on */
    plan_service(&in, &p, 1, &env);
    assert_false(env.may_replace);
}

static void test_limit(void **state)
{
    (void)state;
    assert_int_equal(plan_replace_limit(1), 1);
    assert_int_equal(plan_replace_limit(7), 1);
    assert_int_equal(plan_replace_limit(8), 2);
    assert_int_equal(plan_replace_limit(100), 25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_limit),
                                       cmocka_unit_test(test_stand_ins),
                                       cmocka_unit_test(test_nothing_is_rolled),
                                       cmocka_unit_test(test_old_evidence_is_not_enough)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
