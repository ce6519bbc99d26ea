#ifndef LBCTL_CTL_CORE_VERDICT_H
#define LBCTL_CTL_CORE_VERDICT_H

#include <stdbool.h>

/* How well is a service, and the whole? Pure; docs/status.md. Ordered: the worse is the larger. */
enum verdict { VERDICT_OK, VERDICT_DEGRADED, VERDICT_DOWN };

const char *verdict_name(enum verdict v);
/* needed: it has a route, or another service depends on it */
enum verdict verdict_service(unsigned wish, unsigned ready, bool needed);
enum verdict verdict_worse(enum verdict a, enum verdict b);

#endif
