#ifndef LBCTL_LB_LISTEN_H
#define LBCTL_LB_LISTEN_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "common/conf/conf.h"

/* Listening TCP sockets. */
enum { LISTEN_BACKLOG = 4096 };

/* "127.0.0.1:80", "[::1]:80", "0.0.0.0:8080 proxy" */
bool listen_parse(const char *text, struct conf_addr *ret, struct err *e) MUST_CHECK;
void listen_format(const struct conf_addr *a, char *buf, size_t n);

/* n sockets that share an address (SO_REUSEPORT), one for each worker; non-blocking, TCP_NODELAY
 * for what they accept. A port that anybody else holds, an lbd of the same user included, is an
 * error that names the holder if it can be found. */
bool listen_open(const struct conf_addr *a, bool v6_only, unsigned n, int *ret_fds,
                 struct err *e) MUST_CHECK;

#endif
