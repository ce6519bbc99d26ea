#include "ctl/scaler.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "ctl/ctl.h"
#include "ctl/lblink.h"
#include "ctl/ledger.h"
#include "ctl/store.h"

enum {
    RETRY_MS = 1000,
    PIN_LOOK_MS = 60000, /* the time of day may jump: look at ends of pins at least this often */
};

/* An operator's reset that waits for lbd's latest numbers. */
struct reset {
    struct list node;
    uint64_t id;
    struct service *service;
    scaler_done_fn *done;
    void *arg;
};

struct scaler {
    struct ctl *c;
    struct timer tick, pins;
    bool asking; /* the due decisions wait for fresh numbers */
    struct list resets;
    uint64_t last_id;
};

static void on_tick(void *arg);
static void on_pins(void *arg);

struct scaler *scaler_new(struct ctl *c)
{
    struct scaler *sc = mem_zalloc(sizeof(*sc));

    sc->c = c;
    list_init(&sc->resets);
    timer_init(&sc->tick, c->loop, on_tick, sc);
    timer_init(&sc->pins, c->loop, on_pins, sc);
    return sc;
}

void scaler_free(struct scaler *sc)
{
    if (sc == NULL)
        return;
    LIST_EACH(n, &sc->resets)
    {
        struct reset *r = LIST_ENTRY_OF(n, struct reset, node);

        mem_free(r->arg);
        mem_free(r);
    }
    timer_fini(&sc->tick);
    timer_fini(&sc->pins);
    mem_free(sc);
}

bool scaler_is_auto(const struct service *s)
{
    return !s->manual && s->rule.every_ms > 0;
}

const char *scaler_mode(const struct service *s)
{
    if (model_is_static(s))
        return "static";
    if (model_is_fixed(s))
        return "backends";
    if (s->manual)
        return "manual";
    return s->rule.every_ms > 0 ? "auto" : "fixed";
}

/* The clock of the next decision, on absolute times. */
static void set_tick(struct scaler *sc)
{
    uint64_t at = UINT64_MAX;

    for (size_t i = 0; i < sc->c->services_n; i++) {
        const struct service *s = &sc->c->services[i];

        if (scaler_is_auto(s) && s->scale.armed && s->scale.at_ms < at)
            at = s->scale.at_ms;
    }
    if (sc->asking)
        return;
    if (at != UINT64_MAX)
        timer_at(&sc->tick, at);
    else
        timer_clear(&sc->tick);
}

/* The next end of a pin. Pins end by the time of day, which outlives a restart of the host. */
static void set_pins(struct scaler *sc)
{
    uint64_t now = clock_wall_ms(), wait = UINT64_MAX;

    for (size_t i = 0; i < sc->c->services_n; i++) {
        uint64_t until = sc->c->services[i].pin_until_ms;
        uint64_t left = until > now ? until - now : 0;

        if (until != 0 && left < wait)
            wait = left < PIN_LOOK_MS ? left : PIN_LOOK_MS;
    }
    if (wait != UINT64_MAX)
        timer_in(&sc->pins, wait);
    else
        timer_clear(&sc->pins);
}

static void set_wish(struct scaler *sc, struct service *s, unsigned wish)
{
    s->wish = wish;
    store_now(sc->c->store);
    ctl_kick(sc->c);
}

static void note(struct scaler *sc, const struct service *s, enum ledger_kind kind, enum reason why,
                 unsigned from, const char *text)
{
    json_t *inputs = json_pack("{s:i, s:i, s:I, s:s}", "from", (int)from, "to", (int)s->wish,
                               "count", (json_int_t)s->scale.count, "mode", scaler_mode(s));

    ledger_note(sc->c->ledger, &(struct ledger_entry){kind, why, s->c->name, -1, inputs},
                "%u -> %u instances: %s", from, s->wish, text);
}

/* A service that is being rolled to a new form, or whose instances fail in a crowd, does not
 * shrink: every instance that leaves would be one less to stand in. The next interval decides
 * again. */
static void keep(struct service *s, struct scale_decision *d, uint64_t now)
{
    (void)snprintf(d->reason, sizeof d->reason, "%llu requests ask for %u, but %s: stays at %u",
                   (unsigned long long)d->count, d->to,
                   s->brake.state != BRAKE_OFF ? "most are bad" : "it is being rolled", d->from);
    d->to = d->from;
    scale_resume(&s->scale, &s->rule, d->to, now);
}

static void decide(struct scaler *sc, struct service *s, bool complete)
{
    uint64_t now = loop_now_ms(sc->c->loop);
    struct scale_decision d;

    if (!scaler_is_auto(s) || !scale_decide(&s->scale, &s->rule, s->wish, complete, now, &d))
        return;
    if (d.to < d.from && (model_outdated(s) > 0 || s->brake.state != BRAKE_OFF))
        keep(s, &d, now);
    log_info("scale decision", "service=%s count=%llu from=%u to=%u reason=\"%s\"", s->c->name,
             (unsigned long long)d.count, d.from, d.to, d.reason);
    s->decided = true;
    s->last = d;
    s->last_ms = now;
    set_wish(sc, s, d.to);
    ledger_note(sc->c->ledger,
                &(struct ledger_entry){
                    LEDGER_SCALE, REASON_SCALED, s->c->name, -1,
                    json_pack("{s:i, s:i, s:I, s:i, s:I, s:b}", "from", (int)d.from, "to",
                              (int)d.to, "count", (json_int_t)d.count, "per", (int)s->rule.per,
                              "every_ms", (json_int_t)s->rule.every_ms, "complete", complete)},
                "%u -> %u instances: %s", d.from, d.to, d.reason);
}

static void on_numbers(struct ctl *c, bool ok, uint64_t tag) /* lblink_fresh_fn */
{
    struct scaler *sc = c->scaler;

    (void)tag;
    sc->asking = false;
    for (size_t i = 0; i < c->services_n; i++)
        decide(sc, &c->services[i], ok);
    if (ok)
        set_tick(sc);
    else
        timer_in(&sc->tick, RETRY_MS); /* what is due stays due until numbers come */
}

static void on_tick(void *arg) /* timer */
{
    struct scaler *sc = arg;

    sc->asking = true;
    lblink_fresh(sc->c->lb, on_numbers, 0);
}

void scaler_take(struct scaler *sc, struct service *s, const char *boot, uint64_t counted,
                 uint64_t first_ms)
{
    struct feed_step step = feed_report(&s->feed, boot, counted);
    bool was_armed = s->scale.armed;

    if (scaler_is_auto(s))
        scale_count(&s->scale, &s->rule, step.added, first_ms, step.gap, loop_now_ms(sc->c->loop));
    else
        s->scale.count += step.added;
    if (s->scale.armed && !was_armed) {
        log_info("scale clock armed", "service=%s in_ms=%llu", s->c->name,
                 (unsigned long long)(s->scale.at_ms - loop_now_ms(sc->c->loop)));
        store_now(sc->c->store);
        set_tick(sc);
    } else if (step.added > 0) {
        store_lazily(sc->c->store);
    }
}

/* The highest running slot says how many there were wished to be. */
static unsigned wish_of_reality(const struct service *s)
{
    unsigned n = s->rule.min;

    for (unsigned i = 0; i < s->places_n; i++)
        if (s->places[i].s.cur.phase == INST_RUNNING && i + 1 > n)
            n = i + 1;
    return n < s->rule.max ? n : s->rule.max;
}

void scaler_adopted(struct scaler *sc)
{
    for (size_t i = 0; i < sc->c->services_n; i++) {
        struct service *s = &sc->c->services[i];

        if (s->restored || !scaler_is_auto(s))
            continue;
        s->wish = wish_of_reality(s);
        if (!s->scale.armed)
            scale_resume(&s->scale, &s->rule, s->wish, loop_now_ms(sc->c->loop));
    }
    set_pins(sc);
    set_tick(sc);
}

bool scaler_pin(struct scaler *sc, struct service *s, unsigned replicas, uint64_t for_ms,
                struct err *e)
{
    unsigned from;

    if (replicas < 1 || replicas > s->rule.max)
        return err_set(e, "'%s' can have 1 to %u instances (scale.max): %u is not possible",
                       s->c->name, s->rule.max, replicas);
    log_info("operator pins", "service=%s from=%u to=%u mode=manual for_ms=%llu", s->c->name,
             s->wish, replicas, (unsigned long long)for_ms);
    s->manual = true;
    s->pin_until_ms = for_ms > 0 ? clock_wall_ms() + for_ms : 0;
    set_pins(sc);
    scale_reset(&s->scale);
    from = s->wish;
    set_wish(sc, s, replicas);
    note(sc, s, LEDGER_OPERATOR, REASON_PINNED, from,
         for_ms > 0 ? "pinned by the operator for a time" : "pinned by the operator");
    set_tick(sc);
    return true;
}

static void unpin(struct scaler *sc, struct service *s, enum reason why, const char *text)
{
    bool was_manual = s->manual;
    unsigned from = s->wish, wish = from;

    s->manual = false;
    s->pin_until_ms = 0;
    set_pins(sc);
    if (s->rule.every_ms == 0 || wish < s->rule.min)
        wish = s->rule.min;
    if (was_manual)
        scale_resume(&s->scale, &s->rule, wish, loop_now_ms(sc->c->loop));
    log_info("operator releases", "service=%s from=%u to=%u mode=%s", s->c->name, from, wish,
             scaler_mode(s));
    set_wish(sc, s, wish);
    note(sc, s, LEDGER_OPERATOR, why, from, text);
    set_tick(sc);
}

void scaler_release(struct scaler *sc, struct service *s)
{
    unpin(sc, s, REASON_UNPINNED, "given back by the operator");
}

static void on_pins(void *arg) /* timer */
{
    struct scaler *sc = arg;
    uint64_t now = clock_wall_ms();

    for (size_t i = 0; i < sc->c->services_n; i++) {
        struct service *s = &sc->c->services[i];

        if (s->pin_until_ms != 0 && s->pin_until_ms <= now)
            unpin(sc, s, REASON_PIN_ENDED, "the operator's pin has ended");
    }
    set_pins(sc);
}

static void reset_now(struct scaler *sc, struct service *s)
{
    unsigned from = s->wish;

    log_info("operator resets", "service=%s count=%llu from=%u to=%u", s->c->name,
             (unsigned long long)s->scale.count, s->wish, s->rule.min);
    s->manual = false;
    s->pin_until_ms = 0;
    set_pins(sc);
    s->decided = false;
    scale_reset(&s->scale);
    set_wish(sc, s, s->rule.min);
    note(sc, s, LEDGER_OPERATOR, REASON_RESET, from, "reset by the operator");
    set_tick(sc);
}

static void on_reset_numbers(struct ctl *c, bool ok, uint64_t tag) /* lblink_fresh_fn */
{
    (void)ok; /* without them lbd has nothing to count either, or its past is a gap for the feed */
    LIST_EACH(n, &c->scaler->resets)
    {
        struct reset *r = LIST_ENTRY_OF(n, struct reset, node);

        if (r->id != tag)
            continue;
        list_unlink(&r->node);
        reset_now(c->scaler, r->service);
        r->done(r->arg);
        mem_free(r);
    }
}

void scaler_reset(struct scaler *sc, struct service *s, scaler_done_fn *done, void *arg)
{
    struct reset *r = mem_zalloc(sizeof(*r));

    *r = (struct reset){.id = ++sc->last_id, .service = s, .done = done, .arg = arg};
    list_push_back(&sc->resets, &r->node);
    lblink_fresh(sc->c->lb, on_reset_numbers, r->id);
}
