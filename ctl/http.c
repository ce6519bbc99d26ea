#include "ctl/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/base/mem.h"
#include "common/base/str.h"

enum {
    HTTP_MAGIC = MAGIC('h', 't', 't', 'p'),
    CALL_MAGIC = MAGIC('h', 'c', 'a', 'l'),
    SOCK_MAGIC = MAGIC('h', 's', 'o', 'k'),
};

struct http {
    uint32_t magic;
    struct loop *loop;
    CURLM *multi;
    struct event *timer; /* libcurl's one timer */
    struct event *wake;  /* made active when news come from outside of the loop's events */
    struct curl_slist *head, *head_json; /* request headers, shared by all calls */
    struct list calls;                   /* all that are neither done nor cancelled */
    struct list news;                    /* those of them that have something to tell */
    struct list socks;
    unsigned calls_n;
    bool delivering;  /* deliver() is on the stack */
    struct list dead; /* cancelled calls that deliver() may still hold */
    bool closing;     /* freed while deliver() was on the stack: it frees at its end */
};

struct http_call {
    uint32_t magic;
    struct list node, news;
    struct http *http;
    CURL *easy;
    char *body;                  /* of the request */
    struct curl_slist *own_head; /* of the request, when it has a Host field of its own */
    struct buf in;
    size_t head_n, dropped_n, in_max;
    enum http_body mode;
    bool connect_only;
    bool head_done; /* the blank line was seen */
    bool head_new;  /* on_head is due */
    bool streaming; /* head seen, status 200, mode STREAM */
    bool ended, cancelled;
    bool too_big, head_too_big, cut;
    CURLcode code;
    int sock_errno; /* why no socket could be made */
    long sys_errno; /* of the connection, by libcurl */
    struct timer head_timer;
    http_head_fn *on_head;
    http_data_fn *on_data;
    http_done_fn *done;
    void *arg;
    char text[CURL_ERROR_SIZE];
};

/* A descriptor that libcurl wants watched. */
struct http_sock {
    uint32_t magic;
    struct list node;
    struct http *http;
    struct event *ev;
    short what;
};

static void deliver(struct http *h);

const char *http_end_name(enum http_end end)
{
    static const char *const names[] = {
        [HTTP_ANSWERED] = "answered", [HTTP_REFUSED] = "refused",       [HTTP_RESET] = "reset",
        [HTTP_TIMEOUT] = "timeout",   [HTTP_BAD_ANSWER] = "bad-answer", [HTTP_TOO_BIG] = "too-big",
        [HTTP_LOCAL] = "local",
    };

    return (unsigned)end < ARRAY_LEN(names) ? names[end] : "?";
}

/* ---- the glue between libcurl and libevent ---- */

static void drive(struct http *h, curl_socket_t fd, int what)
{
    int running;

    curl_multi_socket_action(h->multi, fd, what, &running);
    deliver(h);
}

static void on_multi_timer(evutil_socket_t fd UNUSED, short what UNUSED,
                           void *arg) /* event_callback_fn */
{
    drive(CAST(arg, http, HTTP_MAGIC), CURL_SOCKET_TIMEOUT, 0);
}

static void on_wake(evutil_socket_t fd UNUSED, short what UNUSED, void *arg) /* event_callback_fn */
{
    deliver(CAST(arg, http, HTTP_MAGIC));
}

static void on_socket_event(evutil_socket_t fd, short what, void *arg) /* event_callback_fn */
{
    struct http_sock *s = CAST(arg, http_sock, SOCK_MAGIC);

    drive(s->http, fd,
          ((what & EV_READ) != 0 ? CURL_CSELECT_IN : 0) |
              ((what & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0));
}

static void sock_free(struct http_sock *s)
{
    list_unlink(&s->node);
    if (s->ev != NULL)
        event_free(s->ev);
    mem_free(s);
}

static int on_curl_timer(CURLM *multi UNUSED, long ms, void *arg) /* curl_multi_timer_callback */
{
    struct http *h = CAST(arg, http, HTTP_MAGIC);
    struct timeval tv = {ms / 1000, ms % 1000 * 1000};

    if (ms < 0)
        event_del(h->timer);
    else
        event_add(h->timer, &tv);
    return 0;
}

static int on_curl_socket(CURL *easy UNUSED, curl_socket_t fd, int what, void *arg,
                          void *sock) /* curl_socket_callback */
{
    struct http *h = CAST(arg, http, HTTP_MAGIC);
    struct http_sock *s = sock != NULL ? CAST(sock, http_sock, SOCK_MAGIC) : NULL;
    short want = EV_PERSIST;

    if (what == CURL_POLL_REMOVE) {
        if (s != NULL)
            sock_free(s);
        curl_multi_assign(h->multi, fd, NULL);
        return 0;
    }
    if ((what & CURL_POLL_IN) != 0)
        want |= EV_READ;
    if ((what & CURL_POLL_OUT) != 0)
        want |= EV_WRITE;
    if (s != NULL && (s->what == want || s->ev == NULL))
        return 0;
    if (s == NULL) {
        s = mem_zalloc(sizeof(*s));
        *s = (struct http_sock){.magic = SOCK_MAGIC, .http = h};
        s->ev = event_new(loop_base(h->loop), fd, want, on_socket_event, s);
        list_push_back(&h->socks, &s->node);
        curl_multi_assign(h->multi, fd, s);
    } else {
        event_del(s->ev);
        event_assign(s->ev, loop_base(h->loop), fd, want, on_socket_event, s);
    }
    s->what = want;
    if (s->ev != NULL)
        event_add(s->ev, NULL); /* when it cannot be watched the call ends at its deadline */
    return 0;
}

/* ---- libcurl's callbacks of one call: they only write down ---- */

static curl_socket_t on_curl_open(void *arg, curlsocktype purpose UNUSED,
                                  struct curl_sockaddr *a) /* curl_opensocket_callback */
{
    struct http_call *c = CAST(arg, http_call, CALL_MAGIC);
    int fd = socket(a->family, a->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->protocol);

    if (fd < 0) {
        c->sock_errno = errno;
        return CURL_SOCKET_BAD;
    }
    return fd;
}

static void tell(struct http_call *c)
{
    if (list_empty(&c->news))
        list_push_back(&c->http->news, &c->news);
}

static size_t on_curl_header(char *p, size_t size, size_t n, void *arg) /* curl_write_callback */
{
    struct http_call *c = CAST(arg, http_call, CALL_MAGIC);
    long status = 0;

    (void)size; /* always 1 */
    c->head_n += n;
    if (c->head_n > HTTP_HEAD_MAX) {
        c->head_too_big = true;
        return 0;
    }
    if (p[0] != '\r' && p[0] != '\n')
        return n;
    curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    c->head_done = status >= 200; /* else interim: another head follows */
    if (status == 200 && c->mode == HTTP_BODY_STREAM && !c->streaming) {
        c->streaming = c->head_new = true;
        tell(c);
    }
    return n;
}

static size_t on_curl_body(char *p, size_t size, size_t n, void *arg) /* curl_write_callback */
{
    struct http_call *c = CAST(arg, http_call, CALL_MAGIC);

    (void)size; /* always 1 */
    if (c->mode == HTTP_BODY_DROP) {
        c->dropped_n += n;
        c->cut = c->dropped_n > c->in_max;
        return c->cut ? 0 : n;
    }
    if (!buf_add(&c->in, p, n)) {
        c->too_big = true;
        return 0;
    }
    if (c->streaming)
        tell(c);
    return n;
}

/* ---- from codes to ends ---- */

static enum http_end end_of_connect(const struct http_call *c)
{
    if (c->sock_errno != 0)
        return HTTP_LOCAL;
    switch (c->sys_errno) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EADDRNOTAVAIL: /* no local port is left */
        return HTTP_LOCAL;
    case ETIMEDOUT:
        return HTTP_TIMEOUT;
    default:
        return HTTP_REFUSED;
    }
}

static enum http_end end_of(const struct http_call *c)
{
    if (c->too_big)
        return HTTP_TOO_BIG;
    if (c->head_too_big)
        return HTTP_BAD_ANSWER;
    switch (c->code) {
    case CURLE_OK: /* also of a connection that ended within the head */
        return c->head_done || c->connect_only ? HTTP_ANSWERED : HTTP_RESET;
    case CURLE_WRITE_ERROR:
        return c->cut ? HTTP_ANSWERED : HTTP_LOCAL;
    case CURLE_OPERATION_TIMEDOUT:
        return HTTP_TIMEOUT;
    case CURLE_COULDNT_CONNECT:
        return end_of_connect(c);
    case CURLE_RECV_ERROR: /* also of bad chunks, and then the system had no complaint */
        return c->sys_errno != 0 && c->sys_errno != EINPROGRESS ? HTTP_RESET : HTTP_BAD_ANSWER;
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_PARTIAL_FILE:
        return HTTP_RESET;
    case CURLE_OUT_OF_MEMORY:
    case CURLE_FAILED_INIT:
    case CURLE_URL_MALFORMAT:
    case CURLE_COULDNT_RESOLVE_HOST:
        return HTTP_LOCAL;
    default: /* whatever else libcurl says of what it read */
        return HTTP_BAD_ANSWER;
    }
}

static void describe(const struct http_call *c, enum http_end end, struct err *e)
{
    char text[CURL_ERROR_SIZE];

    if (c->code == CURLE_OK) {
        err_set(e, "the connection ended within the head of the answer");
        return;
    }
    if (c->sock_errno != 0) {
        errno = c->sock_errno;
        err_sys(e, "cannot make a socket");
        return;
    }
    if (c->code == CURLE_COULDNT_CONNECT && c->sys_errno != 0) {
        errno = (int)c->sys_errno;
        err_sys(e, "cannot connect");
        return;
    }
    str_quote(sv_of(c->text[0] != '\0' ? c->text : curl_easy_strerror(c->code)), text,
              sizeof(text));
    if (end == HTTP_TOO_BIG)
        err_set(e, "the answer is longer than %zu bytes", c->in_max);
    else if (c->head_too_big)
        err_set(e, "the head of the answer is longer than %d bytes", HTTP_HEAD_MAX);
    else
        err_set(e, "%s", text);
}

/* ---- life of a call ---- */

/* Easy handles are not used again: a reset one keeps the errno of its former life, which would be
 * taken for its own. */
static void easy_free(struct http_call *c)
{
    if (c->easy == NULL)
        return;
    curl_multi_remove_handle(c->http->multi, c->easy);
    curl_easy_cleanup(c->easy);
    c->easy = NULL;
}

/* Out of all lists, its easy handle gone; only its memory remains. */
static void call_detach(struct http_call *c)
{
    list_unlink(&c->node);
    list_unlink(&c->news);
    easy_free(c);
    if (c->head_timer.ev != NULL)
        timer_fini(&c->head_timer);
    c->http->calls_n--;
}

static void call_free(struct http_call *c)
{
    list_unlink(&c->node);
    buf_fini(&c->in);
    mem_free(c->body);
    curl_slist_free_all(c->own_head);
    c->magic = 0;
    mem_free(c);
}

void http_cancel(struct http_call *c)
{
    if (c == NULL || c->cancelled)
        return;
    c->cancelled = true;
    call_detach(c);
    if (c->http->delivering)
        list_push_back(&c->http->dead, &c->node); /* deliver() may hold it */
    else
        call_free(c);
}

static void call_end(struct http_call *c)
{
    struct err e = {""};
    struct http_answer a = {.body = "", .e = &e};
    curl_off_t took = 0;
    long status = 0;

    if (c->easy != NULL) {
        curl_easy_getinfo(c->easy, CURLINFO_OS_ERRNO, &c->sys_errno);
        if (c->head_n > 0)
            curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_getinfo(c->easy, CURLINFO_TOTAL_TIME_T, &took);
    }
    a.end = end_of(c);
    a.status = (int)status;
    a.took_us = took > 0 ? (uint64_t)took : 0;
    if (a.end == HTTP_ANSWERED)
        a.e = NULL;
    else
        describe(c, a.end, &e);
    if (c->mode == HTTP_BODY_KEEP || !c->streaming) {
        a.body = c->in.data != NULL ? c->in.data : "";
        a.body_n = c->in.len;
    }
    call_detach(c);
    c->done(c->arg, &a);
    call_free(c);
}

/* Tell one call's news. Afterwards the call may be gone. */
static void call_tell(struct http_call *c)
{
    if (c->head_new) {
        c->head_new = false;
        timer_clear(&c->head_timer);
        if (c->on_head != NULL)
            c->on_head(c->arg);
        if (c->cancelled)
            return;
    }
    if (c->streaming && c->in.len > 0) {
        c->on_data(c->arg, c->in.data, c->in.len);
        if (c->cancelled)
            return;
        buf_clear(&c->in);
    }
    if (c->ended)
        call_end(c);
}

static void http_fini(struct http *h);

/* All news are told here, outside of libcurl, so that the told may do what they like. */
static void deliver(struct http *h)
{
    struct list batch; /* what the told start anew, and fails at once, is told in the next turn */
    CURLMsg *m;
    int left;

    list_init(&batch);
    h->delivering = true;
    while ((m = curl_multi_info_read(h->multi, &left)) != NULL) {
        struct http_call *c;
        char *p = NULL;

        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &p);
        c = CAST(p, http_call, CALL_MAGIC);
        c->code = m->data.result;
        c->ended = true;
        tell(c);
    }
    LIST_EACH(n, &h->news)
    {
        list_unlink(n);
        list_push_back(&batch, n);
    }
    while (!list_empty(&batch)) {
        struct list *n = batch.next;

        list_unlink(n);
        call_tell(LIST_ENTRY_OF(n, struct http_call, news));
    }
    h->delivering = false;
    LIST_EACH(n, &h->dead)
    call_free(LIST_ENTRY_OF(n, struct http_call, node));
    if (h->closing)
        http_fini(h);
}

static void on_head_deadline(void *arg) /* timer */
{
    struct http_call *c = CAST(arg, http_call, CALL_MAGIC);

    c->code = CURLE_OPERATION_TIMEDOUT;
    c->ended = true;
    tell(c);
    deliver(c->http);
}

/* ---- starting ---- */

static bool target_ok(const char *s)
{
    size_t n = strlen(s);

    if (n == 0 || n > HTTP_TARGET_MAX || s[0] != '/')
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] <= ' ' || s[i] == 0x7f)
            return false;
    return true;
}

static bool host_ok(const char *s)
{
    return s[0] != '\0' &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:_") ==
               strlen(s);
}

/* Of a Host field, with brackets around an IPv6 address. */
static bool host_field_ok(const char *s)
{
    return s[0] != '\0' &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:_[]") ==
               strlen(s);
}

/* The usual header, with another Host. */
static bool make_own_head(struct http_call *c, const char *host)
{
    AUTO(mem_freep) char *line = mem_printf("Host: %s", host);
    struct curl_slist *more;

    c->own_head = curl_slist_append(NULL, "Connection: close");
    more = c->own_head != NULL ? curl_slist_append(c->own_head, line) : NULL;
    return more != NULL;
}

static bool set_request(struct http_call *c, const struct http_ask *ask)
{
    CURL *e = c->easy;

    if (ask->method == NULL) {
        c->connect_only = true;
        curl_easy_setopt(e, CURLOPT_CONNECT_ONLY, 1L);
        return true;
    }
    curl_easy_setopt(e, CURLOPT_REQUEST_TARGET, ask->target);
    curl_easy_setopt(e, CURLOPT_USERAGENT, "lbctl");
    curl_easy_setopt(e, CURLOPT_HAPROXYPROTOCOL, ask->proxy_header ? 1L : 0L);
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, ask->json != NULL ? c->http->head_json : c->http->head);
    if (ask->host_field != NULL) {
        if (!make_own_head(c, ask->host_field))
            return false;
        curl_easy_setopt(e, CURLOPT_HTTPHEADER, c->own_head);
    }
    if (strcmp(ask->method, "POST") == 0) {
        c->body = mem_strdup(ask->json != NULL ? ask->json : "");
        curl_easy_setopt(e, CURLOPT_POSTFIELDS, c->body);
        curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(c->body));
    } else if (strcmp(ask->method, "GET") != 0) {
        curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, ask->method);
    }
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_curl_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, c);
    return true;
}

static bool set_options(struct http_call *c, const struct http_ask *ask)
{
    bool v6 = ask->socket == NULL && strchr(ask->host, ':') != NULL;
    CURL *e = c->easy;
    char url[320];

    if (ask->socket != NULL)
        snprintf(url, sizeof(url), "http://localhost/");
    else
        snprintf(url, sizeof(url), v6 ? "http://[%.255s]:%u/" : "http://%.255s:%u/", ask->host,
                 ask->port);
    curl_easy_setopt(e, CURLOPT_PRIVATE, c);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, c->text);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_NOPROGRESS, 1L);
    curl_easy_setopt(e, CURLOPT_PROXY, ""); /* whatever the environment says */
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, ask->mode == HTTP_BODY_STREAM ? 1L : 0L);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_curl_open);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, c);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_curl_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, c);
    if (ask->mode != HTTP_BODY_STREAM)
        curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)(ask->timeout_ms > 0 ? ask->timeout_ms : 1));
    if (ask->socket != NULL &&
        curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, ask->socket) != CURLE_OK)
        return false;
    return set_request(c, ask) && curl_easy_setopt(e, CURLOPT_URL, url) == CURLE_OK;
}

static bool call_begin(struct http_call *c, const struct http_ask *ask)
{
    struct http *h = c->http;

    if (h->calls_n > HTTP_CALLS_MAX) {
        snprintf(c->text, sizeof(c->text), "more than %d calls at once", HTTP_CALLS_MAX);
        return false;
    }
    if ((ask->socket == NULL && !host_ok(ask->host)) ||
        (ask->host_field != NULL && (!host_field_ok(ask->host_field) || ask->json != NULL)) ||
        (ask->method != NULL && !target_ok(ask->target))) {
        snprintf(c->text, sizeof(c->text), "no usable address or target");
        return false;
    }
    c->easy = curl_easy_init();
    if (c->easy == NULL || !set_options(c, ask))
        return false;
    return curl_multi_add_handle(h->multi, c->easy) == CURLM_OK;
}

struct http_call *http_start(struct http *h, const struct http_ask *ask)
{
    struct http_call *c = mem_zalloc(sizeof(*c));

    c->magic = CALL_MAGIC;
    c->http = h;
    c->mode = ask->mode;
    c->in_max = ask->answer_max;
    c->on_head = ask->on_head;
    c->on_data = ask->on_data;
    c->done = ask->done;
    c->arg = ask->arg;
    buf_init(&c->in, ask->answer_max);
    list_init(&c->news);
    list_push_back(&h->calls, &c->node);
    h->calls_n++;
    if (c->mode == HTTP_BODY_STREAM) {
        timer_init(&c->head_timer, h->loop, on_head_deadline, c);
        timer_in(&c->head_timer, ask->timeout_ms);
    }
    if (!call_begin(c, ask)) {
        c->code = CURLE_FAILED_INIT;
        c->ended = true;
        tell(c);
        event_active(h->wake, EV_TIMEOUT, 0); /* told from the loop, not from here */
    }
    return c;
}

/* ---- the client ---- */

static void http_fini(struct http *h)
{
    LIST_EACH(n, &h->calls)
    http_cancel(LIST_ENTRY_OF(n, struct http_call, node));
    if (h->multi != NULL)
        curl_multi_cleanup(h->multi);
    LIST_EACH(n, &h->socks)
    sock_free(LIST_ENTRY_OF(n, struct http_sock, node));
    if (h->timer != NULL)
        event_free(h->timer);
    if (h->wake != NULL)
        event_free(h->wake);
    curl_slist_free_all(h->head);
    curl_slist_free_all(h->head_json);
    h->magic = 0;
    mem_free(h);
    curl_global_cleanup();
}

void http_free(struct http *h)
{
    if (h == NULL)
        return;
    LIST_EACH(n, &h->calls)
    http_cancel(LIST_ENTRY_OF(n, struct http_call, node));
    if (h->delivering)
        h->closing = true;
    else
        http_fini(h);
}

static bool make_headers(struct http *h)
{
    struct curl_slist *more;

    h->head = curl_slist_append(NULL, "Connection: close");
    h->head_json = curl_slist_append(NULL, "Connection: close");
    if (h->head == NULL || h->head_json == NULL)
        return false;
    more = curl_slist_append(h->head_json, "Content-Type: application/json");
    if (more == NULL)
        return false;
    more = curl_slist_append(h->head_json, "Expect:"); /* never wait for 100 Continue */
    return more != NULL;
}

bool http_new(struct loop *l, struct http **ret, struct err *e)
{
    struct http *h;

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_set(e, "libcurl cannot be initialised");
    h = mem_zalloc(sizeof(*h));
    h->magic = HTTP_MAGIC;
    h->loop = l;
    list_init(&h->calls);
    list_init(&h->news);
    list_init(&h->socks);
    list_init(&h->dead);
    h->multi = curl_multi_init();
    h->timer = evtimer_new(loop_base(l), on_multi_timer, h);
    h->wake = event_new(loop_base(l), -1, 0, on_wake, h);
    if (h->multi == NULL || h->timer == NULL || h->wake == NULL || !make_headers(h)) {
        http_fini(h);
        return err_set(e, "no memory for an HTTP client");
    }
    curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
    curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
    *ret = h;
    return true;
}
