#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/base/macros.h"
#include "common/base/str.h"
#include "ctl/core/slot.h"

/* A story is a list of sentences divided by ';':
 *   want | unwant | may WORDS | may-not WORDS (act start replace leave roll)    what the plan says
 *   t MS                                                                   time passes
 *   do ACT STATE                                                           one step, its act, the
 * state after it created R | next-created R | started R | stopped R                     R: ok
 * refused gone busy unknown drained | probe ok | probe bad | see S | see-next S S: nothing created
 * running exited adopt created | adopt running | adopt ready wake MS | replaced N | coming |
 * not-coming expectations The rule: fall 1, rise 1, start period 5 s. */
static const struct {
    const char *name;
    const char *story;
} rows[] = {
    {"not wanted", "do none empty;not-coming"},
    {"on its way from the first moment to the last",
     "want;coming;do create creating;coming;created ok;do start starting;coming;started ok;"
     "probe bad;do none starting;coming;probe ok;do none ready;not-coming"},
    {"on its way while it is replaced",
     "BIRTH;probe bad;do none unhealthy;not-coming;may replace;coming;do drain draining;coming;"
     "do create-next draining;next-created ok;drained;do stop stopping;coming;stopped ok;"
     "do remove empty;coming;do start starting;started ok;coming"},
    {"not on its way: what it needs is missing",
     "want;may-not start;not-coming;do none waiting;not-coming;may start;do create creating;"
     "coming"},
    {"not on its way: it leaves for good",
     "BIRTH;unwant;may leave;do drain draining;not-coming;drained;do stop stopping;not-coming"},
    {"nobody waits for what failed twice",
     "want;do create creating;created refused;do none waiting;not-coming;do create creating;"
     "coming;created refused;do none waiting;t 1000;do create creating;not-coming"},
    {"birth", "want;do create creating;do none creating;created ok;do start starting;do none "
              "starting;started ok;"
              "do none starting;probe ok;do none ready;do none ready"},
    {"waits for what it depends on",
     "want;may-not start;do none waiting;do none waiting;may start;do create creating"},
    {"not wanted any more while being created",
     "want;do create creating;unwant;created ok;do remove empty;do none empty"},
    {"not wanted any more while starting: stopped, nobody to drain",
     "BIRTH0;unwant;do none draining;do stop stopping;stopped ok;do remove empty"},
    {"create refused: back-off grows", "want;do create creating;created refused;do none waiting;do "
                                       "create creating;created refused;do none waiting;wake "
                                       "1000;do none waiting;t 1000;do create creating;created "
                                       "refused;do none waiting;t 1999;do none waiting;t 1;do "
                                       "create creating"},
    {"create unknown, not there",
     "want;do create creating;created unknown;do none creating;see nothing;do none waiting;"
     "do create creating"},
    {"create unknown, there",
     "want;do create creating;created unknown;see created;do start starting"},
    {"start refused: another one",
     "want;do create creating;created ok;do start starting;started refused;do remove "
     "waiting;do create creating"},
    {"port busy: the same one again",
     "want;do create creating;created ok;do start starting;started busy;do none "
     "waiting;do start starting;started busy;do none waiting;do none waiting;t 1000;"
     "do start starting"},
    {"start unknown, it runs",
     "want;do create creating;created ok;do start starting;started unknown;do none starting;"
     "see running;probe ok;do none ready"},
    {"start unknown, it does not",
     "want;do create creating;created ok;do start starting;started unknown;see created;do "
     "none waiting;do start starting"},
    {"removed by hand before its start",
     "want;do create creating;created ok;do start starting;started busy;do none "
     "waiting;see nothing;do remove waiting;do create creating"},
    {"exits while starting: back-off",
     "BIRTH0;see exited;do remove waiting;do create creating;created ok;do start "
     "starting;started ok;see exited;do remove waiting;do none waiting;wake 1000"},
    {"never ready: stopped after the start period",
     "BIRTH0;t 4000;probe bad;do none starting;t 2000;probe bad;do none "
     "draining;do stop stopping;stopped ok;do remove waiting;replaced 1"},
    {"sick: drained, stopped, replaced by the one created meanwhile",
     "BIRTH;probe bad;do none unhealthy;may replace;do drain draining;do create-next draining;do "
     "none draining;"
     "next-created ok;do none draining;drained;do stop stopping;do none stopping;stopped ok;do "
     "remove empty;do start "
     "starting;started ok;probe ok;do none ready;do none ready;replaced 1"},
    {"sick: the next one is late",
     "BIRTH;may replace;probe bad;do drain draining;do create-next draining;drained;"
     "do stop stopping;stopped ok;do remove empty;do none empty;next-created ok;"
     "do start starting"},
    {"sick: the next one cannot be created",
     "BIRTH;may replace;probe bad;do drain draining;do create-next draining;"
     "next-created refused;drained;do stop stopping;do none stopping;stopped ok;"
     "do remove empty;do create creating"},
    {"sick: the next one's creation is unknown",
     "BIRTH;may replace;probe bad;do drain draining;do create-next draining;next-created "
     "unknown;drained;do stop "
     "stopping;stopped ok;do remove empty;do none empty;see-next created;do start starting"},
    {"sick, not yet allowed, recovers",
     "BIRTH;probe bad;do none unhealthy;do none unhealthy;probe ok;do none ready;"
     "replaced 0"},
    {"sick, the engine is away",
     "BIRTH;probe bad;may replace;may-not act;do none unhealthy;do none unhealthy;may act;"
     "do drain draining"},
    {"sick and no longer wanted",
     "BIRTH;probe bad;do none unhealthy;unwant;do drain draining;drained;do stop stopping;"
     "stopped ok;do remove empty;replaced 0"},
    {"the engine goes away during a drain",
     "BIRTH;may replace;probe bad;do drain draining;may-not act start;drained;do "
     "none draining;may act start;do create-next draining;do stop stopping"},
    {"dead: table first, no stop",
     "BIRTH;see exited;do drain draining;do create-next draining;next-created ok;drained;"
     "do remove empty;do start starting"},
    {"gone: the same",
     "BIRTH;see nothing;do drain draining;drained;do create-next draining;do remove empty"},
    {"dies during its drain",
     "BIRTH;may replace;probe bad;do drain draining;see exited;do create-next draining;"
     "drained;do remove empty"},
    {"stop unknown, still there",
     "BIRTH;unwant;may leave;do drain draining;drained;do stop stopping;stopped unknown;do "
     "none stopping;see running;do none stopping;t 1000;do stop stopping;stopped gone;do "
     "remove empty"},
    {"stop refused",
     "BIRTH;unwant;may leave;do drain draining;drained;do stop stopping;stopped refused;do none "
     "stopping;wake 1000;t 1000;do stop stopping"},
    {"scale in waits for leave",
     "BIRTH;unwant;do none ready;may leave;do drain draining;drained;do stop stopping;"
     "stopped ok;do remove empty;do none empty;replaced 0"},
    {"wanted again while it leaves: a new one afterwards",
     "BIRTH;unwant;may leave;do drain draining;want;drained;do stop stopping;stopped ok;do remove "
     "empty;do create "
     "creating"},
    {"no longer wanted while being replaced: the next one goes too",
     "BIRTH;may replace;probe bad;do drain draining;do create-next draining;next-created "
     "ok;unwant;do remove draining;"
     "drained;do stop stopping;stopped ok;do remove empty;do none empty"},
    {"late answers about a former instance change nothing",
     "BIRTH;may replace;probe bad;do drain draining;drained;do create-next draining;probe ok;do "
     "stop stopping;probe ok;"
     "do none stopping"},
    {"old back-off does not delay a later stop",
     "want;do create creating;created refused;do none waiting;do create creating;created "
     "refused;do none waiting;unwant;"
     "do none empty;want;do create creating;created ok;do start starting;started ok;probe ok;do "
     "none ready;unwant;may "
     "leave;do drain draining;drained;do stop stopping"},
    {"outdated: its new form is made ahead, takes the place, and counts as no replacement",
     "adopt ready;outdated;want;do none ready;may roll;do drain draining;do create-next draining;"
     "drained;next-created ok;do stop stopping;stopped ok;do remove empty;do start starting;"
     "started ok;probe ok;do none ready;do none ready;replaced 0"},
    {"outdated, and what it needs is not ready: stays",
     "adopt ready;outdated;want;may roll;may-not start;do none ready"},
    {"outdated, never answered: is not waited for",
     "adopt running;outdated;want;do none starting;probe bad;do drain draining;drained;"
     "do create-next draining;do stop stopping"},
    {"outdated, and its new form cannot be made: back-off",
     "adopt ready;outdated;want;may roll;do drain draining;do create-next draining;"
     "next-created refused;do none draining;drained;do stop stopping;stopped ok;do remove empty;"
     "do create creating;created refused;do none waiting"},
    {"adopted, was ready", "adopt ready;want;do none ready;probe bad;do none unhealthy"},
    {"adopted, unknown: has its start period",
     "adopt running;want;do none starting;probe bad;do none starting;probe "
     "ok;do none ready"},
    {"adopted, dies before its first probe: lbd may have it",
     "adopt running;want;see exited;do drain draining;drained;"
     "do remove waiting;do create creating"},
    {"adopted, never started", "adopt created;want;do start starting"},
    {"adopted, not wanted", "adopt ready;may leave;do drain draining;drained;do stop stopping"},
    {"adopted, never started, not wanted", "adopt created;do remove empty"},
    {"held: nothing is on its way into the slot",
     "BIRTH;hold;not-coming;do drain draining;not-coming;do none draining;drained;do none held;"
     "not-coming"},
    {"held: drained, left running, not replaced; released: probed again",
     "BIRTH;hold;do drain draining;do none draining;drained;do none held;do none held;unhold;"
     "do none starting;do none starting;probe ok;do none ready;replaced 0"},
    {"held and stopped: left as it is; released: replaced",
     "BIRTH;hold-stop;do drain draining;drained;do stop stopping;stopped ok;do none held;"
     "do none held;unhold;do remove empty;do create creating"},
    {"held, then stopped, too",
     "BIRTH;hold;do drain draining;drained;do none held;hold-stop;do none draining;do stop "
     "stopping;stopped ok;do none held"},
    {"held: the engine is away",
     "BIRTH;hold-stop;may-not act start;do drain draining;drained;do none draining;may act;do stop "
     "stopping"},
    {"held while sick: not replaced",
     "BIRTH;may replace;probe bad;hold;do drain draining;do none draining;drained;do none held"},
    {"held while it leaves: the hold comes after",
     "BIRTH;may replace;probe bad;do drain draining;"
     "hold;drained;do stop stopping;stopped ok;do remove empty;do none held"},
    {"held, dies: stays as it is", "BIRTH;hold;do drain draining;drained;do none held;see exited;"
                                   "do none held;unhold;do remove empty"},
    {"dead by hand: held as it is",
     "BIRTH;see exited;hold;do drain draining;drained;do none held;unhold;do remove empty"},
    {"held before it is there", "want;hold;do none held;unhold;do none empty;do create creating"},
    {"held while it is created", "want;do create creating;hold;created ok;do remove empty;do none "
                                 "held"},
    {"held while it starts: nobody to drain",
     "BIRTH0;hold;do none draining;do none held;unhold;do none starting"},
    {"held and not wanted any more: stays",
     "BIRTH;hold;do drain draining;drained;do none held;"
     "unwant;do none held;unhold;do none starting;do none draining;do stop stopping"},
    {"released during its drain",
     "BIRTH;hold;do drain draining;unhold;drained;do none held;do none "
     "starting;probe ok;do none ready"},
    {"adopted, held", "adopt ready;hold;do drain draining;drained;do none held"},
    {"failures are remembered when it is ready, forgotten after ten good minutes",
     "want;do create creating;created refused;do none waiting;do create creating;created refused;"
     "do none waiting;t 1000;do create creating;created ok;do start starting;started ok;probe ok;"
     "do none ready;fails 2;t 599999;do none ready;fails 2;t 1;do none ready;fails 0"},
    {"started by hand while it waits",
     "want;do create creating;created ok;do start starting;started busy;do none "
     "waiting;see running;do none starting;probe ok;do none ready"},
};

struct run {
    const char *name;
    struct slot s;
    struct slot_env env;
    uint64_t now;
};

static const struct health_rule rule = {.fall = 1, .rise = 1, .start_period_ms = 5000};

static int pick(const struct run *r, const char *word, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (word != NULL && strcmp(word, names[i]) == 0)
            return (int)i;
    fail_msg("%s: bad word '%s'", r->name, word != NULL ? word : "");
    return 0;
}

static void story_may(struct run *r, bool value, char **save)
{
    static const char *const names[] = {"act", "start", "replace", "leave", "roll"};

    for (char *w = strsep(save, " "); w != NULL; w = strsep(save, " ")) {
        bool *flags[] = {&r->env.may_act, &r->env.may_start, &r->env.may_replace, &r->env.may_leave,
                         &r->env.may_roll};

        *flags[pick(r, w, names, ARRAY_LEN(names))] = value;
    }
}

static void story_do(struct run *r, const char *sentence, char **save)
{
    static const char *const acts[] = {"none",  "create", "create-next", "start",
                                       "drain", "stop",   "remove"};
    const char *act = strsep(save, " "), *state = strsep(save, " ");
    struct slot_step step = slot_step(&r->s, &r->env, r->now);

    if (step.act == SLOT_ACT_CREATE)
        (void)snprintf(r->s.cur.token, sizeof r->s.cur.token, "t");
    if (step.act == SLOT_ACT_DRAIN)
        assert_true(r->s.cur.listed);
    if (strcmp(acts[step.act], act) != 0 || strcmp(slot_state_name(r->s.state), state) != 0)
        fail_msg("%s: at \"%s\" got %s %s (%s)", r->name, sentence, acts[step.act],
                 slot_state_name(r->s.state), r->s.reason);
    if (r->s.state == SLOT_READY)
        r->s.cur.listed = true; /* the shell pushes it */
}

static void story_end(struct run *r, const char *what, const char *word)
{
    static const char *const names[] = {"ok", "refused", "gone", "busy", "unknown"};
    static const enum slot_result res[] = {SLOT_RES_OK, SLOT_RES_REFUSED, SLOT_RES_GONE,
                                           SLOT_RES_PORT_BUSY, SLOT_RES_UNKNOWN};
    enum slot_result got = res[pick(r, word, names, ARRAY_LEN(names))];

    if (strcmp(what, "created") == 0)
        slot_create_done(&r->s, false, got, "id", "it was said");
    else if (strcmp(what, "next-created") == 0)
        slot_create_done(&r->s, true, got, "id2", "it was said");
    else if (strcmp(what, "started") == 0)
        slot_start_done(&r->s, got, "10.0.0.2", "it was said", r->now);
    else
        slot_stop_done(&r->s, got, "it was said", r->now);
}

static void story_see(struct run *r, bool next, const char *word)
{
    static const char *const names[] = {"nothing", "created", "running", "exited"};

    slot_see(&r->s, next, (enum slot_seen)pick(r, word, names, ARRAY_LEN(names)), "id", "10.0.0.2",
             "seen so", r->now);
}

static void story_adopt(struct run *r, const char *word)
{
    struct inst i = {.id = "old", .token = "oldtoken", .generation = 7};

    slot_adopt(&r->s, &i, strcmp(word, "created") != 0, strcmp(word, "ready") == 0, r->now);
    assert_int_equal(r->s.generation, 7);
}

static void story_number(struct run *r, const char *what, const char *word)
{
    uint64_t n = 0;

    assert_true(str_to_u64(sv_of(word), 0, 1000000, &n, NULL));
    if (strcmp(what, "t") == 0)
        r->now += n;
    else if (strcmp(what, "wake") == 0)
        assert_int_equal(slot_wake_ms(&r->s) - r->now, n);
    else if (strcmp(what, "fails") == 0 && r->s.fails != n)
        fail_msg("%s: %u failures, want %u", r->name, r->s.fails, (unsigned)n);
    else if (strcmp(what, "replaced") == 0 && r->s.replaced != n)
        fail_msg("%s: replaced %u times, want %u", r->name, r->s.replaced, (unsigned)n);
}

static void story_coming(const struct run *r, const char *sentence, bool want)
{
    if (slot_is_coming(&r->s, &r->env) != want)
        fail_msg("%s: want %s in state %s", r->name, sentence, slot_state_name(r->s.state));
}

static void sentence(struct run *r, const char *text)
{
    char buf[128], *save = buf, *w;

    (void)snprintf(buf, sizeof buf, "%s", text);
    w = strsep(&save, " ");
    if (strcmp(w, "want") == 0 || strcmp(w, "unwant") == 0)
        r->env.wanted = w[0] == 'w';
    else if (strcmp(w, "may") == 0 || strcmp(w, "may-not") == 0)
        story_may(r, w[3] == '\0', &save);
    else if (strcmp(w, "do") == 0)
        story_do(r, text, &save);
    else if (strcmp(w, "drained") == 0)
        slot_drain_done(&r->s);
    else if (strcmp(w, "probe") == 0)
        (void)slot_probed(&r->s, &rule, strcmp(strsep(&save, " "), "ok") == 0, "bad-status 500",
                          r->now);
    else if (strcmp(w, "see") == 0 || strcmp(w, "see-next") == 0)
        story_see(r, w[3] != '\0', strsep(&save, " "));
    else if (strcmp(w, "adopt") == 0)
        story_adopt(r, strsep(&save, " "));
    else if (strcmp(w, "t") == 0 || strcmp(w, "wake") == 0 || strcmp(w, "replaced") == 0 ||
             strcmp(w, "fails") == 0)
        story_number(r, w, strsep(&save, " "));
    else if (strcmp(w, "coming") == 0 || strcmp(w, "not-coming") == 0)
        story_coming(r, text, w[0] == 'c');
    else if (strcmp(w, "outdated") == 0)
        r->s.cur.outdated = true;
    else if (strcmp(w, "hold") == 0 || strcmp(w, "hold-stop") == 0)
        r->env.held = true, r->env.held_stop = w[4] != '\0';
    else if (strcmp(w, "unhold") == 0)
        r->env.held = r->env.held_stop = false;
    else if (strcmp(w, "BIRTH0") == 0)
        (void)0;
    else
        story_end(r, w, strsep(&save, " "));
}

static void story(struct run *r, const char *text)
{
    static const char born[] =
        "want;do create creating;created ok;do start starting;started ok;do none starting";
    char buf[1024], *save = buf;

    (void)snprintf(buf, sizeof buf, "%s", text);
    for (char *p = strsep(&save, ";"); p != NULL; p = strsep(&save, ";")) {
        if (strncmp(p, "BIRTH", 5) == 0)
            story(r, born);
        if (strcmp(p, "BIRTH") == 0)
            story(r, "probe ok;do none ready");
        else
            sentence(r, p);
    }
}

static void test_stories(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct run r = {
            .name = rows[i].name, .now = 100000, .env = {.may_act = true, .may_start = true}};

        slot_init(&r.s, r.now);
        story(&r, rows[i].story);
    }
}

static void test_backoff(void **state)
{
    static const uint64_t want[] = {0, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(want); i++)
        assert_int_equal(slot_backoff_ms(i), want[i]);
    assert_int_equal(slot_backoff_ms(4000000000u), 60000);
}

/* Ready for a moment, dead, ready, dead ...: at once at first, slower if it never ends. */
static void test_flapping_ends_in_back_off(void **state)
{
    struct run r = {.name = "flapping",
                    .now = 100000,
                    .env = {.may_act = true, .may_start = true, .wanted = true}};

    (void)state;
    slot_init(&r.s, r.now);
    story(&r, "BIRTH");
    for (unsigned i = 0; i < SLOT_FLAPS_FREE; i++)
        story(&r, "t 100;see exited;do drain draining;drained;do create-next draining;next-created "
                  "ok;do remove empty;"
                  "do start starting;started ok;probe ok;do none ready");
    story(&r,
          "see exited;do drain draining;drained;do create-next draining;next-created ok;do remove "
          "waiting;"
          "wake 1000;do none waiting;t 1000;do start starting;started ok;probe ok;do none ready");
    story(&r, "t 60000;see exited;do drain draining;drained;do create-next draining;next-created "
              "ok;do remove empty");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stories),
        cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_flapping_ends_in_back_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
