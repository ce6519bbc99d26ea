#include "lb/xchg.h"

#include <string.h>
#include <sys/socket.h>

#include "common/base/log.h"
#include "lb/core/eject.h"
#include "lb/core/http_edit.h"
#include "lb/link.h"
#include "lb/xchg-internal.h"

enum { INTERIM_MAX = 32 };

size_t xchg_size(void)
{
    return sizeof(struct xchg);
}

/* The one door of the state machine. */
void xchg_enter(struct xchg *x, enum xchg_state to)
{
    if (!xchg_may(x->state, to)) {
        bug("exchange %s -> %s", xchg_state_name(x->state), xchg_state_name(to));
        x->end = XCHG_RESET;
        to = XS_FAILED;
    }
    if (to == XS_ANSWER || to == XS_FAILED)
        x->log.phase = x->state;
    x->state = to;
}

void xchg_answer_init(struct xchg *x)
{
    http_response_init(&x->answer, x->req.method == HTTP_HEAD);
    x->answer.lf_ok = x->w->shared->bare_lf;
}

const char *xchg_request_buf(const struct xchg *x)
{
    return x->c->s.in + x->c->msg_at;
}

struct xchg *xchg_new(struct client *c)
{
    struct xchg *x = slab_take(&c->s.w->xchgs);

    if (x == NULL)
        return NULL;
    memset(x, 0, offsetof(struct xchg, answer));
    x->w = c->s.w;
    x->c = c;
    x->id_n = 0;
    http_request_init(&x->req);
    x->req.lf_ok = x->w->shared->bare_lf;
    queue_node_init(&x->wait);
    xchg_log_init(x);
    return x;
}

/* ---- the upstream of an attempt ---- */

void xchg_drop_upstream(struct xchg *x, bool reusable)
{
    if (x->u != NULL) {
        if (reusable)
            upstream_give(x->u, true);
        else
            upstream_close(x->u);
        x->u = NULL;
    }
    xchg_places_give(x);
    if (x->pool != NULL) {
        xchg_balance_end(x);
        pool_end(x->pool);
        pool_unref(x->pool);
        x->pool = NULL;
    }
}

void xchg_free(struct xchg *x)
{
    struct worker *w = x->w;

    xchg_log_end(x);
    flow_fini(&x->up);
    flow_fini(&x->down);
    xchg_wait_leave(x);
    xchg_drop_upstream(x, false);
    if (x->service != NULL) {
        cell_add(&x->service->cells[w->id].in_flight, (uint64_t)-1);
        w->active--;
        link_post_dirty(w->shared->link);
    }
    if (x->repeating)
        w->repeating--;
    wtable_unref(w, x->wt);
    wtable_unref(w, x->home);
    slab_give(&w->xchgs, x);
}

/* ---- ends ---- */

void xchg_fail(struct xchg *x, enum xchg_cause cause)
{
    flow_fini(&x->up);
    flow_fini(&x->down);
    xchg_wait_leave(x);
    xchg_drop_upstream(x, false);
    x->cause = cause;
    x->end = cause == XC_CLIENT_GONE ? XCHG_CLOSE : XCHG_RESET;
    xchg_enter(x, XS_FAILED);
}

void xchg_finish(struct xchg *x, enum xchg_cause cause)
{
    x->cause = cause;
    if (!x->close)
        x->end = XCHG_KEEP;
    else if (!x->up.in_done || x->c->s.rd || x->c->s.in_at != x->c->s.in_end)
        x->end = XCHG_LINGER;
    else
        x->end = XCHG_CLOSE;
    xchg_enter(x, XS_DONE);
}

/* ---- sending, and the answer's head ---- */

void xchg_down_init(struct xchg *x, struct sock *src, enum http_framing in, enum http_framing out,
                    uint64_t length)
{
    x->log.out_n += x->down.out_n;
    flow_init(&x->down, src, &x->c->s, in, out, length, false);
}

static void begin_tunnel(struct xchg *x)
{
    struct client *c = x->c;

    x->log.tunnel = true;
    x->log.in_n += x->up.got;
    flow_fini(&x->up);
    flow_init(&x->up, &c->s, &x->u->s, HTTP_UNTIL_CLOSE, HTTP_UNTIL_CLOSE, 0, false);
    x->up_over = false;
    x->close = true;
}

static bool relay_head(struct xchg *x)
{
    bool tunnel = x->answer.status == 101;
    enum http_framing out = tunnel ? HTTP_UNTIL_CLOSE : http_edit_framing(&x->answer, x->req.minor);
    struct http_out o = {.p = x->w->scratch, .cap = WORKER_LARGE};

    /* While the request is still coming, where the next one begins is anybody's guess. */
    x->close = !http_head_persistent(&x->req) || out == HTTP_UNTIL_CLOSE || !x->up.in_done ||
               x->w->stopping;
    x->answer.trailers = xchg_passes_trailers(x);
    http_edit_response(&o, &x->answer, x->u->s.in + x->answer_at, x->req.minor, out, x->close,
                       x->route != NULL ? x->route->answer_edits : NULL);
    xchg_balance_cookie(x, &o);
    if (o.over) {
        xchg_attempt_lost(x, XC_BAD_ANSWER, "header section is too long");
        return true;
    }
    xchg_down_init(x, &x->u->s, tunnel ? HTTP_UNTIL_CLOSE : x->answer.framing, out,
                   x->answer.length);
    if (x->answer.trailers)
        flow_pass_trailers(&x->down);
    xchg_log_answer(x, x->answer.status);
    x->down.closes = x->close && !tunnel;
    flow_head(&x->down, o.p, o.n);
    x->relayed = true;
    xchg_enter(x, XS_RELAY);
    if (tunnel) {
        begin_tunnel(x);
        xchg_enter(x, XS_TUNNEL);
    }
    return true;
}

/* RFC 9110 15.2: interim answers go on; to HTTP/1.0 they mean nothing. */
static bool relay_interim(struct xchg *x)
{
    struct http_out o = {.p = x->w->scratch, .cap = WORKER_SCRATCH};

    if (++x->interims > INTERIM_MAX) {
        xchg_attempt_lost(x, XC_BAD_ANSWER, "too many interim answers");
        return true;
    }
    if (x->req.minor > 0) {
        http_edit_response(&o, &x->answer, x->u->s.in + x->answer_at, x->req.minor, HTTP_NO_BODY,
                           false, NULL);
        xchg_down_init(x, &x->u->s, HTTP_NO_BODY, HTTP_NO_BODY, 0);
        flow_head(&x->down, o.p, o.n);
        x->interim = true;
    }
    x->answer_at = x->u->s.in_at;
    xchg_answer_init(x);
    return true;
}

static bool take_head(struct xchg *x)
{
    x->u->s.in_at = x->answer_at + x->answer.len;
    if (x->answer.status == 101) {
        /* RFC 9110 7.8: only if asked for, and after the whole request. */
        if (!x->req.upgrade || !x->up_over || x->req.framing != HTTP_NO_BODY) {
            xchg_attempt_lost(x, XC_BAD_ANSWER, "101 that nobody asked for");
            return true;
        }
    } else if (x->answer.status < 200) {
        return relay_interim(x);
    }
    if (x->ws == &x->w->site && x->answer.status >= 400 && xchg_home(x) != NULL &&
        table_page(xchg_home(x), x->answer.status) != NULL) { /* of a file's service */
        xchg_own_answer(x, x->answer.status, XC_OWN, "", "");
        return true;
    }
    pool_good(x->pool);
    xchg_balance_answer(x);
    pool_answered(x->pool, x->ws->ts, eject_is_bad(x->answer.status));
    if (x->answer.status >= 500)
        pool_fault(x->pool, "5xx", "");
    return relay_head(x);
}

/* Read and parse; true: the state moved. */
static bool read_head(struct xchg *x)
{
    struct sock *s = &x->u->s;

    for (;;) {
        enum http_result parsed = HTTP_MORE;
        enum sock_result r;

        if (s->in_end > x->answer_at)
            parsed = http_head_parse(&x->answer, s->in + x->answer_at, s->in_end - x->answer_at);
        if (parsed == HTTP_DONE)
            return take_head(x);
        if (parsed == HTTP_BAD) {
            xchg_attempt_lost(x, XC_BAD_ANSWER, http_fault_text(x->answer.fault));
            return true;
        }
        if (!sock_may_read(s))
            return false;
        if (!sock_want_buffer(s, WORKER_SMALL) || !sock_make_room(s, &x->answer_at)) {
            xchg_attempt_lost(x, XC_BAD_ANSWER, "header section is too long");
            return true;
        }
        r = sock_read(s);
        if (r == SOCK_AGAIN)
            return false;
        if (r != SOCK_OK) {
            xchg_attempt_lost(x, XC_RESET, "closed before an answer");
            return true;
        }
        x->answered = true;
        s->in_at = s->in_end; /* all of it belongs to the head until the head says otherwise */
    }
}

bool xchg_is_too_large(const struct xchg *x, uint64_t body)
{
    const struct table_service *home = xchg_home(x);

    return home != NULL && home->max_body != 0 && body > home->max_body;
}

void xchg_refuse_too_large(struct xchg *x)
{
    if (!x->relayed)
        xchg_own_answer(x, 413, XC_TOO_LARGE, "413 the request body is too large", "");
    else
        xchg_fail(x, XC_TOO_LARGE);
}

/* Pump the request on. true: the state moved. */
static bool pump_up(struct xchg *x)
{
    bool answerable = !x->relayed;
    enum flow_result r = flow_pump(&x->up);

    if (xchg_is_too_large(x, x->up.got)) { /* its length was not announced */
        xchg_refuse_too_large(x);
        return true;
    }

    switch (r) {
    case FLOW_DONE:
        x->up_over = true;
        xchg_balance_sent(x);
        return false;
    case FLOW_YIELD:
        front_run_again(x->c);
        return false;
    case FLOW_SRC_END:
        xchg_fail(x, XC_CLIENT_GONE);
        return true;
    case FLOW_SRC_BAD:
        if (answerable)
            xchg_own_answer(x, 400, XC_BAD_REQUEST, http_fault_text(x->up.chunk.fault), "");
        else
            xchg_fail(x, XC_BAD_REQUEST);
        return true;
    case FLOW_NO_MEMORY:
        xchg_fail(x, XC_LOCAL);
        return true;
    case FLOW_DST_ERR:
        /* An answer may have come before the connection broke: an early refusal of a large body. */
        x->up_over = true;
        if (answerable && !x->up.sent) {
            xchg_attempt_lost(x, x->u->reused ? XC_RESET : XC_REFUSED, "connection refused");
            return true;
        }
        return false;
    default:
        return false;
    }
}

/* true: nothing of the request may go out (yet). *ret_moved: the state moved. */
static bool unproven(struct xchg *x, bool *ret_moved)
{
    enum upstream_proof proof = upstream_prove(x->u);

    *ret_moved = proof == UPSTREAM_FOREIGN;
    if (proof == UPSTREAM_FOREIGN)
        xchg_attempt_lost(x, XC_REFUSED, "its port is another program's now");
    return proof != UPSTREAM_PROVEN;
}

static bool step_send(struct xchg *x)
{
    bool moved;

    if (x->state == XS_CONNECT && unproven(x, &moved))
        return moved;
    if (!x->up_over && pump_up(x))
        return true;
    if (x->state == XS_CONNECT) {
        if (!x->up.sent)
            return false;
        xchg_log_connect(x);
        xchg_enter(x, XS_SEND);
    }
    if (x->interim) {
        enum flow_result r = flow_pump(&x->down);

        if (r == FLOW_DST_ERR) {
            xchg_fail(x, XC_CLIENT_GONE);
            return true;
        }
        if (r != FLOW_DONE)
            return false;
        x->interim = false;
    }
    return x->up.sent && read_head(x);
}

/* ---- relaying ---- */

static void finish_relay(struct xchg *x)
{
    bool whole = x->up_over && x->up.in_done && !flow_has_output(&x->up);

    xchg_drop_upstream(x, whole && http_head_persistent(&x->answer) &&
                              x->answer.framing != HTTP_UNTIL_CLOSE);
    xchg_finish(x, XC_OK);
}

/* Pump the answer on. true: the state moved. */
static bool pump_down(struct xchg *x)
{
    switch (flow_pump(&x->down)) {
    case FLOW_DONE:
        if (x->state == XS_TUNNEL)
            return false;
        finish_relay(x);
        return true;
    case FLOW_YIELD:
        front_run_again(x->c);
        return false;
    case FLOW_SRC_END:
        pool_answered(x->pool, x->ws->ts, true);
        pool_fault(x->pool, "reset", "closed in the middle of an answer");
        xchg_fail(x, XC_RESET);
        return true;
    case FLOW_SRC_BAD:
        pool_fault(x->pool, "bad-answer", http_fault_text(x->down.chunk.fault));
        xchg_fail(x, XC_BAD_ANSWER);
        return true;
    case FLOW_DST_ERR:
        xchg_fail(x, XC_CLIENT_GONE);
        return true;
    case FLOW_NO_MEMORY:
        xchg_fail(x, XC_LOCAL);
        return true;
    default:
        return false;
    }
}

static bool step_relay(struct xchg *x)
{
    if (!x->up_over && pump_up(x))
        return true;
    return pump_down(x);
}

static bool side_done(const struct flow *f)
{
    return f->in_done && !flow_has_output(f);
}

static void pass_end(struct flow *f, bool *over)
{
    if (!*over && side_done(f)) {
        *over = true;
        shutdown(f->dst->fd, SHUT_WR);
    }
}

static bool step_tunnel(struct xchg *x)
{
    bool down_over = side_done(&x->down);

    if (!x->up_over) {
        enum flow_result r = flow_pump(&x->up);

        if (r == FLOW_YIELD)
            front_run_again(x->c);
        else if (r != FLOW_DONE && r != FLOW_BLOCKED) {
            xchg_fail(x, r == FLOW_SRC_END ? XC_CLIENT_GONE : XC_RESET);
            return true;
        }
        pass_end(&x->up, &x->up_over);
    }
    if (!down_over) {
        if (pump_down(x))
            return true;
        pass_end(&x->down, &down_over);
    }
    if (!x->up_over || !down_over)
        return false;
    xchg_drop_upstream(x, false);
    xchg_finish(x, XC_OK);
    return true;
}

static bool step_answer(struct xchg *x)
{
    switch (flow_pump(&x->down)) {
    case FLOW_DONE:
        xchg_finish(x, x->cause);
        return true;
    case FLOW_DST_ERR:
    case FLOW_NO_MEMORY:
        xchg_fail(x, XC_CLIENT_GONE);
        return true;
    default:
        return false;
    }
}

/* ---- the outside ---- */

static bool step(struct xchg *x)
{
    switch (x->state) {
    case XS_PICK:
        xchg_attempt_start(x);
        return true;
    case XS_WAIT:
        return xchg_wait_step(x);
    case XS_CONNECT:
    case XS_SEND:
        return step_send(x);
    case XS_RELAY:
        return step_relay(x);
    case XS_TUNNEL:
        return step_tunnel(x);
    case XS_ANSWER:
        return step_answer(x);
    default:
        return false;
    }
}

enum xchg_end xchg_run(struct xchg *x)
{
    while (!xchg_is_over(x->state) && step(x))
        continue;
    if (xchg_is_over(x->state))
        return x->end;
    xchg_clock_set(x);
    return XCHG_GOES_ON;
}

enum http_result xchg_parse(struct xchg *x, const char *buf, size_t n)
{
    enum http_result r = http_head_parse(&x->req, buf, n);

    x->pieces = x->pieces || r == HTTP_MORE;
    return r;
}

void xchg_begin(struct xchg *x, bool bad)
{
    struct sock *s = &x->c->s;

    xchg_log_head(x);
    if (bad) {
        unsigned status = http_fault_status(x->req.fault);

        s->in_at = s->in_end;
        xchg_own_answer(x, status, XC_BAD_REQUEST, http_fault_text(x->req.fault),
                        x->req.fault == HTTP_FAULT_CONNECT
                            ? "Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n"
                            : "");
        return;
    }
    if (x->c->crowded) {
        s->in_at = x->c->msg_at + x->req.len;
        flow_init(&x->up, s, NULL, x->req.framing, x->req.framing, x->req.length, true);
        xchg_own_limited(x, XC_CLIENT_LIMIT, "429 too many connections", 1000000);
        return;
    }
    xchg_id_set(x);
    s->in_at = x->c->msg_at + x->req.len;
    flow_init(&x->up, s, NULL, x->req.framing, x->req.framing, x->req.length, true);
    xchg_route(x);
}

void xchg_head_late(struct xchg *x)
{
    xchg_own_answer(x, 408, XC_CLIENT_TIMEOUT, "408 the request did not come in time", "");
}

bool xchg_has_request(const struct xchg *x)
{
    return x->up.in_done && x->state != XS_TUNNEL;
}

void xchg_client_gone(struct xchg *x)
{
    if (!xchg_is_over(x->state))
        xchg_fail(x, XC_CLIENT_GONE);
}

void xchg_client_late(struct xchg *x)
{
    if (x->state == XS_WAIT)
        xchg_wait_late(x);
    else if (x->state == XS_SEND && !x->relayed && !xchg_client_fin(x) && !x->interim)
        xchg_own_answer(x, 408, XC_CLIENT_TIMEOUT, "408 the request body did not come in time", "");
    else
        xchg_fail(x, xchg_client_fin(x) ? XC_CLIENT_GONE : XC_CLIENT_TIMEOUT);
}

void xchg_upstream_event(struct xchg *x)
{
    front_run(x->c);
}

void xchg_upstream_expired(struct xchg *x)
{
    if (x->state == XS_CONNECT) {
        xchg_attempt_lost(x, XC_CONNECT_TIMEOUT, "no handshake");
    } else if (x->state == XS_SEND && !x->interim) {
        xchg_attempt_lost(x, XC_TIMEOUT, "no answer");
    } else {
        pool_answered(x->pool, x->ws->ts, true);
        pool_fault(x->pool, "timeout", "stuck in the middle of an answer");
        xchg_fail(x, XC_TIMEOUT);
    }
    front_run(x->c);
}
