#include "lb/core/cookie.h"
#include "lb/core/ewma.h"
#include "lb/core/limit.h"
#include "lb/core/pick.h"
#include "lb/xchg-internal.h"

/* From an exchange to the policy of its service, and back. */

/* Which backends are left out, from the strictest to none: the last one is never taken out. */
enum strictness { READY, UNTRIED, ANY };

struct view_arg {
    const struct xchg *x;
    uint64_t now_ms;
    bool repeatable;
    enum strictness strictness;
    bool full; /* one that might have been chosen has no place free */
};

static const struct backend *backend_at(void *arg, unsigned i)
{
    const struct view_arg *a = arg;

    return a->x->ws->ts->backends[i];
}

static bool has_place(const struct table_service *ts, unsigned i)
{
    unsigned max = ts->limits.per_backend;

    return max == 0 || limit_has_room(&ts->backends[i]->busy, max);
}

static bool usable(void *arg, unsigned i)
{
    struct view_arg *a = arg;
    struct pool *p = a->x->ws->pools[i];

    if (a->strictness == READY && !a->x->ws->ts->fail_open &&
        !pool_usable(p, a->now_ms, a->repeatable))
        return false;
    if (a->strictness != ANY && p == a->x->avoid)
        return false;
    if (has_place(a->x->ws->ts, i))
        return true;
    a->full = true;
    return false;
}

static uint32_t in_flight(void *arg, unsigned i)
{
    return atomic_load_explicit(&backend_at(arg, i)->load, memory_order_relaxed);
}

static uint32_t latency_us(void *arg, unsigned i)
{
    const struct view_arg *a = arg;

    return ewma_read(atomic_load_explicit(&backend_at(arg, i)->ewma, memory_order_relaxed),
                     (uint32_t)a->now_ms);
}

static const struct pick_view view = {usable, in_flight, latency_us};

/* ---- the key of a hash ---- */

/* FNV-1a; the policy mixes it further. */
static uint64_t hash_of(struct sv s)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (unsigned char)s.p[i]) * UINT64_C(0x100000001b3);
    return h;
}

static struct sv cookie_of(struct sv field, const char *name)
{
    struct sv key, value;

    while (cookie_next(&field, &key, &value)) {
        if (sv_eq(key, name))
            return value;
    }
    return (struct sv){NULL, 0};
}

/* The first value of a header, or of a cookie in any Cookie field. */
static struct sv value_of(const struct xchg *x, const char *header, const char *cookie)
{
    const char *buf = xchg_request_buf(x);

    for (unsigned i = 0; i < x->req.fields_n; i++) {
        const struct http_field *f = &x->req.fields[i];
        struct sv v = http_sv(buf, f->value);

        if (!sv_ieq(http_sv(buf, f->name), header))
            continue;
        if (cookie != NULL)
            v = cookie_of(v, cookie);
        if (v.n > 0)
            return v;
    }
    return (struct sv){NULL, 0};
}

struct sv xchg_client_address(const struct xchg *x)
{
    const struct client *c = x->c;
    struct sv said = {NULL, 0};

    for (unsigned i = 0; c->trusted && i < x->req.fields_n; i++) {
        if (x->req.fields[i].id == HTTP_F_X_FORWARDED_FOR)
            said = http_sv(xchg_request_buf(x), x->req.fields[i].value);
    }
    for (size_t i = said.n; i > 0; i--) {
        if (said.p[i - 1] == ',' || said.p[i - 1] == ' ' || said.p[i - 1] == '\t') {
            said = (struct sv){said.p + i, said.n - i};
            break;
        }
    }
    return said.n > 0 ? said : (struct sv){c->peer, c->peer_n};
}

static struct sv key_of(const struct xchg *x, const struct balance *b)
{
    switch (b->key) {
    case BALANCE_BY_HEADER:
        return value_of(x, b->key_name, NULL);
    case BALANCE_BY_COOKIE:
        return value_of(x, "cookie", b->key_name);
    default:
        return xchg_client_address(x);
    }
}

static void set_key(const struct xchg *x, struct pick_in *in)
{
    struct sv key = key_of(x, &x->ws->ts->balance);

    in->has_key = key.n > 0;
    in->key = hash_of(key);
}

/* ---- the sticky cookie ---- */

/* Whose token it is; PICK_NONE: nobody's, be it of a backend that has gone or made up. */
static unsigned owner_of(const struct wservice *ws, struct sv token)
{
    for (unsigned i = 0; i < ws->ts->backends_n; i++) {
        if (sticky_is(ws->tokens[i], token))
            return i;
    }
    return PICK_NONE;
}

/* A client may have several cookies of that name, of other paths or planted by somebody: the first
 * that means anything counts. */
static unsigned stuck_to(const struct xchg *x)
{
    const char *buf = xchg_request_buf(x);

    for (unsigned i = 0; i < x->req.fields_n; i++) {
        struct sv rest = http_sv(buf, x->req.fields[i].value), name, value;

        if (!sv_ieq(http_sv(buf, x->req.fields[i].name), "cookie"))
            continue;
        while (cookie_next(&rest, &name, &value)) {
            unsigned owner =
                sv_eq(name, x->ws->ts->balance.sticky) ? owner_of(x->ws, value) : PICK_NONE;

            if (owner != PICK_NONE)
                return owner;
        }
    }
    return PICK_NONE;
}

/* RFC 6265 4.1. Before the empty line that ends the head. */
void xchg_balance_cookie(const struct xchg *x, struct http_out *o)
{
    const struct balance *b;

    if (x->ws->tokens == NULL || x->stuck || o->over)
        return;
    b = &x->ws->ts->balance;
    o->n -= 2;
    http_out_adds(o, "Set-Cookie: ");
    http_out_adds(o, b->sticky);
    http_out_adds(o, "=");
    http_out_add(o, x->ws->tokens[x->picked], STICKY_TOKEN);
    http_out_adds(o, "; Path=");
    http_out_adds(o, b->sticky_path);
    http_out_adds(o, "; HttpOnly; SameSite=");
    http_out_adds(o, b->sticky_same_site);
    http_out_adds(o, b->sticky_secure ? "; Secure\r\n\r\n" : "\r\n\r\n");
}

/* ---- the choice ---- */

static unsigned choose(struct xchg *x, struct view_arg *arg)
{
    const struct table_service *ts = x->ws->ts;
    struct pick_in in = {.plan = &ts->balance.plan,
                         .view = &view,
                         .arg = arg,
                         .cursor = &ts->service->cursor,
                         .now_ms = arg->now_ms,
                         .random = &x->w->random};
    unsigned i;

    if (in.plan->policy == PICK_HASH)
        set_key(x, &in);
    i = pick_backend(&in);
    while (i == PICK_NONE && !arg->full && arg->strictness < ANY) {
        arg->strictness++;
        i = pick_backend(&in);
    }
    return i;
}

struct pool *xchg_balance(struct xchg *x)
{
    struct view_arg arg = {
        .x = x, .now_ms = worker_now(x->w), .repeatable = http_method_idempotent(x->req.method)};
    unsigned stuck = x->ws->tokens != NULL ? stuck_to(x) : PICK_NONE;

    x->picked = stuck != PICK_NONE && usable(&arg, stuck) ? stuck : choose(x, &arg);
    x->stuck = x->picked == stuck;
    return x->picked != PICK_NONE ? x->ws->pools[x->picked] : NULL;
}

void xchg_balance_begin(struct xchg *x)
{
    if (!pick_policy_counts(x->ws->ts->balance.plan.policy))
        return;
    atomic_fetch_add_explicit(&x->pool->backend->load, 1, memory_order_relaxed);
    x->loaded = true;
}

void xchg_balance_end(struct xchg *x)
{
    if (x->loaded)
        atomic_fetch_sub_explicit(&x->pool->backend->load, 1, memory_order_relaxed);
    x->loaded = false;
}

/* ---- latency ---- */

enum { LOST_US = 1000000 }; /* a lost attempt is no faster than this, however soon it was lost */

static bool wants_latency(const struct xchg *x)
{
    return x->ws->ts->balance.plan.policy == PICK_PEAK_EWMA;
}

void xchg_balance_try(struct xchg *x)
{
    x->try_us = wants_latency(x) ? worker_now_us(x->w) : 0;
}

/* How fast the client sends is not the backend's matter. */
void xchg_balance_sent(struct xchg *x)
{
    if (x->try_us != 0 && x->req.framing != HTTP_NO_BODY)
        x->try_us = worker_now_us(x->w);
}

static uint64_t elapsed(const struct xchg *x, uint64_t now_us)
{
    uint64_t us = now_us - x->try_us;

    return us < UINT32_MAX ? us : UINT32_MAX;
}

/* Other threads may do the same: a lost sample is one of many. */
static void add_sample(struct xchg *x, uint64_t us, uint64_t now_us)
{
    _Atomic uint64_t *ewma = &x->pool->backend->ewma;
    uint64_t old = atomic_load_explicit(ewma, memory_order_relaxed);

    atomic_store_explicit(ewma, ewma_add(old, (uint32_t)us, (uint32_t)(now_us / 1000)),
                          memory_order_relaxed);
    x->try_us = 0;
}

void xchg_balance_answer(struct xchg *x)
{
    uint64_t now, us, known;

    if (x->try_us == 0 || !x->up_over)
        return;
    now = worker_now_us(x->w);
    us = elapsed(x, now);
    known = ewma_read(atomic_load_explicit(&x->pool->backend->ewma, memory_order_relaxed),
                      (uint32_t)(now / 1000));
    if (x->answer.status >= 500 && us < known)
        us = known; /* to fail fast is no merit */
    add_sample(x, us, now);
}

void xchg_balance_lost(struct xchg *x)
{
    uint64_t now, us;

    if (x->try_us == 0)
        return;
    now = worker_now_us(x->w);
    us = elapsed(x, now);
    add_sample(x, us > LOST_US ? us : LOST_US, now);
}
