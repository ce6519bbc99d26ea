#include "ctl/act.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "ctl/braking.h"
#include "ctl/ctl.h"
#include "ctl/hold.h"
#include "ctl/lblink.h"
#include "ctl/ledger.h"
#include "ctl/observe.h"
#include "ctl/port_owner.h"
#include "ctl/probing.h"
#include "ctl/pulling.h"
#include "ctl/removal.h"
#include "ctl/store.h"
#include "ctl/tenancy.h"

static const uint32_t CALL_MAGIC = MAGIC('a', 'c', 'a', 'l');

/* A call of the runtime on behalf of a place. */
struct call {
    uint32_t magic;
    struct list node;
    struct act *act;
    struct place *place;
    bool next;
};

struct act {
    struct ctl *c;
    struct list calls;
    unsigned starts; /* creations and starts under way */
    uint64_t wake_ms;
};

struct act *act_new(struct ctl *c)
{
    struct act *a = mem_zalloc(sizeof(*a));

    a->c = c;
    list_init(&a->calls);
    return a;
}

void act_free(struct act *a)
{
    if (a == NULL)
        return;
    LIST_EACH(n, &a->calls)
    {
        mem_free(LIST_ENTRY_OF(n, struct call, node));
    }
    mem_free(a);
}

static enum slot_result result_of(enum rt_result r)
{
    switch (r) {
    case RT_OK:
        return SLOT_RES_OK;
    case RT_GONE:
        return SLOT_RES_GONE;
    case RT_PORT_BUSY:
        return SLOT_RES_PORT_BUSY;
    case RT_UNKNOWN:
        return SLOT_RES_UNKNOWN;
    case RT_NO_IMAGE:
        return SLOT_RES_NO_IMAGE;
    case RT_REFUSED:
    case RT_CONFLICT:
        break;
    }
    return SLOT_RES_REFUSED;
}

static struct call *call_new(struct act *a, struct place *p, bool next)
{
    struct call *k = mem_zalloc(sizeof(*k));

    *k = (struct call){.magic = CALL_MAGIC, .act = a, .place = p, .next = next};
    list_push_back(&a->calls, &k->node);
    p->touched = model_tick(a->c);
    return k;
}

static void say_port_busy(const struct place *p, char *text, size_t n)
{
    char who[96];

    (void)port_owner(model_port(p), who, sizeof who);
    (void)snprintf(text, n,
                   "host port %u is taken by another program%s%s; free it (ss -ltnp) or change "
                   "host_ports",
                   model_port(p), who[0] != '\0' ? ": " : "", who);
}

/* The end of a call: its place, with what all ends have in common. */
static struct place *call_end(struct call *k, const char *verb, enum rt_result r,
                              const struct err *e, char *text, size_t n)
{
    struct act *a = k->act;
    struct place *p = k->place;

    text[0] = '\0';
    if (r != RT_OK && r != RT_GONE) {
        char q[SLOT_REASON_MAX];

        if (r == RT_PORT_BUSY)
            say_port_busy(p, text, n);
        else if (e != NULL && e->msg[0] != '\0')
            (void)snprintf(text, n, "%s", e->msg);
        else
            (void)snprintf(text, n, "%s: %s", verb, rt_result_name(r));
        log_warn("engine call failed", "service=%s slot=%u call=%s result=%s reason=\"%s\"",
                 p->service->c->name, p->index, verb, rt_result_name(r),
                 str_quote(sv_of(text), q, sizeof q));
    }
    if (r == RT_UNKNOWN || r == RT_CONFLICT)
        observe_soon(a->c->observer);
    p->touched = model_tick(a->c);
    list_unlink(&k->node);
    k->magic = 0;
    mem_free(k);
    ctl_kick(a->c);
    return p;
}

static void on_runtime_created(void *arg, enum rt_result r, const char *id,
                               const struct err *e) /* rt_create_fn */
{
    struct call *k = CAST(arg, call, CALL_MAGIC);
    bool next = k->next;
    char text[SLOT_REASON_MAX];
    struct place *p;

    k->act->starts--;
    p = call_end(k, "create", r, e, text, sizeof text);
    if (r == RT_NO_IMAGE && pulling_is_on(p->service))
        pulling_want(p->service->ctl->pulling, p->service);
    else if (r == RT_NO_IMAGE)
        r = RT_REFUSED;
    else if (r == RT_OK)
        pulling_there(p->service->ctl->pulling, p->service);
    slot_create_done(&p->s, next, result_of(r), id != NULL ? id : "", text);
}

static void on_runtime_started(void *arg, enum rt_result r, const char *address,
                               const struct err *e) /* rt_start_fn */
{
    struct call *k = CAST(arg, call, CALL_MAGIC);
    char text[SLOT_REASON_MAX];
    struct place *p;

    k->act->starts--;
    p = call_end(k, "start", r, e, text, sizeof text);
    if (r == RT_OK)
        tenancy_note(p);
    slot_start_done(&p->s, result_of(r), address != NULL ? address : "", text,
                    loop_now_ms(p->service->ctl->loop));
    probing_update(p);
}

static void on_runtime_stopped(void *arg, enum rt_result r, const struct err *e) /* rt_done_fn */
{
    struct call *k = CAST(arg, call, CALL_MAGIC);
    char text[SLOT_REASON_MAX];
    struct place *p = call_end(k, "stop", r, e, text, sizeof text);

    slot_stop_done(&p->s, result_of(r), text, loop_now_ms(p->service->ctl->loop));
}

static void on_lb_drained(struct ctl *c, uint64_t tag) /* lblink_drained_fn */
{
    struct place *p = model_place_at(c, (unsigned)(tag >> 32), (unsigned)(tag & UINT32_MAX));

    slot_drain_done(&p->s);
    ctl_kick(c);
}

static void make_token(char ret[SLOT_TOKEN_MAX])
{
    unsigned char raw[TOKEN_BYTES];

    if (getrandom(raw, sizeof raw, 0) != (ssize_t)sizeof raw)
        bug("no random bytes");
    for (size_t i = 0; i < sizeof raw; i++)
        (void)snprintf(ret + 2 * i, 3, "%02x", raw[i]);
}

static void do_create(struct act *a, struct place *p, bool next)
{
    struct service *s = p->service;
    struct inst *i = next ? &p->s.next : &p->s.cur;
    struct rt_spec spec = {
        .service = s->c,
        .project = a->c->conf->project,
        .network = a->c->conf->network,
        .slot = p->index,
        .token = i->token,
        .conf_hash = s->hash,
        .host_port = model_port(p),
    };

    make_token(i->token);
    i->generation = spec.generation = ++p->s.generation;
    store_soon(a->c->store);
    a->starts++;
    a->c->ops->create(a->c->rt, &spec, on_runtime_created, call_new(a, p, next));
}

static void do_start(struct act *a, struct place *p)
{
    (void)snprintf(p->health, sizeof p->health, "none");
    p->requests = p->in_flight = 0;
    p->listener = 0;
    a->starts++;
    a->c->ops->start(a->c->rt, p->service->c, p->s.cur.id, on_runtime_started,
                     call_new(a, p, false));
}

/* A healthy one gets all the time the service grants; a sick one is not worth a wait; a dead one
 * has nothing left. */
static void do_drain(struct act *a, struct place *p)
{
    uint64_t limit = p->service->c->drain_ms;
    uint64_t sick_limit = p->last_result == PROBE_TIMEOUT ? SLOT_HUNG_DRAIN_MS : SLOT_SICK_DRAIN_MS;

    p->receipt = 0;
    if (p->s.cause == SLOT_DEAD || p->s.cur.phase == INST_DEAD)
        limit = 0;
    else if (p->s.cause != SLOT_UNWANTED && p->s.cause != SLOT_OUTDATED &&
             p->s.cause != SLOT_HOLD && limit > sick_limit)
        limit = sick_limit;
    if (p->service->c->routes.n == 0)
        limit = 0; /* lbd has never heard of it */
    lblink_drain(a->c->lb, p->service->c->name, p->s.cur.token, limit, on_lb_drained,
                 (uint64_t)p->service->index << 32 | p->index);
}

static void do_stop(struct act *a, struct place *p)
{
    uint64_t grace = p->s.cause == SLOT_SICK ? 0 : p->service->c->stop_grace_ms;
    json_t *inputs =
        json_pack("{s:s, s:s, s:I, s:I, s:I}", "container", p->s.cur.id, "instance", p->s.cur.token,
                  "grace_ms", (json_int_t)grace, "receipt", (json_int_t)p->receipt, "stop_ms",
                  (json_int_t)loop_now_ms(a->c->loop));

    ledger_note(a->c->ledger,
                &(struct ledger_entry){LEDGER_STOP, REASON_STOP, p->service->c->name, (int)p->index,
                                       inputs},
                "container %.12s is stopped: %s", p->s.cur.id, p->s.reason);

    a->c->ops->stop(a->c->rt, p->s.cur.id, grace, on_runtime_stopped, call_new(a, p, false));
}

static void perform(struct act *a, struct place *p, const struct slot_step *step)
{
    switch (step->act) {
    case SLOT_ACT_NONE:
        break;
    case SLOT_ACT_CREATE:
    case SLOT_ACT_CREATE_NEXT:
        do_create(a, p, step->act == SLOT_ACT_CREATE_NEXT);
        break;
    case SLOT_ACT_START:
        do_start(a, p);
        break;
    case SLOT_ACT_DRAIN:
        do_drain(a, p);
        break;
    case SLOT_ACT_STOP:
        do_stop(a, p);
        break;
    case SLOT_ACT_REMOVE:
        removal_add(a->c->removals, REMOVAL_OVER, step->inst.id, p->service->c->name,
                    step->inst.token, "its slot has let it go");
        break;
    }
}

/* One more is ready. The sick ones that wait for their replacement may have recovered with it: look
 * again. */
static void became_ready(struct place *p, uint64_t now)
{
    struct service *s = p->service;

    s->settled_ms = now;
    (void)snprintf(p->ready_token, sizeof p->ready_token, "%s", p->s.cur.token);
    store_soon(s->ctl->store);
    for (unsigned i = 0; i < s->places_n; i++)
        if (s->places[i].s.state == SLOT_UNHEALTHY)
            probing_hint(&s->places[i]);
    if (!p->s.cur.listed) /* started by us, not adopted */
        model_note_start(s, now - p->s.start_ms);
}

static void ledger_state(struct act *a, const struct place *p, enum slot_state from)
{
    json_t *inputs =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:i, s:i}", "from", slot_state_name(from), "to",
                  slot_state_name(p->s.state), "container", p->s.cur.id, "instance", p->s.cur.token,
                  "generation", (json_int_t)p->s.cur.generation, "health", p->health, "fails",
                  (int)p->s.fails, "port", (int)model_port(p));

    ledger_note(
        a->c->ledger,
        &(struct ledger_entry){LEDGER_SLOT, p->s.why, p->service->c->name, (int)p->index, inputs},
        "%s -> %s: %s", slot_state_name(from), slot_state_name(p->s.state), p->s.reason);
}

static void state_changed(struct act *a, struct place *p, enum slot_state from, uint64_t now)
{
    char reason[2 * SLOT_REASON_MAX];

    log_info("slot state", "service=%s slot=%u port=%u from=%s to=%s reason=\"%s\" container=%.12s",
             p->service->c->name, p->index, model_port(p), slot_state_name(from),
             slot_state_name(p->s.state), str_quote(sv_of(p->s.reason), reason, sizeof reason),
             p->s.cur.id[0] != '\0' ? p->s.cur.id : "-");
    ledger_state(a, p, from);
    braking_state_changed(p, from);
    if (from == SLOT_STARTING && p->s.state == SLOT_READY)
        became_ready(p, now);
    probing_update(p);
    ctl_kick(a->c); /* others may wait for this */
}

static void step_place(struct act *a, struct place *p, uint64_t now)
{
    for (;;) {
        enum slot_state from = p->s.state;
        struct slot_env env = p->env;
        struct slot_step step;

        if (a->starts >= ACT_STARTS_MAX || p->blocked) {
            env.may_start = false;
            env.why = p->blocked ? REASON_PREDECESSOR : REASON_TURN;
            env.why_not = p->blocked ? "the engine is still removing its predecessor"
                                     : "waits its turn to start";
        } else {
            pulling_fill(a->c->pulling, p, &env);
        }
        step = slot_step(&p->s, &env, now);
        if (p->s.state != from)
            state_changed(a, p, from, now);
        perform(a, p, &step);
        if (step.act == SLOT_ACT_NONE && p->s.state == from)
            return;
    }
}

/* What a service stands on is rolled before it. */
static bool deps_are_current(const struct service *s)
{
    for (size_t i = 0; i < s->deps_n; i++)
        if (model_outdated(&s->ctl->services[s->deps[i]]) > 0)
            return false;
    return true;
}

static void wake_by(struct act *a, uint64_t at, uint64_t now)
{
    if (at > now && (a->wake_ms == 0 || at < a->wake_ms))
        a->wake_ms = at;
}

/* Nobody here may start, stop or replace them: in and out of rotation is all there is. */
static void step_fixed(struct act *a, struct service *s, uint64_t now)
{
    for (unsigned i = 0; i < s->places_n; i++) {
        s->places[i].env = (struct slot_env){.wanted = true};
        hold_fill(&s->places[i], &s->places[i].env);
        step_place(a, &s->places[i], now);
    }
}

/* What goes makes way for something that can be made. */
static bool may_roll_image(struct service *s)
{
    return model_outdated(s) == 0 || !observe_engine_up(s->ctl->observer) ||
           pulling_may_roll(s->ctl->pulling, s);
}

static void step_service(struct act *a, struct service *s, uint64_t now)
{
    const struct slot **slots = mem_array(s->places_n, sizeof(const struct slot *));
    struct slot_env *env = mem_array(s->places_n, sizeof(*env));
    unsigned replace_max = braking_update(s, plan_replace_limit(s->wish)); /* may settle it */
    struct plan_in in = {
        .wish = s->wish,
        .engine_up = observe_engine_up(a->c->observer),
        .deps_ready = model_deps_ready(s),
        .settled_ms = s->settled_ms,
        .waits_for = s->waits_for,
        .replace_max = replace_max,
        .may_surge = s->may_surge,
        .may_move = s->c->port_taken == CONF_PORT_TAKEN_MOVE,
        .may_roll = deps_are_current(s),
        .hold = now < s->settled_ms + s->c->ready_hold_ms || !may_roll_image(s),
    };

    model_refresh_waits(s);
    for (unsigned i = 0; i < s->places_n; i++)
        slots[i] = &s->places[i].s;
    plan_service(&in, slots, s->places_n, env);
    for (unsigned i = 0; i < s->places_n; i++) {
        struct place *p = &s->places[i];

        p->env = env[i];
        hold_fill(p, &p->env);
        step_place(a, p, now);
        wake_by(a, slot_wake_ms(&p->s), now);
    }
    if (in.hold && model_outdated(s) > 0)
        wake_by(a, s->settled_ms + s->c->ready_hold_ms, now);
    wake_by(a, braking_wake_ms(s), now);
    mem_free(slots);
    mem_free(env);
}

void act_reconcile(struct act *a)
{
    uint64_t now = loop_now_ms(a->c->loop);

    a->wake_ms = 0;
    for (size_t i = 0; i < a->c->services_n; i++) {
        struct service *s = &a->c->services[i];

        if (model_is_fixed(s))
            step_fixed(a, s, now);
        else if (observe_seen(a->c->observer)) /* adopt before creating */
            step_service(a, s, now);
    }
    wake_by(a, pulling_wake_ms(a->c->pulling), now);
}

uint64_t act_wake_ms(const struct act *a)
{
    return a->wake_ms;
}
