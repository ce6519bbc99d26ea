#include "lb/site.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/ev/loop.h"
#include "common/ev/mailbox.h"
#include "lb/static.h"

/* Clients' clocks are the front's; this one only ends what the front has forgotten. */
enum { PAGE_MAX = 256 << 10, HEAD_MAX = 96 << 10, BODY_MAX = 4096, TIMEOUT_S = 600 };

struct site {
    pthread_t thread;
    struct loop *loop;
    struct mailbox *mailbox;
    struct evhttp *http;
    struct table *table; /* counted, or NULL; the site's own thread */
    struct statics *statics;
    char *path;
    int fd;
};

static void answer_page(struct site *s, struct evhttp_request *req)
{
    struct evkeyvalq *out = evhttp_request_get_output_headers(req);
    struct evbuffer *body = evbuffer_new();
    struct buf page;

    buf_init(&page, PAGE_MAX);
    if (body == NULL || !site_render(s->table, &page) ||
        evbuffer_add(body, page.data, page.len) < 0) {
        evhttp_send_error(req, HTTP_INTERNAL, NULL);
    } else {
        evhttp_add_header(out, "Content-Type", "text/html; charset=utf-8");
        evhttp_add_header(out, "Cache-Control", "no-store");
        evhttp_add_header(out, "X-Content-Type-Options", "nosniff");
        evhttp_add_header(out, "Content-Security-Policy",
                          "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
        evhttp_send_reply(req, HTTP_OK, NULL, body);
    }
    if (body != NULL)
        evbuffer_free(body);
    buf_fini(&page);
}

/* The same search as the front's, in the same table: that is posted here first. */
static void on_request(struct evhttp_request *req, void *arg) /* evhttp callback; site */
{
    struct site *s = arg;
    const char *target = evhttp_request_get_uri(req);
    struct sv path = {target, strcspn(target, "?")};
    const struct table *t = s->table;
    const char *host = evhttp_find_header(evhttp_request_get_input_headers(req), "Host");
    const struct route *r =
        t != NULL ? route_find(t->routes, t->routes_n, route_host(sv_of(host)), path) : NULL;

    if (r != NULL && t->services[r->service].dir != NULL)
        static_answer(s->statics, req, t->services[r->service].dir,
                      (struct sv){path.p + r->prefix.n, path.n - r->prefix.n}, target);
    else if (r == NULL && sv_eq(path, "/"))
        answer_page(s, req);
    else /* the route has left the table while the request was on its way */
        static_answer_text(req, 404, "404 Not Found");
}

static void *site_main(void *arg)
{
    struct site *s = arg;
    struct err e;

    loop_block_signals();
    pthread_setname_np(pthread_self(), "lbd-site");
    if (!loop_run(s->loop, &e))
        log_error("status page failed", "reason=\"%s\"", e.msg);
    return NULL;
}

static bool listen_unix(struct site *s, struct err *e)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    if (strlen(s->path) >= sizeof(un.sun_path))
        return err_set(e, "socket path '%s' is too long; choose a shorter run_dir", s->path);
    memcpy(un.sun_path, s->path, strlen(s->path) + 1);
    s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0)
        return err_sys(e, "make a socket");
    unlink(s->path); /* of a dead process: the state directory's lock keeps living ones apart */
    if (bind(s->fd, (struct sockaddr *)&un, sizeof(un)) < 0 || listen(s->fd, SOMAXCONN) < 0)
        return err_sys(e, "listen on '%s'", s->path);
    return true;
}

static void site_free(struct site *s)
{
    if (s->http != NULL)
        evhttp_free(s->http); /* closes the listener */
    else if (s->fd >= 0)
        close(s->fd);
    if (s->mailbox != NULL)
        mailbox_free(s->mailbox);
    loop_free(s->loop);
    table_unref(s->table);
    statics_free(s->statics); /* after the connections, which count in it */
    unlink(s->path);
    mem_free(s->path);
    mem_free(s);
}

static bool setup(struct site *s, struct err *e)
{
    if (!listen_unix(s, e) || !loop_new(&s->loop, e) || !mailbox_new(s->loop, s, &s->mailbox, e))
        return false;
    s->http = evhttp_new(loop_base(s->loop));
    if (s->http == NULL)
        return err_set(e, "no memory for the status page's server");
    evhttp_set_max_headers_size(s->http, HEAD_MAX);
    evhttp_set_max_body_size(s->http, BODY_MAX);
    evhttp_set_timeout(s->http, TIMEOUT_S);
    evhttp_set_allowed_methods(s->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
    evhttp_set_gencb(s->http, on_request, s);
    if (evhttp_accept_socket_with_handle(s->http, s->fd) == NULL)
        return err_set(e, "the status page's server cannot listen");
    return true;
}

bool site_start(const char *sock_path, struct site **ret, struct err *e)
{
    struct site *s = mem_zalloc(sizeof(*s));
    int err;

    s->statics = statics_new();
    s->path = mem_strdup(sock_path);
    s->fd = -1;
    if (!setup(s, e)) {
        site_free(s);
        return false;
    }
    err = pthread_create(&s->thread, NULL, site_main, s);
    if (err != 0) {
        errno = err;
        err_sys(e, "start the status page's thread");
        site_free(s);
        return false;
    }
    *ret = s;
    return true;
}

struct site_letter {
    struct letter letter;
    struct table *table; /* NULL: stop */
};

static void drop_letter(struct letter *l) /* letter */
{
    struct site_letter *sl = CONTAINER_OF(l, struct site_letter, letter);

    table_unref(sl->table);
    mem_free(sl);
}

static void open_letter(struct letter *l, void *owner) /* letter; site */
{
    struct site_letter *sl = CONTAINER_OF(l, struct site_letter, letter);
    struct site *s = owner;

    if (sl->table == NULL) {
        loop_stop(s->loop);
    } else {
        table_unref(s->table);
        s->table = table_ref(sl->table);
    }
    drop_letter(l);
}

static void post(struct site *s, struct table *t)
{
    struct site_letter *sl = mem_zalloc(sizeof(*sl));

    sl->letter.open = open_letter;
    sl->letter.drop = drop_letter;
    sl->table = t != NULL ? table_ref(t) : NULL;
    mailbox_post(s->mailbox, &sl->letter);
}

void site_set_table(struct site *s, struct table *t)
{
    post(s, t);
}

void site_stop(struct site *s)
{
    if (s == NULL)
        return;
    post(s, NULL);
    pthread_join(s->thread, NULL);
    site_free(s);
}
