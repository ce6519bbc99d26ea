#ifndef LBCTL_BASE_LISTENER_H
#define LBCTL_BASE_LISTENER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/base/err.h"

/* Whose is a port? The kernel says which listening socket takes connections to a local address
 * (sock_diag(7), netlink; no privileges needed), by a number that no other socket has until the
 * next boot. Two equal answers mean that nobody else had the port in between. */

/* A descriptor to ask with, for one thread. -1: the kernel, or a sandbox, does not allow it. */
int listener_open(struct err *e);
/* Ask, without waiting. *ret_id: the listening socket's number; 0: nobody listens there. sa: IPv4
 * or IPv6. */
bool listener_ask(int fd, const struct sockaddr *sa, uint64_t *ret_id, struct err *e) MUST_CHECK;

#endif
