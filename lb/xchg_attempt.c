#include <string.h>
#include <sys/socket.h>

#include "lb/core/http_edit.h"
#include "lb/core/limit.h"
#include "lb/core/proxy_out.h"
#include "lb/core/retry.h"
#include "lb/xchg-internal.h"

/* ---- an attempt begins ---- */

enum { PICK_TRIES = 8 };

/* Files are served by the site's thread; the request counts for its service all the same. */
const struct wservice *xchg_answerer(const struct xchg *x, const struct wservice *ws)
{
    return ws->ts->dir != NULL ? &x->w->site : ws;
}

/* The table may have changed since the last attempt: a backend that has left it must get nothing
 * new. */
void xchg_refresh_table(struct xchg *x)
{
    struct wtable *now = x->w->table;

    if (x->wt == NULL || x->wt == now)
        return;
    x->ws = NULL;
    for (unsigned i = 0; i < now->table->services_n && x->ws == NULL; i++) {
        if (now->services[i].ts->service == x->service)
            x->ws = xchg_answerer(x, &now->services[i]);
    }
    if (x->ws == NULL) /* the old table keeps the service alive, which counts this exchange */
        return;
    now->refs++;
    wtable_unref(x->w, x->wt);
    x->wt = now;
}

/* A place of the service and one of the backend. */
static bool places_take(struct xchg *x, struct backend *b)
{
    const struct table_limits *l = &x->ws->ts->limits;

    if (l->in_flight_max > 0)
        x->in_service = limit_take(&b->service->busy, l->in_flight_max);
    if (l->in_flight_max > 0 && !x->in_service)
        return false;
    if (l->per_backend > 0)
        x->in_backend = limit_take(&b->busy, l->per_backend);
    return l->per_backend == 0 || x->in_backend;
}

void xchg_places_give(struct xchg *x)
{
    struct service *s = x->service;

    if (!x->in_service && !x->in_backend)
        return;
    if (x->in_backend)
        limit_give(&x->pool->backend->busy);
    if (x->in_service)
        limit_give(&s->busy);
    x->in_service = x->in_backend = false;
    xchg_wait_kick(x->w, s);
}

bool xchg_pick(struct xchg *x)
{
    for (unsigned tries = 0; tries < PICK_TRIES; tries++) {
        struct pool *p = xchg_balance(x);

        if (p == NULL)
            return false;
        x->pool = pool_ref(p);
        if (places_take(x, p->backend)) {
            x->avoid = NULL;
            pool_begin(x->pool);
            if (x->ws->ts->fail_open)
                cell_add(&x->service->cells[x->w->id].fail_open, 1);
            xchg_balance_begin(x);
            return true;
        }
        xchg_places_give(x); /* another thread was faster */
        pool_unref(x->pool);
        x->pool = NULL;
    }
    return false;
}

/* Nobody overtakes those that wait already. */
static bool may_go(const struct xchg *x)
{
    const struct table_limits *l = &x->ws->ts->limits;

    if (x->ws->ts->backends_n == 0)
        return false;
    return (l->per_backend == 0 && l->in_flight_max == 0) ||
           atomic_load(&x->ws->ts->service->queue.n) == 0;
}

static void pick(struct xchg *x)
{
    xchg_refresh_table(x);
    if (x->ws == NULL)
        xchg_own_unavailable(x, XC_NO_BACKEND, "503 no ready backend");
    else if (!may_go(x) || !xchg_pick(x))
        xchg_wait_begin(x);
}

/* For whom this connection will speak. */
static void add_proxy_header(struct xchg *x, struct http_out *o)
{
    const struct client *c = x->c;
    struct proxy_out p = {.from = c->addr, .from_port = c->port};
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    char buf[PROXY_OUT_MAX];

    if (getsockname(c->s.fd, (struct sockaddr *)(void *)&sa, &len) == 0)
        p.to = front_address(&sa, &p.to_port);
    else
        p.to = c->addr;
    http_out_add(o, buf, proxy_out_write(x->pool->proxy, &p, buf));
}

/* The head in the scratch area, in front of what has come of the body. */
static bool compose_request(struct xchg *x)
{
    const struct client *c = x->c;
    struct http_peer peer = {.address = {c->peer, c->peer_n},
                             .trusted = c->trusted,
                             .trailers = xchg_passes_trailers(x),
                             .forwarded = x->w->shared->forwarded_header,
                             .request_id = {x->id, x->id_n}};
    struct http_out o = {.p = x->w->scratch, .cap = WORKER_LARGE};

    if (x->u->owner != NULL && !x->u->reused)
        add_proxy_header(x, &o);
    http_edit_request(&o, &x->req, xchg_request_buf(x), &peer, sv_of(x->pool->backend->host),
                      x->route != NULL ? x->route->edit : NULL);
    if (o.over)
        return false;
    flow_rewind(&x->up, &x->u->s);
    flow_head(&x->up, o.p, o.n);
    return true;
}

void xchg_attempt_start(struct xchg *x)
{
    bool refused, idempotent = http_method_idempotent(x->req.method);
    bool same = x->pool != NULL; /* kept for a fresh connection to it, or chosen after a wait */

    if (same && x->pool->departed) {
        xchg_drop_upstream(x, false);
        same = false;
    }
    if (!same)
        pick(x);
    if (x->state != XS_PICK)
        return;
    x->attempts++;
    xchg_balance_try(x);
    x->answered = x->up_over = x->up.sent = false;
    /* A request that must not be repeated looks before it trusts an idle connection. */
    x->u = upstream_take(x->pool, x, x->c, x->fresh, !idempotent, &refused);
    if (x->u == NULL && refused) {
        xchg_attempt_lost(x, XC_REFUSED, "connection refused");
        return;
    }
    if (x->u == NULL) {
        xchg_own_unavailable(x, XC_LOCAL, "503 out of descriptors");
        return;
    }
    xchg_answer_init(x);
    x->answer_at = 0;
    xchg_log_pick(x);
    xchg_enter(x, x->u->reused ? XS_SEND : XS_CONNECT);
    if (!compose_request(x))
        xchg_own_answer(x, 431, XC_BAD_REQUEST, "431 header section is too long", "");
}

/* ---- an attempt fails ---- */

static void note_fault(struct xchg *x, enum xchg_cause cause, bool aged, const char *detail)
{
    switch (cause) {
    case XC_REFUSED:
        pool_hold(x->pool, x->ws->ts);
        pool_fault(x->pool, "refused", detail);
        break;
    case XC_CONNECT_TIMEOUT:
        pool_hold(x->pool, x->ws->ts);
        pool_fault(x->pool, "timeout", detail);
        break;
    case XC_TIMEOUT:
        pool_answered(x->pool, x->ws->ts, true);
        pool_fault(x->pool, "timeout", detail);
        break;
    case XC_BAD_ANSWER:
        pool_answered(x->pool, x->ws->ts, true);
        pool_fault(x->pool, "bad-answer", detail);
        break;
    default:
        if (aged) /* an idle connection closed in the moment of its reuse: nobody's fault */
            break;
        if (!x->answered)
            pool_hold(x->pool,
                      x->ws->ts); /* a port forwarder without an application behind it does this */
        pool_fault(x->pool, "reset", detail);
        break;
    }
}

static void answer_lost(struct xchg *x, enum xchg_cause cause)
{
    switch (cause) {
    case XC_CONNECT_TIMEOUT:
    case XC_TIMEOUT:
        xchg_own_answer(x, 504, cause, "504 the backend did not answer in time", "");
        break;
    case XC_BAD_ANSWER:
        xchg_own_answer(x, 502, cause, "502 the backend's answer is not valid HTTP", "");
        break;
    case XC_REFUSED:
        xchg_own_answer(x, 502, cause, "502 the backend does not accept connections", "");
        break;
    default:
        xchg_own_answer(x, 502, cause, "502 the backend closed the connection", "");
        break;
    }
}

static enum retry_verdict may_repeat(const struct xchg *x, enum xchg_cause cause)
{
    struct retry_in in = {
        .sent = x->up.sent,
        .reused = x->u != NULL && x->u->reused,
        .answered = x->answered,
        .idempotent = http_method_idempotent(x->req.method),
        .replayable = x->up.keep,
        .timed_out = cause == XC_TIMEOUT,
        .departed = x->pool->departed,
        .repeated = x->repeating,
        .attempts = x->attempts,
        .backends = x->ws != NULL ? x->ws->ts->backends_n : 0,
        .active = x->w->active,
        .repeating = x->w->repeating,
    };

    return retry_decide(&in);
}

void xchg_attempt_lost(struct xchg *x, enum xchg_cause cause, const char *detail)
{
    bool aged = x->u != NULL && x->u->reused && !x->answered;
    enum retry_verdict v = may_repeat(x, cause);

    note_fault(x, cause, aged, detail);
    if (!aged)
        xchg_balance_lost(x);
    if (v == RETRY_NO) {
        answer_lost(x, cause);
        return;
    }
    if (x->up.sent && !x->repeating) {
        x->repeating = true;
        x->w->repeating++;
    }
    if (x->service != NULL)
        cell_add(&x->service->cells[x->w->id].retries, 1);
    flow_give_up(&x->up);
    x->fresh = x->up.sent || v == RETRY_FRESH;
    if (v == RETRY_FRESH) {
        if (x->u != NULL)
            upstream_close(x->u);
        x->u = NULL; /* the pool stays: the same backend, still in flight */
    } else {
        x->avoid = x->pool; /* lives at least as long as this worker's table names it */
        xchg_drop_upstream(x, false);
    }
    xchg_enter(x, XS_PICK);
}
