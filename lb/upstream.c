#include "lb/upstream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/listener.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "lb/core/eject.h"
#include "lb/core/pick.h"
#include "lb/front.h"
#include "lb/link.h"
#include "lb/xchg.h"

enum { HINT_EVERY_MS = 100, SUSPECT_MS = 5000 };
#define UPSTREAM_MAGIC MAGIC('u', 'p', 's', 't')

size_t upstream_size(void)
{
    return sizeof(struct upstream);
}

struct pool *pool_new(struct worker *w, struct backend *b)
{
    struct pool *p = mem_zalloc(sizeof(*p));

    p->w = w;
    p->backend = backend_ref(b);
    p->cell = &b->cells[w->id];
    list_init(&p->idle);
    return p;
}

struct pool *pool_ref(struct pool *p)
{
    p->refs++;
    return p;
}

void pool_unref(struct pool *p)
{
    if (p == NULL || --p->refs > 0)
        return;
    p->cell->pool = NULL;
    backend_unref(p->backend);
    mem_free(p);
}

void pool_configure(struct pool *p, const struct table_service *ts)
{
    p->idle_ms = ts->keep_idle_ms;
    p->time_ms = ts->keep_time_ms;
    p->requests_max = ts->keep_requests;
    if (p->proxy != ts->send_proxy)
        (void)pool_drop_idle(p); /* they began otherwise */
    p->proxy = ts->send_proxy;
}

void pool_set_departed(struct pool *p)
{
    p->departed = true;
}

void pool_set_present(struct pool *p)
{
    p->departed = false;
}

void pool_drop_idle_if_departed(struct pool *p)
{
    if (p->departed)
        (void)pool_drop_idle(p);
}

unsigned pool_drop_idle(struct pool *p)
{
    unsigned dropped = p->idle_n;

    LIST_EACH(n, &p->idle)
    {
        upstream_close(LIST_ENTRY_OF(n, struct upstream, node));
    }
    return dropped;
}

void pool_begin(struct pool *p)
{
    cell_add(&p->cell->requests, 1);
    cell_add(&p->cell->in_flight, 1);
}

void pool_end(struct pool *p)
{
    cell_add(&p->cell->in_flight, (uint64_t)-1);
    if (p->departed && atomic_load_explicit(&p->cell->in_flight, memory_order_relaxed) == 0)
        link_post_drained(p->w->shared->link, p->backend);
}

void pool_fault(struct pool *p, const char *reason, const char *detail)
{
    uint64_t now = worker_now(p->w);

    if (reason[0] != '5') /* an answer of 5xx is a sign, not a failure of the connection */
        cell_add(&p->cell->failures, 1);
    if (p->departed || now - p->hinted_ms < HINT_EVERY_MS || p->backend->sa.ss_family == AF_UNIX)
        return;
    p->hinted_ms = now;
    link_post_hint(p->w->shared->link, p->backend, reason, detail);
}

static unsigned left_out(const struct table_service *ts, uint64_t now_ms)
{
    unsigned n = 0;

    for (unsigned i = 0; i < ts->backends_n; i++) {
        const struct backend *b = ts->backends[i];

        n += atomic_load(&b->hold_until_ms) > now_ms || atomic_load(&b->out_until_ms) > now_ms;
    }
    return n;
}

/* First it is out, then it is looked whether too many are: of two threads at least one sees the
 * other, so that it never remains so. false: too many. */
static bool leave_out(_Atomic uint64_t *until_ms, uint64_t at_ms, const struct table_service *ts,
                      uint64_t now_ms)
{
    uint64_t before = atomic_exchange(until_ms, at_ms);

    if (left_out(ts, now_ms) <= eject_max(ts->backends_n))
        return true;
    atomic_store(until_ms, before);
    return false;
}

void pool_hold(struct pool *p, const struct table_service *ts)
{
    struct backend *b = p->backend;
    uint64_t now = worker_now(p->w);
    unsigned fails;

    /* Requests under way at the same moment fail together: that is one failure, not many. */
    if (atomic_load_explicit(&b->hold_until_ms, memory_order_relaxed) > now)
        return;
    fails = atomic_fetch_add_explicit(&b->fails, 1, memory_order_relaxed) + 1;
    (void)leave_out(&b->hold_until_ms, now + pick_hold_ms(fails), ts, now);
    atomic_store_explicit(&b->suspect_until_ms, now + SUSPECT_MS, memory_order_relaxed);
}

static void eject(struct pool *p, const struct table_service *ts, uint64_t now)
{
    struct backend *b = p->backend;
    uint64_t last = atomic_load_explicit(&b->out_until_ms, memory_order_relaxed);
    unsigned times;

    if (last > now)
        return;
    times = now - last > EJECT_FORGET_MS ? 1 : atomic_load(&b->outs) + 1;
    if (!leave_out(&b->out_until_ms, now + eject_ms(times), ts, now))
        return;
    atomic_store(&b->outs, times);
    cell_add(&p->cell->ejections, 1);
}

void pool_answered(struct pool *p, const struct table_service *ts, bool bad)
{
    _Atomic uint64_t *answers = &p->backend->answers;
    uint64_t known = atomic_load_explicit(answers, memory_order_relaxed), now, next;
    bool out = false;

    if ((known == 0 && !bad) || ts->eject_after == 0)
        return; /* the common case writes nothing that other threads read */
    now = worker_now(p->w);
    do {
        next = eject_note(known, bad, ts->eject_after, now, &out);
    } while (!atomic_compare_exchange_weak(answers, &known, next));
    if (out)
        eject(p, ts, now);
}

void pool_good(struct pool *p)
{
    struct backend *b = p->backend;

    if (atomic_load_explicit(&b->fails, memory_order_relaxed) == 0)
        return; /* the common case writes nothing that other threads read */
    atomic_store_explicit(&b->fails, 0, memory_order_relaxed);
    atomic_store_explicit(&b->hold_until_ms, 0, memory_order_relaxed);
    atomic_store_explicit(&b->suspect_until_ms, 0, memory_order_relaxed);
}

bool pool_usable(struct pool *p, uint64_t now_ms, bool repeatable)
{
    struct backend *b = p->backend;

    if (atomic_load_explicit(&b->out_until_ms, memory_order_relaxed) > now_ms)
        return false;
    if (atomic_load_explicit(&b->fails, memory_order_relaxed) == 0)
        return true;
    if (atomic_load_explicit(&b->hold_until_ms, memory_order_relaxed) > now_ms)
        return false;
    return repeatable || atomic_load_explicit(&b->suspect_until_ms, memory_order_relaxed) <= now_ms;
}

/* ---- connections ---- */

static void free_upstream(struct worker *w, struct grave *g)
{
    slab_give(&w->upstreams, CONTAINER_OF(g, struct upstream, grave));
}

void upstream_close(struct upstream *u)
{
    struct worker *w = u->s.w;

    if (u->s.fd < 0)
        return;
    sock_close(&u->s);
    if (!list_empty(&u->node)) {
        list_unlink(&u->node);
        u->pool->idle_n--;
    }
    u->x = NULL;
    if (u->owner != NULL && u->owner->kept == u)
        u->owner->kept = NULL;
    u->owner = NULL;
    pool_unref(u->pool);
    u->pool = NULL;
    worker_bury(w, &u->grave, free_upstream);
}

static void on_upstream_event(evutil_socket_t fd UNUSED, short what,
                              void *arg) /* event_callback_fn; worker */
{
    struct upstream *u = CAST(arg, upstream, UPSTREAM_MAGIC);

    sock_note(&u->s, what);
    if (u->x != NULL)
        xchg_upstream_event(u->x);
    else if (what & (EV_READ | EV_CLOSED))
        upstream_close(u); /* a byte or the end on an idle connection: either way it is of no use */
}

static void on_upstream_expired(struct sock *s) /* clock; worker */
{
    struct upstream *u = CONTAINER_OF(s, struct upstream, s);

    if (u->x != NULL)
        xchg_upstream_expired(u->x);
    else
        upstream_close(u);
}

static int connect_to(const struct backend *b, bool *ret_refused)
{
    int one = 1, fd = socket(b->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    *ret_refused = false;
    if (fd < 0)
        return -1;
    if (b->sa.ss_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, (const struct sockaddr *)(const void *)&b->sa, b->sa_len) == 0 ||
        errno == EINPROGRESS)
        return fd;
    *ret_refused = errno != EADDRNOTAVAIL && errno != ENOBUFS && errno != ENOMEM;
    close(fd);
    return -1;
}

/* Did the backend close it, or say something nobody asked for? */
static bool looks_alive(const struct upstream *u)
{
    char c;

    return recv(u->s.fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
           (errno == EAGAIN || errno == EWOULDBLOCK);
}

static void leave_idle(struct upstream *u)
{
    list_unlink(&u->node);
    u->pool->idle_n--;
    u->reused = true;
}

/* What this client has kept for itself. */
static struct upstream *take_kept(struct pool *p, struct client *c, bool look)
{
    struct upstream *u = c->kept;

    if (u == NULL)
        return NULL;
    if (u->pool != p || (look && !looks_alive(u))) {
        upstream_close(u);
        return NULL;
    }
    c->kept = NULL;
    leave_idle(u);
    return u;
}

static struct upstream *take_idle(struct pool *p, bool look)
{
    while (!list_empty(&p->idle)) {
        struct upstream *u = LIST_ENTRY_OF(p->idle.next, struct upstream, node);

        if (look && !looks_alive(u)) {
            upstream_close(u);
            continue;
        }
        leave_idle(u);
        return u;
    }
    return NULL;
}

static struct upstream *open_new(struct pool *p, bool *ret_refused)
{
    struct worker *w = p->w;
    int fd = connect_to(p->backend, ret_refused);
    struct upstream *u;

    if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
        link_post_full(w->shared->link, "descriptors");
        if (worker_purge_idle(w) > 0)
            fd = connect_to(p->backend, ret_refused);
    }
    if (fd < 0)
        return NULL;
    u = slab_take(&w->upstreams);
    if (u == NULL) {
        close(fd);
        return NULL;
    }
    u->magic = UPSTREAM_MAGIC;
    list_init(&u->node);
    list_init(&u->grave.node);
    u->born_ms = worker_now(w);
    u->requests = 0;
    u->reused = u->connected = false;
    u->proven =
        w->diag < 0 || atomic_load_explicit(&p->backend->listener, memory_order_relaxed) == 0;
    u->x = NULL;
    u->owner = NULL;
    if (!sock_open(&u->s, w, fd, on_upstream_event, u, on_upstream_expired)) {
        slab_give(&w->upstreams, u);
        return NULL;
    }
    u->pool = pool_ref(p);
    return u;
}

struct upstream *upstream_take(struct pool *p, struct xchg *x, struct client *c, bool fresh,
                               bool look, bool *ret_refused)
{
    struct upstream *u = NULL;

    *ret_refused = false;
    if (!fresh)
        u = p->proxy == 0 ? take_idle(p, look) : take_kept(p, c, look);
    if (u == NULL) {
        u = open_new(p, ret_refused);
        if (u != NULL && p->proxy != 0)
            u->owner = c;
    }
    if (u != NULL) {
        sock_clock(&u->s, 0); /* the idle time ends here, or it would cut the request */
        u->x = x;
        u->requests++;
    }
    return u;
}

enum upstream_proof upstream_prove(struct upstream *u)
{
    const struct backend *b = u->pool->backend;
    struct tcp_info info = {.tcpi_state = TCP_CLOSE};
    socklen_t n = sizeof(info);
    uint64_t id = 0;
    struct err e;

    if (u->proven)
        return UPSTREAM_PROVEN;
    if (getsockopt(u->s.fd, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 &&
        info.tcpi_state == TCP_SYN_SENT)
        return UPSTREAM_WAITS;
    u->proven = true; /* also when the connection is broken: whoever uses it will notice */
    if (info.tcpi_state == TCP_CLOSE ||
        !listener_ask(u->s.w->diag, (const struct sockaddr *)(const void *)&b->sa, &id, &e))
        return UPSTREAM_PROVEN;
    return id == atomic_load_explicit(&b->listener, memory_order_relaxed) ? UPSTREAM_PROVEN
                                                                          : UPSTREAM_FOREIGN;
}

/* Has it come to the end of what one connection may do? */
static bool is_old(const struct upstream *u, uint64_t now_ms)
{
    const struct pool *p = u->pool;

    return u->requests >= p->requests_max || (p->time_ms != 0 && now_ms - u->born_ms >= p->time_ms);
}

void upstream_give(struct upstream *u, bool reusable)
{
    struct pool *p = u->pool;
    uint64_t now = worker_now(p->w);

    u->x = NULL;
    if (!reusable || p->departed || p->w->stopping || p->idle_n >= UPSTREAM_IDLE_MAX ||
        p->idle_ms == 0 || is_old(u, now) || u->s.fin || u->s.eof || u->s.dead || u->s.w_dead ||
        u->s.in_at != u->s.in_end || (u->s.rd && !looks_alive(u)) ||
        (u->owner != NULL) != (p->proxy != 0) || (u->owner != NULL && u->owner->kept != NULL)) {
        upstream_close(u);
        return;
    }
    if (u->owner != NULL)
        u->owner->kept = u;
    u->s.rd = u->s.unsure = false;
    sock_drop_buffer(&u->s);
    list_push_front(&p->idle, &u->node);
    p->idle_n++;
    sock_clock(&u->s, now + p->idle_ms);
}
