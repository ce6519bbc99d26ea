#include "test/unit/unit.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "ctl/http.h"

/* What the server does with each connection: once a whole request is there it sends `say` in
 * slices, then does `then`. */
enum then { CLOSE, HOLD, RST };
struct script {
    const char *say;
    size_t slice; /* 0: all at once */
    enum then then;
    bool mute; /* never says anything */
};

struct fixture {
    struct loop *loop;
    struct http *http;
    struct timer guard;
    struct evconnlistener *listener, *unix_listener;
    struct script script;
    struct list conns;
    uint16_t port;
    char dir[64], path[96];
    struct buf request; /* of the last connection */
    unsigned accepted, hung_up;
    /* what the calls told */
    unsigned done, heads;
    enum http_end end;
    int status;
    char text[512];
    struct buf body, data;
    bool inside;
    void (*then)(struct fixture *f); /* in the next callback ... */
    unsigned skip;                   /* ... but so many */
    struct http_call *other;
};

struct conn {
    struct list node;
    struct fixture *f;
    struct bufferevent *bev;
    struct event *pump;
    size_t said;
};

static void conn_free(struct conn *c)
{
    list_unlink(&c->node);
    event_free(c->pump);
    bufferevent_free(c->bev);
    mem_free(c);
}

static void conn_finish(struct conn *c)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};

    if (c->f->script.then == HOLD)
        return;
    if (c->f->script.then == RST)
        setsockopt(bufferevent_getfd(c->bev), SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    conn_free(c);
}

static void on_pump(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    struct conn *c = arg;
    const struct script *s = &c->f->script;
    size_t left = strlen(s->say) - c->said, n = s->slice > 0 && s->slice < left ? s->slice : left;
    struct timeval soon = {0, 200};

    /* Straight to the descriptor, so that a slice is a segment. */
    if (n > 0 && send(bufferevent_getfd(c->bev), s->say + c->said, n, MSG_NOSIGNAL) > 0)
        c->said += n;
    if (n < left)
        event_add(c->pump, &soon);
    else
        conn_finish(c);
}

static void on_read(struct bufferevent *bev, void *arg)
{
    struct conn *c = arg;
    struct evbuffer *in = bufferevent_get_input(bev);
    size_t n = evbuffer_get_length(in);

    buf_add(&c->f->request, evbuffer_pullup(in, -1), n);
    evbuffer_drain(in, n);
    if (!c->f->script.mute && c->said == 0 && strstr(c->f->request.data, "\r\n\r\n") != NULL)
        on_pump(-1, 0, c);
}

static void on_event(struct bufferevent *bev UNUSED, short what UNUSED, void *arg)
{
    struct conn *c = arg;

    c->f->hung_up++;
    conn_free(c);
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa UNUSED,
                      int n UNUSED, void *arg)
{
    struct fixture *f = arg;
    struct conn *c = mem_zalloc(sizeof(*c));

    f->accepted++;
    buf_clear(&f->request);
    c->f = f;
    c->bev = bufferevent_socket_new(evconnlistener_get_base(l), fd, BEV_OPT_CLOSE_ON_FREE);
    c->pump = event_new(evconnlistener_get_base(l), -1, 0, on_pump, c);
    list_push_back(&f->conns, &c->node);
    bufferevent_setcb(c->bev, on_read, NULL, on_event, c);
    bufferevent_enable(c->bev, EV_READ);
}

static void on_guard(void *arg)
{
    (void)arg;
    fail_msg("nothing happened for 10 s");
}

static int up(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un u = {.sun_family = AF_UNIX};
    socklen_t n = sizeof(a);
    struct err e;

    assert_true(loop_new(&f->loop, &e));
    assert_true(http_new(f->loop, &f->http, &e));
    list_init(&f->conns);
    buf_init(&f->request, 1 << 20);
    buf_init(&f->body, 1 << 20);
    buf_init(&f->data, 1 << 20);
    snprintf(f->dir, sizeof(f->dir), "/tmp/http_test.XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/s", f->dir);
    snprintf(u.sun_path, sizeof(u.sun_path), "%s", f->path);
    f->listener = evconnlistener_new_bind(loop_base(f->loop), on_accept, f, LEV_OPT_CLOSE_ON_FREE,
                                          64, (struct sockaddr *)&a, sizeof(a));
    f->unix_listener =
        evconnlistener_new_bind(loop_base(f->loop), on_accept, f, LEV_OPT_CLOSE_ON_FREE, 64,
                                (struct sockaddr *)&u, sizeof(u));
    assert_non_null(f->listener);
    assert_non_null(f->unix_listener);
    assert_int_equal(getsockname(evconnlistener_get_fd(f->listener), (struct sockaddr *)&a, &n), 0);
    f->port = ntohs(a.sin_port);
    timer_init(&f->guard, f->loop, on_guard, f);
    timer_in(&f->guard, 10000);
    *state = f;
    return 0;
}

static int down(void **state)
{
    struct fixture *f = *state;

    http_free(f->http);
    LIST_EACH(n, &f->conns)
    conn_free(LIST_ENTRY_OF(n, struct conn, node));
    evconnlistener_free(f->listener);
    evconnlistener_free(f->unix_listener);
    unlink(f->path);
    rmdir(f->dir);
    buf_fini(&f->request);
    buf_fini(&f->body);
    buf_fini(&f->data);
    timer_fini(&f->guard);
    loop_free(f->loop);
    mem_free(f);
    return 0;
}

static void then(struct fixture *f)
{
    void (*fn)(struct fixture *) = f->then;

    if (f->skip > 0) {
        f->skip--;
        return;
    }
    f->then = NULL;
    if (fn != NULL)
        fn(f);
}

static void on_done(void *arg, const struct http_answer *a)
{
    struct fixture *f = arg;

    assert_false(f->inside);
    assert_true((a->e == NULL) == (a->end == HTTP_ANSWERED));
    assert_int_equal(strlen(a->body), a->body_n);
    f->done++;
    f->end = a->end;
    f->status = a->status;
    snprintf(f->text, sizeof(f->text), "%s", a->e != NULL ? a->e->msg : "");
    buf_clear(&f->body);
    buf_add(&f->body, a->body, a->body_n);
    loop_stop(f->loop);
    then(f);
}

static void on_head(void *arg)
{
    struct fixture *f = arg;

    assert_false(f->inside);
    f->heads++;
    loop_stop(f->loop);
    then(f);
}

static void on_data(void *arg, const char *p, size_t n)
{
    struct fixture *f = arg;

    assert_false(f->inside);
    assert_true(n > 0);
    buf_add(&f->data, p, n);
    loop_stop(f->loop);
    then(f);
}

static struct http_ask ask_of(struct fixture *f)
{
    return (struct http_ask){.method = "GET",
                             .host = "127.0.0.1",
                             .port = f->port,
                             .target = "/x?y=%20z",
                             .timeout_ms = 5000,
                             .answer_max = 1000,
                             .on_head = on_head,
                             .on_data = on_data,
                             .done = on_done,
                             .arg = f};
}

static struct http_call *start(struct fixture *f, const struct http_ask *ask)
{
    struct http_call *c;

    f->inside = true;
    c = http_start(f->http, ask);
    f->inside = false;
    return c;
}

static void turn(struct fixture *f)
{
    struct err e;

    assert_true(loop_run(f->loop, &e));
}

static void run_until_done(struct fixture *f, unsigned n)
{
    while (f->done < n)
        turn(f);
}

static char *long_head(void)
{
    char *pad = mem_zalloc(70001), *s;

    memset(pad, 'x', 70000);
    s = mem_printf("HTTP/1.1 200 OK\r\nX: %s\r\nContent-Length: 0\r\n\r\n", pad);
    mem_free(pad);
    return s;
}

static char *long_body(void)
{
    char *pad = mem_zalloc(100001), *s;

    memset(pad, 'b', 100000);
    s = mem_printf("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n%s", pad);
    mem_free(pad);
    return s;
}

static void test_answers(void **state)
{
    AUTO(mem_freep) char *head = long_head();
    AUTO(mem_freep) char *body = long_body();
    const struct row {
        const char *name;
        struct script script;
        enum http_body mode;
        uint64_t timeout_ms;
        enum http_end end;
        int status;
        const char *body;
    } rows[] = {
        {"length",
         {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0, HOLD, false},
         HTTP_BODY_KEEP,
         5000,
         HTTP_ANSWERED,
         200,
         "ok"},
        {"byte by byte",
         {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 1, HOLD, false},
         HTTP_BODY_KEEP,
         5000,
         HTTP_ANSWERED,
         200,
         "ok"},
        {"chunked, byte by byte",
         {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n", 1,
          HOLD, false},
         HTTP_BODY_KEEP,
         5000,
         HTTP_ANSWERED,
         200,
         "ok"},
        {"ended by close",
         {"HTTP/1.0 200 OK\r\n\r\nok", 0, CLOSE, false},
         HTTP_BODY_KEEP,
         5000,
         HTTP_ANSWERED,
         200,
         "ok"},
        {"500 with words",
         {"HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\nbad", 0, HOLD, false},
         HTTP_BODY_KEEP,
         5000,
         HTTP_ANSWERED,
         500,
         "bad"},
        {"204",
         {"HTTP/1.1 204 No\r\n\r\n", 0, HOLD, false},
         HTTP_BODY_KEEP,
         5000,
         HTTP_ANSWERED,
         204,
         ""},
        {"100 comes first",
         {"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 201 Made\r\nContent-Length: 0\r\n\r\n", 0, HOLD, false},
         HTTP_BODY_KEEP,
         5000,
         HTTP_ANSWERED,
         201,
         ""},
        {"redirects are answers",
         {"HTTP/1.1 302 Go\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", 0, HOLD, false},
         HTTP_BODY_KEEP,
         5000,
         HTTP_ANSWERED,
         302,
         ""},
        {"dropped body",
         {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0, HOLD, false},
         HTTP_BODY_DROP,
         5000,
         HTTP_ANSWERED,
         200,
         ""},
        {"long body, dropped",
         {body, 0, HOLD, false},
         HTTP_BODY_DROP,
         5000,
         HTTP_ANSWERED,
         200,
         ""},
        {"long body, kept", {body, 0, HOLD, false}, HTTP_BODY_KEEP, 5000, HTTP_TOO_BIG, 200, NULL},
        {"long head", {head, 0, HOLD, false}, HTTP_BODY_KEEP, 5000, HTTP_BAD_ANSWER, -1, NULL},
        {"closed at once", {"", 0, CLOSE, false}, HTTP_BODY_KEEP, 5000, HTTP_RESET, 0, ""},
        {"reset at once", {"", 0, RST, false}, HTTP_BODY_KEEP, 5000, HTTP_RESET, 0, ""},
        {"closed within the head",
         {"HTTP/1.1 200 OK\r\nConte", 0, CLOSE, false},
         HTTP_BODY_KEEP,
         5000,
         HTTP_RESET,
         -1,
         NULL},
        {"closed within the body",
         {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", 0, CLOSE, false},
         HTTP_BODY_KEEP,
         5000,
         HTTP_RESET,
         200,
         "ok"},
        {"closed within a chunk",
         {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\no", 0, CLOSE, false},
         HTTP_BODY_KEEP,
         5000,
         HTTP_RESET,
         200,
         "o"},
        {"reset within the body",
         {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", 0, RST, false},
         HTTP_BODY_KEEP,
         5000,
         HTTP_RESET,
         -1,
         NULL},
        {"bad chunk",
         {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\no", 0, HOLD, false},
         HTTP_BODY_KEEP,
         5000,
         HTTP_BAD_ANSWER,
         200,
         NULL},
        {"no HTTP",
         {"SSH-2.0-OpenSSH_9.2\r\n\r\n", 0, HOLD, false},
         HTTP_BODY_KEEP,
         5000,
         HTTP_BAD_ANSWER,
         0,
         NULL},
        {"no HTTP at all",
         {"{\"ok\":true}", 0, CLOSE, false},
         HTTP_BODY_KEEP,
         5000,
         HTTP_BAD_ANSWER,
         0,
         NULL},
        {"silence", {"", 0, HOLD, true}, HTTP_BODY_KEEP, 80, HTTP_TIMEOUT, 0, ""},
        {"silence within the head",
         {"HTTP/1.1 200", 0, HOLD, false},
         HTTP_BODY_DROP,
         80,
         HTTP_TIMEOUT,
         -1,
         ""},
        {"silence within the body",
         {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", 0, HOLD, false},
         HTTP_BODY_DROP,
         80,
         HTTP_TIMEOUT,
         200,
         ""},
        {"no time at all", {"", 0, HOLD, true}, HTTP_BODY_KEEP, 0, HTTP_TIMEOUT, 0, ""},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *r = &rows[i];
        struct http_ask ask = ask_of(f);

        f->script = r->script;
        ask.mode = r->mode;
        ask.timeout_ms = r->timeout_ms;
        start(f, &ask);
        run_until_done(f, (unsigned)i + 1);
        ROW_EQ_STR(r->name, http_end_name(f->end), http_end_name(r->end));
        if (r->status >= 0)
            ROW_EQ_U64(r->name, f->status, r->status);
        if (r->body != NULL)
            ROW_EQ_STR(r->name, f->body.data != NULL ? f->body.data : "", r->body);
        ROW_EQ_U64(r->name, f->done, i + 1);
    }
}

static void test_request_on_the_wire(void **state)
{
    struct fixture *f = *state;
    const struct row {
        const char *name, *method, *json;
        bool on_unix;
        const char *want;
    } rows[] = {
        {"get", "GET", NULL, false, "GET /x?y=%20z HTTP/1.1\r\nHost: 127.0.0.1:"},
        {"get says close", "GET", NULL, false, "\r\nConnection: close\r\n"},
        {"get says who", "GET", NULL, false, "\r\nUser-Agent: lbctl\r\n"},
        {"post without body", "POST", NULL, true, "POST /x?y=%20z HTTP/1.1\r\nHost: localhost\r\n"},
        {"post without body: length", "POST", NULL, true, "\r\nContent-Length: 0\r\n"},
        {"post", "POST", "{\"a\":1}", true,
         "\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}"},
        {"delete", "DELETE", NULL, true, "DELETE /x?y=%20z HTTP/1.1\r\n"},
    };

    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    f->script = (struct script){"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0, HOLD, false};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_ask ask = ask_of(f);

        ask.method = rows[i].method;
        ask.json = rows[i].json;
        ask.socket = rows[i].on_unix ? f->path : NULL;
        start(f, &ask);
        run_until_done(f, (unsigned)i + 1);
        ROW_EQ_U64(rows[i].name, f->status, 200);
        ROW_HAS_STR(rows[i].name, f->request.data, rows[i].want);
        assert_null(strstr(f->request.data, "Expect"));
        ROW_EQ_U64(rows[i].name, f->accepted, i + 1); /* a connection of its own */
    }
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
}

static void test_proxy_header(void **state)
{
    struct fixture *f = *state;
    struct http_ask ask = ask_of(f);

    f->script = (struct script){"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0, HOLD, false};
    ask.method = "GET";
    ask.proxy_header = true;
    start(f, &ask);
    run_until_done(f, 1);
    assert_ptr_equal(strstr(f->request.data, "PROXY TCP4 127.0.0.1 127.0.0.1 "), f->request.data);
    assert_non_null(strstr(f->request.data, "\r\nGET /x?y=%20z HTTP/1.1\r\n"));
}

static uint16_t free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    close(fd);
    return ntohs(a.sin_port);
}

static void test_cannot_connect(void **state)
{
    struct fixture *f = *state;
    uint16_t nobody = free_port();
    char missing[112];
    const struct row {
        const char *name, *method, *socket, *host;
        uint16_t port;
        const char *target;
        enum http_end end;
        const char *says;
    } rows[] = {
        {"nobody listens", "GET", NULL, "127.0.0.1", nobody, "/", HTTP_REFUSED,
         "Connection refused"},
        {"nobody listens, connect only", NULL, NULL, "127.0.0.1", nobody, "/", HTTP_REFUSED,
         "Connection refused"},
        {"no such socket", "GET", missing, NULL, 0, "/", HTTP_REFUSED, "No such file"},
        {"a directory", "GET", f->dir, NULL, 0, "/", HTTP_REFUSED, "cannot connect"},
        {"blank in the target", "GET", NULL, "127.0.0.1", f->port, "/a b", HTTP_LOCAL, "no usable"},
        {"line end in the target", "GET", NULL, "127.0.0.1", f->port, "/a\r\nX: y", HTTP_LOCAL,
         "no usable"},
        {"no target", "GET", NULL, "127.0.0.1", f->port, "", HTTP_LOCAL, "no usable"},
        {"no address", "GET", NULL, "", f->port, "/", HTTP_LOCAL, "no usable"},
        {"odd address", "GET", NULL, "user@127.0.0.1", f->port, "/", HTTP_LOCAL, "no usable"},
        {"odd address, connect only", NULL, NULL, "a/b", f->port, "/", HTTP_LOCAL, "no usable"},
    };

    snprintf(missing, sizeof(missing), "%s/none", f->dir);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_ask ask = ask_of(f);

        ask.method = rows[i].method;
        ask.socket = rows[i].socket;
        ask.host = rows[i].host;
        ask.port = rows[i].port;
        ask.target = rows[i].target;
        start(f, &ask);
        run_until_done(f, (unsigned)i + 1);
        ROW_EQ_STR(rows[i].name, http_end_name(f->end), http_end_name(rows[i].end));
        ROW_HAS_STR(rows[i].name, f->text, rows[i].says);
        ROW_EQ_U64(rows[i].name, f->status, 0);
    }
    assert_int_equal(f->accepted, 0);
}

static void test_connect_only(void **state)
{
    struct fixture *f = *state;
    struct http_ask ask = ask_of(f);

    ask.method = NULL;
    f->script.mute = true;
    start(f, &ask);
    run_until_done(f, 1);
    assert_int_equal(f->end, HTTP_ANSWERED);
    assert_int_equal(f->status, 0);
    while (f->hung_up == 0) /* the connection is closed, not kept */
        event_base_loop(loop_base(f->loop), EVLOOP_ONCE);
    assert_int_equal(f->request.len, 0);
}

static void test_no_descriptor_is_our_trouble(void **state)
{
    struct fixture *f = *state;
    struct http_ask ask = ask_of(f);
    struct rlimit was, none;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    none = was;
    none.rlim_cur = 0; /* no new ones; those that are open stay */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    start(f, &ask);
    run_until_done(f, 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_int_equal(f->end, HTTP_LOCAL);
    assert_non_null(strstr(f->text, "cannot make a socket"));
}

static void test_stream(void **state)
{
    struct fixture *f = *state;
    struct http_ask ask = ask_of(f);

    f->script = (struct script){
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n", 1,
        HOLD, false};
    ask.mode = HTTP_BODY_STREAM;
    start(f, &ask);
    run_until_done(f, 1);
    assert_int_equal(f->heads, 1);
    assert_string_equal(f->data.data, "abcdef");
    assert_int_equal(f->end, HTTP_ANSWERED);
    assert_int_equal(f->body.len, 0);
}

static void on_wake(void *arg)
{
    loop_stop(((struct fixture *)arg)->loop);
}

static void test_stream_may_be_idle(void **state)
{
    struct fixture *f = *state;
    struct http_ask ask = ask_of(f);
    struct timer t;

    f->script = (struct script){"HTTP/1.1 200 OK\r\n\r\nabc", 0, HOLD, false};
    ask.mode = HTTP_BODY_STREAM;
    ask.timeout_ms = 50;
    start(f, &ask);
    while (f->data.len < 3)
        turn(f);
    timer_init(&t, f->loop, on_wake, f);
    timer_in(&t, 150); /* three times the deadline of the head */
    turn(f);
    timer_fini(&t);
    assert_int_equal(f->done, 0);
    conn_free(
        LIST_ENTRY_OF(f->conns.next, struct conn, node)); /* the other end goes: noticed at once */
    run_until_done(f, 1);
    assert_int_equal(f->status, 200);
}

static void test_stream_needs_a_head_in_time(void **state)
{
    struct fixture *f = *state;
    struct http_ask ask = ask_of(f);

    f->script.mute = true;
    ask.mode = HTTP_BODY_STREAM;
    ask.timeout_ms = 50;
    start(f, &ask);
    run_until_done(f, 1);
    assert_int_equal(f->end, HTTP_TIMEOUT);
    assert_int_equal(f->heads, 0);
}

static void test_stream_refused(void **state)
{
    struct fixture *f = *state;
    struct http_ask ask = ask_of(f);

    f->script = (struct script){"HTTP/1.1 403 No\r\nContent-Length: 4\r\n\r\nnope", 0, HOLD, false};
    ask.mode = HTTP_BODY_STREAM;
    start(f, &ask);
    run_until_done(f, 1);
    assert_int_equal(f->heads, 0);
    assert_int_equal(f->status, 403);
    assert_string_equal(f->body.data, "nope");
}

static void test_cancel(void **state)
{
    struct fixture *f = *state;
    struct http_ask ask = ask_of(f);
    struct http_call *c;

    f->script.mute = true;
    c = start(f, &ask);
    while (f->request.len == 0)
        event_base_loop(loop_base(f->loop), EVLOOP_ONCE);
    http_cancel(c);
    while (f->hung_up == 0)
        event_base_loop(loop_base(f->loop), EVLOOP_ONCE);
    http_cancel(start(f, &ask)); /* before it did anything */
    ask.target = "no";
    http_cancel(start(f, &ask)); /* after it failed, before that was told */
    event_base_loop(loop_base(f->loop), EVLOOP_ONCE | EVLOOP_NONBLOCK);
    http_cancel(NULL);
    assert_int_equal(f->done, 0);
}

static void free_client(struct fixture *f)
{
    http_free(f->http);
    f->http = NULL;
}

static void cancel_other(struct fixture *f)
{
    http_cancel(f->other);
    f->other = NULL;
}

static void start_another(struct fixture *f)
{
    struct http_ask ask = ask_of(f);

    start(f, &ask);
}

static void fail_another(struct fixture *f)
{
    struct http_ask ask = ask_of(f);

    ask.target = "no";
    start(f, &ask);
}

static void test_callbacks_may_do_anything(void **state)
{
    struct fixture *f = *state;
    struct http_ask ask = ask_of(f);

    f->script = (struct script){"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0, HOLD, false};
    f->then = start_another;
    start(f, &ask);
    run_until_done(f, 2);
    f->then = fail_another;
    start(f, &ask);
    run_until_done(f, 4);
    /* Two that fail in the same turn; the first one's done cancels the second. */
    f->then = cancel_other;
    ask.target = "no";
    start(f, &ask);
    f->other = start(f, &ask);
    run_until_done(f, 5);
    event_base_loop(loop_base(f->loop), EVLOOP_ONCE | EVLOOP_NONBLOCK);
    assert_int_equal(f->done, 5);
    assert_null(f->other);
}

static void test_free_from_callbacks(void **state)
{
    static const struct {
        const char *name;
        enum http_body mode;
        unsigned skip; /* callbacks before the one that frees */
    } rows[] = {
        {"done", HTTP_BODY_KEEP, 0},
        {"head of a stream", HTTP_BODY_STREAM, 0},
        {"data of a stream", HTTP_BODY_STREAM, 1},
        {"done of a stream", HTTP_BODY_STREAM, 2},
    };
    struct fixture *f = *state;

    f->script = (struct script){"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0, HOLD, false};
    evconnlistener_disable(f->unix_listener);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_ask ask = ask_of(f);
        struct err e;

        ask.mode = rows[i].mode;
        start(f, &ask);
        ask.socket = f->path; /* nobody accepts: it runs still */
        start(f, &ask);
        f->skip = rows[i].skip;
        f->then = free_client;
        while (f->http != NULL)
            turn(f);
        assert_true(http_new(f->loop, &f->http, &e));
    }
}

static void test_limit_of_calls(void **state)
{
    struct fixture *f = *state;
    struct http_ask ask = ask_of(f);

    ask.target = "no";
    for (unsigned i = 0; i < HTTP_CALLS_MAX; i++)
        start(f, &ask);
    ask = ask_of(f);
    f->script = (struct script){"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0, HOLD, false};
    start(f, &ask);
    run_until_done(f, HTTP_CALLS_MAX + 1);
    assert_int_equal(f->end, HTTP_LOCAL);
    assert_non_null(strstr(f->text, "calls at once"));
    start(f, &ask);
    run_until_done(f, HTTP_CALLS_MAX + 2);
    assert_int_equal(f->end, HTTP_ANSWERED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, up, down),
        cmocka_unit_test_setup_teardown(test_request_on_the_wire, up, down),
        cmocka_unit_test_setup_teardown(test_proxy_header, up, down),
        cmocka_unit_test_setup_teardown(test_cannot_connect, up, down),
        cmocka_unit_test_setup_teardown(test_connect_only, up, down),
        cmocka_unit_test_setup_teardown(test_no_descriptor_is_our_trouble, up, down),
        cmocka_unit_test_setup_teardown(test_stream, up, down),
        cmocka_unit_test_setup_teardown(test_stream_may_be_idle, up, down),
        cmocka_unit_test_setup_teardown(test_stream_needs_a_head_in_time, up, down),
        cmocka_unit_test_setup_teardown(test_stream_refused, up, down),
        cmocka_unit_test_setup_teardown(test_cancel, up, down),
        cmocka_unit_test_setup_teardown(test_callbacks_may_do_anything, up, down),
        cmocka_unit_test_setup_teardown(test_free_from_callbacks, up, down),
        cmocka_unit_test_setup_teardown(test_limit_of_calls, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
