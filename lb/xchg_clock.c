#include "lb/xchg-internal.h"

bool xchg_client_fin(const struct xchg *x)
{
    return x->c->s.fin && x->up.in_done && x->state != XS_TUNNEL;
}

static uint64_t client_bytes(const struct xchg *x)
{
    return x->log.in_n + x->up.got + x->log.out_n + x->down.out_n;
}

static uint64_t body_ms(const struct xchg *x)
{
    uint64_t own = x->ws != NULL ? x->ws->ts->body_ms : 0;

    return own != 0 ? own : x->w->shared->clocks.body_ms;
}

/* A client that drips does not move its clock: only as many bytes do as the least rate makes in the
 * clock's time. */
static bool client_progressed(const struct xchg *x)
{
    const struct clocks *k = &x->w->shared->clocks;

    return (client_bytes(x) - x->clocked_n) * 1000 >= k->min_rate * body_ms(x);
}

static void client_clock(struct xchg *x, uint64_t now)
{
    x->clocked_n = client_bytes(x);
    sock_clock(&x->c->s, now + body_ms(x));
}

/* Nobody waits for the client, but it may have reset its connection right behind its request (see
 * sock_read()): a look after a while costs less than one at each request. */
static bool look_first(struct xchg *x, uint64_t now, uint64_t before)
{
    struct sock *c = &x->c->s;

    if (!x->looks && c->unsure && now + FRONT_LOOK_MS < before) {
        x->looks = true;
        sock_clock(c, now + FRONT_LOOK_MS);
    }
    return x->looks;
}

/* Whom are we waiting for? Each side has its own clock, which begins anew when bytes move. */
void xchg_clock_set(struct xchg *x)
{
    bool client = x->down.waits_dst || (!x->up_over && x->up.waits_src);
    bool up_stuck = !x->up_over && x->up.waits_dst;
    bool upstream = x->u != NULL && (up_stuck || (x->up_over && !x->down.waits_dst));
    uint64_t now = worker_now(x->w);
    struct sock *c = &x->c->s;
    bool moved = x->up.moved || x->down.moved;

    x->up.moved = x->down.moved = false;
    if (x->looks && (client || x->state == XS_TUNNEL || xchg_client_fin(x))) {
        x->looks = false;
        sock_clock(c, 0);
    }
    if (x->state == XS_WAIT) {
        if (look_first(x, now, x->wait_until_ms))
            return;
        if (c->deadline_ms != x->wait_until_ms)
            sock_clock(c, x->wait_until_ms);
        return;
    }
    if (x->state == XS_TUNNEL) {
        if (moved || c->deadline_ms == 0)
            sock_clock(c, now + x->ws->ts->tunnel_ms);
        if (x->u->s.deadline_ms != 0)
            sock_clock(&x->u->s, 0);
        return;
    }
    /* A client that has sent its request and closed that side may be waiting (a script's nc) or
     * gone (an app that gave up): TCP does not tell. It gets its answer if that begins soon. */
    if (xchg_client_fin(x) && (moved || c->deadline_ms == 0))
        sock_clock(c, now + FRONT_FIN_MS);
    else if (client && (c->deadline_ms == 0 || (moved && client_progressed(x))))
        client_clock(x, now);
    else if (!client && !xchg_client_fin(x) && !look_first(x, now, UINT64_MAX))
        sock_clock(c, 0);
    if (x->u == NULL)
        return;
    if (x->state == XS_CONNECT) {
        if (x->u->s.deadline_ms == 0)
            sock_clock(&x->u->s, now + x->ws->ts->connect_ms);
    } else if (!upstream) {
        sock_clock(&x->u->s, 0);
    } else if (moved || x->u->s.deadline_ms == 0) {
        sock_clock(&x->u->s, now + (x->relayed ? x->ws->ts->stall_ms : x->ws->ts->response_ms));
    }
}

bool xchg_wants_look(struct xchg *x)
{
    bool looks = x->looks;

    if (looks)
        x->looks = x->c->s.unsure = false;
    return looks;
}
