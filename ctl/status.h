#ifndef LBCTL_CTL_STATUS_H
#define LBCTL_CTL_STATUS_H

#include <jansson.h>

#include "ctl/model.h"

json_t *status_build(struct ctl *c); /* docs/status.md; the caller owns it */

#endif
