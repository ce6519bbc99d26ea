#include <string.h>

#include "lb/alog.h"
#include "lb/latency.h"
#include "lb/xchg-internal.h"

void xchg_log_init(struct xchg *x)
{
    memset(&x->log, 0, offsetof(struct xlog, instance));
    x->log.first_us = worker_now_us(x->w);
}

/* The head's bytes make room for the body, so what the log wants of them is copied. */
void xchg_log_head(struct xchg *x)
{
    const char *buf = xchg_request_buf(x);
    struct xlog *g = &x->log;
    struct http_span target = x->req.target;

    g->head_us = x->pieces ? worker_now_us(x->w) : g->first_us;
    if (x->w->alog == NULL || x->req.fault != HTTP_FAULT_NONE)
        return;
    g->target_cut = target.n > ALOG_TARGET_MAX;
    g->method_n = x->req.method_span.n;
    g->target_n = g->target_cut ? ALOG_TARGET_MAX : target.n;
    memcpy(g->text, buf + x->req.method_span.at, g->method_n);
    memcpy(g->text + g->method_n, buf + target.at, g->target_n);
}

void xchg_log_pick(struct xchg *x)
{
    const struct backend *b = x->pool->backend;
    struct xlog *g = &x->log;
    size_t n;

    if (x->w->alog == NULL)
        return;
    g->pick_us = worker_now_us(x->w);
    g->connect_us = x->u->reused ? g->pick_us : 0;
    g->answer_us = 0;
    g->retries = x->attempts - 1;
    g->has_backend = b->instance[0] != '\0'; /* not our own site */
    if (!g->has_backend)
        return;
    n = strlen(b->instance);
    g->slot = b->slot;
    g->instance_n = (uint8_t)(n < sizeof(g->instance) ? n : sizeof(g->instance));
    memcpy(g->instance, b->instance, g->instance_n);
}

void xchg_log_connect(struct xchg *x)
{
    if (x->w->alog != NULL)
        x->log.connect_us = worker_now_us(x->w);
}

void xchg_log_answer(struct xchg *x, unsigned status)
{
    x->log.status = status;
    if (x->w->alog != NULL && x->log.connect_us != 0)
        x->log.answer_us = worker_now_us(x->w);
}

static uint64_t between(uint64_t from, uint64_t to)
{
    return from != 0 && to != 0 ? to - from : ALOG_NEVER;
}

static void put(struct xchg *x, uint64_t now_us)
{
    const struct xlog *g = &x->log;
    struct alog_entry en = {
        .stamp = worker_stamp(x->w),
        .client = {x->c->peer, x->c->peer_n},
        .method = {g->text, g->method_n},
        .target = {g->text + g->method_n, g->target_n},
        .target_cut = g->target_cut,
        .minor = x->req.minor,
        .status = g->status,
        .bytes_in = g->in_n,
        .bytes_out = g->out_n,
        .service = sv_of(x->service != NULL ? x->service->name : ""),
        .has_backend = g->has_backend,
        .slot = g->slot,
        .instance = {g->instance, g->instance_n},
        .id = {x->id, x->id_n},
        .generation = x->wt != NULL ? x->wt->table->generation : 0,
        .retries = g->retries,
        .times = {between(g->first_us, g->head_us), between(g->head_us, g->pick_us),
                  between(g->pick_us, g->connect_us), between(g->connect_us, g->answer_us),
                  now_us - g->first_us},
        .cause = x->cause,
        .phase = g->phase,
    };

    alog_put(x->w->alog, &en);
}

/* A client that leaves tells nothing of how fast the service is, and a tunnel lasts as long as it
 * likes. */
static bool tells_latency(const struct xchg *x)
{
    return !x->log.tunnel && x->log.head_us != 0 && x->cause != XC_CLIENT_GONE &&
           x->cause != XC_CLIENT_TIMEOUT && x->cause != XC_STOPPED;
}

void xchg_log_end(struct xchg *x)
{
    struct xlog *g = &x->log;
    uint64_t now;

    if (x->cause == XC_NONE) { /* its connection was closed under it */
        x->cause = x->w->stopping && x->state != XS_NEW ? XC_STOPPED : XC_CLIENT_GONE;
        g->phase = x->state;
    }
    g->in_n += x->req.len + x->up.got;
    g->out_n += x->down.out_n;
    now = worker_now_us(x->w);
    if (x->service != NULL) {
        struct cell *cell = &x->service->cells[x->w->id];

        cell_add(&cell->bytes_in, g->in_n);
        cell_add(&cell->bytes_out, g->out_n);
        if (tells_latency(x))
            latency_add(x->service->latency, x->w->id, now - g->head_us);
    }
    if (x->w->alog != NULL)
        put(x, now);
}
