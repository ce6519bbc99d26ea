#ifndef LBCTL_LB_XCHG_INTERNAL_H
#define LBCTL_LB_XCHG_INTERNAL_H

#include "lb/flow.h"
#include "lb/front.h"
#include "lb/upstream.h"
#include "lb/xchg.h"

/* Inside an exchange: xchg.c is the machine and the relaying, xchg_attempt.c chooses backends and
 * repeats, xchg_own.c makes lbd's own answers. */
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
    struct pool *pool;         /* counted: the backend of this attempt */
    struct pool *avoid;        /* not to be compared after it was released; see pick() */
    struct upstream *u;
    bool fresh;     /* this attempt takes no pooled connection */
    bool repeating; /* counted in w->repeating */
    bool answered;  /* the backend has said something in this attempt */
    bool up_over;   /* nothing more of the request can or must be sent */
    bool interim;   /* a 1xx is on its way to the client */
    bool close;     /* the client's connection ends with this exchange */
    bool relayed;   /* a final head has begun to go to the client */
    unsigned attempts, interims;
    uint32_t answer_at; /* where the answer's head begins in u->s.in */
    struct flow up, down;
    struct http_head answer;
    struct http_head req;
};

/* The one door of the state machine. */
void xchg_enter(struct xchg *x, enum xchg_state to);
const char *
xchg_request_buf(const struct xchg *x); /* what the spans of x->req refer to, while x->up.keep */
/* The attempt is over: the connection goes back to its pool, or is closed. */
void xchg_drop_upstream(struct xchg *x, bool reusable);
/* The end, with the client's connection cut; and with a whole answer. */
void xchg_fail(struct xchg *x, enum xchg_cause cause);
void xchg_finish(struct xchg *x, enum xchg_cause cause);

/* Choose a backend and begin, in XS_PICK. */
void xchg_attempt_start(struct xchg *x);
/* The attempt has failed before an answer went to the client: repeat it, or answer. */
void xchg_attempt_lost(struct xchg *x, enum xchg_cause cause, const char *detail);

/* An answer of our own: text, and `extra` header lines (each with its CRLF). */
void xchg_own_answer(struct xchg *x, unsigned status, enum xchg_cause cause, const char *text,
                     const char *extra);
/* 503 with the service's Retry-After. */
void xchg_own_unavailable(struct xchg *x, enum xchg_cause cause, const char *text);

#endif
