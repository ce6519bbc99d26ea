#include "acts-service/peer.h"

#include <event2/buffer.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "acts-service/reserve.h"
#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
    PEER_MAGIC = MAGIC('p', 'e', 'e', 'r'),
    PEEK_PIECES = 8,
    SHORT_UNREAD_MAX = 8 << 10, /* bytes one may have waiting while memory is short */
    STEP = 4096,                /* libevent 2.1 reads no more in a turn */
    MORE_MAX = 64 << 10,        /* what we read beside it */
};

enum peer_state { PEER_IDLE, PEER_HEAD, PEER_BODY, PEER_BUSY, PEER_REFUSED };

struct peer {
    uint32_t magic;
    struct list node; /* in peers.all, most recently idle first */
    struct peers *peers;
    struct bufferevent *bev;
    struct loop_later attach;
    struct timer deadline;
    enum peer_state state;
    uint64_t begun_ms;
    bool cut;
    unsigned line_ends; /* line feeds in a row, while in the head */
    size_t head;        /* bytes of it so far */
    size_t unread, held;
    void (*gone)(void *);
    void *gone_arg;
};

struct peers {
    struct loop *loop;
    struct peers_conf conf;
    struct list all;
    unsigned n;
    bool full;
    unsigned cuts; /* peers that are cut and not yet gone */
    size_t held;   /* unread and held bytes of all peers */
    void (*room)(void *, bool);
    void *arg;
};

struct peers *peers_new(struct loop *l, const struct peers_conf *conf, void (*room)(void *, bool),
                        void *arg)
{
    struct peers *ps = mem_zalloc(sizeof(*ps));

    *ps = (struct peers){.loop = l, .conf = *conf, .room = room, .arg = arg};
    list_init(&ps->all);
    return ps;
}

void peers_free(struct peers *ps)
{
    mem_free(ps);
}

unsigned peers_count(const struct peers *ps)
{
    return ps->n;
}

static void retry_room(struct peers *ps);
static void on_peer_input(struct evbuffer *b, const struct evbuffer_cb_info *info, void *arg);
static void on_peer_output(struct evbuffer *b, const struct evbuffer_cb_info *info, void *arg);

static void peer_free(struct peer *p)
{
    struct peers *ps = p->peers;

    (void)evbuffer_remove_cb(bufferevent_get_input(p->bev), on_peer_input, p);
    (void)evbuffer_remove_cb(bufferevent_get_output(p->bev), on_peer_output, p);
    timer_fini(&p->deadline);
    list_unlink(&p->attach.node);
    list_unlink(&p->node);
    ps->held -= p->unread + p->held;
    ps->n--;
    ps->cuts -= p->cut;
    p->magic = 0;
    mem_free(p);
    if (ps->full && ps->n < ps->conf.max) {
        ps->full = false;
        ps->room(ps->arg, true);
    } else {
        retry_room(ps); /* those that were cut were not enough */
    }
}

void peer_cut(struct peer *p)
{
    evutil_socket_t fd = bufferevent_getfd(p->bev);

    p->peers->cuts += !p->cut;
    p->cut = true;
    if (fd >= 0)
        (void)shutdown(fd, SHUT_RDWR);
}

static void on_peer_deadline(void *arg) /* timer */
{
    struct peer *p = CAST(arg, peer, PEER_MAGIC);

    log_debug("connection cut", "reason=\"%s deadline\"",
              p->state == PEER_HEAD ? "head" : "exchange");
    peer_cut(p);
}

static void begin_head(struct peer *p)
{
    p->state = PEER_HEAD;
    p->begun_ms = clock_mono_ms();
    p->line_ends = 0;
    p->head = 0;
    timer_at(&p->deadline, p->begun_ms + p->peers->conf.head_ms);
}

/* RFC 6585 section 5. evhttp would answer 400, and close before what is still coming is read, which
 * can take the answer away from the client: so we answer, and read on until the client or the
 * deadline ends it. evhttp sees nothing of it; no answer of its own is on its way while a head
 * arrives. */
static void refuse_head(struct peer *p, struct evbuffer *b)
{
    static const char answer[] = "HTTP/1.1 431 Request Header Fields Too Large\r\n"
                                 "Access-Control-Allow-Origin: *\r\n"
                                 "Content-Length: 0\r\n"
                                 "Connection: close\r\n\r\n";
    evutil_socket_t fd = bufferevent_getfd(p->bev);

    p->state = PEER_REFUSED;
    (void)evbuffer_drain(b, evbuffer_get_length(b));
    if (send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        peer_cut(p);
    else
        (void)shutdown(fd, SHUT_WR);
}

/* Look for the empty line in what has just arrived (evhttp takes lines away as it parses them). */
static void scan_head(struct peer *p, struct evbuffer *b, size_t from, size_t n)
{
    struct evbuffer_iovec v[PEEK_PIECES];
    struct evbuffer_ptr at;
    int pieces;

    if (evbuffer_ptr_set(b, &at, from, EVBUFFER_PTR_SET) != 0)
        return;
    pieces = evbuffer_peek(b, (ev_ssize_t)n, &at, v, PEEK_PIECES);
    for (int i = 0; i < pieces && i < PEEK_PIECES && p->state == PEER_HEAD; i++) {
        const char *s = v[i].iov_base;

        for (size_t k = 0; k < v[i].iov_len && p->state == PEER_HEAD; k++) {
            if (++p->head > p->peers->conf.head_max) {
                refuse_head(p, b);
                return;
            }
            if (s[k] == '\n' && ++p->line_ends == 2)
                p->state = PEER_BODY;
            else if (s[k] != '\n' && s[k] != '\r')
                p->line_ends = 0;
        }
    }
    if (p->state == PEER_BODY)
        timer_at(&p->deadline, p->begun_ms + p->peers->conf.exchange_ms);
}

/* A full step leaves the rest of a body for further turns of the loop, each with its four system
 * calls: take it now. End of file and errors are libevent's to find. */
static void read_more(struct peer *p, struct evbuffer *b)
{
    evutil_socket_t fd = bufferevent_getfd(p->bev);
    size_t room = p->unread < p->peers->conf.max_unread ? p->peers->conf.max_unread - p->unread : 0;
    struct evbuffer_iovec v;
    int there = 0;
    ssize_t n;

    if (ioctl(fd, FIONREAD, &there) != 0 || there <= 0)
        return;
    if (room > MORE_MAX)
        room = MORE_MAX;
    if (room > (size_t)there)
        room = (size_t)there;
    if (room == 0 || evbuffer_reserve_space(b, (ev_ssize_t)room, &v, 1) != 1)
        return;
    n = recv(fd, v.iov_base, room, MSG_DONTWAIT);
    v.iov_len = n > 0 ? (size_t)n : 0;
    (void)evbuffer_commit_space(b, &v, 1); /* on_peer_input() again */
}

static void on_peer_input(struct evbuffer *b, const struct evbuffer_cb_info *info, void *arg)
/* evbuffer_cb_func */
{
    struct peer *p = CAST(arg, peer, PEER_MAGIC);
    struct peers *ps = p->peers;
    size_t now = evbuffer_get_length(b);

    ps->held = ps->held - p->unread + now;
    p->unread = now;
    if (info->n_added == 0)
        return;
    if (p->state == PEER_REFUSED) {
        (void)evbuffer_drain(b, now);
        return;
    }
    if (p->state == PEER_IDLE)
        begin_head(p);
    if (p->state == PEER_HEAD)
        scan_head(p, b, info->orig_size, info->n_added);
    if (ps->held > ps->conf.max_held || (p->unread > SHORT_UNREAD_MAX && reserve_is_low())) {
        log_warn("connection cut", "reason=\"requests hold too much memory\" held=%zu", ps->held);
        peer_cut(p);
    }
    if (p->state == PEER_BODY && info->n_added == STEP && !p->cut && !reserve_is_low())
        read_more(p, b);
}

/* Refusals of its own (a malformed head, a body above the limit) evhttp 2.1 writes without asking
 * anybody. It begins with the status line, as one piece, into an empty buffer; while no request is
 * being served a line that says 4xx is its own, and a header can follow it. (A 100 Continue comes
 * this way too, and ends with its own empty line.) */
static void on_peer_output(struct evbuffer *b, const struct evbuffer_cb_info *info, void *arg)
/* evbuffer_cb_func */
{
    struct peer *p = CAST(arg, peer, PEER_MAGIC);
    static const char refusal[] = " 4";
    enum { VERSION = 8, REFUSAL = sizeof(refusal) - 1 }; /* "HTTP/1.1" */
    struct evbuffer_iovec v;

    if (p->state == PEER_BUSY || info->orig_size > 0 || info->n_added < VERSION + REFUSAL)
        return;
    /* Not evbuffer_copyout(): a bufferevent keeps the front of its output frozen. */
    if (evbuffer_peek(b, VERSION + REFUSAL, NULL, &v, 1) != 1 || v.iov_len < VERSION + REFUSAL ||
        memcmp((const char *)v.iov_base + VERSION, refusal, REFUSAL) != 0)
        return;
    (void)evbuffer_add_printf(b, "Access-Control-Allow-Origin: *\r\n");
}

static void on_peer_close(struct evhttp_connection *evcon UNUSED,
                          void *arg) /* evhttp close callback */
{
    struct peer *p = CAST(arg, peer, PEER_MAGIC);

    if (p->gone != NULL)
        p->gone(p->gone_arg);
    peer_free(p);
}

/* One turn after accept. evhttp made its connection object around our bufferevent meanwhile and put
 * itself in as the argument of the callbacks; that is the only way to it before the first request
 * is complete (2.1 has no callback for a new connection). If evhttp gave up, bufferevent_free() has
 * cleared that argument. */
static void on_peer_attach(struct loop_later *self) /* end of turn */
{
    struct peer *p = CONTAINER_OF(self, struct peer, attach);
    struct evhttp_connection *evcon = NULL;
    struct bufferevent *bev = p->bev;
    evutil_socket_t fd = bufferevent_getfd(bev);
    void *owner = NULL;
    int one = 1;

    bufferevent_getcb(bev, NULL, NULL, NULL, &owner);
    evcon = owner;
    if (evcon == NULL || evhttp_connection_get_bufferevent(evcon) != bev) {
        peer_free(p);
    } else {
        evhttp_connection_set_closecb(evcon, on_peer_close, p);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        retry_room(p->peers);
    }
    bufferevent_decref(bev);
}

static bool cut_oldest(struct peers *ps, enum peer_state state)
{
    for (struct list *n = ps->all.prev; n != &ps->all; n = n->prev) {
        struct peer *p = LIST_ENTRY_OF(n, struct peer, node);

        if (p->state == state && !p->cut && list_empty(&p->attach.node)) {
            peer_cut(p);
            return true;
        }
    }
    return false;
}

/* Who has waited longest makes room: first the idle, then those that dribble a head. */
static bool cut_someone(struct peers *ps)
{
    return cut_oldest(ps, PEER_IDLE) || cut_oldest(ps, PEER_HEAD);
}

static void make_room(struct peers *ps)
{
    if (cut_someone(ps))
        return;
    ps->full = true;
    ps->room(ps->arg, false);
}

/* All were busy, or had only just been accepted, and more than may be: now there may be somebody to
 * cut. */
static void retry_room(struct peers *ps)
{
    if (ps->full && ps->cuts == 0)
        (void)cut_someone(ps);
}

struct bufferevent *peers_accept(struct event_base *base, void *arg)
{
    struct peers *ps = arg;
    struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    struct peer *p;

    if (bev == NULL)
        return NULL; /* evhttp then fails to make its own and closes the socket */
    p = mem_try_alloc(sizeof(*p));
    if (p == NULL || !timer_try_init(&p->deadline, ps->loop, on_peer_deadline, p)) {
        mem_free(p);
        return bev; /* without a guard: its first request is refused (on_request()) */
    }
    p->magic = PEER_MAGIC;
    p->peers = ps;
    p->bev = bev;
    list_init(&p->node);
    list_init(&p->attach.node);
    list_push_front(&ps->all, &p->node);
    bufferevent_setwatermark(bev, EV_READ, 0, ps->conf.max_unread);
    evbuffer_add_cb(bufferevent_get_input(bev), on_peer_input, p);
    evbuffer_add_cb(bufferevent_get_output(bev), on_peer_output, p);
    bufferevent_incref(bev); /* until on_peer_attach() */
    loop_later(ps->loop, &p->attach, on_peer_attach);
    if ((++ps->n >= ps->conf.max || reserve_is_low()) && !ps->full)
        make_room(ps);
    return bev;
}

void peers_close_idle(struct peers *ps)
{
    LIST_EACH(n, &ps->all)
    {
        struct peer *p = LIST_ENTRY_OF(n, struct peer, node);

        if (p->state == PEER_IDLE)
            peer_cut(p);
    }
}

struct peer *peers_find(struct peers *ps, struct evhttp_connection *evcon)
{
    struct bufferevent *bev = evcon != NULL ? evhttp_connection_get_bufferevent(evcon) : NULL;

    for (struct list *n = ps->all.next; bev != NULL && n != &ps->all; n = n->next) {
        struct peer *p = LIST_ENTRY_OF(n, struct peer, node);

        if (p->bev == bev)
            return p;
    }
    return NULL;
}

bool peer_busy(struct peer *p, size_t n, void (*gone)(void *), void *arg)
{
    struct peers *ps = p->peers;

    p->state = PEER_BUSY;
    p->gone = gone;
    p->gone_arg = arg;
    p->held = n;
    ps->held += n;
    return ps->held <= ps->conf.max_held;
}

void peer_idle(struct peer *p)
{
    struct evbuffer *b = bufferevent_get_input(p->bev);
    size_t n = evbuffer_get_length(b);

    p->peers->held -= p->held;
    p->held = 0;
    p->gone = NULL;
    p->state = PEER_IDLE;
    timer_clear(&p->deadline);
    list_unlink(&p->node);
    list_push_front(&p->peers->all, &p->node);
    if (n > 0) { /* the next request is here already */
        begin_head(p);
        scan_head(p, b, 0, n);
    }
    retry_room(p->peers);
}
