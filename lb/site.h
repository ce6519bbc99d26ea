#ifndef LBCTL_LB_SITE_H
#define LBCTL_LB_SITE_H

#include <stdbool.h>

#include "common/base/err.h"
#include "lb/table.h"

/* What lbd answers itself, the status page and the directories of static services (static.h): an
 * HTTP server (libevent's) in a thread of its own, behind an internal Unix socket. The front
 * reaches it like any backend, so that it needs no second way to a client. */
struct site;

bool site_start(const char *sock_path, struct site **ret, struct err *e) MUST_CHECK;
/* What the page tells of, and where files are. Any thread; to be called before the workers get the
 * table. */
void site_set_table(struct site *s, struct table *t);
void site_stop(struct site *s); /* waits for the thread; NULL is fine */

/* The page. Pure but for reading counters. Names are escaped; no ids, no addresses. */
struct buf;
bool site_render(const struct table *t, struct buf *out);

#endif
