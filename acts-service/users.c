#include "acts-service/users.h"

#include <event2/buffer.h>
#include <event2/dns.h>
#include <event2/http.h>

#include "acts-service/body.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
    CHECK_MAGIC = MAGIC('u', 's', 'e', 'r'),
    LIST_MAX = 64 << 20, /* bytes of the list of users */
    HTTP_PORT = 80,
    OPEN_MAX = 64, /* questions at a time; each has a connection */
};

struct users {
    struct loop *loop;
    struct evdns_base *dns;
    char *host, *path, *origin, *authority;
    uint16_t port;
    uint64_t timeout_ms;
    unsigned open;
};

struct check {
    uint32_t magic;
    struct users *users;
    struct evhttp_connection *conn;
    struct timer deadline;
    struct loop_later later;
    enum users_answer answer;
    bool answered;
    struct sv name;
    users_done_fn *done;
    void *arg;
};

static void
on_check_over(struct loop_later *self) /* end of turn: evhttp no longer uses the connection */
{
    struct check *c = CONTAINER_OF(self, struct check, later);
    users_done_fn *done = c->done;
    void *arg = c->arg;
    enum users_answer answer = c->answer;

    if (c->conn != NULL)
        evhttp_connection_free(c->conn);
    timer_fini(&c->deadline);
    c->users->open--;
    c->magic = 0;
    mem_free(c);
    done(arg, answer);
}

static void finish(struct check *c, enum users_answer answer, const char *why)
{
    if (c->answered)
        return;
    c->answered = true;
    c->answer = answer;
    if (answer == USERS_AWAY)
        log_warn("users cannot be asked", "host=%s reason=\"%s\"", c->users->host, why);
    loop_later(c->users->loop, &c->later, on_check_over);
}

static void on_check_late(void *arg) /* timer */
{
    finish(CAST(arg, check, CHECK_MAGIC), USERS_AWAY, "no answer in time");
}

static void on_check_answer(struct evhttp_request *req, void *arg) /* evhttp request callback */
{
    struct check *c = CAST(arg, check, CHECK_MAGIC);
    int code = req != NULL ? evhttp_request_get_response_code(req) : 0;
    struct evbuffer *b;
    struct err e;
    bool found;
    char *text;

    if (c->answered) /* freed with its connection */
        return;
    if (code == 204) {
        finish(c, USERS_UNKNOWN, NULL);
        return;
    }
    if (code != 200) {
        finish(c, USERS_AWAY, code == 0 ? "no answer" : "the answer is neither 200 nor 204");
        return;
    }
    b = evhttp_request_get_input_buffer(req);
    text = (char *)evbuffer_pullup(b, -1);
    if (text == NULL || !body_has_name(text, evbuffer_get_length(b), c->name, &found, &e))
        finish(c, USERS_AWAY, "the answer is no list of users");
    else
        finish(c, found ? USERS_KNOWN : USERS_UNKNOWN, NULL);
}

static bool ask(struct check *c)
{
    struct users *u = c->users;
    struct evhttp_request *req;
    struct evkeyvalq *out;

    c->conn = evhttp_connection_base_new(loop_base(u->loop), u->dns, u->host, u->port);
    if (c->conn == NULL)
        return false;
    evhttp_connection_set_max_body_size(c->conn, LIST_MAX);
    req = evhttp_request_new(on_check_answer, c);
    if (req == NULL)
        return false;
    out = evhttp_request_get_output_headers(req);
    evhttp_add_header(out, "Host", u->authority);
    evhttp_add_header(out, "Origin", u->origin);
    evhttp_add_header(out, "Accept", "application/json");
    evhttp_add_header(out, "Connection", "close");
    return evhttp_make_request(c->conn, req, EVHTTP_REQ_GET, u->path) ==
           0; /* it frees req on failure */
}

bool users_ask(struct users *u, struct sv name, users_done_fn *done, void *arg)
{
    struct check *c = mem_try_alloc(sizeof(*c));

    if (c == NULL)
        return false;
    *c = (struct check){.magic = CHECK_MAGIC, .users = u, .name = name, .done = done, .arg = arg};
    list_init(&c->later.node);
    if (!timer_try_init(&c->deadline, u->loop, on_check_late, c)) {
        mem_free(c);
        return false;
    }
    timer_in(&c->deadline, u->timeout_ms);
    if (++u->open > OPEN_MAX)
        finish(c, USERS_AWAY, "too many questions are open");
    else if (!ask(c))
        finish(c, USERS_AWAY, "out of memory");
    return true;
}

static bool parse_url(struct users *u, const char *url, struct err *e)
{
    struct evhttp_uri *uri = evhttp_uri_parse(url);
    const char *scheme = uri != NULL ? evhttp_uri_get_scheme(uri) : NULL;
    const char *host = uri != NULL ? evhttp_uri_get_host(uri) : NULL;
    const char *path = uri != NULL ? evhttp_uri_get_path(uri) : NULL;
    int port = uri != NULL ? evhttp_uri_get_port(uri) : 0;
    bool ok = scheme != NULL && strcmp(scheme, "http") == 0 && host != NULL && *host != '\0' &&
              port != 0 && evhttp_uri_get_query(uri) == NULL &&
              evhttp_uri_get_userinfo(uri) == NULL;

    if (ok) {
        u->host = mem_strdup(host);
        u->port = port > 0 ? (uint16_t)port : HTTP_PORT;
        u->path = mem_strdup(
            path == NULL || *path == '\0' || strcmp(path, "/") == 0 ? "/api/v1/users" : path);
        u->authority = u->port == HTTP_PORT ? mem_strdup(host) : mem_printf("%s:%u", host, u->port);
    }
    if (uri != NULL)
        evhttp_uri_free(uri);
    return ok || err_set(e, "'%s' is not of the form http://host[:port][/path]", url);
}

bool users_check_url(const char *url, struct err *e)
{
    struct users *u = mem_zalloc(sizeof(*u));
    bool ok = parse_url(u, url, e);

    users_free(u);
    return ok;
}

bool users_new(struct loop *l, const char *url, const char *origin, uint64_t timeout_ms,
               struct users **ret, struct err *e)
{
    struct users *u = mem_zalloc(sizeof(*u));

    *u = (struct users){.loop = l, .timeout_ms = timeout_ms, .origin = mem_strdup(origin)};
    if (!parse_url(u, url, e)) {
        users_free(u);
        return false;
    }
    u->dns = evdns_base_new(loop_base(l), EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    if (u->dns == NULL) {
        users_free(u);
        return err_set(e, "no memory for the resolver");
    }
    (void)evdns_base_resolv_conf_parse(u->dns, DNS_OPTIONS_ALL, "/etc/resolv.conf");
    (void)evdns_base_set_option(u->dns, "randomize-case:", "0");
    (void)evdns_base_set_option(u->dns, "max-timeouts:", "255");
    *ret = u;
    return true;
}

void users_free(struct users *u)
{
    if (u == NULL)
        return;
    if (u->dns != NULL)
        evdns_base_free(u->dns, 0);
    mem_free(u->host);
    mem_free(u->path);
    mem_free(u->origin);
    mem_free(u->authority);
    mem_free(u);
}
