#include "acts-service/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "acts-service/http_check.h"
#include "acts-service/peer.h"
#include "acts-service/reserve.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
    REQ_MAGIC = MAGIC('h', 'r', 'e', 'q'),
    HEAD_MAX = 32 * 1024,
    HEAD_MS = 10 * 1000,
    EXCHANGE_MS = 600 * 1000,
    IDLE_S = 60,
    CONNECTIONS_MAX = 1000,
    OTHER_FDS = 64, /* database, name server, log: what is not a client */
    ACCEPT_PAUSE_MS = 100,
    BACKLOG = 1024,
};

struct http {
    struct list node; /* in `servers` */
    struct loop *loop;
    struct evhttp *ev;
    struct evconnlistener *listener;
    struct evhttp_bound_socket *bound; /* owns the listener */
    struct timer accept_again;
    struct peers *peers;
    uint16_t port;
    http_fn *fn;
    void *arg;
    unsigned in_flight;
    bool draining;
    void (*drained)(void *arg);
    void *drained_arg;
};

struct http_req {
    uint32_t magic;
    struct http *http;
    struct evhttp_request *ev;
    struct peer *peer; /* NULL: the client is gone */
    enum method method;
    bool head;     /* HEAD: the answer has no body */
    bool answered; /* the answer is on its way; what is left is to learn that it was sent */
    bool cut;      /* a streamed answer that ends before its end */
    struct sv path, query;
    void (*piece_left)(void *arg); /* while streaming */
    void *piece_arg;
};

/* evhttp takes the argument of the listener's callbacks for itself, the error callback's too: it is
 * the listener that leads from there to us. Touched by the thread of the one loop only. */
static struct list servers = {&servers, &servers};

static void check_drained(struct http *h)
{
    if (h->draining && h->in_flight == 0 && h->drained != NULL) {
        void (*done)(void *) = MOVE(h->drained);

        done(h->drained_arg);
    }
}

static void req_free(struct http_req *r)
{
    struct http *h = r->http;

    r->magic = 0;
    mem_free(r);
    h->in_flight--;
    check_drained(h);
}

static void
on_req_gone(void *arg) /* the connection ended under a request; evhttp has let go of it */
{
    struct http_req *r = CAST(arg, http_req, REQ_MAGIC);

    r->peer = NULL;
    if (r->cut)
        evhttp_send_reply_end(r->ev); /* without a connection: frees it */
    if (r->answered)
        req_free(r);
    else if (r->piece_left != NULL)
        r->piece_left(r->piece_arg);
}

static void on_req_sent(struct evhttp_request *ev UNUSED,
                        void *arg) /* evhttp on-complete callback */
{
    struct http_req *r = CAST(arg, http_req, REQ_MAGIC);

    peer_idle(r->peer);
    if (r->http->draining)
        peer_cut(r->peer);
    req_free(r);
}

static enum method method_of(struct evhttp_request *ev)
{
    switch (evhttp_request_get_command(ev)) {
    case EVHTTP_REQ_GET:
        return METHOD_GET;
    case EVHTTP_REQ_HEAD:
        return METHOD_HEAD;
    case EVHTTP_REQ_POST:
        return METHOD_POST;
    case EVHTTP_REQ_DELETE:
        return METHOD_DELETE;
    case EVHTTP_REQ_OPTIONS:
        return METHOD_OPTIONS;
    case EVHTTP_REQ_PUT:
    case EVHTTP_REQ_TRACE:
    case EVHTTP_REQ_CONNECT:
    case EVHTTP_REQ_PATCH:
    default:
        return METHOD_OTHER;
    }
}

/* evhttp reads no body after HEAD, TRACE and methods that it does not know: what follows would be
 * taken for the next request, so such a connection ends with the answer. */
static bool body_is_unread(struct evhttp_request *ev)
{
    struct evkeyvalq *in = evhttp_request_get_input_headers(ev);

    switch (evhttp_request_get_command(ev)) {
    case EVHTTP_REQ_GET:
    case EVHTTP_REQ_POST:
    case EVHTTP_REQ_PUT:
    case EVHTTP_REQ_DELETE:
    case EVHTTP_REQ_OPTIONS:
    case EVHTTP_REQ_PATCH:
        return false;
    case EVHTTP_REQ_HEAD:
    case EVHTTP_REQ_TRACE:
    case EVHTTP_REQ_CONNECT:
    default:
        return evhttp_find_header(in, "Content-Length") != NULL ||
               evhttp_find_header(in, "Transfer-Encoding") != NULL;
    }
}

static int check_head(struct evhttp_request *ev)
{
    struct evkeyvalq *in = evhttp_request_get_input_headers(ev);
    struct http_check c = {0};

    for (struct evkeyval *h = in->tqh_first; h != NULL; h = h->next.tqe_next)
        http_check_field(&c, h->key, h->value);
    return http_check_status(&c, ev->major, ev->minor);
}

static void refuse(struct http_req *r, int status)
{
    http_header(r, "Connection", "close");
    http_reply(r, status, NULL);
}

static void refuse_bare(struct evhttp_request *ev)
{
    struct evkeyvalq *out = evhttp_request_get_output_headers(ev);

    evhttp_add_header(out, "Access-Control-Allow-Origin", "*");
    evhttp_add_header(out, "Connection", "close");
    evhttp_send_reply(ev, 500, NULL, NULL);
}

static void on_request(struct evhttp_request *ev, void *arg) /* evhttp general callback */
{
    struct http *h = arg;
    struct peer *peer = peers_find(h->peers, evhttp_request_get_connection(ev));
    struct http_req *r = reserve_is_low() ? NULL : mem_try_alloc(sizeof(*r));
    size_t n = evbuffer_get_length(evhttp_request_get_input_buffer(ev));
    int status;

    if (r == NULL || peer == NULL) { /* no memory for the request, or for its connection */
        mem_free(r);
        refuse_bare(ev);
        return;
    }
    *r = (struct http_req){.magic = REQ_MAGIC, .http = h, .ev = ev, .method = method_of(ev)};
    r->head = r->method == METHOD_HEAD;
    r->peer = peer;
    h->in_flight++;
    evhttp_request_set_on_complete_cb(ev, on_req_sent, r);
    if (body_is_unread(ev))
        http_header(r, "Connection", "close");
    if (!peer_busy(r->peer, n, on_req_gone, r)) {
        refuse(r, 503);
        return;
    }
    status = check_head(ev);
    if (status == 0 && !http_check_target(evhttp_request_get_uri(ev), &r->path, &r->query))
        status = 400;
    if (status != 0) {
        refuse(r, status);
        return;
    }
    h->fn(h->arg, r);
}

enum method http_method(const struct http_req *r)
{
    return r->method;
}

struct sv http_path(const struct http_req *r)
{
    return r->path;
}

struct sv http_query(const struct http_req *r)
{
    return r->query;
}

bool http_body(struct http_req *r, char **ret, size_t *ret_n)
{
    static char empty[1];
    struct evbuffer *b = evhttp_request_get_input_buffer(r->ev);
    size_t n = evbuffer_get_length(b);
    unsigned char *p = n == 0 ? (unsigned char *)empty : evbuffer_pullup(b, -1);

    if (p == NULL)
        return false;
    *ret = (char *)p;
    *ret_n = n;
    return true;
}

void http_header(struct http_req *r, const char *name, const char *value)
{
    struct evkeyvalq *out = evhttp_request_get_output_headers(r->ev);

    if (evhttp_find_header(out, name) == NULL)
        evhttp_add_header(out, name, value);
}

static void common_headers(struct http_req *r)
{
    http_header(r, "Access-Control-Allow-Origin", "*");
    if (r->http->draining)
        http_header(r, "Connection", "close");
}

void http_reply(struct http_req *r, int status, struct evbuffer *body)
{
    size_t n = body != NULL ? evbuffer_get_length(body) : 0;
    char length[24];

    common_headers(r);
    if (n > 0)
        http_header(r, "Content-Type", "application/json");
    if (r->head && status != 204) { /* evhttp would send the body after all */
        (void)evutil_snprintf(length, sizeof(length), "%zu", n);
        http_header(r, "Content-Length", length);
        body = NULL;
    }
    r->answered = true;
    r->piece_left = NULL;
    evhttp_send_reply(r->ev, status, NULL, body); /* frees it when the client is gone */
    if (r->peer == NULL)
        req_free(r);
}

static void on_piece_left(struct evhttp_connection *evcon UNUSED,
                          void *arg) /* evhttp chunk callback */
{
    struct http_req *r = CAST(arg, http_req, REQ_MAGIC);

    r->piece_left(r->piece_arg);
}

void http_stream(struct http_req *r, void (*drained)(void *arg), void *arg)
{
    common_headers(r);
    http_header(r, "Content-Type", "application/json");
    r->piece_left = drained;
    r->piece_arg = arg;
    evhttp_send_reply_start(r->ev, 200, NULL);
}

void http_stream_piece(struct http_req *r, struct evbuffer *piece)
{
    if (!http_stream_gone(r) && !r->head)
        evhttp_send_reply_chunk_with_cb(r->ev, piece, on_piece_left, r);
    else
        (void)evbuffer_drain(piece, evbuffer_get_length(piece));
}

bool http_stream_gone(const struct http_req *r)
{
    return r->peer == NULL;
}

void http_stream_end(struct http_req *r, bool whole)
{
    bool gone = r->peer == NULL;

    r->piece_left = NULL;
    r->answered = true;
    if (!whole && !gone) {
        r->cut = true;
        peer_cut(r->peer); /* on_req_gone() frees it */
        return;
    }
    evhttp_send_reply_end(r->ev);
    if (gone)
        req_free(r);
}

static void set_accepting(struct http *h, bool on)
{
    if (h->listener == NULL)
        return;
    if (on)
        (void)evconnlistener_enable(h->listener);
    else
        (void)evconnlistener_disable(h->listener);
}

static void on_accept_again(void *arg) /* timer */
{
    set_accepting(arg, true);
}

static void on_accept_failed(struct evconnlistener *lev,
                             void *arg UNUSED) /* evconnlistener_errorcb */
{
    int err = EVUTIL_SOCKET_ERROR();
    struct http *h = NULL;

    LIST_EACH(n, &servers)
    {
        if (LIST_ENTRY_OF(n, struct http, node)->listener == lev)
            h = LIST_ENTRY_OF(n, struct http, node);
    }
    if (h == NULL)
        return;
    /* Out of descriptors the listener would be ready again at once, for ever: let it rest. */
    log_warn("accept failed", "error=\"%s\" pause_ms=%d", evutil_socket_error_to_string(err),
             ACCEPT_PAUSE_MS);
    set_accepting(h, false);
    timer_in(&h->accept_again, ACCEPT_PAUSE_MS);
}

static void on_room(void *arg, bool room) /* peers */
{
    struct http *h = arg;

    if (!room)
        log_warn("too many connections", "max=%d action=\"accept waits\"", CONNECTIONS_MAX);
    set_accepting(h, room);
}

static unsigned connections_max(void)
{
    struct rlimit rl;

    if (getrlimit(RLIMIT_NOFILE, &rl) != 0)
        return CONNECTIONS_MAX;
    if (rl.rlim_cur < rl.rlim_max) {
        rl.rlim_cur = rl.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &rl);
        (void)getrlimit(RLIMIT_NOFILE, &rl);
    }
    if (rl.rlim_cur >= CONNECTIONS_MAX + OTHER_FDS)
        return CONNECTIONS_MAX;
    return rl.rlim_cur > 2 * OTHER_FDS ? (unsigned)rl.rlim_cur - OTHER_FDS : OTHER_FDS;
}

/* The socket address of a numeric address; 0 when it is none. */
static socklen_t address_of(const char *bind, uint16_t port, struct sockaddr_storage *ss)
{
    struct sockaddr_in *in4 = (struct sockaddr_in *)ss;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;

    memset(ss, 0, sizeof(*ss));
    if (inet_pton(AF_INET, bind, &in4->sin_addr) == 1) {
        in4->sin_family = AF_INET;
        in4->sin_port = htons(port);
        return sizeof(*in4);
    }
    if (inet_pton(AF_INET6, bind, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        return sizeof(*in6);
    }
    return 0;
}

static bool listen_on(struct http *h, const struct http_conf *conf, struct err *e)
{
    struct sockaddr_storage ss;
    socklen_t len = address_of(conf->bind, conf->port, &ss);

    if (len == 0)
        return err_set(e, "'%s' is not an IP address", conf->bind);
    h->listener =
        evconnlistener_new_bind(loop_base(h->loop), NULL, NULL,
                                LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE,
                                BACKLOG, (struct sockaddr *)&ss, (int)len);
    if (h->listener == NULL)
        return err_sys(e, "cannot listen on %s port %u", conf->bind, (unsigned)conf->port);
    len = sizeof(ss);
    if (getsockname(evconnlistener_get_fd(h->listener), (struct sockaddr *)&ss, &len) != 0)
        return err_sys(e, "getsockname");
    h->port = ntohs(ss.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&ss)->sin6_port
                                             : ((struct sockaddr_in *)&ss)->sin_port);
    evconnlistener_set_error_cb(h->listener, on_accept_failed);
    h->bound = evhttp_bind_listener(h->ev, h->listener);
    if (h->bound == NULL)
        return err_set(e, "cannot serve on %s: out of memory", conf->bind);
    return true;
}

bool http_new(struct loop *l, const struct http_conf *conf, http_fn *fn, void *arg,
              struct http **ret, struct err *e)
{
    const struct timeval idle = {IDLE_S, 0};
    struct http *h = mem_zalloc(sizeof(*h));
    struct peers_conf pc = {
        .head_max = HEAD_MAX,
        .head_ms = HEAD_MS,
        .exchange_ms = EXCHANGE_MS,
        .max = connections_max(),
        .max_unread = conf->max_body + 2 * HEAD_MAX,
        .max_held = 4 * conf->max_body + ((size_t)32 << 20),
    };

    *h = (struct http){.loop = l, .fn = fn, .arg = arg};
    list_push_back(&servers, &h->node);
    timer_init(&h->accept_again, l, on_accept_again, h);
    h->peers = peers_new(l, &pc, on_room, h);
    h->ev = evhttp_new(loop_base(l));
    if (h->ev == NULL) {
        http_free(h);
        return err_set(e, "no memory for an HTTP server");
    }
    evhttp_set_bevcb(h->ev, peers_accept, h->peers);
    evhttp_set_gencb(h->ev, on_request, h);
    evhttp_set_max_headers_size(h->ev, (ev_ssize_t)2 * HEAD_MAX); /* of trailers; heads: peer.c */
    evhttp_set_max_body_size(h->ev, (ev_ssize_t)conf->max_body);
    evhttp_set_default_content_type(h->ev, NULL);
    evhttp_set_allowed_methods(h->ev, UINT16_MAX); /* unknown verbs too: the routes judge */
    evhttp_set_timeout_tv(h->ev, &idle);
    /* A client that is still sending when we refuse its body must get to read the 413. */
    evhttp_set_flags(h->ev, EVHTTP_SERVER_LINGERING_CLOSE);
    if (!listen_on(h, conf, e)) {
        http_free(h);
        return false;
    }
    *ret = h;
    return true;
}

uint16_t http_port(const struct http *h)
{
    return h->port;
}

void http_drain(struct http *h, void (*done)(void *arg), void *arg)
{
    h->draining = true;
    h->drained = done;
    h->drained_arg = arg;
    timer_clear(&h->accept_again);
    evhttp_del_accept_socket(h->ev, h->bound); /* closed, not only unused: clients see it at once */
    h->bound = NULL;
    h->listener = NULL;
    peers_close_idle(h->peers);
    check_drained(h);
}

bool http_is_answered(const struct http *h)
{
    return h == NULL || h->in_flight == 0;
}

void http_free(struct http *h)
{
    if (h == NULL)
        return;
    if (h->ev != NULL)
        evhttp_free(h->ev); /* the listener too, once it is bound */
    list_unlink(&h->node);
    peers_free(h->peers);
    timer_fini(&h->accept_again);
    mem_free(h);
}
