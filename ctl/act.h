#ifndef LBCTL_CTL_ACT_H
#define LBCTL_CTL_ACT_H

#include <stdint.h>

#include "ctl/model.h"

/* The hand of the control loop: asks core/plan and core/slot what to do and does it through the
 * runtime, at most ACT_STARTS_MAX creations and starts at once. */
enum { ACT_STARTS_MAX = 8 };

struct act;

struct act *act_new(struct ctl *c);
void act_free(struct act *a); /* the runtime is closed already */
void act_reconcile(struct act *a);
uint64_t act_wake_ms(
    const struct act *a); /* when reconciling again makes sense though nothing happens; 0: never */

#endif
