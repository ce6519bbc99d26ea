#include "lb/core/http_head.h"

#include <strings.h>

#include "lb/core/http_char.h"

enum { PHASE_START, PHASE_FIELDS, PHASE_DONE };
enum { EMPTY_LINES_MAX = 4, LENGTH_DIGITS_MAX = 18 };

static const struct {
    struct sv name;
    enum http_field_rule rule[2];
} fields_known[HTTP_F_COUNT] = {
#define KEEP HTTP_KEEP
#define HOP HTTP_HOP
#define OURS HTTP_OURS
#define FIELD(sym, text, req, resp) [HTTP_F_##sym] = {{text, sizeof(text) - 1}, {req, resp}},
#include "lb/core/http_field.def"
#undef FIELD
#undef KEEP
#undef HOP
#undef OURS
};

/* The first row with a name of that length: http_field.def is ordered by length. */
static const uint8_t first_of_length[] = {
    [2] = HTTP_F_TE,
    [4] = HTTP_F_HOST,
    [6] = HTTP_F_EXPECT,
    [7] = HTTP_F_TRAILER,
    [9] = HTTP_F_FORWARDED,
    [10] = HTTP_F_CONNECTION,
    [12] = HTTP_F_X_REQUEST_ID,
    [14] = HTTP_F_CONTENT_LENGTH,
    [15] = HTTP_F_X_FORWARDED_FOR,
    [16] = HTTP_F_X_FORWARDED_HOST,
    [17] = HTTP_F_X_FORWARDED_PROTO,
    [18] = HTTP_F_X_FORWARDED_PREFIX,
};

static const struct {
    uint16_t status;
    const char *text;
} faults[HTTP_FAULT_COUNT] = {
#define FAULT(sym, status, text) [HTTP_FAULT_##sym] = {status, text},
#include "lb/core/http_fault.def"
#undef FAULT
};

static const struct {
    struct sv name;
    enum http_method id;
    bool idempotent;
} methods[] = {
    {{"GET", 3}, HTTP_GET, true},          {{"POST", 4}, HTTP_POST, false},
    {{"PUT", 3}, HTTP_PUT, true},          {{"DELETE", 6}, HTTP_DELETE, true},
    {{"HEAD", 4}, HTTP_HEAD, true},        {{"OPTIONS", 7}, HTTP_OPTIONS, true},
    {{"CONNECT", 7}, HTTP_CONNECT, false}, {{"TRACE", 5}, HTTP_TRACE, true},
};

unsigned http_fault_status(enum http_fault f)
{
    return faults[f].status;
}

const char *http_fault_text(enum http_fault f)
{
    return faults[f].text;
}

enum http_field_rule http_field_rule(enum http_field_id id, bool response)
{
    return fields_known[id].rule[response];
}

bool http_method_idempotent(enum http_method m)
{
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        if (methods[i].id == m)
            return methods[i].idempotent;
    }
    return false;
}

bool http_method_safe(enum http_method m)
{
    return m == HTTP_GET || m == HTTP_HEAD || m == HTTP_OPTIONS || m == HTTP_TRACE;
}

static void head_init(struct http_head *h)
{
    /* The field array is written before it is read: clearing it would cost more than the parsing.
     */
    memset(h, 0, offsetof(struct http_head, fields));
    h->te_n = h->cl_n = h->host_n = 0;
    h->te_chunked = h->connection_upgrade = h->connection_names = false;
}

void http_request_init(struct http_head *h)
{
    head_init(h);
}

void http_response_init(struct http_head *h, bool answers_head)
{
    head_init(h);
    h->response = true;
    h->head_request = answers_head;
}

static enum http_result bad(struct http_head *h, enum http_fault f)
{
    h->fault = f;
    return HTTP_BAD;
}

static struct http_span span(size_t at, size_t n)
{
    return (struct http_span){(uint16_t)at, (uint16_t)n};
}

/* `name` is in lower case and consists of letters and '-', `p` of token characters: then setting
 * bit 5 maps no other character onto one of name's. */
static bool name_is(const char *p, struct sv name)
{
    for (size_t i = 0; i < name.n; i++) {
        if ((p[i] | 0x20) != name.p[i])
            return false;
    }
    return true;
}

static enum http_field_id field_find(const char *p, size_t n)
{
    unsigned id = n < sizeof(first_of_length) ? first_of_length[n] : 0;

    if (id == 0)
        return HTTP_F_OTHER;
    for (; id < HTTP_F_COUNT && fields_known[id].name.n == n; id++) {
        if (name_is(p, fields_known[id].name))
            return (enum http_field_id)id;
    }
    return HTTP_F_OTHER;
}

/* Sixteen bytes at a time, by the compiler's vectors: most of a head is values. */
typedef uint8_t bytes16 __attribute__((vector_size(16)));

static bool any_of(bytes16 flags)
{
    uint64_t w[2];

    memcpy(w, &flags, sizeof(w));
    return (w[0] | w[1]) != 0;
}

static bool value16_ok(const char *p)
{
    bytes16 v;

    memcpy(&v, p, sizeof(v));
    return !any_of((bytes16)(((v < 0x20) & (v != '\t')) | (v == 0x7f)));
}

static bool target16_ok(const char *p)
{
    bytes16 v;

    memcpy(&v, p, sizeof(v));
    return !any_of((bytes16)((v <= 0x20) | (v >= 0x7f) | (v == '#')));
}

static bool all_are(const char *p, size_t n, unsigned classes)
{
    for (size_t i = 0; i < n; i++) {
        if (!http_is(p[i], classes))
            return false;
    }
    return true;
}

/* The last sixteen may overlap those before them. */
static inline bool all_are_by_16(const char *p, size_t n, bool (*ok)(const char *p),
                                 unsigned classes)
{
    if (n < 16)
        return all_are(p, n, classes);
    for (size_t i = 0; i + 16 < n; i += 16) {
        if (!ok(p + i))
            return false;
    }
    return ok(p + n - 16);
}

/* RFC 9110 5.5: no NUL, CR, LF or other control byte. */
static bool value_ok(const char *p, size_t n)
{
    return all_are_by_16(p, n, value16_ok, HTTP_VALUE);
}

static bool target_ok(const char *p, size_t n)
{
    return all_are_by_16(p, n, target16_ok, HTTP_TARGET);
}

/* Of a token in a line, whose end is none of its bytes. */
static size_t token_length(const char *p)
{
    const char *end = p;

    while (http_is(*end, HTTP_TCHAR))
        end++;
    return (size_t)(end - p);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* RFC 3986 3.2.2, 3.2.3, as far as it matters to routing and logs: uri-host [":" port]. */
static bool host_ok(const char *p, size_t n)
{
    size_t i = n;

    if (!all_are(p, n, HTTP_HOSTC))
        return false;
    while (i > 0 && is_digit(p[i - 1]))
        i--;
    if (i > 0 && p[i - 1] == ':') /* a port, or the end of an IPv6 address without brackets */
        n = i - 1;
    if (n > 0 && p[0] == '[')
        return p[n - 1] == ']' && memchr(p + 1, '[', n - 1) == NULL;
    return memchr(p, ':', n) == NULL && memchr(p, '[', n) == NULL && memchr(p, ']', n) == NULL;
}

/* A path that climbs ("/../", or "/.." at its end) could reach, in a backend that resolves it, what
 * this route does not cover. Encoded dots (%2e%2e) are names to us and pass: only the route's own
 * service can see them. */
static bool climbs(const char *p, size_t n)
{
    for (size_t i = 0; i + 3 <= n; i++) {
        const char *slash = memchr(p + i, '/', n - i);

        if (slash == NULL)
            return false;
        i = (size_t)(slash - p);
        if (i + 3 <= n && p[i + 1] == '.' && p[i + 2] == '.' && (i + 3 == n || p[i + 3] == '/'))
            return true;
    }
    return false;
}

/* RFC 9112 3.2: origin-form, absolute-form, asterisk-form. [at, end) is the target. */
static enum http_fault parse_target(struct http_head *h, const char *buf, size_t at, size_t end)
{
    const char *query;

    if (at == end || !target_ok(buf + at, end - at))
        return HTTP_FAULT_TARGET;
    if (h->method == HTTP_CONNECT)
        return HTTP_FAULT_CONNECT;
    if (buf[at] == '*') {
        if (end - at != 1 || h->method != HTTP_OPTIONS)
            return HTTP_FAULT_TARGET_FORM;
    } else if (buf[at] != '/') { /* RFC 9112 3.2.2 */
        size_t host;

        if (end - at > 7 && strncasecmp(buf + at, "http://", 7) == 0)
            host = at + 7;
        else if (end - at > 8 && strncasecmp(buf + at, "https://", 8) == 0)
            host = at + 8;
        else
            return HTTP_FAULT_TARGET_FORM;
        at = host;
        while (at < end && buf[at] != '/' && buf[at] != '?')
            at++;
        h->authority = span(host, at - host);
        if (at == host || !host_ok(buf + host, at - host))
            return HTTP_FAULT_TARGET_FORM;
    }
    h->target = span(at, end - at);
    query = memchr(buf + at, '?', end - at);
    h->path = span(at, query != NULL ? (size_t)(query - (buf + at)) : end - at);
    return climbs(buf + at, h->path.n) ? HTTP_FAULT_DOT_SEGMENT : HTTP_FAULT_NONE;
}

/* RFC 9112 2.3: "HTTP/" DIGIT "." DIGIT. */
static enum http_fault parse_version(struct http_head *h, const char *p, size_t n,
                                     enum http_fault malformed)
{
    if (n != 8 || memcmp(p, "HTTP/", 5) != 0 || !is_digit(p[5]) || p[6] != '.' || !is_digit(p[7]))
        return malformed;
    if (p[5] != '1' || p[7] > '1')
        return HTTP_FAULT_VERSION;
    h->minor = (uint8_t)(p[7] - '0');
    return HTTP_FAULT_NONE;
}

/* RFC 9112 3: method SP request-target SP HTTP-version; exactly one space each. */
static enum http_fault parse_request_line(struct http_head *h, const char *buf, size_t end)
{
    size_t at = h->line, n;
    const char *sp;
    enum http_fault f;

    n = token_length(buf + at);
    if (n == 0 || buf[at + n] != ' ')
        return HTTP_FAULT_REQUEST_LINE;
    if (n > HTTP_METHOD_MAX)
        return HTTP_FAULT_METHOD_TOO_LONG;
    h->method_span = span(at, n);
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        if (methods[i].name.n == n && memcmp(methods[i].name.p, buf + at, n) == 0) {
            h->method = methods[i].id;
            break;
        }
    }
    at += n + 1;
    sp = memchr(buf + at, ' ', end - at);
    if (sp == NULL)
        return HTTP_FAULT_REQUEST_LINE;
    n = (size_t)(sp - (buf + at));
    f = parse_version(h, sp + 1, end - at - n - 1, HTTP_FAULT_REQUEST_LINE);
    if (f != HTTP_FAULT_NONE)
        return f;
    return parse_target(h, buf, at, at + n);
}

/* RFC 9112 4: HTTP-version SP 3DIGIT SP [reason]. The second blank is often missing; that is
 * harmless. */
static enum http_fault parse_status_line(struct http_head *h, const char *buf, size_t end)
{
    size_t at = h->line;
    const char *p = buf + at;

    if (end - at < 12 || p[8] != ' ' || !is_digit(p[9]) || !is_digit(p[10]) || !is_digit(p[11]) ||
        p[9] == '0' || (end - at > 12 && p[12] != ' '))
        return HTTP_FAULT_STATUS_LINE;
    h->status = (uint16_t)((p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0'));
    at += end - at > 12 ? 13 : 12;
    if (!value_ok(buf + at, end - at))
        return HTTP_FAULT_STATUS_LINE;
    h->reason = span(at, end - at);
    return parse_version(h, p, 8, HTTP_FAULT_STATUS_LINE);
}

/* RFC 9112 6.2, 6.3: digits only, no list, no sign, and one such field. */
static enum http_fault parse_length(struct http_head *h, const char *p, size_t n)
{
    uint64_t v = 0;

    if (h->cl_n++ > 0 || n == 0 || n > LENGTH_DIGITS_MAX)
        return HTTP_FAULT_LENGTH;
    for (size_t i = 0; i < n; i++) {
        if (!is_digit(p[i]))
            return HTTP_FAULT_LENGTH;
        v = v * 10 + (unsigned)(p[i] - '0');
    }
    h->length = v;
    h->has_length = true;
    return HTTP_FAULT_NONE;
}

/* The next element of a comma-separated list of tokens (RFC 9110 5.6.1); empty ones are skipped. */
static bool list_next(struct sv *rest, struct sv *ret)
{
    while (rest->n > 0) {
        const char *comma = memchr(rest->p, ',', rest->n);
        size_t n = comma != NULL ? (size_t)(comma - rest->p) : rest->n;
        struct sv word = {rest->p, n};

        rest->p += comma != NULL ? n + 1 : n;
        rest->n -= comma != NULL ? n + 1 : n;
        while (word.n > 0 && (word.p[0] == ' ' || word.p[0] == '\t')) {
            word.p++;
            word.n--;
        }
        while (word.n > 0 && (word.p[word.n - 1] == ' ' || word.p[word.n - 1] == '\t'))
            word.n--;
        if (word.n > 0) {
            *ret = word;
            return true;
        }
    }
    return false;
}

/* RFC 9110 7.6.1 */
static enum http_fault parse_connection(struct http_head *h, const char *p, size_t n)
{
    struct sv rest = {p, n}, word;
    unsigned count = 0;

    while (list_next(&rest, &word)) {
        if (++count > HTTP_CONNECTION_OPTIONS_MAX || !all_are(word.p, word.n, HTTP_TCHAR))
            return HTTP_FAULT_CONNECTION;
        if (sv_ieq(word, "close"))
            h->close = true;
        else if (sv_ieq(word, "keep-alive"))
            h->keep_alive = true;
        else if (sv_ieq(word, "upgrade"))
            h->connection_upgrade = true;
        else
            h->connection_names = true;
    }
    return HTTP_FAULT_NONE;
}

static enum http_fault take_field(struct http_head *h, const char *buf, const struct http_field *f)
{
    const char *p = buf + f->value.at;
    size_t n = f->value.n;

    switch (f->id) {
    case HTTP_F_HOST:
        /* RFC 9112 3.2: a second one, or an invalid value, is answered with 400. */
        if (h->response)
            break;
        if (h->host_n++ > 0 || !host_ok(p, n))
            return HTTP_FAULT_HOST;
        h->host = f->value;
        h->has_host = true;
        break;
    case HTTP_F_CONTENT_LENGTH:
        return parse_length(h, p, n);
    case HTTP_F_TRANSFER_ENCODING:
        /* RFC 9112 6.1: codings we do not undo would be passed on undone; a second "chunked" is an
         * error. */
        if (h->te_n++ > 0 || !sv_ieq((struct sv){p, n}, "chunked"))
            return HTTP_FAULT_CODING;
        h->te_chunked = true;
        break;
    case HTTP_F_CONNECTION:
        return parse_connection(h, p, n);
    case HTTP_F_UPGRADE:
        h->upgrade_to = f->value;
        break;
    case HTTP_F_EXPECT:
        h->expect_continue = sv_ieq((struct sv){p, n}, "100-continue");
        break;
    default:
        break;
    }
    return HTTP_FAULT_NONE;
}

/* RFC 9112 5: field-name ":" OWS field-value OWS; no blank before the colon (5.1), no folding
 * (5.2). */
static enum http_fault parse_field(struct http_head *h, const char *buf, size_t end)
{
    size_t at = h->line, n;
    struct http_field *f;

    if (buf[at] == ' ' || buf[at] == '\t')
        return HTTP_FAULT_FOLD;
    if (h->fields_n == HTTP_FIELDS_MAX)
        return HTTP_FAULT_TOO_MANY_FIELDS;
    n = token_length(buf + at);
    if (n == 0 || buf[at + n] != ':')
        return HTTP_FAULT_FIELD_NAME;
    f = &h->fields[h->fields_n++];
    f->name = span(at, n);
    f->id = (uint8_t)field_find(buf + at, n);
    f->hop = false;
    at += n + 1;
    while (at < end && (buf[at] == ' ' || buf[at] == '\t'))
        at++;
    while (end > at && (buf[end - 1] == ' ' || buf[end - 1] == '\t'))
        end--;
    if (!value_ok(buf + at, end - at))
        return HTTP_FAULT_FIELD_VALUE;
    f->value = span(at, end - at);
    return f->id != HTTP_F_OTHER ? take_field(h, buf, f) : HTTP_FAULT_NONE;
}

/* RFC 9110 7.6.1: fields named in Connection end here. */
static void mark_named(struct http_head *h, const char *buf)
{
    for (unsigned i = 0; i < h->fields_n; i++) {
        struct sv rest = http_sv(buf, h->fields[i].value), word;

        if (h->fields[i].id != HTTP_F_CONNECTION)
            continue;
        while (list_next(&rest, &word)) {
            for (unsigned k = 0; k < h->fields_n; k++) {
                struct http_field *f = &h->fields[k];

                if (f->name.n == word.n && strncasecmp(buf + f->name.at, word.p, word.n) == 0)
                    f->hop = true;
            }
        }
    }
}

/* RFC 9113 3.1 has taken "h2c" back; a tunnel of HTTP/2 requests would pass by all routes and
 * counts. */
static bool names_h2c(struct sv value)
{
    struct sv word;

    while (list_next(&value, &word)) {
        if (word.n >= 3 && strncasecmp(word.p, "h2c", 3) == 0)
            return true;
    }
    return false;
}

/* RFC 9112 6.3, in its order. */
static enum http_fault finish(struct http_head *h, const char *buf)
{
    if (h->te_n > 0 && h->minor == 0)
        return HTTP_FAULT_CODING_1_0;
    if (h->te_n > 0 && h->cl_n > 0)
        return HTTP_FAULT_LENGTH_AND_CODING;
    if (h->response && (h->head_request || h->status < 200 || h->status == 204 || h->status == 304))
        h->framing = HTTP_NO_BODY;
    else if (h->te_n > 0)
        h->framing = HTTP_CHUNKED;
    else if (h->cl_n > 0)
        h->framing = h->length > 0 ? HTTP_LENGTH : HTTP_NO_BODY;
    else
        h->framing = h->response ? HTTP_UNTIL_CLOSE : HTTP_NO_BODY;
    if (!h->response) {
        if (!h->has_host && h->minor > 0)
            return HTTP_FAULT_HOST;
        if (h->has_host && h->authority.n > 0 &&
            (h->host.n != h->authority.n ||
             strncasecmp(buf + h->host.at, buf + h->authority.at, h->host.n) != 0))
            return HTTP_FAULT_HOST_DIFFERS;
        /* RFC 9110 10.1.1: from a 1.0 client it means nothing; and without a body neither. */
        h->expect_continue = h->expect_continue && h->minor > 0;
    }
    h->upgrade = h->connection_upgrade && h->upgrade_to.n > 0 && h->minor > 0 &&
                 !names_h2c(http_sv(buf, h->upgrade_to));
    if (h->connection_names)
        mark_named(h, buf);
    return HTTP_FAULT_NONE;
}

/* One line without its CRLF, [h->line, end). */
static enum http_result take_line(struct http_head *h, const char *buf, size_t end)
{
    enum http_fault f;

    if (h->phase == PHASE_START) {
        if (end == h->line) { /* RFC 9112 2.2: empty lines before a request are ignored */
            if (h->response || ++h->crlfs > EMPTY_LINES_MAX)
                return bad(h, h->response ? HTTP_FAULT_STATUS_LINE : HTTP_FAULT_EMPTY_LINES);
            h->first_checked = false;
            return HTTP_MORE;
        }
        h->phase = PHASE_FIELDS;
        f = h->response ? parse_status_line(h, buf, end) : parse_request_line(h, buf, end);
        return f == HTTP_FAULT_NONE ? HTTP_MORE : bad(h, f);
    }
    if (end == h->line) {
        h->phase = PHASE_DONE;
        f = finish(h, buf);
        return f == HTTP_FAULT_NONE ? HTTP_DONE : bad(h, f);
    }
    f = parse_field(h, buf, end);
    return f == HTTP_FAULT_NONE ? HTTP_MORE : bad(h, f);
}

/* What cannot become a head is refused at its first bytes: a TLS hello or other noise need not have
 * a line end. */
static bool first_bytes_ok(const struct http_head *h, const char *buf, size_t n)
{
    size_t have = n - h->line;

    if (h->response)
        return memcmp(buf, "HTTP/1.", have < 7 ? have : 7) == 0;
    return http_is(buf[h->line], HTTP_TCHAR) || buf[h->line] == '\r' || buf[h->line] == '\n';
}

enum http_result http_head_parse(struct http_head *h, const char *buf, size_t n)
{
    bool over = n > HTTP_HEAD_MAX;

    if (over)
        n = HTTP_HEAD_MAX;
    for (;;) {
        const char *nl = h->scan < n ? memchr(buf + h->scan, '\n', n - h->scan) : NULL;
        enum http_result r;
        size_t end;
        bool cr;

        if (!h->first_checked && n > h->line) {
            if (!first_bytes_ok(h, buf, n))
                return bad(h, h->response ? HTTP_FAULT_STATUS_LINE : HTTP_FAULT_REQUEST_LINE);
            h->first_checked = !h->response || n - h->line >= 7;
        }
        if (nl == NULL) {
            h->scan = (uint16_t)n;
            if (over || n == HTTP_HEAD_MAX)
                return bad(h, h->phase == PHASE_START && !h->response ? HTTP_FAULT_TARGET_TOO_LONG
                                                                      : HTTP_FAULT_HEAD_TOO_LONG);
            return HTTP_MORE;
        }
        end = (size_t)(nl - buf);
        /* RFC 9112 2.2: a bare LF may be taken for a line end; who takes it and who does not can be
         * set against each other, so we do not, unless the operator says so. */
        cr = end > h->line && buf[end - 1] == '\r';
        if (!cr && !h->lf_ok)
            return bad(h, HTTP_FAULT_BARE_LF);
        r = take_line(h, buf, end - cr);
        h->line = h->scan = (uint16_t)(end + 1);
        if (r == HTTP_MORE)
            continue;
        if (r == HTTP_DONE)
            h->len = h->line;
        return r;
    }
}

bool http_head_persistent(const struct http_head *h)
{
    if (h->close)
        return false;
    return h->minor > 0 || h->keep_alive;
}
