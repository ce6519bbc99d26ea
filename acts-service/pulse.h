#ifndef ACTS_PULSE_H
#define ACTS_PULSE_H

#include <stdbool.h>
#include <stdint.h>

#include "acts-service/db.h"
#include "common/base/list.h"
#include "common/ev/loop.h"

/* One small write on the side lane, at most one at a time: it adds this process's new requests to
 * the counter that all containers share, and it is the proof of health. Everything that arrives
 * while one write is on its way goes out with the next one, so that counting costs one statement
 * per batch (under load a batch is collected for some milliseconds); and an answer is sent only
 * after its request is counted, so that _count is exact for whoever has seen the answer.
 *
 * Rows: one per shard, and a process keeps to one random shard, so that containers do not wait for
 * each other's row lock; a fixed number of rows, updated in place, leaves nothing that grows. */
struct pulse;
enum { PULSE_SHARDS = 32 };

struct pulse_wait {
    struct list node;
    unsigned hits;
    void (*fn)(struct pulse_wait *self, bool ok); /* exactly once; may run inside pulse_beat() */
};

/* `stmt` takes the shard and the number of new requests. */
struct pulse *pulse_new(struct loop *l, struct db *db, unsigned stmt, uint64_t timeout_ms);
void pulse_free(struct pulse *p);
/* Not ready (no connection, no schema yet): waiters are answered at once with false, hits are kept.
 */
void pulse_ready(struct pulse *p, bool ready);
/* A request had its answer, count aside, after so long: what batches are paced by. */
void pulse_took(struct pulse *p, uint64_t ms);
void pulse_beat(struct pulse *p, struct pulse_wait *w, unsigned hits);
void pulse_cancel(struct pulse_wait *w); /* do not call fn any more; the hits still count */

#endif
