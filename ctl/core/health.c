#include "ctl/core/health.h"

void health_begin(struct health *h, uint64_t now_ms)
{
    *h = (struct health){.state = HEALTH_STARTING, .began_ms = now_ms};
}

void health_assume_up(struct health *h, uint64_t now_ms)
{
    *h = (struct health){.state = HEALTH_UP, .began_ms = now_ms};
}

static bool move(struct health *h, enum health_state to)
{
    bool changed = h->state != to;

    h->state = to;
    return changed;
}

static bool take_good(struct health *h, const struct health_rule *r)
{
    unsigned rise = h->state == HEALTH_STARTING && r->start_rise != 0 ? r->start_rise : r->rise;

    h->bad = 0;
    h->lost = false;
    if (h->good < rise)
        h->good++;
    return h->good >= rise && move(h, HEALTH_UP);
}

bool health_result(struct health *h, const struct health_rule *r, bool ok, uint64_t now_ms)
{
    unsigned replace_after = r->replace_after != 0 ? r->replace_after : r->fall;
    bool changed, was_lost = h->lost;

    if (ok)
        return take_good(h, r);
    h->good = 0;
    if (h->bad < HEALTH_NEVER - 1)
        h->bad++;
    if (h->bad < r->fall)
        return false;
    if (h->state == HEALTH_STARTING && now_ms - h->began_ms < r->start_period_ms)
        return false;
    changed = move(h, HEALTH_DOWN);
    h->lost = h->bad >= replace_after;
    return changed || h->lost != was_lost;
}
