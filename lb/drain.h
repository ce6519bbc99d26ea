#ifndef LBCTL_LB_DRAIN_H
#define LBCTL_LB_DRAIN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/ev/loop.h"
#include "common/wire/chan.h"
#include "lb/table.h"

/* Backends that have left the table, until nothing is in flight at them and ctld has had its
 * receipt. The mark is the moment when every worker uses a table without the backend. Main thread;
 * event-driven: the worker that ends the last request of a departed backend sends a letter. */
enum { DRAIN_RECORDS_MAX = 4096, DRAIN_ASKS_MAX = 8 };

struct drain_book;

struct drain_book *drain_book_new(struct loop *l);
void drain_book_free(struct drain_book *d);

/* `now` has taken the place of `before` (or NULL) as the table that is pushed to the workers: note
 * who left and who came back. */
void drain_book_push(struct drain_book *d, const struct table *before, const struct table *now,
                     uint64_t push);
/* All workers use the table of that push: mark those that it left out. */
void drain_book_mark(struct drain_book *d, uint64_t push, uint64_t now_ms);
/* A worker has ended its last request at b. */
void drain_book_check(struct drain_book *d, struct backend *b, uint64_t now_ms);
/* A departed backend that may come back; table_past_fn. */
struct backend *drain_book_past(void *arg, const char *service, const char *instance);
/* Answer ask when the backend is drained, or at the time-out. */
void drain_book_wait(struct drain_book *d, struct chan_ask ask, const struct table *now,
                     const char *service, const char *instance, uint64_t timeout_ms);

#endif
