#ifndef LBCTL_LB_SITE_H
#define LBCTL_LB_SITE_H

#include <stdbool.h>

#include "common/base/err.h"
#include "lb/table.h"

/* The page that lbd answers itself: an HTTP server (libevent's) in a thread of its own, behind an
 * internal Unix socket. The front reaches it like any backend, so that it needs no second way to a
 * client. */
struct site;

bool site_start(const char *sock_path, struct site **ret, struct err *e) MUST_CHECK;
void site_set_table(struct site *s, struct table *t); /* what the page tells of; any thread */
void site_stop(struct site *s);                       /* waits for the thread; NULL is fine */

/* The page. Pure but for reading counters. Names are escaped; no ids, no addresses. */
struct buf;
bool site_render(const struct table *t, struct buf *out);

#endif
