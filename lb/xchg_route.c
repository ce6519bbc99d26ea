#include "lb/link.h"
#include "lb/xchg-internal.h"

/* Whose request is it? The route, what it counts for, and the limits of its client. */

static bool is_ignored(const struct table_service *ts, struct sv path)
{
    for (size_t i = 0; i < ts->ignore_n; i++) {
        if (ts->ignore[i].n == path.n && memcmp(ts->ignore[i].p, path.p, path.n) == 0)
            return true;
    }
    return false;
}

/* Requests count for scaling when they are accepted, whatever becomes of them; but not what no
 * instance will see. */
static void count(struct xchg *x, struct sv path, bool scales)
{
    struct cell *cell = &x->service->cells[x->w->id];
    uint64_t none = 0;

    cell_add(&cell->requests, 1);
    cell_add(&cell->in_flight, 1);
    x->w->active++;
    if (scales && x->req.method != HTTP_OPTIONS && !is_ignored(x->ws->ts, path)) {
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

bool xchg_passes_trailers(const struct xchg *x)
{
    const struct table_service *home = xchg_home(x);

    return home != NULL && home->pass_trailers;
}

const struct table_service *xchg_home(const struct xchg *x)
{
    return x->route != NULL ? x->home->services[x->route->service].ts : NULL;
}

/* Until when this client has to wait for its next request; 0: it need not. */
static uint64_t rate_wait_us(const struct xchg *x)
{
    const struct table_limits *l = &x->ws->ts->limits;
    struct cidr_addr a = x->c->addr;
    uint64_t wait_us = 0;

    if (!l->has_rate)
        return 0;
    if (x->c->trusted && !cidr_addr_parse(xchg_client_address(x), &a))
        a = x->c->addr;
    (void)rate_table_take(x->service->rates, &l->rate, rate_client_key(&a, x->w->shared->seed),
                          worker_now_us(x->w), &wait_us);
    return wait_us;
}

static const struct route *find_route(const struct xchg *x, const struct table *t, struct sv path)
{
    struct sv host = {"", 0};

    if (t->by_host)
        host = route_host(
            http_sv(xchg_request_buf(x), x->req.has_host ? x->req.host : x->req.authority));
    return route_find(t->routes, t->routes_n, host, path);
}

static void follow_route(struct xchg *x, struct wtable *wt, const struct route *r, struct sv path)
{
    const struct table_service *ts;
    uint64_t wait_us;

    wt->refs += 2;
    x->wt = x->home = wt;
    x->route = r;
    x->ws = &wt->services[r->service];
    ts = x->ws->ts;
    x->service = ts->service;
    wait_us = rate_wait_us(x);
    count(x, path,
          wait_us == 0 && !ts->maintenance && r->redirect.to.n == 0 && r->respond.status == 0);
    if (wait_us > 0) {
        xchg_own_limited(x, XC_RATE_LIMIT, "429 too many requests", wait_us);
        return;
    }
    if (xchg_own_by_route(x, path))
        return;
    if (xchg_is_too_large(x, x->req.length)) {
        xchg_refuse_too_large(x);
        return;
    }
    if (ts->dir != NULL && x->req.method != HTTP_GET && x->req.method != HTTP_HEAD) {
        xchg_own_answer(x, 405, XC_OWN, "405 method not allowed", "Allow: GET, HEAD\r\n");
        return;
    }
    if (ts->pass_trailers)
        flow_pass_trailers(&x->up);
    x->ws = xchg_answerer(x, x->ws);
    xchg_enter(x, XS_PICK);
}

void xchg_route(struct xchg *x)
{
    struct wtable *wt = x->w->table;
    struct sv path = http_sv(xchg_request_buf(x), x->req.path);
    const struct route *r = NULL;

    if (path.n == 0)
        path = sv_of("/"); /* RFC 9110 4.2.3 */
    if (wt != NULL)
        r = find_route(x, wt->table, path);
    if (r != NULL) {
        follow_route(x, wt, r, path);
    } else if (sv_eq(path, "*")) { /* RFC 9110 9.3.7: about the server as a whole */
        xchg_own_answer(x, 200, XC_OWN, "", "");
    } else if (sv_eq(path, "/")) {
        if (x->req.method == HTTP_GET || x->req.method == HTTP_HEAD) {
            x->ws = &x->w->site;
            xchg_enter(x, XS_PICK);
        } else {
            xchg_own_answer(x, 405, XC_OWN, "405 method not allowed", "Allow: GET, HEAD\r\n");
        }
    } else if (wt == NULL) {
        xchg_own_unavailable(x, XC_NO_BACKEND, "503 starting");
    } else {
        xchg_own_answer(x, 404, XC_OWN, "404 no such route", "");
    }
}
