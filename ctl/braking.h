#ifndef LBCTL_CTL_BRAKING_H
#define LBCTL_CTL_BRAKING_H

#include <jansson.h>

#include "ctl/model.h"

/* The brake of a service (ctl/core/brake.h): what it is to see, and what it says. */

/* Looks at the service and its dependencies; how many of its sick instances may be being replaced
 * at once. */
unsigned braking_update(struct service *s, unsigned normal);
void braking_state_changed(struct place *p, enum slot_state from);
uint64_t braking_wake_ms(const struct service *s); /* 0: never */
/* No instance is ready and the brake is on: lbd is to use those that fail their probes. */
bool braking_fail_open(const struct service *s);
json_t *braking_status(const struct service *s); /* null: the brake is off */
/* "more than half of ...", or "" while it is off. */
const char *braking_text(const struct service *s, char *buf, size_t n);

#endif
