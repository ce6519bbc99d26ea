#ifndef LBCTL_CTL_PROBING_H
#define LBCTL_CTL_PROBING_H

#include "ctl/model.h"

/* When which instance is probed: every 50 ms while it starts, then on its own jittered grid; never
 * two probes of one instance at once; late results of a former instance are dropped. */
enum {
    PROBING_START_MS = 50,
    PROBING_SLOW_MS = 250,
    PROBING_EAGER_MS = 5000,
    PROBING_HINT_GAP_MS = 50
};

bool probing_init(struct ctl *c, struct err *e) MUST_CHECK;
void probing_fini(struct ctl *c);
void probing_update(struct place *p); /* its instance or state changed */
void probing_hint(struct place *p);   /* something looks wrong: probe now */

#endif
