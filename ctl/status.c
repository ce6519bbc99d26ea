#include "ctl/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/str.h"
#include "ctl/braking.h"
#include "ctl/core/pull.h"
#include "ctl/core/verdict.h"
#include "ctl/hold.h"
#include "ctl/lblink.h"
#include "ctl/observe.h"
#include "ctl/pulling.h"
#include "ctl/scaler.h"

enum { STATUS_SCHEMA = 1, REASONS_MAX = 100, FAILS_TOLD = 3 };

struct report {
    struct ctl *c;
    uint64_t now;
    enum verdict verdict;
    json_t *reasons;
    uint64_t wish, ready, requests, in_flight;
};

static json_t *num(uint64_t n)
{
    return json_integer(n < INT64_MAX ? (json_int_t)n : INT64_MAX);
}

/* Foreign bytes (an engine's message) may be no UTF-8. */
static json_t *text(const char *s)
{
    char q[2 * SLOT_REASON_MAX];
    json_t *t = json_string(s);

    return t != NULL ? t : json_string(str_quote(sv_of(s), q, sizeof q));
}

static void reason(struct report *r, const char *fmt, ...) PRINTF(2, 3);

static void reason(struct report *r, const char *fmt, ...)
{
    char buf[3 * SLOT_REASON_MAX];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    if (json_array_size(r->reasons) < REASONS_MAX)
        (void)json_array_append_new(r->reasons, text(buf));
}

/* As the operator names them: host and path. */
static json_t *routes_of(const struct conf_service *cs)
{
    json_t *a = json_array();

    for (size_t i = 0; i < cs->routes.n; i++) {
        const struct conf_route *r = &cs->routes.v[i];

        if (r->hosts.n == 0)
            (void)json_array_append_new(a, text(r->path));
        for (size_t k = 0; k < r->hosts.n; k++)
            (void)json_array_append_new(a, json_sprintf("%s%s", r->hosts.v[k], r->path));
    }
    return a;
}

/* Milliseconds, with the fraction that fast answers need. */
static json_t *duration(uint64_t us)
{
    return us > 0 ? json_real((double)us / 1000.0) : json_null();
}

static json_t *build_scaling(const struct report *r, const struct service *s)
{
    bool on = scaler_is_auto(s);
    json_t *o = json_object(), *last = json_null();

    (void)json_object_set_new(o, "clock",
                              json_string(!on              ? "off"
                                          : s->scale.armed ? "armed"
                                                           : "unarmed"));
    (void)json_object_set_new(o, "next_decision_ms",
                              on && s->scale.armed
                                  ? num(s->scale.at_ms > r->now ? s->scale.at_ms - r->now : 0)
                                  : json_null());
    (void)json_object_set_new(o, "pin_left_ms",
                              s->pin_until_ms == 0 ? json_null()
                              : s->pin_until_ms > clock_wall_ms()
                                  ? num(s->pin_until_ms - clock_wall_ms())
                                  : num(0));
    (void)json_object_set_new(o, "count", num(s->scale.count));
    (void)json_object_set_new(o, "would_be",
                              num(on ? scale_target(&s->rule, s->scale.count) : s->wish));
    if (s->decided)
        last = json_pack("{s:o, s:o, s:i, s:i, s:s}", "ago_ms", num(r->now - s->last_ms), "count",
                         num(s->last.count), "from", (int)s->last.from, "to", (int)s->last.to,
                         "reason", s->last.reason);
    (void)json_object_set_new(o, "last", last);
    return o;
}

static json_t *build_slot(const struct report *r, const struct place *p)
{
    const struct slot *s = &p->s;
    bool none = s->cur.id[0] == '\0' && !model_is_fixed(p->service);

    return json_pack(
        "{s:i, s:i, s:s, s:s, s:o, s:s, s:s, s:o, s:o, s:o, s:o, s:i, s:b, s:s, s:b, s:i, s:b}",
        "slot", (int)p->index, "port", (int)model_port(p), "id", s->cur.id, "token",
        none ? "" : s->cur.token, "generation", num(s->cur.generation), "state",
        slot_state_name(s->state), "health", none ? "none" : p->health, "since_ms",
        num(r->now - s->since_ms), "reason", text(s->reason), "requests",
        num(none ? 0 : p->requests), "in_flight", num(none ? 0 : p->in_flight), "replaced",
        (int)s->replaced, "outdated", s->cur.outdated, "code", reason_code(s->why), "held",
        hold_is_on(p), "fails", (int)s->fails, "stood_in", model_is_stood_in(p));
}

/* Wanted slots, and whatever still has something in it. */
static json_t *build_slots(const struct report *r, const struct service *s)
{
    json_t *a = json_array();

    for (unsigned i = 0; i < s->places_n; i++)
        if (i < s->wish || s->places[i].s.state != SLOT_EMPTY)
            (void)json_array_append_new(a, build_slot(r, &s->places[i]));
    return a;
}

static void explain(struct report *r, const struct service *s, unsigned ready)
{
    char text[2 * SLOT_REASON_MAX];

    if (braking_text(s, text, sizeof text)[0] != '\0')
        reason(r, "%s: %s%s", s->c->name, text,
               braking_fail_open(s) ? "; requests go to bad instances" : "");
    if (s->deps_n > 0 && !model_deps_ready(s))
        reason(r, "%s: %s", s->c->name, s->waits_for);
    for (unsigned i = 0; i < s->wish; i++) {
        const struct place *p = &s->places[i];

        if (p->s.state != SLOT_READY)
            reason(r, "%s slot %u is %s: %s", s->c->name, i, slot_state_name(p->s.state),
                   p->s.reason);
    }
    if (ready >= s->wish)
        return;
    if (ready == 0)
        reason(r, "%s has no ready instance", s->c->name);
}

/* The lowest slot whose instance of today's form does not become ready: it has had its start
 * period, or failed three times in a row, so that a port that is just being freed is not told. Or
 * the image whose pull has failed as often. */
static json_t *build_failing(const struct service *s)
{
    bool wants_image = false;
    char q[2 * PULL_SAID_MAX];
    const char *why;

    for (unsigned i = 0; i < s->places_n; i++) {
        const struct slot *v = &s->places[i].s;

        if ((v->fails >= FAILS_TOLD || (v->fails > 0 && v->cause == SLOT_NEVER_READY)) &&
            v->state != SLOT_READY && v->state != SLOT_EMPTY && !v->cur.outdated &&
            !model_is_stood_in(&s->places[i]))
            return json_sprintf("slot %u: %s", i, str_quote(sv_of(v->trouble), q, sizeof q));
        wants_image = wants_image || v->why == REASON_PULLING || v->why == REASON_PULL_FAILED ||
                      v->cur.outdated;
    }
    why = wants_image ? pulling_failing(s->ctl->pulling, s, FAILS_TOLD) : NULL;
    if (why != NULL)
        return json_sprintf("%s", str_quote(sv_of(why), q, sizeof q));
    return json_null();
}

static json_t *build_waits(const struct service *s)
{
    json_t *a = json_array();

    for (size_t i = 0; i < s->deps_n; i++)
        if (!model_has_ready(&s->ctl->services[s->deps[i]]))
            (void)json_array_append_new(a, json_string(s->ctl->services[s->deps[i]].c->name));
    return a;
}

static json_t *build_service(struct report *r, struct service *s)
{
    bool files = model_is_static(s); /* always one of one */
    unsigned ready = files ? 1 : model_ready(s), wish = files ? 1 : s->wish;
    enum verdict v = verdict_service(wish, ready, s->c->routes.n > 0 || s->has_dependents);
    json_t *o = json_object();

    model_refresh_waits(s);
    if (v != VERDICT_OK)
        explain(r, s, ready);
    r->verdict = verdict_worse(r->verdict, v);
    r->wish += wish;
    r->ready += ready;
    r->requests += s->stats.requests;
    r->in_flight += s->stats.in_flight;
    (void)json_object_set_new(o, "name", text(s->c->name));
    (void)json_object_set_new(o, "image", text(s->c->image != NULL ? s->c->image : ""));
    if (files)
        (void)json_object_set_new(o, "static", text(s->c->static_dir));
    (void)json_object_set_new(o, "routes", routes_of(s->c));
    (void)json_object_set_new(o, "mode", json_string(scaler_mode(s)));
    (void)json_object_set_new(o, "wish", num(wish));
    (void)json_object_set_new(o, "ready", num(ready));
    (void)json_object_set_new(o, "min", num(s->rule.min));
    (void)json_object_set_new(o, "max", num(s->rule.max));
    (void)json_object_set_new(o, "state", json_string(verdict_name(v)));
    (void)json_object_set_new(o, "requests", num(s->stats.requests));
    (void)json_object_set_new(o, "counted", num(s->stats.counted));
    (void)json_object_set_new(o, "in_flight", num(s->stats.in_flight));
    (void)json_object_set_new(o, "errors", num(s->stats.errors));
    (void)json_object_set_new(o, "retries", num(s->stats.retries));
    (void)json_object_set_new(o, "p50_ms", duration(s->stats.p50_us));
    (void)json_object_set_new(o, "p99_ms", duration(s->stats.p99_us));
    (void)json_object_set_new(o, "outdated", num(model_outdated(s)));
    (void)json_object_set_new(o, "failing", build_failing(s));
    (void)json_object_set_new(o, "scaling", build_scaling(r, s));
    (void)json_object_set_new(o, "brake", braking_status(s));
    (void)json_object_set_new(o, "waits_for", build_waits(s));
    (void)json_object_set_new(o, "slots", build_slots(r, s));
    return o;
}

static json_t *build_lbd(struct report *r)
{
    const struct lblink_info *i = lblink_info(r->c->lb);

    if (!i->connected) {
        r->verdict = VERDICT_DOWN;
        reason(r, "lbd cannot be reached: traffic goes on only if it runs; is it started?");
    }
    return json_pack("{s:b, s:I, s:s, s:o, s:o, s:o}", "connected", i->connected, "pid",
                     (json_int_t)i->pid, "build", i->build, "generation", num(i->generation),
                     "connections", num(i->connections), "since_ms", num(r->now - i->since_ms));
}

static json_t *build_engine(struct report *r)
{
    const struct rt_info *i = r->c->ops->info(r->c->rt);
    const char *error = observe_engine_error(r->c->observer);
    uint64_t since = observe_engine_since_ms(r->c->observer);
    bool up = observe_engine_up(r->c->observer);

    if (!up) {
        r->verdict = verdict_worse(r->verdict, VERDICT_DEGRADED);
        reason(r, "the engine does not answer: %s", error);
    }
    return json_pack("{s:s, s:b, s:o, s:s, s:o, s:o}", "runtime", r->c->ops->name, "up", up,
                     "since_ms", num(r->now - since), "api", i->api, "version", text(i->engine),
                     "error", text(error));
}

json_t *status_build(struct ctl *c)
{
    struct report r = {
        .c = c, .now = loop_now_ms(c->loop), .verdict = VERDICT_OK, .reasons = json_array()};
    json_t *lbd = build_lbd(&r), *engine = build_engine(&r), *services = json_array();

    for (size_t i = 0; i < c->services_n; i++)
        (void)json_array_append_new(services, build_service(&r, &c->services[i]));
    return json_pack(
        "{s:i, s:s, s:o, s:{s:s, s:i, s:o, s:i}, s:o, s:o, s:o, s:{s:o, s:o, s:o, s:o}}", "schema",
        STATUS_SCHEMA, "state", verdict_name(r.verdict), "reasons", r.reasons, "ctld", "version",
        LBCTL_VERSION, "pid", (int)getpid(), "up_ms", num(r.now - c->began_ms), "loads",
        (int)c->loads, "lbd", lbd, "engine", engine, "services", services, "totals", "wish",
        num(r.wish), "ready", num(r.ready), "requests", num(r.requests), "in_flight",
        num(r.in_flight));
}
