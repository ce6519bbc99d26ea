#include "ctl/hold.h"

#include "common/base/log.h"
#include "ctl/cli.h"
#include "ctl/ctl.h"
#include "ctl/ledger.h"
#include "ctl/store.h"

static const struct hold *hold_of(const struct place *p)
{
    return p->service->hold.on ? &p->service->hold : &p->hold;
}

bool hold_is_on(const struct place *p)
{
    return hold_of(p)->on;
}

void hold_fill(struct place *p, struct slot_env *env)
{
    const struct hold *h;

    if (p->by_hand_ms != 0 && p->s.health.state == HEALTH_DOWN)
        hold_judge_end(p); /* it has closed its port already, and ends soon */
    h = hold_of(p);

    env->held = h->on;
    env->held_stop = h->on && h->stop;
    env->held_by_hand = h->on && h->by_hand;
}

json_t *hold_pack(const struct hold *h)
{
    return json_pack("{s:b, s:b, s:b}", "on", h->on, "stop", h->stop, "by_hand", h->by_hand);
}

void hold_load(struct hold *h, const json_t *o)
{
    h->on = json_is_true(json_object_get(o, "on"));
    h->stop = h->on && json_is_true(json_object_get(o, "stop"));
    h->by_hand = h->on && json_is_true(json_object_get(o, "by_hand"));
}

static void note(struct ctl *c, const struct service *s, const struct place *p, enum reason why,
                 bool stop, const char *text)
{
    log_info("operator's hold", "service=%s slot=%d code=%s stop=%s", s->c->name,
             p != NULL ? (int)p->index : -1, reason_code(why), stop ? "yes" : "no");
    ledger_note(c->ledger,
                &(struct ledger_entry){LEDGER_OPERATOR, why, s->c->name,
                                       p != NULL ? (int)p->index : -1,
                                       json_pack("{s:b}", "stop", stop)},
                "%s", text);
    store_now(c->store);
    ctl_kick(c);
}

static void set(struct ctl *c, struct service *s, struct place *p, bool stop)
{
    *(p != NULL ? &p->hold : &s->hold) = (struct hold){.on = true, .stop = stop};
    note(c, s, p, REASON_HELD, stop,
         stop ? "held by the operator, container stopped" : "held by the operator");
}

static void release(struct ctl *c, struct service *s, struct place *p)
{
    if (p != NULL)
        p->hold = (struct hold){0};
    for (unsigned i = 0; p == NULL && i < s->places_n; i++)
        s->places[i].hold = (struct hold){0};
    if (p == NULL)
        s->hold = (struct hold){0};
    note(c, s, p, REASON_RELEASED, false, "released by the operator");
}

static bool any_held(const struct service *s, const struct place *p)
{
    bool held = s->hold.on;

    for (unsigned i = 0; p == NULL && i < s->places_n; i++)
        held = held || s->places[i].hold.on;
    return held || (p != NULL && p->hold.on);
}

/* Instances that stay in rotation. */
static unsigned remaining(const struct service *s)
{
    unsigned n = 0;

    for (unsigned i = 0; i < s->places_n; i++)
        n += s->places[i].s.state == SLOT_READY && !hold_is_on(&s->places[i]);
    return n;
}

static bool refuse(struct chan_ask ask, const struct service *s, const struct place *p, bool stop,
                   bool give_back)
{
    if (model_is_static(s))
        chan_refuse(ask, "'%s' is a directory that lbd serves itself: it has no instances",
                    s->c->name);
    else if (stop && model_is_fixed(s))
        chan_refuse(ask, "'%s' has backends that lbctl does not run: hold it without --stop",
                    s->c->name);
    else if (give_back && p != NULL && s->hold.on)
        chan_refuse(ask, "'%s' is held as a whole: lbctl release %s", s->c->name, s->c->name);
    else if (give_back && !any_held(s, p))
        chan_refuse(ask, "nothing of '%s' is held there", s->c->name);
    else
        return false;
    return true;
}

void hold_on_set(struct chan *ch, struct chan_ask ask, const json_t *body, void *arg)
{
    struct ctl *c = arg;
    struct service *s = cli_named(c, ask, body);
    uint64_t slot = proto_uint(body, "slot", UINT64_MAX);
    bool stop = proto_bool(body, "stop", false), give_back = proto_bool(body, "release", false);
    struct place *p = NULL;
    json_t *o;

    (void)ch;
    if (s == NULL || (slot != UINT64_MAX && (p = cli_place(s, ask, slot)) == NULL) ||
        refuse(ask, s, p, stop, give_back))
        return;
    if (give_back)
        release(c, s, p);
    else
        set(c, s, p, stop);
    o = json_pack("{s:s, s:b, s:i}", "service", s->c->name, "held", !give_back, "ready",
                  (int)remaining(s));
    if (p != NULL)
        (void)json_object_set_new(o, "slot", json_integer((json_int_t)p->index));
    chan_answer(ask, o);
}

/* ---- stopped by hand ---- */

/* Our own stops are no news. */
void hold_hint_by_hand(struct place *p)
{
    if (p->service->c->manual_stop == CONF_MANUAL_STOP_HOLD && p->s.state != SLOT_STOPPING &&
        p->s.cur.phase == INST_RUNNING)
        p->by_hand_ms = loop_now_ms(p->service->ctl->loop);
}

void hold_judge_end(struct place *p)
{
    struct ctl *c = p->service->ctl;
    uint64_t limit = p->service->c->stop_grace_ms + HOLD_BY_HAND_MS;

    if (p->by_hand_ms == 0 || p->s.cur.phase != INST_RUNNING || hold_is_on(p))
        return;
    if (loop_now_ms(c->loop) - p->by_hand_ms <= limit) {
        p->hold = (struct hold){.on = true, .by_hand = true};
        note(c, p->service, p, REASON_MANUAL_STOP, false,
             "stopped by hand through the engine: held");
    }
    p->by_hand_ms = 0;
}
