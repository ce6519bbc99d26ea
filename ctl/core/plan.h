#ifndef LBCTL_CTL_CORE_PLAN_H
#define LBCTL_CTL_CORE_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "ctl/core/slot.h"

/* What each slot of a service may do now. Pure.
 *   - the lowest `wish` slots are wanted; what is above leaves from the highest down;
 *   - a ready one above leaves only while as many as wished stay ready without it: it stands in for
 * a missing one;
 *   - nothing starts before every dependency is ready, nothing is acted upon while the engine does
 * not answer;
 *   - at most max(1, a quarter of wish) are being replaced because of failed probes, the lowest
 * first, and none on evidence from before the last replacement came up: what ailed all of them may
 * be over;
 *   - ready ones that are outdated are rolled to their new form one after another, the highest
 * first, each only when all that are wanted are ready and no hold is on. Where there is a spare
 * slot, one more than wished runs meanwhile, the first in the new form: a form that never becomes
 * ready costs nothing;
 *   - where the service may move, a further slot is wanted for each one whose port somebody else
 * has; that one goes on trying, and the further one leaves when it is ready. */
struct plan_in {
    unsigned wish;
    bool engine_up;
    bool deps_ready;
    uint64_t settled_ms;   /* when an instance last became ready */
    const char *waits_for; /* names for the reason, when deps_ready is false; borrowed by env */
    unsigned replace_max;  /* sick ones at once: plan_replace_limit(), or less by the brake */
    bool may_surge;        /* one more than wished may run while the service is rolled */
    bool may_move;         /* further slots stand in for those whose port is taken */
    bool may_roll;         /* false: what it stands on is being rolled itself */
    bool hold;             /* the last one that came up has not yet been ready for long enough */
};

void plan_service(const struct plan_in *in, const struct slot *const *slots, size_t n,
                  struct slot_env *env);
unsigned plan_replace_limit(unsigned wish);
/* How many slots are wanted now: wish, one more while the service is rolled, and stand-ins. */
unsigned plan_width(const struct plan_in *in, const struct slot *const *slots, size_t n);

#endif
