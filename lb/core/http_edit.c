#include "lb/core/http_edit.h"

#include <strings.h>

void http_out_add(struct http_out *o, const char *p, size_t n)
{
    if (n > o->cap - o->n) {
        o->over = true;
        return;
    }
    memcpy(o->p + o->n, p, n);
    o->n += n;
}

void http_out_adds(struct http_out *o, const char *s)
{
    http_out_add(o, s, strlen(s));
}

void http_out_addu(struct http_out *o, uint64_t v)
{
    char digits[20];
    size_t i = sizeof(digits);

    do
        digits[--i] = (char)('0' + v % 10);
    while ((v /= 10) > 0);
    http_out_add(o, digits + i, sizeof(digits) - i);
}

#define ADD(o, literal) http_out_add((o), (literal), sizeof(literal) - 1)

static void add_span(struct http_out *o, const char *buf, struct http_span s)
{
    http_out_add(o, buf + s.at, s.n);
}

static void add_field(struct http_out *o, const char *buf, const struct http_field *f)
{
    /* One bounds check for the whole line: this is the inner loop of the proxy. */
    size_t n = (size_t)f->name.n + f->value.n + 4;
    char *p;

    if (n > o->cap - o->n) {
        o->over = true;
        return;
    }
    p = o->p + o->n;
    memcpy(p, buf + f->name.at, f->name.n);
    p += f->name.n;
    *p++ = ':';
    *p++ = ' ';
    memcpy(p, buf + f->value.at, f->value.n);
    p += f->value.n;
    *p++ = '\r';
    *p++ = '\n';
    o->n += n;
}

bool http_edits_drop(const struct http_edits *e, struct sv name)
{
    for (size_t i = 0; e != NULL && i < e->n; i++) {
        if (e->v[i].op != HTTP_EDIT_ADD && e->v[i].name.n == name.n &&
            strncasecmp(e->v[i].name.p, name.p, name.n) == 0)
            return true;
    }
    return false;
}

void http_edits_add(struct http_out *o, const struct http_edits *e)
{
    for (size_t i = 0; e != NULL && i < e->n; i++) {
        if (e->v[i].op == HTTP_EDIT_REMOVE)
            continue;
        http_out_add(o, e->v[i].name.p, e->v[i].name.n);
        ADD(o, ": ");
        http_out_add(o, e->v[i].value.p, e->v[i].value.n);
        ADD(o, "\r\n");
    }
}

/* A field of our own goes out unless the route says otherwise. */
#define WRITES(e, literal)                                                                         \
    ((e) == NULL || !http_edits_drop((e), (struct sv){(literal), sizeof(literal) - 1}))

static const struct http_field *find(const struct http_head *h, enum http_field_id id)
{
    for (unsigned i = 0; i < h->fields_n; i++) {
        if (h->fields[i].id == id)
            return &h->fields[i];
    }
    return NULL;
}

/* Who asked for what, told to the backend (the de-facto X-Forwarded-* fields). An untrusted
 * client's own claims are dropped, a trusted one's are continued. */
static void add_forwarded_for(struct http_out *o, const struct http_head *h, const char *buf,
                              const struct http_peer *peer)
{
    ADD(o, "X-Forwarded-For: ");
    for (unsigned i = 0; peer->trusted && i < h->fields_n; i++) {
        if (h->fields[i].id == HTTP_F_X_FORWARDED_FOR && h->fields[i].value.n > 0) {
            add_span(o, buf, h->fields[i].value);
            ADD(o, ", ");
        }
    }
    http_out_add(o, peer->address.p, peer->address.n);
    ADD(o, "\r\n");
}

static bool cuts_prefix(const struct http_request_edit *edit)
{
    return edit != NULL && edit->cut && edit->rewrite.n == 0 && edit->prefix.n > 0;
}

/* What of its path the backend does not see: a trusted proxy's part, then ours. */
static void add_forwarded_prefix(struct http_out *o, const struct http_head *h, const char *buf,
                                 const struct http_peer *peer, struct sv prefix)
{
    const struct http_field *f = peer->trusted ? find(h, HTTP_F_X_FORWARDED_PREFIX) : NULL;

    ADD(o, "X-Forwarded-Prefix: ");
    if (f != NULL)
        add_span(o, buf, f->value);
    http_out_add(o, prefix.p, prefix.n);
    ADD(o, "\r\n");
}

static void add_forwarded(struct http_out *o, const struct http_head *h, const char *buf,
                          const struct http_peer *peer, const struct http_request_edit *edit)
{
    const struct http_edits *e = edit != NULL ? &edit->fields : NULL;
    const struct http_field *f;

    if (WRITES(e, "x-forwarded-for"))
        add_forwarded_for(o, h, buf, peer);
    if (WRITES(e, "x-forwarded-proto")) {
        f = peer->trusted ? find(h, HTTP_F_X_FORWARDED_PROTO) : NULL;
        ADD(o, "X-Forwarded-Proto: ");
        if (f != NULL && f->value.n > 0)
            add_span(o, buf, f->value);
        else
            ADD(o, "http");
        ADD(o, "\r\n");
    }
    if (WRITES(e, "x-forwarded-host")) {
        f = peer->trusted ? find(h, HTTP_F_X_FORWARDED_HOST) : NULL;
        if (f != NULL) {
            add_field(o, buf, f);
        } else if (h->host.n > 0 || h->authority.n > 0) {
            ADD(o, "X-Forwarded-Host: ");
            add_span(o, buf, h->host.n > 0 ? h->host : h->authority);
            ADD(o, "\r\n");
        }
    }
    if (cuts_prefix(edit) && WRITES(e, "x-forwarded-prefix"))
        add_forwarded_prefix(o, h, buf, peer, edit->prefix);
}

/* RFC 7239 4: a value that is no token is a quoted string. */
static void add_quoted(struct http_out *o, struct sv s)
{
    ADD(o, "\"");
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\')
            ADD(o, "\\");
        http_out_add(o, s.p + i, 1);
    }
    ADD(o, "\"");
}

/* Forwarded (RFC 7239) with our own element at the end. */
static void add_rfc7239(struct http_out *o, const struct http_head *h, const char *buf,
                        const struct http_peer *peer)
{
    bool v6 = memchr(peer->address.p, ':', peer->address.n) != NULL;

    ADD(o, "Forwarded: ");
    for (unsigned i = 0; peer->trusted && i < h->fields_n; i++) {
        if (h->fields[i].id == HTTP_F_FORWARDED && h->fields[i].value.n > 0) {
            add_span(o, buf, h->fields[i].value);
            ADD(o, ", ");
        }
    }
    http_out_adds(o, v6 ? "for=\"[" : "for=");
    http_out_add(o, peer->address.p, peer->address.n);
    http_out_adds(o, v6 ? "]\";proto=http" : ";proto=http");
    if (h->host.n > 0 || h->authority.n > 0) {
        ADD(o, ";host=");
        add_quoted(o, http_sv(buf, h->host.n > 0 ? h->host : h->authority));
    }
    ADD(o, "\r\n");
}

static void add_host(struct http_out *o, const struct http_head *h, const char *buf,
                     struct sv fallback)
{
    ADD(o, "Host: ");
    if (h->has_host)
        add_span(o, buf, h->host);
    else if (h->authority.n > 0)
        add_span(o, buf, h->authority);
    else
        http_out_add(o, fallback.p, fallback.n);
    ADD(o, "\r\n");
}

static bool keeps(const struct http_head *h, const struct http_field *f,
                  const struct http_peer *peer, const struct http_request_edit *edit)
{
    switch (f->id) {
    case HTTP_F_X_FORWARDED_PREFIX:
        return peer->trusted && !cuts_prefix(edit) && !f->hop;
    case HTTP_F_FORWARDED:
        return peer->trusted && !peer->forwarded && !f->hop;
    case HTTP_F_X_FORWARDED_PORT:
        return peer->trusted && !f->hop;
    case HTTP_F_X_REQUEST_ID:
        return peer->request_id.n == 0 && !f->hop;
    case HTTP_F_TRAILER:
        return peer->trailers && h->framing == HTTP_CHUNKED && !f->hop;
    case HTTP_F_EXPECT:
        return h->minor > 0 && !f->hop;
    default:
        return !f->hop && http_field_rule((enum http_field_id)f->id, false) == HTTP_KEEP;
    }
}

static void add_upgrade(struct http_out *o, const struct http_head *h, const char *buf)
{
    ADD(o, "Connection: upgrade\r\nUpgrade: ");
    add_span(o, buf, h->upgrade_to);
    ADD(o, "\r\n");
}

/* RFC 9112 3.2.1: to an origin server in origin form; an absolute URI may end before its path. */
static void add_target(struct http_out *o, const struct http_head *h, const char *buf,
                       const struct http_request_edit *edit)
{
    struct sv target = http_sv(buf, h->target);

    if (edit != NULL && edit->cut && h->path.n >= edit->prefix.n) {
        struct sv rest = {target.p + edit->prefix.n, h->path.n - edit->prefix.n};

        /* What begins with "//" after the cut could be taken for a host. */
        while (rest.n > 1 && rest.p[1] == '/')
            rest = (struct sv){rest.p + 1, rest.n - 1};
        http_out_add(o, edit->rewrite.p, edit->rewrite.n);
        if (edit->rewrite.n == 0 && rest.n == 0)
            ADD(o, "/");
        target = (struct sv){rest.p, target.n - (size_t)(rest.p - target.p)};
    } else if (target.n == 0 || target.p[0] == '?') {
        ADD(o, "/");
    }
    http_out_add(o, target.p, target.n);
}

/* RFC 9110 10.1.4: TE says whether trailer fields of the answer may be sent. */
static bool takes_trailers(const struct http_head *h, const char *buf)
{
    for (unsigned i = 0; i < h->fields_n; i++) {
        if (h->fields[i].id == HTTP_F_TE && sv_ieq(http_sv(buf, h->fields[i].value), "trailers"))
            return h->minor > 0;
    }
    return false;
}

void http_edit_request(struct http_out *o, const struct http_head *h, const char *buf,
                       const struct http_peer *peer, struct sv fallback_host,
                       const struct http_request_edit *edit)
{
    const struct http_edits *e = edit != NULL ? &edit->fields : NULL;

    add_span(o, buf, h->method_span);
    ADD(o, " ");
    add_target(o, h, buf, edit);
    ADD(o, " HTTP/1.1\r\n");
    if (WRITES(e, "host"))
        add_host(o, h, buf, fallback_host);
    for (unsigned i = 0; i < h->fields_n; i++) {
        const struct http_field *f = &h->fields[i];

        if (keeps(h, f, peer, edit) && (e == NULL || !http_edits_drop(e, http_sv(buf, f->name))))
            add_field(o, buf, f);
    }
    if (h->framing == HTTP_CHUNKED) {
        ADD(o, "Transfer-Encoding: chunked\r\n");
    } else if (h->has_length) {
        ADD(o, "Content-Length: ");
        http_out_addu(o, h->length);
        ADD(o, "\r\n");
    }
    if (h->upgrade)
        add_upgrade(o, h, buf);
    if (peer->trailers && takes_trailers(h, buf))
        ADD(o, "Connection: TE\r\nTE: trailers\r\n");
    add_forwarded(o, h, buf, peer, edit);
    if (peer->forwarded && WRITES(e, "forwarded"))
        add_rfc7239(o, h, buf, peer);
    if (peer->request_id.n > 0 && WRITES(e, "x-request-id")) {
        ADD(o, "X-Request-Id: ");
        http_out_add(o, peer->request_id.p, peer->request_id.n);
        ADD(o, "\r\n");
    }
    http_edits_add(o, e);
    /* RFC 9110 7.6.3 */
    if (h->minor > 0)
        ADD(o, "Via: 1.1 lbctl\r\n\r\n");
    else
        ADD(o, "Via: 1.0 lbctl\r\n\r\n");
}

enum http_framing http_edit_framing(const struct http_head *h, unsigned client_minor)
{
    if (h->framing != HTTP_CHUNKED && h->framing != HTTP_UNTIL_CLOSE)
        return h->framing;
    /* Without a length: chunks, so that a cut answer is not taken for a whole one; HTTP/1.0 has
     * none. */
    return client_minor > 0 ? HTTP_CHUNKED : HTTP_UNTIL_CLOSE;
}

void http_edit_response(struct http_out *o, const struct http_head *h, const char *buf,
                        unsigned client_minor, enum http_framing out, bool close,
                        const struct http_edits *edits)
{
    char line[] = "HTTP/1.1 000 ";

    line[9] = (char)('0' + h->status / 100);
    line[10] = (char)('0' + h->status / 10 % 10);
    line[11] = (char)('0' + h->status % 10);
    http_out_add(o, line, sizeof(line) - 1);
    add_span(o, buf, h->reason);
    ADD(o, "\r\n");
    if (h->status < 200)
        edits = NULL;
    for (unsigned i = 0; i < h->fields_n; i++) {
        const struct http_field *f = &h->fields[i];

        if (!f->hop &&
            (http_field_rule((enum http_field_id)f->id, true) == HTTP_KEEP ||
             (f->id == HTTP_F_TRAILER && h->trailers && out == HTTP_CHUNKED)) &&
            (edits == NULL || !http_edits_drop(edits, http_sv(buf, f->name))))
            add_field(o, buf, f);
    }
    http_edits_add(o, edits);
    if (h->status < 200) { /* interim: no framing, and it says nothing about the connection */
        if (h->status == 101)
            add_upgrade(o, h, buf);
        ADD(o, "\r\n");
        return;
    }
    if (out == HTTP_CHUNKED) {
        ADD(o, "Transfer-Encoding: chunked\r\n");
    } else if (h->has_length && h->status != 204) { /* RFC 9110 8.6: none with 204 */
        ADD(o, "Content-Length: ");
        http_out_addu(o, h->length);
        ADD(o, "\r\n");
    }
    if (h->status == 426 && h->upgrade_to.n > 0) /* RFC 9110 15.5.22: to what */
        add_upgrade(o, h, buf);
    if (close)
        ADD(o, "Connection: close\r\n");
    else if (client_minor == 0)
        ADD(o, "Connection: keep-alive\r\n");
    ADD(o, "\r\n");
}
