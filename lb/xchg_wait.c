#include "lb/xchg_wait.h"

#include "lb/core/http_head.h"
#include "lb/core/limit.h"
#include "lb/xchg-internal.h"

static struct xchg *of_node(struct queue_node *n)
{
    return CONTAINER_OF(n, struct xchg, wait);
}

static bool is_limited(const struct table_service *ts)
{
    return ts->limits.per_backend > 0 || ts->limits.in_flight_max > 0;
}

static struct wait_in wait_input(const struct xchg *x)
{
    const struct table_service *ts = x->ws->ts;

    return (struct wait_in){
        .backends = ts->backends_n,
        .expected = ts->expected,
        .safe = http_method_safe(x->req.method),
        .waiting = atomic_load(&ts->service->queue.n),
        .queue_max = ts->limits.queue_max,
        .hold_max = ts->limits.hold_max,
        .queue_ms = ts->limits.queue_ms,
        .hold_ms = ts->limits.hold_ms,
    };
}

/* ---- an exchange waits ---- */

static void shed(struct xchg *x, enum xchg_cause cause, const char *text)
{
    cell_add(&x->service->cells[x->w->id].shed, 1);
    xchg_own_unavailable(x, cause, text);
}

void xchg_wait_begin(struct xchg *x)
{
    struct wait_in in = wait_input(x);
    struct queue *q = &x->service->queue;
    enum wait_verdict v = wait_decide(&in);

    if (v == WAIT_NO_BACKEND) {
        xchg_own_unavailable(x, XC_NO_BACKEND, "503 no ready backend");
        return;
    }
    if (v == WAIT_FULL ||
        !queue_join(q, x->w->id, &x->wait, v == WAIT_HOLD ? in.hold_max : in.queue_max)) {
        shed(x, XC_QUEUE_FULL, "503 too many requests wait for the service");
        return;
    }
    cell_add(&x->service->cells[x->w->id].queued, 1);
    x->held = v == WAIT_HOLD;
    x->wait_until_ms = worker_now(x->w) + (x->held ? in.hold_ms : in.queue_ms);
    xchg_enter(x, XS_WAIT);
    /* A place may have become free while nobody waited for it. */
    if (queue_first(q, x->w->id) == &x->wait)
        worker_look_at_waits(x->w);
}

void xchg_wait_leave(struct xchg *x)
{
    if (queue_has(&x->wait))
        queue_leave(&x->service->queue, x->w->id, &x->wait);
}

void xchg_wait_late(struct xchg *x)
{
    if (x->held)
        shed(x, XC_HOLD_TIMEOUT, "503 no backend became ready in time");
    else
        shed(x, XC_QUEUE_TIMEOUT, "503 no backend became free in time");
}

/* TCP does not tell whether a client that has closed its sending side still reads. Most do not, and
 * who waits takes a place from others. */
bool xchg_wait_step(struct xchg *x)
{
    if (!x->c->s.fin)
        return false;
    xchg_fail(x, XC_CLIENT_GONE);
    return true;
}

/* ---- there is room ---- */

void xchg_wait_kick(struct worker *w, struct service *s)
{
    unsigned next;

    if (atomic_load(&s->queue.n) == 0)
        return;
    next = queue_next_part(&s->queue);
    if (next == w->id)
        worker_look_at_waits(w);
    else if (next != QUEUE_NONE)
        worker_ring(w->shared->all[next]);
}

static void go_on(struct xchg *x, enum xchg_state to)
{
    xchg_wait_leave(x);
    if (to != XS_COUNT)
        xchg_enter(x, to);
    sock_clock(&x->c->s, 0);
    front_run_again(x->c);
}

/* false: no room for it. */
static bool let_go(struct xchg *x)
{
    xchg_refresh_table(x);
    if (x->ws == NULL || x->ws->ts->backends_n == 0 || !xchg_pick(x))
        return false;
    go_on(x, XS_PICK);
    return true;
}

void xchg_wait_run(struct worker *w, struct service *s)
{
    struct queue_node *n;

    while ((n = queue_first(&s->queue, w->id)) != NULL) {
        struct xchg *x = of_node(n);
        unsigned next;

        xchg_refresh_table(x);
        next = x->ws != NULL && is_limited(x->ws->ts) ? queue_next_part(&s->queue) : w->id;
        if (next != w->id) {
            xchg_wait_kick(w, s);
            return;
        }
        if (!let_go(x))
            return;
    }
    xchg_wait_kick(w, s); /* it may have been another's turn all along */
}

void xchg_wait_sweep(struct worker *w, struct service *s)
{
    LIST_EACH(node, &s->queue.parts[w->id].waiting)
    {
        struct xchg *x = of_node(LIST_ENTRY_OF(node, struct queue_node, node));
        const struct table_service *ts;

        xchg_refresh_table(x);
        ts = x->ws != NULL ? x->ws->ts : NULL;
        if (ts != NULL && (ts->backends_n > 0 || (ts->expected && http_method_safe(x->req.method))))
            continue;
        xchg_own_unavailable(x, XC_NO_BACKEND, "503 no ready backend");
        go_on(x, XS_COUNT);
    }
    xchg_wait_run(w, s);
}
