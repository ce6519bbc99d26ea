#ifndef LBCTL_CTL_PORT_OWNER_H
#define LBCTL_CTL_PORT_OWNER_H

#include <stddef.h>
#include <stdint.h>

/* Who listens on a TCP port of this host, in words for the operator: "pid 1234 (nginx)", or "a
 * process that we may not see". From /proc, as far as our rights go; a look at all descriptors of
 * the host, bounded by PORT_OWNER_LINKS_MAX: for a failure that is told, not for every turn. */
enum { PORT_OWNER_LINKS_MAX = 20000, PORT_OWNER_LINES_MAX = 100000 };

/* Writes at most n bytes; "" when nobody listens there. Returns buf. */
const char *port_owner(uint16_t port, char *buf, size_t n);

#endif
