#include "ctl/probing.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "common/base/log.h"
#include "ctl/ctl.h"
#include "ctl/observe.h"
#include "ctl/tenancy.h"

/* The tag of a probe: service, slot, generation of the instance. A late result of a former one
 * finds nothing. */
enum { TAG_SLOT_BITS = 16, TAG_GEN_BITS = 38 };
static const uint64_t TAG_GEN_MASK = ((uint64_t)1 << TAG_GEN_BITS) - 1;

static uint64_t tag_of(const struct place *p)
{
    return (uint64_t)p->service->index << (TAG_SLOT_BITS + TAG_GEN_BITS) |
           (uint64_t)p->index << TAG_GEN_BITS | (p->s.cur.generation & TAG_GEN_MASK);
}

static bool is_probing(const struct place *p)
{
    return p->probing && p->probe_generation == p->s.cur.generation;
}

static uint64_t random_below(uint64_t n)
{
    uint32_t r = 0;

    if (n == 0 || getrandom(&r, sizeof r, 0) != (ssize_t)sizeof r)
        return 0;
    return r % n;
}

static uint64_t next_at(const struct place *p, uint64_t now)
{
    uint64_t interval = p->service->c->health.interval_ms;
    uint64_t due;

    if (p->s.state == SLOT_STARTING) {
        uint64_t slow = model_is_fixed(p->service) ? interval : PROBING_SLOW_MS;
        uint64_t gap = now - p->s.health.began_ms < PROBING_EAGER_MS ? PROBING_START_MS : slow;

        due = p->probe_last_ms + (gap < interval ? gap : interval);
    } else {
        due = p->probe_last_ms + interval;
    }
    return due > now ? due : now;
}

static void took_result(struct place *p, bool ok, const char *what)
{
    const struct conf_health *h = &p->service->c->health;
    struct health_rule rule = {
        .fall = h->fall,
        .rise = h->kind != CONF_HEALTH_NONE ? h->rise : 1,
        .start_period_ms = model_is_fixed(p->service) ? UINT64_MAX : h->start_period_ms,
        .start_rise = h->start_rise,
        .replace_after = h->replace_after,
    };
    bool first = !model_is_probed(p);

    p->probed_generation = p->s.cur.generation;
    if (slot_probed(&p->s, &rule, ok, what, loop_now_ms(p->service->ctl->loop)) || first)
        ctl_kick(p->service->ctl);
}

static void begin(struct place *p)
{
    struct ctl *c = p->service->ctl;
    const struct conf_health *h = &p->service->c->health;
    uint16_t port = 0;
    const char *host = model_probe_host(p, &port);

    p->probe_last_ms = loop_now_ms(c->loop);
    if (host[0] == '\0' || port == 0) { /* its address is not known yet: the next list may tell */
        timer_in(&p->probe_timer, PROBING_SLOW_MS);
        return;
    }
    p->probing = true;
    p->probe_generation = p->s.cur.generation;
    probe_start(c->probes, tag_of(p), h, host, port);
}

static void on_probe_timer(void *arg) /* timer */
{
    struct place *p = arg;

    if (slot_is_probed(&p->s) && !is_probing(p))
        begin(p);
}

static void on_probe_done(void *arg, uint64_t tag, enum probe_result r, int status,
                          uint64_t took_us) /* probe_done_fn */
{
    struct ctl *c = arg;
    struct place *p = model_place_at(c, (unsigned)(tag >> (TAG_SLOT_BITS + TAG_GEN_BITS)),
                                     (unsigned)(tag >> TAG_GEN_BITS) & ((1u << TAG_SLOT_BITS) - 1));

    (void)took_us;
    if (p == NULL || !is_probing(p) || tag != tag_of(p))
        return;
    p->probing = false;
    if (r == PROBE_OK && tenancy_lost(p))
        r = PROBE_FOREIGN;
    p->last_result = r;
    p->probe_done_ms = loop_now_ms(c->loop);
    if (r == PROBE_LOCAL) {
        log_warn("probe not possible", "service=%s slot=%u reason=\"out of descriptors or memory\"",
                 p->service->c->name, p->index);
    } else {
        if (r == PROBE_BAD_STATUS)
            (void)snprintf(p->health, sizeof p->health, "%s %d", probe_result_name(r), status);
        else
            (void)snprintf(p->health, sizeof p->health, "%s", probe_result_name(r));
        if (r == PROBE_REFUSED || r == PROBE_RESET ||
            r == PROBE_FOREIGN) /* it may have died without a hint */
            observe_doubt(c->observer);
        took_result(p, r == PROBE_OK, p->health);
    }
    if (c->ailing > 0 && p->service->has_dependents)
        ctl_kick(c); /* a brake waits for what it says */
    if (slot_is_probed(&p->s))
        timer_at(&p->probe_timer, next_at(p, loop_now_ms(c->loop)));
}

void probing_update(struct place *p)
{
    uint64_t now = loop_now_ms(p->service->ctl->loop);

    if (!slot_is_probed(&p->s)) {
        timer_clear(&p->probe_timer);
        return;
    }
    if (p->service->c->health.kind == CONF_HEALTH_NONE) {
        (void)snprintf(p->health, sizeof p->health, "none");
        took_result(p, true, "none");
        return;
    }
    if (is_probing(p))
        return;
    if (p->s.state == SLOT_READY && p->grid_generation != p->s.cur.generation) {
        p->grid_generation =
            p->s.cur.generation; /* its own place between the ticks of the others, for good */
        p->probe_last_ms = now - random_below(p->service->c->health.interval_ms);
    }
    timer_at(&p->probe_timer, model_is_probed(p) ? next_at(p, now) : now);
}

void probing_hint(struct place *p)
{
    uint64_t now = loop_now_ms(p->service->ctl->loop);

    if (!slot_is_probed(&p->s) || is_probing(p) || p->service->c->health.kind == CONF_HEALTH_NONE)
        return;
    if (now - p->probe_last_ms >= PROBING_HINT_GAP_MS)
        begin(p);
    else
        timer_at(&p->probe_timer, p->probe_last_ms + PROBING_HINT_GAP_MS);
}

bool probing_init(struct ctl *c, struct err *e)
{
    for (size_t i = 0; i < c->services_n; i++)
        for (unsigned k = 0; k < c->services[i].places_n; k++)
            timer_init(&c->services[i].places[k].probe_timer, c->loop, on_probe_timer,
                       &c->services[i].places[k]);
    if (!probe_pool_new(c->loop, on_probe_done, c, &c->probes, e))
        return false;
    for (size_t i = 0; i < c->services_n; i++)
        for (unsigned k = 0; model_is_fixed(&c->services[i]) && k < c->services[i].places_n; k++)
            probing_update(&c->services[i].places[k]);
    return true;
}

void probing_fini(struct ctl *c)
{
    probe_pool_free(c->probes);
    c->probes = NULL;
    for (size_t i = 0; i < c->services_n; i++)
        for (unsigned k = 0; k < c->services[i].places_n; k++)
            timer_fini(&c->services[i].places[k].probe_timer);
}
