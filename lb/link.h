#ifndef LBCTL_LB_LINK_H
#define LBCTL_LB_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/ev/loop.h"
#include "lb/table.h"
#include "lb/worker.h"

/* lbd's side of lb.sock, on the main thread: tables in, receipts and counters out; and where the
 * workers' letters arrive. */
struct alog;
struct link;

struct link_config {
    struct loop *loop;
    const char *sock_path;
    const char *state_path;        /* table.json; NULL: not saved */
    const json_t *listen;          /* addresses to save beside the table; borrowed, constant */
    const struct alog *alog;       /* NULL: none */
    void (*on_stopped)(void *arg); /* a worker's loop has ended */
    void (*on_table)(struct table *t, void *arg); /* every worker uses it */
    void *arg;
};

bool link_new(const struct link_config *c, struct link **ret, struct err *e) MUST_CHECK;
bool link_open(struct link *l, struct err *e) MUST_CHECK; /* listen on the socket */
/* The workers, once they run, and the table they were started with (or NULL). */
void link_set_workers(struct link *l, struct worker **workers, unsigned n, struct table *first);
void link_free(struct link *l); /* the workers have been joined */

/* Letters to the main thread, from any thread. */
void link_post_adopted(struct link *l, uint64_t push);
void link_post_drained(struct link *l, struct backend *b);
void link_post_hint(struct link *l, struct backend *b, const char *reason,
                    const char *detail); /* constants */
void link_post_dirty(
    struct link *l); /* counters changed; costs a load when that is known already */
void link_post_full(struct link *l, const char *of_what);
void link_post_stopped(struct link *l);

#endif
