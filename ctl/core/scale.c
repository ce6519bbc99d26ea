#include "ctl/core/scale.h"

#include <stdio.h>

#include "common/base/str.h"

unsigned scale_target(const struct scale_rule *r, uint64_t count)
{
    uint64_t n = count / (r->per > 0 ? r->per : 1);

    if (n >= r->max)
        return r->max;
    n += 1;
    return n < r->min ? r->min : (unsigned)n;
}

void scale_count(struct scale *s, const struct scale_rule *r, uint64_t n, uint64_t first_ms,
                 bool gap, uint64_t now_ms)
{
    s->count += n;
    s->gap = s->gap || gap;
    if (n == 0 || s->armed || r->every_ms == 0)
        return;
    if (first_ms == 0 || first_ms > now_ms)
        first_ms = now_ms;
    if (now_ms - first_ms > r->every_ms) /* older than an interval: what it began is over */
        first_ms = now_ms - r->every_ms;
    s->armed = true;
    s->at_ms = first_ms + r->every_ms;
}

bool scale_is_due(const struct scale *s, uint64_t now_ms)
{
    return s->armed && now_ms >= s->at_ms;
}

static void explain(struct scale_decision *d, const struct scale_rule *r, bool held)
{
    char every[32];
    uint64_t raw = d->count / (r->per > 0 ? r->per : 1) + 1;
    const char *tail = "";

    (void)str_duration(r->every_ms, every, sizeof every);
    if (held)
        tail = ", held: numbers incomplete";
    else if (!d->final)
        tail = ", early: numbers incomplete";
    else if (raw > r->max)
        tail = ", limited by max";
    else if (raw < r->min)
        tail = ", limited by min";
    (void)snprintf(d->reason, sizeof d->reason, "%llu requests in %s: floor(%llu/%u)+1 = %llu%s",
                   (unsigned long long)d->count, every, (unsigned long long)d->count, r->per,
                   (unsigned long long)raw, tail);
}

bool scale_decide(struct scale *s, const struct scale_rule *r, unsigned wish, bool complete,
                  uint64_t now_ms, struct scale_decision *ret)
{
    struct scale_decision d = {.count = s->count, .from = wish, .final = complete};
    bool held;

    if (!scale_is_due(s, now_ms))
        return false;
    d.to = scale_target(r, s->count);
    held = d.to < wish && (!complete || s->gap);
    if (held)
        d.to = wish;
    if (!complete && d.to == wish)
        return false;
    explain(&d, r, held);
    if (complete) {
        s->count = 0;
        s->gap = false;
        s->armed = d.to > r->min;
        s->at_ms += r->every_ms * ((now_ms - s->at_ms) / r->every_ms + 1);
    }
    *ret = d;
    return true;
}

void scale_reset(struct scale *s)
{
    *s = (struct scale){0};
}

void scale_resume(struct scale *s, const struct scale_rule *r, unsigned wish, uint64_t now_ms)
{
    *s = (struct scale){0};
    s->armed = r->every_ms > 0 && wish > r->min;
    s->at_ms = now_ms + r->every_ms;
}
