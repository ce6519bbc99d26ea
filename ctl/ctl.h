#ifndef LBCTL_CTL_CTL_H
#define LBCTL_CTL_CTL_H

#include <stdbool.h>

#include "common/base/err.h"
#include "common/conf/conf.h"
#include "common/ev/loop.h"
#include "ctl/runtime.h"

/* The control daemon on one loop: observes the runtime, probes, listens to lbd and to the operator,
 * and moves what is towards what should be. One per project: holds a lock file in run_dir. Ending
 * it leaves the instances running. */
struct ctl;

struct ctl_options {
    const struct conf *conf; /* borrowed, outlives the ctl */
    const struct runtime_ops *runtime;
    const char *run_dir, *state_dir; /* sockets and lock; own small state */
    unsigned loads;                  /* configurations that this process has loaded */
    /* Another configuration shall take this one's place: end this ctl soon (not from within) and
     * begin one with `next`, which is the callee's. NULL: reloading is refused. */
    void (*on_next)(void *arg, struct conf *next);
    void *arg;
};

bool ctl_new(struct loop *l, const struct ctl_options *o, struct ctl **ret,
             struct err *e) MUST_CHECK;
void ctl_free(struct ctl *c);   /* saves its state */
void ctl_reload(struct ctl *c); /* reads the file anew, as `lbctl reload` does; the log tells */

/* For the other files of ctld: something changed; look at everything at the end of this turn. */
void ctl_kick(struct ctl *c);

#endif
