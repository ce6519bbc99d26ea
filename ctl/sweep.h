#ifndef LBCTL_CTL_SWEEP_H
#define LBCTL_CTL_SWEEP_H

#include <stdbool.h>

#include "common/base/err.h"
#include "common/conf/conf.h"
#include "common/ev/loop.h"
#include "ctl/runtime.h"

/* Stop and remove all instances of a project, dependents before what they depend on, and return
 * when none is left. Runs the loop itself. For `ctld --remove-instances`; no ctld of this project
 * may be running. */
bool sweep(struct loop *l, const struct conf *conf, const struct runtime_ops *ops,
           struct err *e) MUST_CHECK;

#endif
