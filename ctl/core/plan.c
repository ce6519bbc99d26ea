#include "ctl/core/plan.h"

unsigned plan_replace_limit(unsigned wish)
{
    return wish / 4 > 1 ? wish / 4 : 1;
}

void plan_service(const struct plan_in *in, const struct slot *const *slots, size_t n,
                  struct slot_env *env)
{
    unsigned ready = 0, replacing = 0;

    for (size_t i = 0; i < n; i++) {
        ready += slots[i]->state == SLOT_READY;
        replacing += slot_is_replacing(slots[i]);
    }
    for (size_t i = 0; i < n; i++) {
        const struct slot *s = slots[i];

        env[i] = (struct slot_env){
            .wanted = i < in->wish,
            .may_act = in->engine_up,
            .may_start = in->engine_up && in->deps_ready,
            .why_not = !in->engine_up ? "the engine does not answer" : in->waits_for,
        };
        if (s->state == SLOT_UNHEALTHY && env[i].may_start && s->bad_ms >= in->settled_ms &&
            replacing < plan_replace_limit(in->wish)) {
            env[i].may_replace = true;
            replacing++;
        }
    }
    for (size_t i = n; i-- > in->wish;) {
        if (slots[i]->state == SLOT_READY && ready > in->wish) {
            env[i].may_leave = true;
            ready--;
        }
    }
}
