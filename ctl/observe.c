#include "ctl/observe.h"

#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "ctl/core/adopt.h"
#include "ctl/ctl.h"
#include "ctl/hold.h"
#include "ctl/lblink.h"
#include "ctl/ledger.h"
#include "ctl/probing.h"
#include "ctl/removal.h"
#include "ctl/scaler.h"
#include "ctl/tenancy.h"

enum { OBSERVE_BLOCKED_MS = 250 };

struct observer {
    struct ctl *c;
    struct timer timer;
    bool running, again, seen, up, told_down;
    uint64_t asked; /* tick of the last list */
    uint64_t asked_ms, seen_ms;
    uint64_t up_since_ms;      /* since when `up` is as it is */
    char why[SLOT_REASON_MAX]; /* it is not up */
};

/* An instance of the list beside what we hold. */
struct match {
    const struct rt_instance *i;
    struct place *p; /* NULL: no such place here */
    bool cur, next;  /* it is the place's current or next one */
};

static void on_observe_timer(void *arg);

struct observer *observe_new(struct ctl *c)
{
    struct observer *o = mem_zalloc(sizeof(*o));

    o->c = c;
    o->up_since_ms = loop_now_ms(c->loop);
    (void)snprintf(o->why, sizeof o->why, "not asked yet");
    timer_init(&o->timer, c->loop, on_observe_timer, o);
    if (!model_needs_engine(c)) {
        o->up = o->seen = true;
        o->seen_ms = o->up_since_ms;
        o->why[0] = '\0';
        return o;
    }
    /* lbd's first report, which comes within milliseconds where lbd runs, makes it earlier: what
     * lbd has in its table was ready before. */
    timer_in(&o->timer, OBSERVE_FIRST_MS);
    return o;
}

void observe_free(struct observer *o)
{
    if (o == NULL)
        return;
    timer_fini(&o->timer);
    mem_free(o);
}

static void look_by(struct observer *o, uint64_t at)
{
    uint64_t now = loop_now_ms(o->c->loop);

    if (!model_needs_engine(o->c))
        return;
    if (at < now)
        at = now;
    if (!o->timer.set || o->timer.at_ms > at)
        timer_at(&o->timer, at);
}

void observe_soon(struct observer *o)
{
    if (o->running)
        o->again = true;
    else
        look_by(o, o->asked_ms + OBSERVE_GAP_MS);
}

void observe_doubt(struct observer *o)
{
    if (!o->running)
        look_by(o, o->asked_ms + OBSERVE_DOUBT_MS);
}

bool observe_engine_up(const struct observer *o)
{
    return o->up;
}

const char *observe_engine_error(const struct observer *o)
{
    return o->why;
}

uint64_t observe_engine_since_ms(const struct observer *o)
{
    return o->up_since_ms;
}

bool observe_seen(const struct observer *o)
{
    return o->seen;
}

uint64_t observe_seen_ms(const struct observer *o)
{
    return o->seen_ms;
}

/* ---- what a list says about what we hold ---- */

static enum slot_seen seen_of(enum rt_state s)
{
    switch (s) {
    case RT_CREATED:
        return SLOT_SEEN_CREATED;
    case RT_EXITED:
    case RT_DEAD:
    case RT_REMOVING:
        return SLOT_SEEN_EXITED;
    case RT_RUNNING:
    case RT_PAUSED:
    case RT_RESTARTING:
    case RT_OTHER: /* what we do not know is not dead */
        break;
    }
    return SLOT_SEEN_RUNNING;
}

static bool is_inst(const struct inst *i, const struct rt_instance *r)
{
    if (i->phase == INST_NONE)
        return false;
    return i->id[0] != '\0' ? strcmp(i->id, r->id) == 0
                            : i->token[0] != '\0' && strcmp(i->token, r->token) == 0;
}

static void see_one(struct observer *o, const struct match *m)
{
    uint64_t now = loop_now_ms(o->c->loop);
    char text[96];

    if (m->p->touched > o->asked)
        return;
    if (m->i->state == RT_EXITED || m->i->state == RT_DEAD)
        (void)snprintf(text, sizeof text, "it exited with code %d", m->i->exit_code);
    else
        (void)snprintf(text, sizeof text, "the engine says: %s", rt_state_name(m->i->state));
    if (m->cur && seen_of(m->i->state) == SLOT_SEEN_EXITED)
        hold_judge_end(m->p);
    slot_see(&m->p->s, m->next, seen_of(m->i->state), m->i->id, m->i->address, text, now);
    if (m->cur && m->i->address[0] != '\0')
        (void)snprintf(m->p->s.cur.address, sizeof m->p->s.cur.address, "%s", m->i->address);
    if (m->cur && (m->i->state == RT_RUNNING || m->i->state == RT_PAUSED))
        tenancy_confirm(m->p);
    if (m->cur)
        probing_update(m->p); /* a start whose answer was lost has happened after all */
}

static void see_absent(struct observer *o, struct place *p, bool cur_there, bool next_there)
{
    uint64_t now = loop_now_ms(o->c->loop);

    if (p->touched > o->asked)
        return;
    if (p->s.cur.phase != INST_NONE && !cur_there) {
        hold_judge_end(p);
        slot_see(&p->s, false, SLOT_SEEN_NOTHING, "", "", "it is gone from the engine", now);
    }
    if (p->s.next.phase != INST_NONE && !next_there)
        slot_see(&p->s, true, SLOT_SEEN_NOTHING, "", "", "it is gone from the engine", now);
}

static void see_all(struct observer *o, const struct match *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (v[i].cur || v[i].next)
            see_one(o, &v[i]);
    for (size_t i = 0; i < o->c->services_n; i++)
        for (unsigned k = 0; k < o->c->services[i].places_n; k++) {
            struct place *p = &o->c->services[i].places[k];

            if (model_is_fixed(p->service))
                continue;
            see_absent(o, p, p->cur_there, p->next_there);
            p->cur_there = p->next_there = false;
        }
}

static void match_all(struct observer *o, const struct rt_instance *v, size_t n, struct match *ret)
{
    for (size_t i = 0; i < n; i++) {
        struct place *p = model_place(o->c, v[i].service, v[i].slot);

        if (p != NULL && model_is_fixed(p->service))
            p = NULL; /* of a time when the service had instances of ours */
        ret[i] = (struct match){.i = &v[i], .p = p};
        if (p == NULL)
            continue;
        if (v[i].generation > p->s.generation)
            p->s.generation = v[i].generation;
        ret[i].cur = is_inst(&p->s.cur, &v[i]);
        ret[i].next = !ret[i].cur && is_inst(&p->s.next, &v[i]);
        p->cur_there = p->cur_there || ret[i].cur;
        p->next_there = p->next_there || ret[i].next;
        p->blocked = false;
    }
}

/* ---- what it shows beyond that ---- */

static enum adopt_state adopt_state_of(enum rt_state s)
{
    if (s == RT_REMOVING)
        return ADOPT_IS_REMOVING;
    switch (seen_of(s)) {
    case SLOT_SEEN_CREATED:
        return ADOPT_IS_CREATED;
    case SLOT_SEEN_RUNNING:
        return ADOPT_IS_RUNNING;
    default:
        return ADOPT_IS_OVER;
    }
}

static struct adopt_item item_of(struct observer *o, const struct match *m)
{
    struct place *p = m->p;
    struct adopt_item a = {
        .slot = m->i->slot,
        .known_place = p != NULL,
        .claimed = m->cur || m->next || removal_has(o->c->removals, m->i->id),
        .state = adopt_state_of(m->i->state),
        .generation = m->i->generation,
    };

    if (p == NULL)
        return a;
    a.service = p->service->index;
    a.claimed =
        a.claimed || p->touched > o->asked || p->s.call || p->s.next_call; /* the next list tells */
    a.slot_free = slot_is_free(&p->s) && (p->s.state == SLOT_EMPTY || p->s.state == SLOT_WAITING);
    a.ready = lblink_had(o->c->lb, m->i->service, m->i->token) ||
              strcmp(p->ready_token, m->i->token) == 0;
    a.same_conf = strcmp(m->i->conf_hash, p->service->hash) == 0;
    if (a.state == ADOPT_IS_OVER && hold_is_on(p)) {
        a.state = ADOPT_IS_CREATED; /* it does not run and is to be kept: left for inspection */
        a.same_conf = true;
    }
    return a;
}

static void take(struct observer *o, const struct match *m, bool known_ready)
{
    struct place *p = m->p;
    struct inst i = {
        .generation = m->i->generation,
        .outdated = strcmp(m->i->conf_hash, p->service->hash) != 0,
    };

    (void)snprintf(i.id, sizeof i.id, "%s", m->i->id);
    (void)snprintf(i.token, sizeof i.token, "%s", m->i->token);
    (void)snprintf(i.address, sizeof i.address, "%s", m->i->address);
    slot_adopt(&p->s, &i, seen_of(m->i->state) == SLOT_SEEN_RUNNING, known_ready,
               loop_now_ms(o->c->loop));
    if (seen_of(m->i->state) == SLOT_SEEN_EXITED)
        p->s.cur.phase = INST_DEAD; /* held: left for inspection */
    p->listener = seen_of(m->i->state) == SLOT_SEEN_RUNNING ? p->listener_seen : 0;
    if (p->service->c->routes.n == 0)
        p->s.cur.listed = false; /* lbd has never heard of it */
    log_info("instance adopted",
             "service=%s slot=%u port=%u container=%.12s state=%s reason=\"%s\"",
             p->service->c->name, p->index, model_port(p), m->i->id, rt_state_name(m->i->state),
             i.outdated ? "made from another configuration" : "found by its labels");
    probing_update(p);
}

/* Returns whether the engine is still busy removing something that a place waits for. */
static bool adopt_all(struct observer *o, const struct match *v, size_t n)
{
    struct adopt_item *items = mem_array(n > 0 ? n : 1, sizeof(*items));
    enum adopt_verdict *verdicts = mem_array(n > 0 ? n : 1, sizeof(*verdicts));
    bool waits = false;

    for (size_t i = 0; i < n; i++)
        items[i] = item_of(o, &v[i]);
    adopt_judge(items, n, verdicts);
    for (size_t i = 0; i < n; i++) {
        const struct rt_instance *r = v[i].i;

        switch (verdicts[i]) {
        case ADOPT_KNOWN:
            break;
        case ADOPT_TAKE:
            take(o, &v[i], items[i].ready);
            break;
        case ADOPT_REMOVE:
            log_info("instance removed",
                     "service=%s slot=%u container=%.12s state=%s reason=\"%s\"", r->service,
                     r->slot, r->id, rt_state_name(r->state), "a leftover or a duplicate");
            removal_add(o->c->removals,
                        items[i].state == ADOPT_IS_RUNNING ? REMOVAL_GRACEFUL : REMOVAL_OVER, r->id,
                        r->service, r->token, "another one fills its slot");
            break;
        case ADOPT_EVICT:
            removal_add(o->c->removals, REMOVAL_GRACEFUL, r->id, r->service, r->token,
                        "not in the configuration");
            break;
        case ADOPT_WAIT:
            if (v[i].p != NULL && slot_is_free(&v[i].p->s))
                waits = v[i].p->blocked = true;
            break;
        }
    }
    mem_free(items);
    mem_free(verdicts);
    return waits;
}

static void clear_blocked(struct ctl *c)
{
    for (size_t i = 0; i < c->services_n; i++)
        for (unsigned k = 0; k < c->services[i].places_n; k++)
            c->services[i].places[k].blocked = false;
}

static bool take_list(struct observer *o, const struct rt_instance *v, size_t n)
{
    struct match *m = mem_array(n > 0 ? n : 1, sizeof(*m));
    bool waits;

    clear_blocked(o->c);
    match_all(o, v, n, m);
    see_all(o, m, n);
    removals_seen(o->c->removals, v, n, o->asked);
    waits = adopt_all(o, m, n);
    mem_free(m);
    return waits;
}

/* ---- asking ---- */

static void set_up(struct observer *o, bool up, const char *why)
{
    const struct rt_info *info = o->c->ops->info(o->c->rt);
    char q[SLOT_REASON_MAX];

    if (up && !o->up)
        log_info("engine answers", "runtime=%s version=\"%s\" api=%s", o->c->ops->name,
                 info->engine, info->api);
    if (!up && !o->told_down)
        log_warn("engine does not answer", "runtime=%s reason=\"%s\"", o->c->ops->name,
                 str_quote(sv_of(why), q, sizeof q));
    if (up != o->up)
        o->up_since_ms = loop_now_ms(o->c->loop);
    if (up && !o->up)
        ledger_note(o->c->ledger,
                    &(struct ledger_entry){LEDGER_DAEMON, REASON_ENGINE_UP, NULL, -1, NULL},
                    "the engine answers: %s %s", o->c->ops->name, info->engine);
    else if (!up && !o->told_down)
        ledger_note(o->c->ledger,
                    &(struct ledger_entry){LEDGER_DAEMON, REASON_ENGINE_DOWN, NULL, -1, NULL},
                    "the engine does not answer: %s", why);
    (void)snprintf(o->why, sizeof o->why, "%s", up ? "" : why);
    o->told_down = !up;
    o->up = up;
}

/* The outcome of some act is still not known. */
static bool any_unsure(const struct ctl *c)
{
    for (size_t i = 0; i < c->services_n; i++)
        for (unsigned k = 0; k < c->services[i].places_n; k++)
            if (c->services[i].places[k].s.cur.unsure || c->services[i].places[k].s.next.unsure)
                return true;
    return false;
}

static void on_runtime_list(void *arg, enum rt_result r, const struct rt_instance *v, size_t n,
                            const struct err *e) /* rt_list_fn */
{
    struct observer *o = arg;
    uint64_t next = OBSERVE_EVERY_MS;

    o->running = false;
    set_up(o, r == RT_OK, e != NULL ? e->msg : rt_result_name(r));
    if (r == RT_OK) {
        if (take_list(o, v, n))
            next = OBSERVE_BLOCKED_MS;
        else if (any_unsure(o->c))
            next = OBSERVE_RETRY_MS;
        if (!o->seen) {
            o->seen = true;
            o->seen_ms = loop_now_ms(o->c->loop);
            scaler_adopted(o->c->scaler);
        }
    } else {
        next = OBSERVE_RETRY_MS;
    }
    timer_in(&o->timer, o->again && r == RT_OK ? OBSERVE_GAP_MS : next);
    o->again = false;
    ctl_kick(o->c);
}

static void on_observe_timer(void *arg) /* timer */
{
    struct observer *o = arg;

    if (o->running)
        return;
    o->running = true;
    tenancy_look(o->c);
    o->asked = model_tick(o->c);
    o->asked_ms = loop_now_ms(o->c->loop);
    o->c->ops->list(o->c->rt, on_runtime_list, o);
}

void observe_on_hint(void *arg, const char *action, const char *id, const char *service,
                     unsigned slot)
{
    struct ctl *c = arg;
    struct place *p = model_place(c, service != NULL ? service : "", slot);

    log_debug("engine hint", "action=%s container=%.12s slot=%u", action, id != NULL ? id : "",
              slot);
    if (strcmp(action, "resync") == 0 || strcmp(action, "away") == 0) {
        observe_soon(c->observer);
        return;
    }
    if (p == NULL || id == NULL || strcmp(p->s.cur.id, id) != 0)
        return; /* nothing we rely on */
    if (strcmp(action, "kill") == 0 || strcmp(action, "stop") == 0 ||
        strcmp(action, "destroy") == 0)
        hold_hint_by_hand(p);
    if (strcmp(action, "die") == 0)
        hold_judge_end(p);
    if (strcmp(action, "pause") == 0 || strcmp(action, "unpause") == 0 ||
        strcmp(action, "oom") == 0)
        probing_hint(p);
    else if (p->s.state != SLOT_STOPPING && strcmp(action, "start") != 0 &&
             strcmp(action, "create") != 0 && strcmp(action, "kill") != 0)
        observe_soon(c->observer);
}
