#include "ctl/core/why.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/str.h"

static const char *ago(uint64_t ms, char *buf, size_t n)
{
    return str_duration(ms < 1000 ? ms : ms - ms % 1000, buf, n);
}

/* The container, and what is known about it. */
static void add_instance(const struct why_slot *in, struct buf *out)
{
    const struct slot *s = in->s;

    if (s->cur.id[0] == '\0')
        return;
    (void)buf_printf(out, " Its container is %.12s, instance %llu of the slot", s->cur.id,
                     (unsigned long long)s->cur.generation);
    if (in->port != 0)
        (void)buf_printf(out, ", on port %u", in->port);
    (void)buf_printf(out, "; the last probe said: %s.", in->health);
}

static void add_past(const struct slot *s, struct buf *out)
{
    if (s->replaced > 0)
        (void)buf_printf(out, " Instances of this slot were replaced %u times.", s->replaced);
    if (s->fails > 0)
        (void)buf_printf(out, " Failures that are remembered: %u.", s->fails);
}

void why_slot(const struct why_slot *in, struct buf *out)
{
    const struct slot *s = in->s;
    uint64_t age = in->now_ms - s->since_ms;
    char at[40], b[40], q[2 * SLOT_REASON_MAX];

    (void)buf_printf(out, "%s/%u is %s since %s (for %s)", in->service, in->slot,
                     slot_state_name(s->state), clock_rfc3339(in->now_wall_ms - age, at, sizeof at),
                     ago(age, b, sizeof b));
    (void)buf_printf(out, ": %s [%s]", reason_meaning(s->why), reason_code(s->why));
    if (s->reason[0] != '\0')
        (void)buf_printf(out, " (%s)", str_quote(sv_of(s->reason), q, sizeof q));
    (void)buf_adds(out, ".");
    add_instance(in, out);
    add_past(s, out);
    (void)buf_printf(out, " Next: %s", reason_next(s->why));
    if (s->state == SLOT_WAITING && s->retry_ms > in->now_ms)
        (void)buf_printf(out, "; the next try is in %s",
                         ago(s->retry_ms - in->now_ms + 999, b, sizeof b));
    if (!in->wanted && s->state != SLOT_EMPTY)
        (void)buf_adds(out, "; the service does not wish it any more");
    (void)buf_adds(out, ".");
}

static void add_scaling(const struct why_service *in, struct buf *out)
{
    char b[40];

    if (strcmp(in->mode, "auto") == 0 && in->armed)
        (void)buf_printf(out,
                         " Next: a scaling decision in %s; with the %llu requests counted so far "
                         "it would be %u.",
                         ago(in->next_ms, b, sizeof b), (unsigned long long)in->count,
                         in->would_be);
    else if (strcmp(in->mode, "auto") == 0)
        (void)buf_adds(out, " Next: the next counted request starts the clock of the scaling "
                            "decision.");
    else if (strcmp(in->mode, "manual") == 0)
        (void)buf_adds(out, " The operator has pinned the number.");
    if (in->last != NULL)
        (void)buf_printf(out, " The last scaling decision was %s ago: %s.",
                         ago(in->last_ago_ms, b, sizeof b), in->last);
}

void why_service(const struct why_service *in, struct buf *out)
{
    if (strcmp(in->mode, "static") == 0) {
        (void)buf_printf(out, "%s is a directory that lbd serves itself; it has no instances.",
                         in->service);
        return;
    }
    (void)buf_printf(out, "%s has %u of %u instances ready (%s, %u to %u).", in->service, in->ready,
                     in->wish, in->mode, in->min, in->max);
    if (in->waits_for != NULL)
        (void)buf_printf(out, " Instances are not started: it %s.", in->waits_for);
    if (in->brake != NULL && in->brake[0] != '\0')
        (void)buf_printf(out, " The brake is on: %s.", in->brake);
    add_scaling(in, out);
}
