#include <string.h>

#include "lb/core/http_edit.h"
#include "lb/xchg-internal.h"

static const char *reason_of(unsigned status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 408:
        return "Request Timeout";
    case 414:
        return "URI Too Long";
    case 431:
        return "Request Header Fields Too Large";
    case 501:
        return "Not Implemented";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Error";
    }
}

/* Does the connection go on after an answer of ours? Only where the next request is sure to begin.
 */
static bool may_keep(const struct xchg *x, enum xchg_cause cause)
{
    return cause != XC_BAD_REQUEST && cause != XC_CLIENT_TIMEOUT &&
           x->req.framing == HTTP_NO_BODY && http_head_persistent(&x->req) && !x->w->stopping;
}

/* An answer of our own: text, and `extra` header lines (each with its CRLF). */
void xchg_own_answer(struct xchg *x, unsigned status, enum xchg_cause cause, const char *text,
                     const char *extra)
{
    struct http_out o = {.p = x->w->scratch, .cap = WORKER_SCRATCH};
    size_t n = strlen(text);

    if (x->interim) { /* a part of another head is on its way */
        xchg_fail(x, cause);
        return;
    }
    xchg_drop_upstream(x, false);
    if (x->service != NULL && status >= 502 && status <= 504)
        cell_add(&x->service->cells[x->w->id].errors, 1);
    x->cause = cause;
    x->close = !may_keep(x, cause);
    http_out_adds(&o, "HTTP/1.1 ");
    http_out_addu(&o, status);
    http_out_adds(&o, " ");
    http_out_adds(&o, reason_of(status));
    http_out_adds(&o, "\r\nDate: ");
    http_out_adds(&o, worker_date(x->w)); /* RFC 9110 6.6.1 */
    http_out_adds(&o, "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ");
    http_out_addu(&o, n > 0 ? n + 1 : 0);
    http_out_adds(&o, "\r\n");
    http_out_adds(&o, extra);
    if (x->close)
        http_out_adds(&o, "Connection: close\r\n");
    else if (x->req.minor == 0)
        http_out_adds(&o, "Connection: keep-alive\r\n");
    http_out_adds(&o, "\r\n");
    if (n > 0 && x->req.method != HTTP_HEAD) {
        http_out_add(&o, text, n);
        http_out_adds(&o, "\n");
    }
    flow_fini(&x->down);
    xchg_down_init(x, &x->c->s, HTTP_NO_BODY, HTTP_NO_BODY, 0);
    xchg_log_answer(x, status);
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

void xchg_own_unavailable(struct xchg *x, enum xchg_cause cause, const char *text)
{
    struct http_out o;
    char extra[48];

    o = (struct http_out){.p = extra, .cap = sizeof(extra) - 1};
    http_out_adds(&o, "Retry-After: ");
    http_out_addu(&o, x->ws != NULL ? x->ws->ts->retry_after_s : 1);
    http_out_adds(&o, "\r\n");
    extra[o.n] = '\0';
    xchg_own_answer(x, 503, cause, text, extra);
}
