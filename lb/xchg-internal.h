#ifndef LBCTL_LB_XCHG_INTERNAL_H
#define LBCTL_LB_XCHG_INTERNAL_H

#include "lb/core/alog_line.h"
#include "lb/core/http_edit.h"
#include "lb/flow.h"
#include "lb/front.h"
#include "lb/core/queue.h"
#include "lb/upstream.h"
#include "lb/xchg.h"

enum { XCHG_ID_MAX = 64 };

/* What an exchange remembers for the access log and the counters (xchg_log.c). Times in
 * microseconds; 0: it did not come to that. */
struct xlog {
    uint64_t first_us, head_us, pick_us, connect_us, answer_us;
    uint64_t in_n, out_n; /* of flows that were begun anew since */
    unsigned status, retries;
    enum xchg_state phase; /* in which the end was decided */
    bool tunnel, target_cut, has_backend;
    /* kept only while there is an access log */
    unsigned slot;
    uint16_t method_n, target_n;
    uint8_t instance_n;
    char instance[64];
    char text[HTTP_METHOD_MAX + ALOG_TARGET_MAX];
};

/* Inside an exchange: xchg.c is the machine and the relaying, xchg_attempt.c chooses backends and
 * repeats, xchg_balance.c asks the policy, xchg_own.c makes lbd's own answers,
 * xchg_clock.c keeps the deadlines, xchg_log.c what the log and the counters tell. */
struct xchg {
    struct worker *w;
    struct client *c;
    enum xchg_state state;
    enum xchg_cause cause;
    enum xchg_end end;
    /* where it goes */
    struct wtable *wt;         /* counted; NULL for lbd's own answers */
    const struct wservice *ws; /* in wt, or the worker's site */
    struct service *service;   /* counts: set when it is of a table's service */
    struct wtable *home;       /* counted: the table that route is of; wt may be a later one */
    const struct route *route; /* NULL: lbd's own answers */
    struct pool *pool;         /* counted: the backend of this attempt */
    struct pool *avoid;        /* not to be compared after it was released; see usable() */
    struct upstream *u;
    uint64_t try_us; /* for a policy that looks at latency: when the backend's time began; 0: not */
    unsigned picked; /* index of the pool in ws->pools */
    bool stuck;      /* the client's sticky cookie names it */
    bool loaded;     /* counted in the backend's load, for the policy */
    bool in_service, in_backend; /* takes a place of the service, of the pool's backend */
    struct queue_node wait;      /* in service->queue; XS_WAIT */
    uint64_t wait_until_ms;
    bool pieces;    /* the request's head did not come at once */
    bool held;      /* it waits for a backend, not for a place */
    bool fresh;     /* this attempt takes no pooled connection */
    bool repeating; /* counted in w->repeating */
    bool answered;  /* the backend has said something in this attempt */
    bool up_over;   /* nothing more of the request can or must be sent */
    bool interim;   /* a 1xx is on its way to the client */
    bool close;     /* the client's connection ends with this exchange */
    bool relayed;   /* a final head has begun to go to the client */
    unsigned attempts, interims;
    bool looks;         /* the client's clock only asks whether it is still there */
    uint64_t clocked_n; /* of the client's bytes, when its clock began */
    uint32_t answer_at; /* where the answer's head begins in u->s.in */
    struct flow up, down;
    struct http_head answer;
    struct http_head req;
    uint8_t id_n; /* 0: requests get none */
    char id[XCHG_ID_MAX];
    struct xlog log; /* last: its text is not cleared */
};

/* The one door of the state machine. */
void xchg_enter(struct xchg *x, enum xchg_state to);
const char *
xchg_request_buf(const struct xchg *x); /* what the spans of x->req refer to, while x->up.keep */
void xchg_answer_init(struct xchg *x);  /* an answer's head is to come */
/* The attempt is over: the connection goes back to its pool, or is closed. */
void xchg_drop_upstream(struct xchg *x, bool reusable);
/* The end, with the client's connection cut; and with a whole answer. */
void xchg_fail(struct xchg *x, enum xchg_cause cause);
void xchg_finish(struct xchg *x, enum xchg_cause cause);

/* Who answers for a service: its backends, or lbd's own site. */
const struct wservice *xchg_answerer(const struct xchg *x, const struct wservice *ws);
/* For the access log and the counters. */
void xchg_log_init(struct xchg *x);
void xchg_log_head(struct xchg *x);    /* the request's head is complete, or bad */
void xchg_log_pick(struct xchg *x);    /* a backend and a connection to it are chosen */
void xchg_log_connect(struct xchg *x); /* the backend took the first byte */
void xchg_log_answer(struct xchg *x, unsigned status); /* a final head begins to go out */
void xchg_log_end(struct xchg *x);

/* The request's id, if it is to have one: what a trusted peer gave, or a new one (xchg_id.c). */
void xchg_id_set(struct xchg *x);

/* Begin the flow to the client, or begin it anew. */
void xchg_down_init(struct xchg *x, struct sock *src, enum http_framing in, enum http_framing out,
                    uint64_t length);

/* Deadlines of both sides, after a run that has got as far as it can (xchg_clock.c). */
void xchg_clock_set(struct xchg *x);
/* The client has sent all of its request and closed that side. */
bool xchg_client_fin(const struct xchg *x);

/* Which of x->ws->pools is to take the request (xchg_balance.c), NULL: those that may are full;
 * begin and end: it has it. */
struct pool *xchg_balance(struct xchg *x);
/* Who the client is: what a trusted proxy in front says last, or the other end of the connection.
 * While the request's head is there. */
struct sv xchg_client_address(const struct xchg *x);
void xchg_balance_begin(struct xchg *x);
void xchg_balance_end(struct xchg *x);
/* Add the sticky cookie to a composed head, if the client needs one. */
void xchg_balance_cookie(const struct xchg *x, struct http_out *o);
/* The latency of an attempt: it begins, all of the request's body has come; it has an answer, or is
 * lost. */
void xchg_balance_try(struct xchg *x);
void xchg_balance_sent(struct xchg *x);
void xchg_balance_answer(struct xchg *x);
void xchg_balance_lost(struct xchg *x);
/* Choose a backend and take a place at it; false: all that may be taken are full. x->ws has some.
 */
bool xchg_pick(struct xchg *x);
/* The table may have changed: x->ws becomes NULL if the service has left it. */
void xchg_refresh_table(struct xchg *x);
/* The places that the attempt has are free again. */
void xchg_places_give(struct xchg *x);
/* No backend can take it now: wait, or answer 503 (xchg_wait.c). And: it waits no longer. */
void xchg_wait_begin(struct xchg *x);
void xchg_wait_leave(struct xchg *x);
void xchg_wait_late(struct xchg *x);
bool xchg_wait_step(struct xchg *x);
/* A place of the service is free. */
void xchg_wait_kick(struct worker *w, struct service *s);

/* Choose a backend and begin, in XS_PICK. */
void xchg_attempt_start(struct xchg *x);
/* The attempt has failed before an answer went to the client: repeat it, or answer. */
void xchg_attempt_lost(struct xchg *x, enum xchg_cause cause, const char *detail);

/* The service as it was when the request came; NULL: none. */
const struct table_service *xchg_home(const struct xchg *x);

bool xchg_passes_trailers(const struct xchg *x);

/* Find whose the request is, count it, and answer it or go to XS_PICK (xchg_route.c). */
void xchg_route(struct xchg *x);

/* A request's body, announced or arrived, that the service does not take, and its answer. */
bool xchg_is_too_large(const struct xchg *x, uint64_t body);
void xchg_refuse_too_large(struct xchg *x);

/* Answer by the route itself, or for a service in maintenance. false: a backend has to. */
bool xchg_own_by_route(struct xchg *x, struct sv path);

/* An answer of our own: text (or the service's page for that status), and `extra` header lines
 * (each with its CRLF). */
void xchg_own_answer(struct xchg *x, unsigned status, enum xchg_cause cause, const char *text,
                     const char *extra);
/* 429: the client is to come again in so many microseconds. */
void xchg_own_limited(struct xchg *x, enum xchg_cause cause, const char *text, uint64_t wait_us);
/* 503 with a Retry-After: how long an instance takes to start, if there is none. */
void xchg_own_unavailable(struct xchg *x, enum xchg_cause cause, const char *text);

#endif
