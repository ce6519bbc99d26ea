#include "lb/front.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/log.h"
#include "lb/core/proxy_in.h"
#include "lb/core/rate.h"
#include "lb/link.h"
#include "lb/upstream.h"
#include "lb/xchg.h"

enum { ACCEPTS_MAX = 64, REQUESTS_PER_TURN = 16, DISCARDS_PER_TURN = 16, ACTIVE_FIRST = 32 };
#define CLIENT_MAGIC MAGIC('c', 'l', 'n', 't')

size_t front_client_size(void)
{
    return sizeof(struct client);
}

static void free_client(struct worker *w, struct grave *g)
{
    slab_give(&w->clients, CONTAINER_OF(g, struct client, grave));
}

/* The client is `a`: is it to be believed, and what is it called? */
static void describe_peer(struct client *c, const struct cidr_addr *a, uint16_t port)
{
    c->peer_n = (uint8_t)cidr_addr_format(a, c->peer, sizeof(c->peer));
    c->trusted = cidr_list_has(&c->s.w->shared->trusted, a);
    c->addr = *a;
    c->port = port;
}

static void leave_crowd(struct client *c)
{
    if (c->s.w->shared->crowd != NULL)
        crowd_leave(c->s.w->shared->crowd, c->crowd_way);
    c->crowd_way = CROWD_UNCOUNTED;
}

/* false: the client has so many connections that this one gets no answer. A trusted proxy speaks
 * for many. */
static bool join_crowd(struct client *c)
{
    struct shared *sh = c->s.w->shared;
    unsigned n;

    if (sh->crowd == NULL || c->trusted)
        return true;
    n = crowd_enter(sh->crowd, rate_client_key(&c->addr, sh->seed), &c->crowd_way);
    c->crowded = n > sh->per_client_max;
    if (n <= 2 * (uint64_t)sh->per_client_max)
        return true;
    link_post_full(sh->link, "connections of one client");
    return false;
}

static void client_close(struct client *c)
{
    struct worker *w = c->s.w;

    if (c->s.fd < 0)
        return;
    if (c->x != NULL) {
        xchg_free(c->x);
        c->x = NULL;
    }
    leave_crowd(c);
    if (c->kept != NULL)
        upstream_close(c->kept);
    sock_close(&c->s);
    list_unlink(&c->node);
    list_unlink(&c->again.node);
    atomic_fetch_sub_explicit(&w->shared->clients, 1, memory_order_relaxed);
    cell_add(&w->clients_n, (uint64_t)-1);
    link_post_dirty(w->shared->link);
    worker_bury(w, &c->grave, free_client);
    worker_client_gone(w);
}

/* A client that takes a close for the end of an answer must not see one when it was cut. */
static void client_reset(struct client *c)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};

    setsockopt(c->s.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    client_close(c);
}

/* RFC 9112 9.6: a close with bytes unread would be a reset, which may overtake our last answer. */
static void client_linger(struct client *c)
{
    shutdown(c->s.fd, SHUT_WR);
    c->phase = FRONT_LINGER;
    c->s.in_at = c->s.in_end = 0;
    sock_clock(&c->s, worker_now(c->s.w) + FRONT_LINGER_MS);
}

/* ---- one step for each phase; true: go on ---- */

/* What a trusted proxy says first: for whom it speaks. */
static bool step_proxy(struct client *c)
{
    struct sock *s = &c->s;
    enum http_result r = HTTP_MORE;
    enum sock_result got;
    struct proxy_in in;
    size_t len = 0;

    if (s->in != NULL)
        r = proxy_in_parse(s->in + s->in_at, s->in_end - s->in_at, &in, &len);
    switch (r) {
    case HTTP_DONE:
        s->in_at += (uint32_t)len;
        if (in.has_client) {
            describe_peer(c, &in.client, in.port);
            if (!join_crowd(c)) {
                client_reset(c);
                return false;
            }
        }
        sock_clock(s, worker_now(s->w) + s->w->shared->clocks.keepalive_ms);
        c->phase = FRONT_IDLE;
        return true;
    case HTTP_BAD:
        client_close(c);
        return false;
    default:
        break;
    }
    got = sock_want_buffer(s, WORKER_SMALL) ? sock_read(s) : SOCK_ERR;
    if (got == SOCK_OK)
        return true;
    if (got != SOCK_AGAIN || s->w->stopping)
        client_close(c);
    return false;
}

static bool step_idle(struct client *c)
{
    struct sock *s = &c->s;

    if (s->in_at == s->in_end) {
        enum sock_result r = SOCK_AGAIN;

        s->in_at = s->in_end = 0;
        if (s->rd) {
            if (!sock_want_buffer(s, WORKER_SMALL)) {
                client_close(c);
                return false;
            }
            r = sock_read(s);
        }
        if (r == SOCK_AGAIN && !s->w->stopping) {
            sock_drop_buffer(s);
            if (s->deadline_ms == 0)
                sock_clock(s, worker_now(s->w) + s->w->shared->clocks.keepalive_ms);
            return false;
        }
        if (r != SOCK_OK) {
            client_close(c);
            return false;
        }
    }
    c->x = xchg_new(c);
    if (c->x == NULL) {
        client_close(c);
        return false;
    }
    c->msg_at = s->in_at;
    c->phase = FRONT_HEAD;
    sock_clock(s, 0);
    return true;
}

static bool step_head(struct client *c)
{
    struct sock *s = &c->s;
    enum http_result r = xchg_parse(c->x, s->in + c->msg_at, s->in_end - c->msg_at);

    if (r == HTTP_MORE) {
        enum sock_result got = SOCK_ERR;

        if (sock_make_room(s, &c->msg_at))
            got = sock_read(s);
        if (got == SOCK_OK)
            return true;
        if (got != SOCK_AGAIN)
            client_close(c);
        else if (s->deadline_ms == 0)
            sock_clock(s, worker_now(s->w) + s->w->shared->clocks.header_ms);
        return false;
    }
    sock_clock(s, 0);
    c->phase = FRONT_BUSY;
    xchg_begin(c->x, r == HTTP_BAD);
    return true;
}

static bool step_busy(struct client *c)
{
    enum xchg_end end = xchg_run(c->x);

    if (end == XCHG_GOES_ON)
        return false;
    xchg_free(c->x);
    c->x = NULL;
    sock_clock(&c->s, 0);
    switch (end) {
    case XCHG_KEEP:
        c->phase = FRONT_IDLE;
        return true;
    case XCHG_LINGER:
        client_linger(c);
        return true;
    case XCHG_RESET:
        client_reset(c);
        return false;
    default:
        client_close(c);
        return false;
    }
}

static bool step_linger(struct client *c)
{
    struct sock *s = &c->s;

    for (unsigned i = 0; i < DISCARDS_PER_TURN; i++) {
        enum sock_result r;

        if (!sock_want_buffer(s, WORKER_LARGE)) {
            client_close(c);
            return false;
        }
        s->in_at = s->in_end = 0;
        r = sock_read(s);
        if (r == SOCK_AGAIN) {
            sock_drop_buffer(s);
            return false;
        }
        if (r != SOCK_OK) {
            client_close(c);
            return false;
        }
    }
    front_run_again(c);
    return false;
}

void front_run(struct client *c)
{
    for (unsigned n = 0; c->s.fd >= 0; n++) {
        bool on = false;

        switch (c->phase) {
        case FRONT_PROXY:
            on = step_proxy(c);
            break;
        case FRONT_IDLE:
            if (n > REQUESTS_PER_TURN * 3) { /* three phases a request: a pipeline gives way too */
                front_run_again(c);
                return;
            }
            on = step_idle(c);
            break;
        case FRONT_HEAD:
            on = step_head(c);
            break;
        case FRONT_BUSY:
            on = step_busy(c);
            break;
        case FRONT_LINGER:
            on = step_linger(c);
            break;
        }
        if (!on)
            return;
    }
}

static void run_again(struct again *a) /* next turn; worker */
{
    front_run(CONTAINER_OF(a, struct client, again));
}

void front_run_again(struct client *c)
{
    worker_again(c->s.w, &c->again, run_again);
}

/* ---- events ---- */

/* A client says something, or goes, while its request is complete and under way. Its next requests
 * have to wait, but that it has gone must not. */
static void look_at_client(struct client *c)
{
    char b;
    ssize_t n = recv(c->s.fd, &b, 1, MSG_PEEK | MSG_DONTWAIT);

    if (n == 0)
        c->s.fin = true;
    else if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
        xchg_client_gone(c->x);
}

static void on_client_event(evutil_socket_t fd UNUSED, short what,
                            void *arg) /* event_callback_fn; worker */
{
    struct client *c = CAST(arg, client, CLIENT_MAGIC);
    struct worker *w = c->s.w;

    sock_note(&c->s, what);
    if (c->phase == FRONT_BUSY && (what & (EV_READ | EV_CLOSED)) && xchg_has_request(c->x))
        look_at_client(c);
    /* What is under way is finished before more is begun: few connections to backends are in use
     * then, and those are warm in the processor's caches. */
    if (c->phase == FRONT_LINGER)
        worker_last(w, &c->again, run_again);
    else if (c->phase == FRONT_IDLE && (w->active >= ACTIVE_FIRST || !list_empty(&w->ready)))
        worker_soon(w, &c->again, run_again);
    else
        front_run(c);
}

static void on_client_expired(struct sock *s) /* clock; worker */
{
    struct client *c = CONTAINER_OF(s, struct client, s);

    switch (c->phase) {
    case FRONT_HEAD:
        c->phase = FRONT_BUSY;
        xchg_head_late(c->x);
        break;
    case FRONT_BUSY:
        if (xchg_wants_look(c->x))
            look_at_client(c);
        else
            xchg_client_late(c->x);
        break;
    default:
        client_close(c);
        return;
    }
    front_run(c);
}

/* ---- accepting ---- */

struct cidr_addr front_address(const struct sockaddr_storage *sa, uint16_t *ret_port)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)sa;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)sa;
    struct cidr_addr a;
    uint8_t b[4];

    if (sa->ss_family == AF_INET6) {
        memcpy(a.b, v6->sin6_addr.s6_addr, sizeof(a.b));
        *ret_port = ntohs(v6->sin6_port);
        return a;
    }
    memcpy(b, &v4->sin_addr, sizeof(b));
    *ret_port = ntohs(v4->sin_port);
    return cidr_addr_v4(b);
}

static void client_new(struct listener *l, int fd, const struct sockaddr_storage *sa)
{
    struct worker *w = l->w;
    struct client *c = slab_take(&w->clients);
    uint16_t port;
    struct cidr_addr peer = front_address(sa, &port);

    if (c == NULL) {
        close(fd);
        return;
    }
    memset(c, 0, sizeof(*c));
    c->magic = CLIENT_MAGIC;
    list_init(&c->node);
    list_init(&c->again.node);
    list_init(&c->grave.node);
    if (!sock_open(&c->s, w, fd, on_client_event, c, on_client_expired)) {
        slab_give(&w->clients, c);
        return;
    }
    c->crowd_way = CROWD_UNCOUNTED;
    describe_peer(c, &peer, port);
    c->phase = l->proxy && c->trusted ? FRONT_PROXY : FRONT_IDLE;
    list_push_back(&w->client_list, &c->node);
    atomic_fetch_add_explicit(&w->shared->clients, 1, memory_order_relaxed);
    cell_add(&w->clients_n, 1);
    sock_clock(&c->s, worker_now(w) + (c->phase == FRONT_IDLE ? w->shared->clocks.keepalive_ms
                                                              : w->shared->clocks.header_ms));
    link_post_dirty(w->shared->link);
    if (!join_crowd(c))
        client_reset(c);
}

/* false: nothing more to accept now. */
static bool accept_one(struct listener *l)
{
    struct worker *w = l->w;
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    int fd;

    if (atomic_load_explicit(&w->shared->clients, memory_order_relaxed) >= w->shared->clients_max) {
        link_post_full(w->shared->link, "connections");
        worker_pause(w);
        return false;
    }
    fd = accept4(l->fd, (struct sockaddr *)(void *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        client_new(l, fd, &sa);
        return true;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        if (worker_purge_idle(w) > 0) /* a client is worth more than a connection kept for later */
            return true;
        /* The connection stays in the backlog and the listener readable: look away for a moment. */
        link_post_full(w->shared->link, "descriptors");
        worker_pause(w);
        return false;
    }
    return errno == EINTR || errno == ECONNABORTED;
}

void front_on_listener(evutil_socket_t fd UNUSED, short what UNUSED, void *arg) /* worker */
{
    struct listener *l = arg;

    for (unsigned i = 0; i < ACCEPTS_MAX && accept_one(l); i++)
        continue;
}

void front_accept_last(struct worker *w)
{
    for (unsigned i = 0; i < w->listeners_n && !w->paused; i++)
        front_on_listener(w->listeners[i].fd, EV_READ, &w->listeners[i]);
}

void front_stop_all(struct worker *w, bool now)
{
    LIST_EACH(n, &w->client_list)
    {
        struct client *c = LIST_ENTRY_OF(n, struct client, node);

        /* What has just been accepted may have its request in the kernel already. */
        if (c->phase <= FRONT_IDLE && !now)
            c->s.rd = true;
        if (now)
            client_close(c);
        else if (c->phase <= FRONT_IDLE)
            front_run_again(c);
    }
}
