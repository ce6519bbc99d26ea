#include "ctl/core/slot.h"

#include <stdio.h>
#include <string.h>

#include "common/base/log.h"

static const char *const state_names[SLOT_STATES] = {
    [SLOT_EMPTY] = "empty",       [SLOT_CREATING] = "creating",   [SLOT_STARTING] = "starting",
    [SLOT_READY] = "ready",       [SLOT_UNHEALTHY] = "unhealthy", [SLOT_DRAINING] = "draining",
    [SLOT_STOPPING] = "stopping", [SLOT_WAITING] = "waiting",     [SLOT_HELD] = "held",
};

/* For each state, where one may come from. */
static const unsigned legal_from[SLOT_STATES] = {
    [SLOT_EMPTY] = BIT(SLOT_DRAINING) | BIT(SLOT_STOPPING) | BIT(SLOT_WAITING) |
                   BIT(SLOT_CREATING) | BIT(SLOT_HELD),
    [SLOT_CREATING] = BIT(SLOT_EMPTY) | BIT(SLOT_WAITING),
    [SLOT_STARTING] = BIT(SLOT_EMPTY) | BIT(SLOT_CREATING) | BIT(SLOT_WAITING) | BIT(SLOT_HELD),
    [SLOT_READY] = BIT(SLOT_STARTING) | BIT(SLOT_UNHEALTHY) | BIT(SLOT_EMPTY) | BIT(SLOT_WAITING),
    [SLOT_UNHEALTHY] = BIT(SLOT_READY),
    [SLOT_DRAINING] = BIT(SLOT_STARTING) | BIT(SLOT_READY) | BIT(SLOT_UNHEALTHY) | BIT(SLOT_HELD),
    [SLOT_STOPPING] = BIT(SLOT_DRAINING),
    [SLOT_WAITING] = BIT(SLOT_EMPTY) | BIT(SLOT_CREATING) | BIT(SLOT_STARTING) |
                     BIT(SLOT_DRAINING) | BIT(SLOT_STOPPING),
    [SLOT_HELD] = BIT(SLOT_EMPTY) | BIT(SLOT_WAITING) | BIT(SLOT_DRAINING) | BIT(SLOT_STOPPING),
};

const char *slot_state_name(enum slot_state s)
{
    return state_names[s];
}

static void say(char *to, const char *text)
{
    (void)snprintf(to, SLOT_REASON_MAX, "%s", text);
}

static void trouble(struct slot *s, enum reason why, const char *text)
{
    s->trouble_why = why;
    say(s->trouble, text);
}

static void enter(struct slot *s, enum slot_state to, enum reason why, const char *reason,
                  uint64_t now_ms)
{
    if ((legal_from[to] & BIT(s->state)) == 0)
        bug("slot %s -> %s", state_names[s->state], state_names[to]);
    s->state = to;
    s->since_ms = now_ms;
    s->why = why;
    if (reason != s->reason)
        say(s->reason, reason);
}

void slot_init(struct slot *s, uint64_t now_ms)
{
    *s = (struct slot){.state = SLOT_EMPTY, .since_ms = now_ms};
}

uint64_t slot_backoff_ms(unsigned fails)
{
    if (fails == 0)
        return 0;
    if (fails > 6)
        return SLOT_BACKOFF_MAX_MS;
    return 1000u << (fails - 1);
}

bool slot_is_free(const struct slot *s)
{
    return s->cur.phase == INST_NONE && s->next.phase == INST_NONE && !s->call && !s->next_call;
}

bool slot_is_probed(const struct slot *s)
{
    return s->cur.phase == INST_RUNNING &&
           (s->state == SLOT_STARTING || s->state == SLOT_READY || s->state == SLOT_UNHEALTHY);
}

bool slot_is_coming(const struct slot *s, const struct slot_env *env)
{
    if (!env->wanted || env->held || !env->may_start || s->fails >= SLOT_FAILS_HOPEFUL)
        return false;
    switch (s->state) {
    case SLOT_READY:
    case SLOT_WAITING:
    case SLOT_HELD:
        return false;
    case SLOT_UNHEALTHY:
        return env->may_replace;
    default:
        return true;
    }
}

bool slot_is_port_taken(const struct slot *s)
{
    return s->fails > 0 && s->trouble_why == REASON_PORT_TAKEN && s->state != SLOT_READY;
}

bool slot_is_replacing(const struct slot *s)
{
    return s->cause == SLOT_SICK && s->state != SLOT_WAITING && s->state != SLOT_READY;
}

/* The slot lets go of an instance; the shell removes it. */
static struct slot_step let_go(struct inst *i)
{
    struct slot_step step = {.act = SLOT_ACT_REMOVE, .inst = *i};

    *i = (struct inst){0};
    if (step.inst.id[0] == '\0')
        step.act = SLOT_ACT_NONE; /* it never came to be */
    return step;
}

static void forget(struct slot *s)
{
    s->fails = s->flaps = 0;
}

/* Something went wrong before the instance was ever ready: wait, longer each time. */
static void back_off(struct slot *s, enum reason why, uint64_t now_ms)
{
    s->retry_ms = now_ms + slot_backoff_ms(s->fails);
    s->fails++;
    enter(s, SLOT_WAITING, why, s->trouble, now_ms);
}

static struct slot_step start(struct slot *s, uint64_t now_ms)
{
    s->cur.phase = INST_STARTING;
    s->call = true;
    s->start_ms = now_ms;
    s->ready_ms = 0;
    if (s->cause == SLOT_STAYS)
        enter(s, SLOT_STARTING, REASON_WANTED, "wanted", now_ms);
    else
        enter(s, SLOT_STARTING, REASON_REPLACES, "replaces its predecessor", now_ms);
    return (struct slot_step){.act = SLOT_ACT_START};
}

static struct slot_step leave(struct slot *s, enum slot_cause cause, enum reason why,
                              const char *reason, uint64_t now_ms)
{
    s->cause = cause;
    s->call = s->cur.listed;
    s->next_retry_ms = s->retry_ms = 0; /* of former troubles */
    enter(s, SLOT_DRAINING, why, reason, now_ms);
    return (struct slot_step){.act = s->call ? SLOT_ACT_DRAIN : SLOT_ACT_NONE};
}

static struct slot_step dead(struct slot *s, uint64_t now_ms)
{
    return leave(s, SLOT_DEAD, s->trouble_why, s->trouble, now_ms);
}

/* The current instance no longer runs: clear the place. */
static struct slot_step vacate(struct slot *s, bool wanted, uint64_t now_ms)
{
    struct slot_step step = let_go(&s->cur);

    if (s->cause == SLOT_UNWANTED || !wanted) {
        s->cause = SLOT_STAYS;
        enter(s, SLOT_EMPTY, REASON_UNWANTED, "no longer wanted", now_ms);
        return step;
    }
    s->replaced += s->cause != SLOT_OUTDATED;
    if (s->cause == SLOT_NEVER_READY) {
        back_off(s, REASON_NEVER_READY, now_ms);
        return step;
    }
    if (s->cause == SLOT_OUTDATED) {
        forget(s); /* failures of another form say nothing about this one */
    } else if (s->ready_ms != 0 && now_ms - s->ready_ms < SLOT_FLAP_MS) {
        s->flaps += s->flaps <= SLOT_FLAPS_FREE;
        if (s->flaps > SLOT_FLAPS_FREE) {
            s->fails += s->fails == 0;
            back_off(s, REASON_BACK_OFF, now_ms);
            return step;
        }
    }
    enter(s, SLOT_EMPTY, REASON_SUCCESSOR, "its successor takes the place", now_ms);
    return step;
}

/* ---- held by the operator ---- */

static enum reason hold_why(const struct slot_env *env)
{
    return env->held_by_hand ? REASON_MANUAL_STOP : REASON_HELD;
}

static const char *hold_text(const struct slot_env *env)
{
    return env->held_by_hand ? "its container was stopped by hand" : "held by the operator";
}

static struct slot_step hold_leave(struct slot *s, const struct slot_env *env, uint64_t now_ms)
{
    return leave(s, SLOT_HOLD, hold_why(env), hold_text(env), now_ms);
}

/* Whatever has run stays for inspection; what has never run is no use to anybody. */
static struct slot_step hold_here(struct slot *s, const struct slot_env *env, uint64_t now_ms)
{
    s->cause = SLOT_HOLD;
    if (s->cur.phase == INST_CREATED)
        return let_go(&s->cur);
    enter(s, SLOT_HELD, hold_why(env), hold_text(env), now_ms);
    return (struct slot_step){0};
}

static struct slot_step step_held(struct slot *s, const struct slot_env *env, uint64_t now_ms)
{
    bool runs = s->cur.phase == INST_RUNNING;

    if (env->held) {
        if (!runs || !env->held_stop || !env->may_act)
            return (struct slot_step){0};
        s->cur.listed = false; /* lbd has confirmed it, or never knew it */
        return hold_leave(s, env, now_ms);
    }
    s->cause = SLOT_STAYS;
    s->cur.listed = false;
    if (!runs) {
        struct slot_step step = let_go(&s->cur);

        enter(s, SLOT_EMPTY, env->wanted ? REASON_RELEASED : REASON_UNWANTED,
              "released by the operator", now_ms);
        return step;
    }
    s->start_ms = now_ms;
    s->ready_ms = 0;
    health_begin(&s->health, now_ms);
    enter(s, SLOT_STARTING, REASON_RELEASED, "released by the operator", now_ms);
    return (struct slot_step){0};
}

static struct slot_step fill(struct slot *s, const struct slot_env *env, uint64_t now_ms)
{
    if (env->held)
        return hold_here(s, env, now_ms);
    if (s->cur.phase == INST_DEAD) /* somebody removed it while it waited */
        return let_go(&s->cur);
    if (!env->wanted) {
        if (s->state != SLOT_EMPTY)
            enter(s, SLOT_EMPTY, REASON_UNWANTED, "no longer wanted", now_ms);
        s->cause = SLOT_STAYS;
        forget(s);
        return s->cur.phase != INST_NONE ? let_go(&s->cur) : (struct slot_step){0};
    }
    if (s->state == SLOT_WAITING && now_ms < s->retry_ms)
        return (struct slot_step){0};
    if (!env->may_start) {
        const char *why = env->why_not != NULL ? env->why_not : "may not start yet";

        if (s->state != SLOT_WAITING)
            enter(s, SLOT_WAITING, env->why, why, now_ms);
        s->retry_ms = env->retry_ms > now_ms ? env->retry_ms : now_ms;
        s->why = env->why;
        say(s->reason, why);
        return (struct slot_step){0};
    }
    if (s->cur.phase == INST_RUNNING) {
        enter(s, SLOT_STARTING, REASON_FOUND, "found running", now_ms);
        return (struct slot_step){0};
    }
    if (s->cur.phase == INST_NONE && s->next.phase == INST_CREATED && !s->next.unsure) {
        s->cur = s->next;
        s->next = (struct inst){0};
    }
    if (s->cur.phase == INST_CREATED)
        return start(s, now_ms);
    if (s->cur.phase == INST_NONE && s->next.phase != INST_CREATING) {
        s->cur = (struct inst){.phase = INST_CREATING};
        s->call = true;
        enter(s, SLOT_CREATING, REASON_WANTED, "wanted", now_ms);
        return (struct slot_step){.act = SLOT_ACT_CREATE};
    }
    return (struct slot_step){0};
}

static struct slot_step step_creating(struct slot *s, const struct slot_env *env, uint64_t now_ms)
{
    if (s->cur.phase == INST_DEAD) {
        struct slot_step step = let_go(&s->cur);

        if (s->trouble_why == REASON_PULLING) { /* the pull's back-off is its own */
            s->retry_ms = now_ms;
            enter(s, SLOT_WAITING, REASON_PULLING, s->trouble, now_ms);
            return step;
        }
        back_off(s, s->trouble_why, now_ms);
        return step;
    }
    if (s->cur.phase == INST_RUNNING) {
        enter(s, SLOT_STARTING, REASON_FOUND, "found running", now_ms);
        return (struct slot_step){0};
    }
    if (s->cur.phase != INST_CREATED)
        return (struct slot_step){0};
    if (!env->wanted || env->held) {
        enter(s, SLOT_EMPTY, env->held ? hold_why(env) : REASON_UNWANTED,
              env->held ? hold_text(env) : "no longer wanted", now_ms);
        return let_go(&s->cur);
    }
    return env->may_start ? start(s, now_ms) : (struct slot_step){0};
}

static struct slot_step step_starting(struct slot *s, const struct slot_env *env, uint64_t now_ms)
{
    switch (s->cur.phase) {
    case INST_CREATED: /* the start failed, the instance is good for another try */
        back_off(s, s->trouble_why, now_ms);
        return (struct slot_step){0};
    case INST_DEAD:
        if (s->cur.listed) /* adopted: lbd may still have it */
            return leave(s, SLOT_NEVER_READY, s->trouble_why, s->trouble, now_ms);
        back_off(s, s->trouble_why, now_ms);
        return let_go(&s->cur);
    case INST_RUNNING:
        if (env->held)
            return hold_leave(s, env, now_ms);
        if (!env->wanted)
            return leave(s, SLOT_UNWANTED, REASON_UNWANTED, "no longer wanted", now_ms);
        if (s->health.state == HEALTH_DOWN)
            return leave(s, SLOT_NEVER_READY, REASON_NEVER_READY, s->trouble, now_ms);
        if (s->cur.outdated && s->health.bad > 0 && env->may_start) /* why wait for it? */
            return leave(s, SLOT_OUTDATED, REASON_OUTDATED, "makes way for its new form", now_ms);
        if (s->health.state == HEALTH_UP) {
            s->cause = SLOT_STAYS;
            s->ready_ms = now_ms;
            enter(s, SLOT_READY, REASON_PROBE_PASSED, "first successful probe", now_ms);
        }
        return (struct slot_step){0};
    default:
        return (struct slot_step){0};
    }
}

static struct slot_step step_up(struct slot *s, const struct slot_env *env, uint64_t now_ms)
{
    bool up = s->health.state == HEALTH_UP;

    if (s->ready_ms != 0 && now_ms - s->ready_ms >= SLOT_GOOD_MS)
        forget(s);
    if (env->held)
        return hold_leave(s, env, now_ms);
    if (s->cur.phase == INST_DEAD)
        return dead(s, now_ms);
    if (s->state == SLOT_READY && !up)
        enter(s, SLOT_UNHEALTHY, s->trouble_why, s->trouble, now_ms);
    else if (s->state == SLOT_UNHEALTHY && up)
        enter(s, SLOT_READY, REASON_RECOVERED, "recovered", now_ms);
    if (!env->wanted && (!up || env->may_leave) && env->may_act)
        return leave(s, SLOT_UNWANTED, REASON_UNWANTED, "no longer wanted", now_ms);
    if (!up && env->may_replace && env->may_act)
        return leave(s, SLOT_SICK, s->trouble_why, s->trouble, now_ms);
    if (up && s->cur.outdated && env->wanted && env->may_roll && env->may_start)
        return leave(s, SLOT_OUTDATED, REASON_OUTDATED, "makes way for its new form", now_ms);
    return (struct slot_step){0};
}

static struct slot_step step_down(struct slot *s, const struct slot_env *env, uint64_t now_ms)
{
    if (s->cause == SLOT_HOLD && (s->cur.phase == INST_DEAD || s->cur.phase == INST_NONE ||
                                  (s->state == SLOT_DRAINING && !env->held_stop)))
        return hold_here(s, env, now_ms);
    if (s->cur.phase == INST_DEAD || s->cur.phase == INST_NONE)
        return vacate(s, env->wanted, now_ms);
    if (!env->may_act || s->cur.unsure || (s->state == SLOT_STOPPING && now_ms < s->retry_ms))
        return (struct slot_step){0};
    if (s->state == SLOT_DRAINING)
        enter(s, SLOT_STOPPING, s->why, s->reason, now_ms);
    s->call = true;
    return (struct slot_step){.act = SLOT_ACT_STOP};
}

static struct slot_step step_next(struct slot *s, const struct slot_env *env, uint64_t now_ms)
{
    bool leaving = s->state == SLOT_DRAINING || s->state == SLOT_STOPPING;
    bool useful = env->wanted && !env->held && s->cause != SLOT_UNWANTED && s->cause != SLOT_HOLD &&
                  (leaving || s->cur.phase == INST_NONE);

    if (s->next_call || s->next.unsure)
        return (struct slot_step){0};
    if (s->next.phase == INST_DEAD) {
        s->next_retry_ms = UINT64_MAX; /* not again ahead; in its turn */
        return let_go(&s->next);
    }
    if (s->next.phase == INST_CREATED && !useful)
        return let_go(&s->next);
    if (s->next.phase == INST_NONE && leaving && useful && env->may_start &&
        s->cause != SLOT_NEVER_READY && now_ms >= s->next_retry_ms) {
        s->next = (struct inst){.phase = INST_CREATING};
        s->next_call = true;
        return (struct slot_step){.act = SLOT_ACT_CREATE_NEXT};
    }
    return (struct slot_step){0};
}

struct slot_step slot_step(struct slot *s, const struct slot_env *env, uint64_t now_ms)
{
    struct slot_step step = step_next(s, env, now_ms);

    if (step.act != SLOT_ACT_NONE || s->call || (s->cur.unsure && s->cur.phase != INST_DEAD))
        return step;
    switch (s->state) {
    case SLOT_EMPTY:
    case SLOT_WAITING:
        return fill(s, env, now_ms);
    case SLOT_CREATING:
        return step_creating(s, env, now_ms);
    case SLOT_STARTING:
        return step_starting(s, env, now_ms);
    case SLOT_READY:
    case SLOT_UNHEALTHY:
        return step_up(s, env, now_ms);
    case SLOT_DRAINING:
    case SLOT_STOPPING:
        return step_down(s, env, now_ms);
    case SLOT_HELD:
        return step_held(s, env, now_ms);
    case SLOT_STATES:
        break;
    }
    return step;
}

uint64_t slot_wake_ms(const struct slot *s)
{
    if (s->call || s->cur.unsure)
        return 0;
    return s->state == SLOT_WAITING || s->state == SLOT_STOPPING ? s->retry_ms : 0;
}

void slot_create_done(struct slot *s, bool next, enum slot_result r, const char *id,
                      const char *text)
{
    struct inst *i = next ? &s->next : &s->cur;

    *(next ? &s->next_call : &s->call) = false;
    if (i->phase != INST_CREATING)
        return;
    if (r == SLOT_RES_OK) {
        (void)snprintf(i->id, sizeof i->id, "%s", id);
        i->phase = INST_CREATED;
        return;
    }
    trouble(s, r == SLOT_RES_NO_IMAGE ? REASON_PULLING : REASON_CREATE_FAILED, text);
    if (r == SLOT_RES_UNKNOWN)
        i->unsure = true;
    else
        i->phase = INST_DEAD;
}

static void running(struct slot *s, const char *address, uint64_t now_ms)
{
    s->cur.phase = INST_RUNNING;
    s->cur.unsure = false;
    (void)snprintf(s->cur.address, sizeof s->cur.address, "%s", address);
    health_begin(&s->health, now_ms);
}

void slot_start_done(struct slot *s, enum slot_result r, const char *address, const char *text,
                     uint64_t now_ms)
{
    s->call = false;
    if (s->cur.phase != INST_STARTING)
        return;
    if (r == SLOT_RES_OK) {
        running(s, address, now_ms);
        return;
    }
    trouble(s, r == SLOT_RES_PORT_BUSY ? REASON_PORT_TAKEN : REASON_START_FAILED, text);
    if (r == SLOT_RES_UNKNOWN)
        s->cur.unsure = true;
    else
        s->cur.phase = r == SLOT_RES_PORT_BUSY ? INST_CREATED : INST_DEAD;
}

void slot_drain_done(struct slot *s)
{
    s->call = false;
}

void slot_stop_done(struct slot *s, enum slot_result r, const char *text, uint64_t now_ms)
{
    s->call = false;
    if (r == SLOT_RES_OK || r == SLOT_RES_GONE) {
        s->cur.phase = INST_DEAD;
        s->cur.unsure = false;
        return;
    }
    trouble(s, REASON_STOP_FAILED, text);
    s->cur.unsure = r == SLOT_RES_UNKNOWN;
    s->retry_ms = now_ms + 1000;
}

/* An instance that is known to be over. */
static void over(struct slot *s, const char *text)
{
    s->cur.phase = INST_DEAD;
    s->cur.unsure = false;
    trouble(s, REASON_EXITED, text);
}

static void see_next(struct slot *s, enum slot_seen seen, const char *id)
{
    s->next.unsure = false;
    if (seen == SLOT_SEEN_CREATED && s->next.phase == INST_CREATING) {
        (void)snprintf(s->next.id, sizeof s->next.id, "%s", id);
        s->next.phase = INST_CREATED;
    } else if (seen != SLOT_SEEN_CREATED) {
        s->next.phase = INST_DEAD;
    }
}

void slot_see(struct slot *s, bool next, enum slot_seen seen, const char *id, const char *address,
              const char *text, uint64_t now_ms)
{
    struct inst *i = next ? &s->next : &s->cur;

    if (i->phase == INST_NONE || i->phase == INST_DEAD ||
        (next ? s->next_call : s->call && s->state != SLOT_DRAINING))
        return;
    if (next) {
        see_next(s, seen, id);
        return;
    }
    if (seen == SLOT_SEEN_NOTHING || seen == SLOT_SEEN_EXITED) {
        if (i->phase == INST_CREATED && seen == SLOT_SEEN_EXITED)
            return; /* a start that never was; the next one will tell */
        if (seen == SLOT_SEEN_EXITED && id[0] != '\0')
            (void)snprintf(i->id, sizeof i->id, "%s", id);
        over(s, text);
        return;
    }
    i->unsure = false;
    (void)snprintf(i->id, sizeof i->id, "%s", id);
    if (seen == SLOT_SEEN_CREATED) {
        if (i->phase != INST_RUNNING)
            i->phase = INST_CREATED;
        return;
    }
    if (i->phase != INST_RUNNING)
        running(s, address, now_ms);
}

bool slot_probed(struct slot *s, const struct health_rule *r, bool ok, const char *what,
                 uint64_t now_ms)
{
    if (!slot_is_probed(s))
        return false;
    if (!ok) {
        s->bad_ms = now_ms;
        s->trouble_why = REASON_PROBE_FAILED;
        (void)snprintf(s->trouble, sizeof s->trouble, "probe: %s", what);
    }
    return health_result(&s->health, r, ok, now_ms);
}

void slot_adopt(struct slot *s, const struct inst *i, bool is_running, bool known_ready,
                uint64_t now_ms)
{
    s->cur = *i;
    s->cause = SLOT_STAYS;
    if (i->generation > s->generation)
        s->generation = i->generation;
    if (!is_running) {
        s->cur.phase = INST_CREATED; /* fill() starts it in its turn */
        return;
    }
    s->cur.listed = true;
    s->cur.phase = INST_RUNNING;
    s->start_ms = now_ms;
    if (known_ready) {
        health_assume_up(&s->health, now_ms);
        s->ready_ms = now_ms;
        enter(s, SLOT_READY, REASON_ADOPTED, "adopted", now_ms);
    } else {
        health_begin(&s->health, now_ms);
        enter(s, SLOT_STARTING, REASON_ADOPTED, "adopted", now_ms);
    }
}
