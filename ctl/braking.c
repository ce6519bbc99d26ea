#include "ctl/braking.h"

#include <stdio.h>

#include "common/base/log.h"
#include "ctl/ctl.h"
#include "ctl/ledger.h"
#include "ctl/probing.h"

/* Its probes fail, or it is what took the place of one whose probes failed. */
static bool is_bad(const struct slot *s)
{
    if (s->state == SLOT_READY || s->state == SLOT_HELD)
        return false;
    return s->state == SLOT_UNHEALTHY || s->cause == SLOT_SICK || s->cause == SLOT_NEVER_READY;
}

/* Not one instance that its last probe found well. */
static bool is_down(const struct service *d)
{
    if (model_is_static(d))
        return false;
    for (unsigned i = 0; i < d->places_n; i++)
        if (d->places[i].s.state == SLOT_READY && d->places[i].s.health.bad == 0)
            return false;
    return true;
}

static bool is_unknown(const struct service *d, uint64_t since_ms)
{
    for (unsigned i = 0; i < d->places_n; i++)
        if (slot_is_probed(&d->places[i].s) && d->c->health.kind != CONF_HEALTH_NONE &&
            d->places[i].probe_done_ms < since_ms)
            return true;
    return false;
}

static void ask_deps(struct service *s)
{
    for (size_t i = 0; i < s->deps_n; i++) {
        struct service *d = &s->ctl->services[s->deps[i]];

        for (unsigned k = 0; k < d->places_n; k++)
            probing_hint(&d->places[k]);
    }
}

static struct brake_in look(struct service *s)
{
    struct brake_in in = {.wish = s->wish, .now_ms = loop_now_ms(s->ctl->loop)};

    for (unsigned i = 0; i < s->wish && i < s->places_n; i++)
        in.bad += is_bad(&s->places[i].s);
    for (size_t i = 0; i < s->deps_n; i++) {
        const struct service *d = &s->ctl->services[s->deps[i]];

        if (in.culprit == NULL && is_down(d))
            in.culprit = d->c->name;
        in.deps_unknown = in.deps_unknown || is_unknown(d, s->brake.bad_ms);
    }
    return in;
}

const char *braking_text(const struct service *s, char *buf, size_t n)
{
    buf[0] = '\0';
    if (s->brake.state == BRAKE_DEPENDENCY)
        (void)snprintf(buf, n,
                       "more than half of its %u instances are bad, and '%s', which it depends on, "
                       "%s: nothing is replaced meanwhile",
                       s->wish, s->brake.culprit,
                       s->brake.back_ms == 0 ? "fails its own probes" : "has only just come back");
    else if (s->brake.state == BRAKE_MASS)
        (void)snprintf(buf, n,
                       "more than half of its %u instances are bad, and %u replacements were bad, "
                       "too: one at a time is tried, after a pause",
                       s->wish, s->brake.failed);
    return buf;
}

static void note(struct service *s, const struct brake_in *in)
{
    static const enum reason codes[] = {[BRAKE_OFF] = REASON_BRAKE_OFF,
                                        [BRAKE_DEPENDENCY] = REASON_BRAKE_DEPENDENCY,
                                        [BRAKE_MASS] = REASON_BRAKE_MASS};
    char text[LEDGER_TEXT_MAX];
    json_t *inputs = json_pack("{s:i, s:i, s:s?, s:i}", "wish", (int)in->wish, "bad", (int)in->bad,
                               "culprit", in->culprit, "failed", (int)s->brake.failed);

    if (s->brake.state == BRAKE_OFF)
        (void)snprintf(text, sizeof text, "the brake is released: %u of %u are bad", in->bad,
                       in->wish);
    else
        (void)braking_text(s, text, sizeof text);
    log_warn("brake", "service=%s code=%s wish=%u bad=%u culprit=%s", s->c->name,
             reason_code(codes[s->brake.state]), in->wish, in->bad,
             in->culprit != NULL ? in->culprit : "-");
    ledger_note(s->ctl->ledger,
                &(struct ledger_entry){LEDGER_BRAKE, codes[s->brake.state], s->c->name, -1, inputs},
                "%s", text);
}

unsigned braking_update(struct service *s, unsigned normal)
{
    struct brake_in in = look(s);
    bool was = s->brake.bad_ms != 0;

    if (brake_update(&s->brake, &in)) {
        note(s, &in);
        if (s->brake.state == BRAKE_OFF) /* what was seen before says nothing about now */
            s->settled_ms = in.now_ms;
    }
    if (!was && s->brake.bad_ms != 0) {
        s->ctl->ailing++;
        ask_deps(s);
        in = look(s);
    } else if (was && s->brake.bad_ms == 0) {
        s->ctl->ailing--;
    }
    return brake_limit(&s->brake, &in, normal);
}

/* A replacement that was made since it began is bad itself. */
void braking_state_changed(struct place *p, enum slot_state from)
{
    struct service *s = p->service;
    bool came_up = p->s.state == SLOT_READY || p->s.state == SLOT_EMPTY;

    if (s->brake.mass_ms == 0 || p->s.start_ms <= s->brake.mass_ms || came_up)
        return;
    if ((from == SLOT_READY && p->s.state == SLOT_UNHEALTHY) ||
        (from == SLOT_STARTING && p->s.cause != SLOT_UNWANTED && p->s.cause != SLOT_HOLD))
        brake_failed(&s->brake, loop_now_ms(s->ctl->loop));
}

uint64_t braking_wake_ms(const struct service *s)
{
    return brake_wake_ms(&s->brake);
}

bool braking_fail_open(const struct service *s)
{
    return s->c->fail_open && s->brake.state != BRAKE_OFF && model_ready(s) == 0;
}

json_t *braking_status(const struct service *s)
{
    static const char *const names[] = {"off", "dependency", "mass"};
    char text[LEDGER_TEXT_MAX];

    if (s->brake.state == BRAKE_OFF)
        return json_null();
    return json_pack("{s:s, s:I, s:s?, s:s, s:b}", "state", names[s->brake.state], "since_ms",
                     (json_int_t)(loop_now_ms(s->ctl->loop) - s->brake.since_ms), "culprit",
                     s->brake.state == BRAKE_DEPENDENCY ? s->brake.culprit : NULL, "text",
                     braking_text(s, text, sizeof text), "fail_open", braking_fail_open(s));
}
