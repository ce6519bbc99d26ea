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

bool health_result(struct health *h, const struct health_rule *r, bool ok, uint64_t now_ms)
{
    if (ok) {
        h->bad = 0;
        if (h->good < r->rise)
            h->good++;
        return h->good >= r->rise && move(h, HEALTH_UP);
    }
    h->good = 0;
    if (h->bad < r->fall)
        h->bad++;
    if (h->bad < r->fall)
        return false;
    if (h->state == HEALTH_STARTING && now_ms - h->began_ms < r->start_period_ms)
        return false;
    return move(h, HEALTH_DOWN);
}
