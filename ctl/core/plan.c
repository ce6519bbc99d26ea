#include "ctl/core/plan.h"

unsigned plan_replace_limit(unsigned wish)
{
    return wish / 4 > 1 ? wish / 4 : 1;
}

static bool is_outdated(const struct slot *s)
{
    return s->cur.outdated && s->cur.phase != INST_NONE && s->cur.phase != INST_DEAD;
}

static bool is_blocked(const struct plan_in *in, const struct slot *s)
{
    return in->may_move && slot_is_port_taken(s);
}

static bool surges(const struct plan_in *in, const struct slot *const *slots, size_t n)
{
    if (!in->may_surge || !in->may_roll)
        return false;
    for (size_t i = 0; i < in->wish && i < n; i++)
        if (is_outdated(slots[i]) && slots[i]->state != SLOT_HELD)
            return true;
    return false;
}

unsigned plan_width(const struct plan_in *in, const struct slot *const *slots, size_t n)
{
    unsigned width = in->wish + surges(in, slots, n);

    for (size_t i = 0; i < width && i < n; i++) /* a stand-in may be blocked itself */
        width += is_blocked(in, slots[i]);
    return width < n || in->wish > n ? width : (unsigned)n;
}

/* The next one to roll, or n. */
static size_t next_to_roll(const struct plan_in *in, const struct slot *const *slots, size_t n,
                           unsigned width)
{
    size_t next = n;

    for (size_t i = 0; i < width && i < n; i++) {
        if (slots[i]->state == SLOT_HELD || is_blocked(in, slots[i]))
            continue;
        if (slots[i]->state != SLOT_READY)
            return n;
        if (is_outdated(slots[i]))
            next = i;
    }
    return next;
}

void plan_service(const struct plan_in *in, const struct slot *const *slots, size_t n,
                  struct slot_env *env)
{
    unsigned ready = 0, replacing = 0, width = plan_width(in, slots, n);
    size_t roll;

    for (size_t i = 0; i < n; i++) {
        ready += slots[i]->state == SLOT_READY;
        replacing += slot_is_replacing(slots[i]);
    }
    for (size_t i = 0; i < n; i++) {
        const struct slot *s = slots[i];

        env[i] = (struct slot_env){
            .wanted = i < width,
            .may_act = in->engine_up,
            .may_start = in->engine_up && in->deps_ready,
            .why = !in->engine_up ? REASON_ENGINE_AWAY : REASON_DEPENDENCY,
            .why_not = !in->engine_up ? "the engine does not answer" : in->waits_for,
        };
        if (s->state == SLOT_UNHEALTHY && s->health.lost && env[i].may_start &&
            s->bad_ms >= in->settled_ms && replacing < in->replace_max) {
            env[i].may_replace = true;
            replacing++;
        }
    }
    roll = in->engine_up && in->deps_ready && in->may_roll && !in->hold
               ? next_to_roll(in, slots, n, width)
               : n;
    if (roll < n)
        env[roll].may_roll = true;
    for (size_t i = n; i-- > width;) {
        if (slots[i]->state == SLOT_READY && ready > width) {
            env[i].may_leave = true;
            ready--;
        }
    }
}
