#ifndef LBCTL_LB_ALOG_H
#define LBCTL_LB_ALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/ev/loop.h"
#include "lb/core/alog_line.h"

/* The access log: workers put lines into buffers of their own, one thread writes them. A worker
 * never waits: when its buffers are all under way to a writer that cannot keep up, lines are
 * dropped, counted and told in the event log. */
struct alog;
struct alog_feed; /* a worker's end */

struct alog_config {
    const char *path; /* absolute; NULL: stderr */
    bool json;
    unsigned workers;
};

/* Start the writer. A file that cannot be opened is tried again at alog_reopen() and now and then:
 * traffic does not depend on it. */
bool alog_start(const struct alog_config *c, struct alog **ret, struct err *e) MUST_CHECK;
void alog_reopen(struct alog *a);            /* the file was moved away; any thread; NULL is fine */
uint64_t alog_dropped(const struct alog *a); /* lines; any thread; NULL is fine */
void alog_stop(struct alog *a); /* the workers are gone: writes what is left, not for long */

/* Worker's thread. A feed belongs to the alog. */
struct alog_feed *alog_feed_open(struct alog *a, unsigned worker, struct loop *l);
void alog_feed_close(struct alog_feed *f); /* what it holds is on its way to the writer */
void alog_put(struct alog_feed *f, const struct alog_entry *en);

#endif
