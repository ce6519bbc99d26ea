#include <string.h>

#include "lb/core/http_edit.h"
#include "lb/xchg-internal.h"

static const char *reason_of(unsigned status)
{
    static const struct {
        unsigned status;
        const char *text;
    } reasons[] = {
        {200, "OK"},
        {204, "No Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {410, "Gone"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {451, "Unavailable For Legal Reasons"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };

    for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
        if (reasons[i].status == status)
            return reasons[i].text;
    }
    return ""; /* RFC 9112 4: a reason is for people and may be empty */
}

/* Does the connection go on after an answer of ours? Only where the next request is sure to begin.
 */
static bool may_keep(const struct xchg *x, enum xchg_cause cause)
{
    return cause != XC_BAD_REQUEST && cause != XC_CLIENT_TIMEOUT && cause != XC_CLIENT_LIMIT &&
           x->req.framing == HTTP_NO_BODY && http_head_persistent(&x->req) && !x->w->stopping;
}

struct own {
    unsigned status;
    enum xchg_cause cause;
    struct sv type, body;
    bool line; /* a line end goes behind the body */
    struct sv extra;
};

static void put_sv(struct http_out *o, struct sv s)
{
    if (s.n > 0) /* p may be NULL */
        http_out_add(o, s.p, s.n);
}

static void compose(struct xchg *x, struct http_out *o, const struct own *a)
{
    const struct http_edits *edits = x->route != NULL ? x->route->answer_edits : NULL;
    bool bodiless = a->status == 204 || a->status == 304; /* RFC 9110 8.6: no length with 204 */

    http_out_adds(o, "HTTP/1.1 ");
    http_out_addu(o, a->status);
    http_out_adds(o, " ");
    http_out_adds(o, reason_of(a->status));
    http_out_adds(o, "\r\n");
    if (!http_edits_drop(edits, sv_of("date"))) {
        http_out_adds(o, "Date: ");
        http_out_adds(o, worker_date(x->w)); /* RFC 9110 6.6.1 */
        http_out_adds(o, "\r\n");
    }
    if (!bodiless && !http_edits_drop(edits, sv_of("content-type"))) {
        http_out_adds(o, "Content-Type: ");
        put_sv(o, a->type);
        http_out_adds(o, "\r\n");
    }
    if (!bodiless) {
        http_out_adds(o, "Content-Length: ");
        http_out_addu(o, a->body.n + a->line);
        http_out_adds(o, "\r\n");
    }
    put_sv(o, a->extra);
    http_edits_add(o, edits);
    if (x->close)
        http_out_adds(o, "Connection: close\r\n");
    else if (x->req.minor == 0)
        http_out_adds(o, "Connection: keep-alive\r\n");
    http_out_adds(o, "\r\n");
    if (bodiless || x->req.method == HTTP_HEAD)
        return;
    put_sv(o, a->body);
    if (a->line)
        http_out_adds(o, "\n");
}

static void answer(struct xchg *x, const struct own *a)
{
    struct http_out o = {.p = x->w->scratch, .cap = WORKER_LARGE};

    if (x->interim) { /* a part of another head is on its way */
        xchg_fail(x, a->cause);
        return;
    }
    xchg_wait_leave(x);
    xchg_drop_upstream(x, false);
    if (x->service != NULL && a->status >= 502 && a->status <= 504 && a->cause != XC_OWN &&
        a->cause != XC_MAINTENANCE)
        cell_add(&x->service->cells[x->w->id].errors, 1);
    x->cause = a->cause;
    x->close = !may_keep(x, a->cause);
    compose(x, &o, a);
    flow_fini(&x->down);
    xchg_down_init(x, &x->c->s, HTTP_NO_BODY, HTTP_NO_BODY, 0);
    xchg_log_answer(x, a->status);
    flow_head(&x->down, o.p, o.n);
    xchg_enter(x, XS_ANSWER);
    /* The composed head is borrowed from the scratch area: it goes to the socket, or is copied,
     * now. */
    switch (flow_pump(&x->down)) {
    case FLOW_DST_ERR:
        xchg_fail(x, XC_CLIENT_GONE);
        break;
    case FLOW_NO_MEMORY:
        xchg_fail(x, XC_LOCAL);
        break;
    default:
        break;
    }
}

static struct own from_page(const struct table_page *page, unsigned status, enum xchg_cause cause)
{
    return (struct own){
        .status = status, .cause = cause, .type = sv_of(page->type), .body = {page->body, page->n}};
}

static struct own from_text(const char *text, unsigned status, enum xchg_cause cause)
{
    return (struct own){.status = status,
                        .cause = cause,
                        .type = sv_of("text/plain; charset=utf-8"),
                        .body = sv_of(text),
                        .line = text[0] != '\0'};
}

void xchg_own_answer(struct xchg *x, unsigned status, enum xchg_cause cause, const char *text,
                     const char *extra)
{
    const struct table_service *home = xchg_home(x);
    const struct table_page *page = home != NULL ? table_page(home, status) : NULL;
    struct own a = page != NULL ? from_page(page, status, cause) : from_text(text, status, cause);

    a.extra = sv_of(extra);
    answer(x, &a);
}

/* "Retry-After: N" into a buffer for `extra`. */
enum { RETRY_AFTER_MAX = 48 };
static void retry_after(char buf[RETRY_AFTER_MAX], uint64_t seconds)
{
    struct http_out o = {.p = buf, .cap = RETRY_AFTER_MAX - 1};

    http_out_adds(&o, "Retry-After: ");
    http_out_addu(&o, seconds);
    http_out_adds(&o, "\r\n");
    buf[o.n] = '\0';
}

static void answer_later(struct xchg *x, unsigned status, enum xchg_cause cause, const char *text,
                         uint64_t seconds)
{
    char extra[RETRY_AFTER_MAX];

    retry_after(extra, seconds);
    xchg_own_answer(x, status, cause, text, extra);
}

void xchg_own_limited(struct xchg *x, enum xchg_cause cause, const char *text, uint64_t wait_us)
{
    if (x->service != NULL)
        cell_add(&x->service->cells[x->w->id].limited, 1);
    answer_later(x, 429, cause, text, wait_us / 1000000 + (wait_us % 1000000 != 0));
}

void xchg_own_unavailable(struct xchg *x, enum xchg_cause cause, const char *text)
{
    const struct table_service *ts = x->ws != NULL ? x->ws->ts : NULL;

    /* How long a start takes tells nothing of how long others will take. */
    answer_later(x, 503, cause, text, ts != NULL && ts->backends_n == 0 ? ts->retry_after_s : 1);
}

/* ---- what routes answer themselves ---- */

static void answer_maintenance(struct xchg *x, const struct table_service *ts)
{
    char extra[RETRY_AFTER_MAX];
    struct own a;

    retry_after(extra, ts->maintenance_retry_s);
    if (ts->maintenance_page.body == NULL) {
        xchg_own_answer(x, 503, XC_MAINTENANCE, "503 under maintenance", extra);
        return;
    }
    a = from_page(&ts->maintenance_page, 503, XC_MAINTENANCE);
    a.extra = sv_of(extra);
    answer(x, &a);
}

static void answer_redirect(struct xchg *x, struct sv path)
{
    /* Behind the room for the head. */
    struct http_out o = {.p = x->w->scratch + WORKER_LARGE, .cap = WORKER_SCRATCH - WORKER_LARGE};
    struct sv target = http_sv(xchg_request_buf(x), x->req.target), query = {"", 0};
    const char *mark = target.n > 0 ? memchr(target.p, '?', target.n) : NULL;
    struct own a = from_text("", x->route->redirect.status, XC_OWN);

    if (mark != NULL)
        query = (struct sv){mark + 1, target.n - (size_t)(mark + 1 - target.p)};
    http_out_adds(&o, "Location: ");
    route_location(&o, x->route, path, query);
    http_out_adds(&o, "\r\n");
    if (o.over) {
        xchg_own_answer(x, 414, XC_BAD_REQUEST, "414 request target is too long", "");
        return;
    }
    a.extra = (struct sv){o.p, o.n};
    answer(x, &a);
}

bool xchg_own_by_route(struct xchg *x, struct sv path)
{
    const struct route *r = x->route;
    const struct table_service *ts = x->ws->ts;

    if (ts->maintenance) {
        answer_maintenance(x, ts);
        return true;
    }
    if (r->redirect.to.n > 0) {
        answer_redirect(x, path);
        return true;
    }
    if (r->respond.status != 0) {
        struct own a = {.status = r->respond.status,
                        .cause = XC_OWN,
                        .type = r->respond.type,
                        .body = r->respond.body};

        answer(x, &a);
        return true;
    }
    return false;
}
