#include "lb/xchg.h"

#include <string.h>
#include <sys/socket.h>

#include "common/base/log.h"
#include "lb/core/http_edit.h"
#include "lb/core/pick.h"
#include "lb/core/retry.h"
#include "lb/flow.h"
#include "lb/front.h"
#include "lb/link.h"
#include "lb/upstream.h"

enum {
    INTERIM_MAX = 32,
    TUNNEL_IDLE_MS = 3600 * 1000,
    ANSWER_TEXT_MAX = 256,
};

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
    bool client_fin;
    bool close;   /* the client's connection ends with this exchange */
    bool relayed; /* a final head has begun to go to the client */
    unsigned attempts, interims;
    uint32_t answer_at; /* where the answer's head begins in u->s.in */
    struct flow up, down;
    struct http_head answer;
    struct http_head req;
};

size_t xchg_size(void)
{
    return sizeof(struct xchg);
}

/* The one door of the state machine. */
static void enter(struct xchg *x, enum xchg_state to)
{
    if (!xchg_may(x->state, to)) {
        bug("exchange %s -> %s", xchg_state_name(x->state), xchg_state_name(to));
        x->end = XCHG_RESET;
        to = XS_FAILED;
    }
    x->state = to;
}

static const char *request_buf(const struct xchg *x)
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
    http_request_init(&x->req);
    return x;
}

/* ---- the upstream of an attempt ---- */

static void drop_upstream(struct xchg *x, bool reusable)
{
    if (x->u != NULL) {
        if (reusable)
            upstream_give(x->u, true);
        else
            upstream_close(x->u);
        x->u = NULL;
    }
    if (x->pool != NULL) {
        pool_end(x->pool);
        pool_unref(x->pool);
        x->pool = NULL;
    }
}

void xchg_free(struct xchg *x)
{
    struct worker *w = x->w;

    flow_fini(&x->up);
    flow_fini(&x->down);
    drop_upstream(x, false);
    if (x->service != NULL) {
        cell_add(&x->service->cells[w->id].in_flight, (uint64_t)-1);
        w->active--;
        link_post_dirty(w->shared->link);
    }
    if (x->repeating)
        w->repeating--;
    wtable_unref(w, x->wt);
    slab_give(&w->xchgs, x);
}

/* ---- ends ---- */

static void fail(struct xchg *x, enum xchg_cause cause)
{
    flow_fini(&x->up);
    flow_fini(&x->down);
    drop_upstream(x, false);
    x->cause = cause;
    x->end = cause == XC_CLIENT_GONE ? XCHG_CLOSE : XCHG_RESET;
    enter(x, XS_FAILED);
}

static void finish(struct xchg *x, enum xchg_cause cause)
{
    x->cause = cause;
    if (!x->close)
        x->end = XCHG_KEEP;
    else if (!x->up.in_done || x->c->s.rd || x->c->s.in_at != x->c->s.in_end)
        x->end = XCHG_LINGER;
    else
        x->end = XCHG_CLOSE;
    enter(x, XS_DONE);
}

static const char *reason_of(unsigned status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 414:
        return "URI Too Long";
    case 431:
        return "Request Header Fields Too Large";
    case 501:
        return "Not Implemented";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Error";
    }
}

/* Does the connection go on after an answer of ours? Only where the next request is sure to begin.
 */
static bool may_keep(const struct xchg *x, enum xchg_cause cause)
{
    return (cause == XC_OWN || cause == XC_NO_BACKEND) && x->req.framing == HTTP_NO_BODY &&
           http_head_persistent(&x->req) && !x->w->stopping && !x->client_fin;
}

/* An answer of our own: text, and `extra` header lines (each with its CRLF). */
static void answer(struct xchg *x, unsigned status, enum xchg_cause cause, const char *text,
                   const char *extra)
{
    struct http_out o = {.p = x->w->scratch, .cap = WORKER_SCRATCH};
    size_t n = strlen(text);

    if (x->interim) { /* a part of another head is on its way */
        fail(x, cause);
        return;
    }
    drop_upstream(x, false);
    if (x->service != NULL && status >= 502 && status <= 504)
        cell_add(&x->service->cells[x->w->id].errors, 1);
    x->cause = cause;
    x->close = !may_keep(x, cause);
    http_out_adds(&o, "HTTP/1.1 ");
    http_out_addu(&o, status);
    http_out_adds(&o, " ");
    http_out_adds(&o, reason_of(status));
    http_out_adds(&o, "\r\nDate: ");
    http_out_adds(&o, worker_date(x->w)); /* RFC 9110 6.6.1 */
    http_out_adds(&o, "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ");
    http_out_addu(&o, n > 0 ? n + 1 : 0);
    http_out_adds(&o, "\r\n");
    http_out_adds(&o, extra);
    if (x->close)
        http_out_adds(&o, "Connection: close\r\n");
    else if (x->req.minor == 0)
        http_out_adds(&o, "Connection: keep-alive\r\n");
    http_out_adds(&o, "\r\n");
    if (n > 0 && x->req.method != HTTP_HEAD) {
        http_out_add(&o, text, n);
        http_out_adds(&o, "\n");
    }
    flow_fini(&x->down);
    flow_init(&x->down, &x->c->s, &x->c->s, HTTP_NO_BODY, HTTP_NO_BODY, 0, false);
    flow_head(&x->down, o.p, o.n);
    enter(x, XS_ANSWER);
    /* The composed head is borrowed from the scratch area: give it to the socket at once. */
    if (flow_pump(&x->down) == FLOW_DST_ERR)
        fail(x, XC_CLIENT_GONE);
}

static void answer_unavailable(struct xchg *x, enum xchg_cause cause, const char *text)
{
    struct http_out o;
    char extra[48];

    o = (struct http_out){.p = extra, .cap = sizeof(extra) - 1};
    http_out_adds(&o, "Retry-After: ");
    http_out_addu(&o, x->ws != NULL ? x->ws->ts->retry_after_s : 1);
    http_out_adds(&o, "\r\n");
    extra[o.n] = '\0';
    answer(x, 503, cause, text, extra);
}

/* ---- an attempt begins ---- */

struct pick_arg {
    const struct xchg *x;
    uint64_t now_ms;
    bool repeatable;
};

static bool usable(void *arg, unsigned i)
{
    const struct pick_arg *a = arg;
    struct pool *p = a->x->ws->pools[i];

    return p != a->x->avoid && pool_usable(p, a->now_ms, a->repeatable);
}

/* The table may have changed since the last attempt: a backend that has left it must get nothing
 * new. */
static void refresh_table(struct xchg *x)
{
    struct wtable *now = x->w->table;

    if (x->wt == NULL || x->wt == now)
        return;
    x->ws = NULL;
    now->refs++;
    wtable_unref(x->w, x->wt);
    x->wt = now;
    for (unsigned i = 0; i < now->table->services_n; i++) {
        if (now->services[i].ts->service == x->service)
            x->ws = &now->services[i];
    }
}

static void pick(struct xchg *x)
{
    struct pick_arg arg = {x, worker_now(x->w), http_method_idempotent(x->req.method)};
    const struct table_service *ts;
    unsigned i;

    refresh_table(x);
    if (x->ws == NULL || x->ws->ts->backends_n == 0) {
        answer_unavailable(x, XC_NO_BACKEND, "503 no ready backend");
        return;
    }
    ts = x->ws->ts;
    i = pick_round_robin.choose(&ts->service->cursor, ts->backends_n, usable, &arg);
    x->pool = pool_ref(x->ws->pools[i]);
    x->avoid = NULL;
    pool_begin(x->pool);
}

static void upstream_lost(struct xchg *x, enum xchg_cause cause);

/* The head in the scratch area, in front of what has come of the body. */
static bool compose_request(struct xchg *x)
{
    const struct client *c = x->c;
    struct http_peer peer = {{c->peer, c->peer_n}, c->trusted};
    struct http_out o = {.p = x->w->scratch, .cap = WORKER_SCRATCH};

    http_edit_request(&o, &x->req, request_buf(x), &peer, sv_of(x->pool->backend->host));
    if (o.over)
        return false;
    flow_rewind(&x->up, &x->u->s);
    flow_head(&x->up, o.p, o.n);
    return true;
}

static void start_attempt(struct xchg *x)
{
    bool refused, idempotent = http_method_idempotent(x->req.method);
    bool same = x->pool != NULL; /* kept for a fresh connection to it */

    if (same && x->pool->departed) {
        drop_upstream(x, false);
        same = false;
    }
    if (!same)
        pick(x);
    if (x->state != XS_PICK)
        return;
    x->attempts++;
    x->answered = x->up_over = x->up.sent = false;
    /* A request that must not be repeated looks before it trusts an idle connection. */
    x->u = upstream_take(x->pool, x, x->fresh, !idempotent, &refused);
    if (x->u == NULL && refused) {
        upstream_lost(x, XC_REFUSED);
        return;
    }
    if (x->u == NULL) {
        answer_unavailable(x, XC_LOCAL, "503 out of descriptors");
        return;
    }
    http_response_init(&x->answer, x->req.method == HTTP_HEAD);
    x->answer_at = 0;
    enter(x, x->u->reused ? XS_SEND : XS_CONNECT);
    if (!compose_request(x))
        answer(x, 431, XC_BAD_REQUEST, "431 header section is too long", "");
}

/* ---- an attempt fails ---- */

static void note_fault(struct xchg *x, enum xchg_cause cause, bool aged)
{
    switch (cause) {
    case XC_REFUSED:
        pool_hold(x->pool);
        pool_fault(x->pool, "refused");
        break;
    case XC_CONNECT_TIMEOUT:
        pool_hold(x->pool);
        pool_fault(x->pool, "timeout");
        break;
    case XC_TIMEOUT:
        pool_fault(x->pool, "timeout");
        break;
    case XC_BAD_ANSWER:
        pool_fault(x->pool, "bad-answer");
        break;
    default:
        if (aged) /* an idle connection closed in the moment of its reuse: nobody's fault */
            break;
        if (!x->answered)
            pool_hold(x->pool); /* a port forwarder without an application behind it does this */
        pool_fault(x->pool, "reset");
        break;
    }
}

static void answer_lost(struct xchg *x, enum xchg_cause cause)
{
    switch (cause) {
    case XC_CONNECT_TIMEOUT:
    case XC_TIMEOUT:
        answer(x, 504, cause, "504 the backend did not answer in time", "");
        break;
    case XC_BAD_ANSWER:
        answer(x, 502, cause, "502 the backend's answer is not valid HTTP", "");
        break;
    case XC_REFUSED:
        answer(x, 502, cause, "502 the backend does not accept connections", "");
        break;
    default:
        answer(x, 502, cause, "502 the backend closed the connection", "");
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
        .repeated = x->repeating,
        .attempts = x->attempts,
        .backends = x->ws != NULL ? x->ws->ts->backends_n : 0,
        .active = x->w->active,
        .repeating = x->w->repeating,
    };

    return retry_decide(&in);
}

/* The attempt has failed before an answer went to the client. */
static void upstream_lost(struct xchg *x, enum xchg_cause cause)
{
    bool aged = x->u != NULL && x->u->reused && !x->answered;
    enum retry_verdict v = may_repeat(x, cause);

    note_fault(x, cause, aged);
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
    flow_fini(&x->up);
    x->fresh = x->up.sent || v == RETRY_FRESH;
    if (v == RETRY_FRESH) {
        if (x->u != NULL)
            upstream_close(x->u);
        x->u = NULL; /* the pool stays: the same backend, still in flight */
    } else {
        x->avoid = x->pool; /* lives at least as long as this worker's table names it */
        drop_upstream(x, false);
    }
    enter(x, XS_PICK);
}

/* ---- sending, and the answer's head ---- */

static void begin_tunnel(struct xchg *x)
{
    struct client *c = x->c;

    flow_fini(&x->up);
    flow_init(&x->up, &c->s, &x->u->s, HTTP_UNTIL_CLOSE, HTTP_UNTIL_CLOSE, 0, false);
    x->up_over = false;
    x->close = true;
}

static bool relay_head(struct xchg *x)
{
    bool tunnel = x->answer.status == 101;
    enum http_framing out = tunnel ? HTTP_UNTIL_CLOSE : http_edit_framing(&x->answer, x->req.minor);
    struct http_out o = {.p = x->w->scratch, .cap = WORKER_SCRATCH};

    /* While the request is still coming, where the next one begins is anybody's guess. */
    x->close = !http_head_persistent(&x->req) || out == HTTP_UNTIL_CLOSE || !x->up.in_done ||
               x->w->stopping || x->client_fin;
    http_edit_response(&o, &x->answer, x->u->s.in + x->answer_at, x->req.minor, out, x->close);
    if (o.over) {
        upstream_lost(x, XC_BAD_ANSWER);
        return true;
    }
    flow_init(&x->down, &x->u->s, &x->c->s, tunnel ? HTTP_UNTIL_CLOSE : x->answer.framing, out,
              x->answer.length, false);
    flow_head(&x->down, o.p, o.n);
    x->relayed = true;
    enter(x, XS_RELAY);
    if (tunnel) {
        begin_tunnel(x);
        enter(x, XS_TUNNEL);
    }
    return true;
}

/* RFC 9110 15.2: interim answers go on; to HTTP/1.0 they mean nothing. */
static bool relay_interim(struct xchg *x)
{
    struct http_out o = {.p = x->w->scratch, .cap = WORKER_SCRATCH};

    if (++x->interims > INTERIM_MAX) {
        upstream_lost(x, XC_BAD_ANSWER);
        return true;
    }
    if (x->req.minor > 0) {
        http_edit_response(&o, &x->answer, x->u->s.in + x->answer_at, x->req.minor, HTTP_NO_BODY,
                           false);
        flow_init(&x->down, &x->u->s, &x->c->s, HTTP_NO_BODY, HTTP_NO_BODY, 0, false);
        flow_head(&x->down, o.p, o.n);
        x->interim = true;
    }
    x->answer_at = x->u->s.in_at;
    http_response_init(&x->answer, x->req.method == HTTP_HEAD);
    return true;
}

static bool take_head(struct xchg *x)
{
    x->u->s.in_at = x->answer_at + x->answer.len;
    if (x->answer.status == 101) {
        /* RFC 9110 7.8: only if asked for, and after the whole request. */
        if (!x->req.upgrade || !x->up_over || x->req.framing != HTTP_NO_BODY) {
            upstream_lost(x, XC_BAD_ANSWER);
            return true;
        }
    } else if (x->answer.status < 200) {
        return relay_interim(x);
    }
    pool_good(x->pool);
    if (x->answer.status >= 500)
        pool_fault(x->pool, "5xx");
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
            log_warn("bad answer", "service=%s slot=%u reason=\"%s\"",
                     x->pool->backend->service->name, x->pool->backend->slot,
                     http_fault_text(x->answer.fault));
            upstream_lost(x, XC_BAD_ANSWER);
            return true;
        }
        if (!s->rd && !s->eof)
            return false;
        if (!sock_want_buffer(s, false) || !sock_make_room(s, &x->answer_at)) {
            upstream_lost(x, XC_BAD_ANSWER);
            return true;
        }
        r = sock_read(s);
        if (r == SOCK_AGAIN)
            return false;
        if (r != SOCK_OK) {
            upstream_lost(x, XC_RESET);
            return true;
        }
        x->answered = true;
        s->in_at = s->in_end; /* all of it belongs to the head until the head says otherwise */
    }
}

/* Pump the request on. true: the state moved. */
static bool pump_up(struct xchg *x)
{
    bool answerable = !x->relayed;

    switch (flow_pump(&x->up)) {
    case FLOW_DONE:
        x->up_over = true;
        return false;
    case FLOW_YIELD:
        front_run_again(x->c);
        return false;
    case FLOW_SRC_END:
        fail(x, XC_CLIENT_GONE);
        return true;
    case FLOW_SRC_BAD:
        if (answerable)
            answer(x, 400, XC_BAD_REQUEST, http_fault_text(x->up.chunk.fault), "");
        else
            fail(x, XC_BAD_REQUEST);
        return true;
    case FLOW_NO_MEMORY:
        fail(x, XC_LOCAL);
        return true;
    case FLOW_DST_ERR:
        /* An answer may have come before the connection broke: an early refusal of a large body. */
        x->up_over = true;
        if (answerable && !x->up.sent) {
            upstream_lost(x, x->u->reused ? XC_RESET : XC_REFUSED);
            return true;
        }
        return false;
    default:
        return false;
    }
}

static bool step_send(struct xchg *x)
{
    if (!x->up_over && pump_up(x))
        return true;
    if (x->state == XS_CONNECT) {
        if (!x->up.sent)
            return false;
        enter(x, XS_SEND);
    }
    if (x->interim) {
        enum flow_result r = flow_pump(&x->down);

        if (r == FLOW_DST_ERR) {
            fail(x, XC_CLIENT_GONE);
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

    drop_upstream(x, whole && http_head_persistent(&x->answer) &&
                         x->answer.framing != HTTP_UNTIL_CLOSE);
    finish(x, XC_OK);
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
        pool_fault(x->pool, "reset");
        fail(x, XC_RESET);
        return true;
    case FLOW_SRC_BAD:
        log_warn("bad answer", "service=%s slot=%u reason=\"%s\"", x->pool->backend->service->name,
                 x->pool->backend->slot, http_fault_text(x->down.chunk.fault));
        pool_fault(x->pool, "bad-answer");
        fail(x, XC_BAD_ANSWER);
        return true;
    case FLOW_DST_ERR:
        fail(x, XC_CLIENT_GONE);
        return true;
    case FLOW_NO_MEMORY:
        fail(x, XC_LOCAL);
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
            fail(x, r == FLOW_SRC_END ? XC_CLIENT_GONE : XC_RESET);
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
    drop_upstream(x, false);
    finish(x, XC_OK);
    return true;
}

static bool step_answer(struct xchg *x)
{
    switch (flow_pump(&x->down)) {
    case FLOW_DONE:
        finish(x, x->cause);
        return true;
    case FLOW_DST_ERR:
    case FLOW_NO_MEMORY:
        fail(x, XC_CLIENT_GONE);
        return true;
    default:
        return false;
    }
}

/* ---- clocks ---- */

/* Whom are we waiting for? Each side has its own clock, which begins anew when bytes move. */
static void set_clocks(struct xchg *x)
{
    bool client = x->down.waits_dst || (!x->up_over && x->up.waits_src);
    bool up_stuck = !x->up_over && x->up.waits_dst;
    bool upstream = x->u != NULL && (up_stuck || (x->up_over && !x->down.waits_dst));
    uint64_t now = worker_now(x->w);
    struct sock *c = &x->c->s;
    bool moved = x->up.moved || x->down.moved;

    x->up.moved = x->down.moved = false;
    if (x->state == XS_TUNNEL) {
        if (moved || c->deadline_ms == 0)
            sock_clock(c, now + TUNNEL_IDLE_MS);
        if (x->u->s.deadline_ms != 0)
            sock_clock(&x->u->s, 0);
        return;
    }
    if (x->client_fin && (moved || c->deadline_ms == 0))
        sock_clock(c, now + FRONT_FIN_MS);
    else if (client && (moved || c->deadline_ms == 0))
        sock_clock(c, now + FRONT_PROGRESS_MS);
    else if (!client && !x->client_fin)
        sock_clock(c, 0);
    if (x->u == NULL)
        return;
    if (x->state == XS_CONNECT) {
        if (x->u->s.deadline_ms == 0)
            sock_clock(&x->u->s, now + x->ws->ts->connect_ms);
    } else if (!upstream) {
        sock_clock(&x->u->s, 0);
    } else if (moved || x->u->s.deadline_ms == 0) {
        sock_clock(&x->u->s, now + x->ws->ts->response_ms);
    }
}

/* ---- the outside ---- */

static bool step(struct xchg *x)
{
    switch (x->state) {
    case XS_PICK:
        start_attempt(x);
        return true;
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
    set_clocks(x);
    return XCHG_GOES_ON;
}

enum http_result xchg_parse(struct xchg *x, const char *buf, size_t n)
{
    return http_head_parse(&x->req, buf, n);
}

static bool is_ignored(const struct table_service *ts, struct sv path)
{
    for (size_t i = 0; i < ts->ignore_n; i++) {
        if (ts->ignore[i].n == path.n && memcmp(ts->ignore[i].p, path.p, path.n) == 0)
            return true;
    }
    return false;
}

/* Requests count for scaling when they are accepted, whatever becomes of them. */
static void count(struct xchg *x, struct sv path)
{
    struct cell *cell = &x->service->cells[x->w->id];
    uint64_t none = 0;

    cell_add(&cell->requests, 1);
    cell_add(&cell->in_flight, 1);
    x->w->active++;
    if (x->req.method != HTTP_OPTIONS && !is_ignored(x->ws->ts, path)) {
        /* The time before the count: see take_first() in link.c. */
        if (atomic_load_explicit(&cell->first_ms, memory_order_relaxed) == 0)
            atomic_compare_exchange_strong_explicit(&cell->first_ms, &none, worker_now(x->w),
                                                    memory_order_release, memory_order_relaxed);
        atomic_store_explicit(&cell->counted,
                              atomic_load_explicit(&cell->counted, memory_order_relaxed) + 1,
                              memory_order_release);
    }
    link_post_dirty(x->w->shared->link);
}

static void route_request(struct xchg *x)
{
    struct wtable *wt = x->w->table;
    struct sv path = http_sv(request_buf(x), x->req.path);
    const struct route *r = NULL;

    if (path.n == 0)
        path = sv_of("/"); /* RFC 9110 4.2.3 */
    if (wt != NULL)
        r = route_find(wt->table->routes, wt->table->routes_n, path);
    if (r != NULL) {
        wt->refs++;
        x->wt = wt;
        x->ws = &wt->services[r->service];
        x->service = x->ws->ts->service;
        count(x, path);
        enter(x, XS_PICK);
    } else if (sv_eq(path, "*")) { /* RFC 9110 9.3.7: about the server as a whole */
        answer(x, 200, XC_OWN, "", "");
    } else if (sv_eq(path, "/")) {
        if (x->req.method == HTTP_GET || x->req.method == HTTP_HEAD) {
            x->ws = &x->w->site;
            enter(x, XS_PICK);
        } else {
            answer(x, 405, XC_OWN, "405 method not allowed", "Allow: GET, HEAD\r\n");
        }
    } else if (wt == NULL) {
        answer_unavailable(x, XC_NO_BACKEND, "503 starting");
    } else {
        answer(x, 404, XC_OWN, "404 no such route", "");
    }
}

void xchg_begin(struct xchg *x, bool bad)
{
    struct sock *s = &x->c->s;

    if (bad) {
        unsigned status = http_fault_status(x->req.fault);

        s->in_at = s->in_end;
        answer(x, status, XC_BAD_REQUEST, http_fault_text(x->req.fault),
               x->req.fault == HTTP_FAULT_CONNECT
                   ? "Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n"
                   : "");
        return;
    }
    s->in_at = x->c->msg_at + x->req.len;
    flow_init(&x->up, s, NULL, x->req.framing, x->req.framing, x->req.length, true);
    route_request(x);
}

void xchg_head_late(struct xchg *x)
{
    answer(x, 408, XC_CLIENT_TIMEOUT, "408 the request did not come in time", "");
}

bool xchg_has_request(const struct xchg *x)
{
    return x->up.in_done && x->state != XS_TUNNEL && !x->client_fin;
}

void xchg_client_fin(struct xchg *x)
{
    x->client_fin = true;
    x->c->s.deadline_ms = 0;
}

void xchg_client_gone(struct xchg *x)
{
    if (!xchg_is_over(x->state))
        fail(x, XC_CLIENT_GONE);
}

void xchg_client_late(struct xchg *x)
{
    if (x->state == XS_SEND && !x->relayed && !x->client_fin && !x->interim)
        answer(x, 408, XC_CLIENT_TIMEOUT, "408 the request body did not come in time", "");
    else
        fail(x, x->client_fin ? XC_CLIENT_GONE : XC_CLIENT_TIMEOUT);
}

void xchg_upstream_event(struct xchg *x)
{
    front_run(x->c);
}

void xchg_upstream_expired(struct xchg *x)
{
    if (x->state == XS_CONNECT) {
        upstream_lost(x, XC_CONNECT_TIMEOUT);
    } else if (x->state == XS_SEND && !x->interim) {
        upstream_lost(x, XC_TIMEOUT);
    } else {
        pool_fault(x->pool, "timeout");
        fail(x, XC_TIMEOUT);
    }
    front_run(x->c);
}
