#ifndef LBCTL_LB_UPSTREAM_H
#define LBCTL_LB_UPSTREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "lb/sock.h"
#include "lb/worker.h"

/* Connections of one worker to backends, and their pools: one for each backend, LIFO, so that the
 * connections in use are the warm ones and the rest age out.
 *
 * A connection that began with a PROXY header speaks for one client. It waits in its pool like the
 * others, but for that client's next request only, and ends with the client's connection. */
struct client;
struct xchg;

enum {
    UPSTREAM_IDLE_MAX = 256, /* idle connections in one pool */
};

struct pool {
    struct worker *w;
    struct backend *backend; /* counted */
    struct cell *cell;       /* the backend's counters of this worker */
    unsigned refs;
    bool departed; /* not in the table: nothing new goes to it, nothing is kept open */
    uint32_t idle_ms, time_ms, requests_max; /* as in struct table_service */
    unsigned proxy; /* version of the PROXY header that connections begin with; 0: none */
    unsigned idle_n;
    struct list idle;   /* of upstreams, the last used first */
    uint64_t hinted_ms; /* when the main thread was last told of a fault */
};

struct upstream {
    uint32_t magic;
    struct grave grave; /* first after magic: see worker_bury() */
    struct sock s;
    struct pool *pool;    /* counted */
    struct list node;     /* in pool->idle */
    struct xchg *x;       /* who uses it; NULL: idle */
    struct client *owner; /* whom its PROXY header names; NULL: it serves all */
    uint64_t born_ms;
    unsigned requests; /* sent on it, this one included */
    bool reused;       /* it came from the pool */
    bool connected;    /* the kernel took a byte, or said that it is writable */
    bool proven;       /* it leads to the instance, or nothing can be said about that */
};

size_t upstream_size(void);
struct pool *pool_new(struct worker *w, struct backend *b); /* not counted yet */
struct pool *pool_ref(struct pool *p);
void pool_unref(struct pool *p);
/* How long connections are kept, as the latest table says. */
void pool_configure(struct pool *p, const struct table_service *ts);
void pool_set_departed(struct pool *p);
void pool_set_present(struct pool *p);
void pool_drop_idle_if_departed(struct pool *p);
unsigned pool_drop_idle(struct pool *p); /* returns how many there were */

/* A request begins, or ends, at this backend: the in-flight counts. */
void pool_begin(struct pool *p);
void pool_end(struct pool *p);

/* A fault as seen by traffic: counted, and told to ctld and the log (rarely). `reason` as in
 * BACKEND_HINT; both are string constants. */
void pool_fault(struct pool *p, const char *reason, const char *detail);
/* Passive health, among the backends of ts. hold: the connection was refused, or closed before a
 * byte of an answer; good: it was not. answered: with a whole head; bad: nothing well came of it.
 */
void pool_hold(struct pool *p, const struct table_service *ts);
void pool_good(struct pool *p);
void pool_answered(struct pool *p, const struct table_service *ts, bool bad);
bool pool_usable(struct pool *p, uint64_t now_ms, bool repeatable);

/* A connection for x: an idle one, or a new one under way (fresh: always new). NULL: no descriptor,
 * no port, or refused on the spot (*ret_refused). look: make sure that an idle one is not dead
 * already. */
struct upstream *upstream_take(struct pool *p, struct xchg *x, struct client *c, bool fresh,
                               bool look, bool *ret_refused);
/* Does a new connection lead to the instance? Its port may have gone to somebody else since ctld
 * looked. The listening socket that is there after the handshake was there before it. Nothing may
 * be sent before the answer is yes. */
enum upstream_proof { UPSTREAM_WAITS, UPSTREAM_PROVEN, UPSTREAM_FOREIGN };
enum upstream_proof upstream_prove(struct upstream *u);
/* Give it back after an exchange: to the pool if it may be used again, else it is closed. */
void upstream_give(struct upstream *u, bool reusable);
void upstream_close(struct upstream *u);

#endif
