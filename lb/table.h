#ifndef LBCTL_LB_TABLE_H
#define LBCTL_LB_TABLE_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/base/err.h"
#include "lb/balance.h"
#include "lb/core/queue.h"
#include "lb/core/rate.h"
#include "lb/core/route.h"

/* What ctld pushes, as the workers use it.
 *
 * A table is built once by the main thread, never modified, counted, and swapped by letter. What
 * lives longer than a table hangs below it: a service (its cursor, its counters) as long as a table
 * names it, a backend as long as a table or a request holds it. Counters are per worker, written by
 * that worker only, and summed by the reader. */
enum { TABLE_ADDRESS_MAX = 64, TABLE_WORKERS_MAX = 256 };

struct latency;
struct pool;

/* One worker's share of a service's or backend's counters. Twice a cache line, so that no two
 * workers' shares meet in one wherever the array begins. */
struct cell {
#define STAT(member, whose, help) _Atomic uint64_t member;
#include "lb/stat.def"
#undef STAT
    struct pool *pool; /* backends: that worker's connections; no other thread looks at it */
    char pad[64];
};

static inline void cell_add(_Atomic uint64_t *c, uint64_t n) /* the owning worker only */
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

struct service {
    atomic_uint refs;
    unsigned workers;
    char *name;
    _Atomic uint64_t cursor; /* of round robin, over all threads */
    struct cell *cells;
    struct latency *latency;
    /* Written only while the service has limits. */
    atomic_uint busy;         /* places taken, of in_flight_max */
    struct rate_table *rates; /* there as soon as a table has had a rate */
    struct queue queue;       /* exchanges that wait; a part is its worker's */
    /* main thread: what the last report said (link.c) */
    uint64_t reported_counted, pending_first_ms;
};

struct backend {
    atomic_uint refs;
    unsigned workers;
    struct service *service; /* counted */
    unsigned slot;
    char *instance;
    char address[TABLE_ADDRESS_MAX];
    uint16_t port;
    char host[TABLE_ADDRESS_MAX + 8]; /* "address:port", [] around IPv6 */
    struct sockaddr_storage sa;
    socklen_t sa_len;
    struct cell *cells;
    _Atomic uint64_t listener; /* the socket that takes its connections (listener_ask); 0: any */
    /* Passive health, shared by all workers; relaxed, a lost update costs one request's detour. */
    _Atomic uint64_t hold_until_ms;    /* leave it alone while others are ready */
    _Atomic uint64_t suspect_until_ms; /* until then only requests that may be repeated try it */
    atomic_uint fails;                 /* in a row */
    _Atomic uint64_t answers;          /* core/eject.h */
    _Atomic uint64_t out_until_ms;     /* left out for its answers */
    atomic_uint outs;                  /* times so far, without a long pause */
    uint64_t hinted_ms;                /* main thread: when ctld was last told */
    uint64_t joined_ms; /* main thread: when it joined others in the table; 0: it was there first */
    /* What policies look at, over all workers: written only while the service's policy wants it,
     * and apart from what every request reads. */
    char pad[64];
    atomic_uint busy;      /* places taken, of per_backend; only while there is that limit */
    _Atomic uint32_t load; /* requests in flight */
    _Atomic uint64_t ewma; /* core/ewma.h */
};

/* A page that stands for lbd's own words: a file as it was when the table came. */
struct table_page {
    unsigned status;
    const char *type;
    char *body; /* NULL: the file could not be read */
    size_t n;
};

/* What routes of a table refer to. */
struct route_parts {
    struct http_request_edit edit;
    struct http_edits answer_edits;
    struct http_edit *v[2];
};

/* 0: any, if it does not say otherwise. */
struct table_limits {
    unsigned per_backend, in_flight_max;
    unsigned queue_max, hold_max; /* who may wait */
    uint32_t queue_ms, hold_ms;   /* 0: nobody waits */
    bool has_rate;
    struct rate_rule rate; /* of each client; service->rates */
};

struct table_service {
    struct service *service;
    struct sv *ignore; /* exact paths that are not counted */
    size_t ignore_n;
    unsigned retry_after_s;
    uint32_t connect_ms, response_ms, stall_ms, tunnel_ms;
    uint32_t body_ms;                    /* of the client; 0: the worker's */
    uint64_t max_body;                   /* 0: any */
    uint32_t keep_idle_ms, keep_time_ms; /* of pooled connections; 0: none kept, any age */
    uint32_t keep_requests;
    struct table_limits limits;
    unsigned eject_after; /* bad answers in a row; 0: never */
    bool expected;        /* no backend yet, but one is on its way */
    bool fail_open;       /* the backends are not ready: all of them are used */
    bool pass_trailers;
    unsigned send_proxy; /* version of the PROXY header; 0: none */
    const char *dir;     /* lbd answers from this directory itself; NULL: the backends answer */
    struct table_page *pages; /* for lbd's own answers */
    size_t pages_n;
    bool maintenance;
    struct table_page maintenance_page; /* body NULL: that of 503, or our own words */
    unsigned maintenance_retry_s;
    struct backend **backends; /* in the order of the rotation */
    unsigned backends_n;
    struct balance balance; /* who is chosen among them */
};

struct table {
    atomic_uint refs;
    uint64_t generation;
    struct table_service *services;
    unsigned services_n;
    struct route *routes; /* sorted; service: index into services */
    size_t routes_n;
    bool by_host;              /* some routes have a host */
    struct route_parts *parts; /* as many as routes, in the order of their coming */
    json_t *body; /* main thread: what it was made of; strings of routes, ignore lists and dirs lie
                     in it */
};

/* Where table_new() finds a backend that left an earlier table and may come back. */
typedef struct backend *table_past_fn(void *arg, const char *service, const char *instance);

/* Build a table from a checked TABLE body (proto.def). `before` is the table until now or NULL:
 * services and backends of the same names live on. Main thread. */
bool table_new(const json_t *body, unsigned workers, const struct table *before,
               table_past_fn *past, void *past_arg, struct table **ret, struct err *e) MUST_CHECK;
/* The page for an own answer of that status; NULL: none. Any thread. */
const struct table_page *table_page(const struct table_service *ts, unsigned status);
struct table *table_ref(struct table *t); /* any thread, as unref */
void table_unref(struct table *t);
const struct table_service *table_find_service(const struct table *t,
                                               const char *name); /* NULL: none; t may be NULL */
struct backend *table_find_backend(const struct table *t, const char *service,
                                   const char *instance);

/* A service and backend of lbd's own, outside of all tables: its status page behind a Unix socket.
 */
struct backend *backend_new_unix(const char *path, unsigned workers);
struct backend *backend_ref(struct backend *b);
void backend_unref(struct backend *b);

uint64_t cells_sum(const struct cell *cells, unsigned n, size_t member_offset);
#define CELLS_SUM(obj, member)                                                                     \
    cells_sum((obj)->cells, (obj)->workers, offsetof(struct cell, member))

#endif
