#ifndef LBCTL_LB_WORKER_H
#define LBCTL_LB_WORKER_H

#include <event2/event_struct.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/cidr.h"
#include "common/conf/conf.h"
#include "common/ev/loop.h"
#include "common/ev/mailbox.h"
#include "lb/core/wheel.h"
#include "lb/slab.h"
#include "lb/sticky.h"
#include "lb/table.h"

/* A worker: one thread with its own loop, listeners, connections, pools, buffers and counters.
 * Other threads reach it by letters only (worker_send_*); everything else here is for its own
 * thread. */
struct alog;
struct alog_feed;
struct crowd;
struct link;
struct listener;
struct pool;

enum {
    WORKER_SMALL = 16 << 10, /* buffer for a head and a short body */
    WORKER_LARGE = 64 << 10, /* for heads up to HTTP_HEAD_MAX and for bodies */
    WORKER_HUGE = 256 << 10, /* for long bodies; only so many at a time */
    WORKER_SCRATCH = 96 << 10,
};

/* A table as this worker uses it: its connection pools beside the services. Counted (plainly: one
 * thread) by the exchanges that began under it. */
struct wservice {
    const struct table_service *ts;
    struct pool **pools;          /* as ts->backends */
    char (*tokens)[STICKY_TOKEN]; /* values of its sticky cookie, as ts->backends; NULL: none */
};
struct wtable {
    unsigned refs;
    struct table *table;
    struct wservice *services; /* as table->services */
};

/* Deadlines of clients, for all services. */
struct clocks {
    uint32_t header_ms;    /* from the first byte of a request head to its last: 408 */
    uint32_t body_ms;      /* a client that neither sends nor takes bytes that we wait for */
    uint32_t keepalive_ms; /* between requests, and before the first */
    uint64_t min_rate;     /* bytes a second over body_ms; 0: any */
};

/* What all workers share. Set before they start. */
struct shared {
    struct link *link; /* letters to the main thread: link_post_*() */
    unsigned workers;
    unsigned clients_max;
    atomic_uint clients;            /* open client connections, for clients_max */
    unsigned per_client_max;        /* connections of one client; 0: any */
    struct crowd *crowd;            /* who has how many; NULL while there is no such limit */
    uint64_t seed;                  /* of rate_client_key() */
    struct backend *site;           /* the status page */
    struct alog *alog;              /* NULL: no access log */
    struct worker **all;            /* by id; all of them, before the first request */
    struct cidr_list trusted;       /* proxies that are believed */
    bool proxy_in[CONF_LISTEN_MAX]; /* by listener: begins with a PROXY header, if trusted */
    struct clocks clocks;
    bool forwarded_header, request_id, bare_lf; /* settings */
    unsigned char sticky_key[STICKY_KEY];
};

/* Go on with it later: worker_again() and its kin. */
struct again {
    struct list node;
    void (*run)(struct again *a);
};

struct worker {
    unsigned id;
    struct shared *shared;
    pthread_t thread;
    struct loop *loop;
    struct mailbox *mailbox;
    struct listener *listeners;
    unsigned listeners_n;

    struct wheel wheel; /* all deadlines of connections */
    struct timer wheel_timer;
    struct timer relisten; /* listeners pause when descriptors or connections run out */
    bool paused;
    bool stopping; /* no new connections, none kept alive */

    struct wtable *table; /* NULL until the first one */
    struct wservice site;

    struct slab clients, upstreams, xchgs, small, large, huge; /* free lists */
    unsigned huge_n;                                           /* in use */
    struct list client_list;                                   /* all client connections */
    struct list ready;   /* connections that gave way to others: READY_PER_TURN each turn */
    struct list leaving; /* those that only want to be gone: one each turn */
    struct event ready_ev;
    struct again waits; /* exchanges that wait are looked at next turn */
    struct letter ring; /* because another worker has made room */
    atomic_bool rung;   /* it is under way */
    struct list grave;  /* closed connections, freed at the end of the turn */
    struct loop_later bury;
    char *scratch;          /* heads are composed here */
    struct alog_feed *alog; /* NULL: no access log */

    int diag; /* for listener_ask(); -1: not to be had here */

    unsigned active;            /* exchanges with a service */
    unsigned repeating;         /* of them, those in a repeated attempt */
    _Atomic uint64_t clients_n; /* this worker's connections; others read it */
    char date[40];              /* of the second date_s, for our own answers */
    int64_t date_s;
    uint64_t random; /* state of splitmix_next(), for request ids and choices of backends */
    char stamp[32];  /* RFC 3339, of the millisecond stamp_ms, for the access log */
    uint64_t stamp_ms;
};

struct listener {
    struct worker *w;
    int fd;
    bool proxy; /* a trusted peer begins with a PROXY header */
    struct event ev;
};

/* Start a worker's thread on its listening descriptors (taken) with a first table (borrowed) or
 * NULL. */
bool worker_start(struct shared *sh, unsigned id, const int *fds, unsigned fds_n,
                  struct table *first, struct worker **ret, struct err *e) MUST_CHECK;
/* Use a table from now on; link_post_adopted() is called when it does. Any thread. */
void worker_send_table(struct worker *w, struct table *t, uint64_t push);
/* Stop accepting, end idle connections, finish the rest; link_post_stopped() when none is left.
 * now: cut them. */
void worker_send_stop(struct worker *w, bool now);
void worker_send_purge(struct worker *w);    /* worker_purge_idle() there */
void worker_look_at_waits(struct worker *w); /* own thread: next turn */
/* Look at those that wait: there is room for the first of them. Any worker; costs a load when it is
 * known already. */
void worker_ring(struct worker *w);
/* All loops have ended: first join all, then free all, since they know each other. */
void worker_join(struct worker *w);
void worker_free(struct worker *w);

/* Own thread. */
uint64_t worker_now(struct worker *w);
uint64_t worker_now_us(struct worker *w); /* the same clock, finer */
void worker_clock(struct worker *w, struct wheel_node *n, uint64_t at_ms);
void *worker_buffer_take(struct worker *w,
                         size_t size); /* WORKER_SMALL, _LARGE or _HUGE; NULL: none to be had */
void worker_buffer_give(struct worker *w, void *p, size_t size);
/* Descriptors have run out: close what is kept idle for later requests. Returns how many were. */
unsigned worker_purge_idle(struct worker *w);
void worker_pause(struct worker *w); /* stop accepting for a moment */
void worker_client_gone(struct worker *w);
const char *worker_date(struct worker *w);  /* "Sun, 06 Nov 1994 08:49:37 GMT" */
const char *worker_stamp(struct worker *w); /* "2026-01-31T12:00:00.123Z" */

/* Something that died in this turn is freed at its end, when nobody's caller holds it any more. */
struct grave {
    struct list node;
    void (*free)(struct worker *w, struct grave *g);
};
void worker_bury(struct worker *w, struct grave *g,
                 void (*free)(struct worker *w, struct grave *g));

/* Go on with it in the next turn; at the end of this turn; when its turn comes among those that are
 * leaving. Each time after what is in the list already. list_unlink(&a->node): not any more. */
void worker_again(struct worker *w, struct again *a, void (*run)(struct again *a));
void worker_soon(struct worker *w, struct again *a, void (*run)(struct again *a));
void worker_last(struct worker *w, struct again *a, void (*run)(struct again *a));

void wtable_unref(struct worker *w, struct wtable *t);

#endif
