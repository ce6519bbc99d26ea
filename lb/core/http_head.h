#ifndef LBCTL_LB_CORE_HTTP_HEAD_H
#define LBCTL_LB_CORE_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/str.h"

/* Heads of HTTP/1.1 messages (RFC 9112), strict, incremental, without allocation. Pure.
 *
 * The head lies in one contiguous buffer that only grows while it is parsed; results are offsets
 * from its first byte, so the buffer may move. Every byte is looked at once, however the head is
 * cut. */
enum {
    HTTP_HEAD_MAX = 32 << 10,
    HTTP_FIELDS_MAX = 100,
    HTTP_METHOD_MAX = 64,
    HTTP_CONNECTION_OPTIONS_MAX = 16,
};

enum http_field_id {
    HTTP_F_OTHER,
#define FIELD(sym, name, req, resp) HTTP_F_##sym,
#include "lb/core/http_field.def"
#undef FIELD
    HTTP_F_COUNT
};

enum http_field_rule { HTTP_KEEP, HTTP_HOP, HTTP_OURS };

/* What becomes of a field on its way through. */
enum http_field_rule http_field_rule(enum http_field_id id, bool response);

struct http_span {
    uint16_t at, n;
};

struct http_field {
    struct http_span name, value; /* value without blanks around it */
    uint8_t id;                   /* enum http_field_id */
    bool hop;                     /* named in Connection */
};

enum http_method {
    HTTP_OTHER,
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_OPTIONS,
    HTTP_TRACE,
    HTTP_CONNECT
};

/* How the end of a body is found (RFC 9112 6.3). */
enum http_framing { HTTP_NO_BODY, HTTP_LENGTH, HTTP_CHUNKED, HTTP_UNTIL_CLOSE };

enum http_result { HTTP_MORE, HTTP_DONE, HTTP_BAD };

/* A rule of the codec that a message broke. The rows are http_fault.def. */
enum http_fault {
#define FAULT(sym, status, text) HTTP_FAULT_##sym,
#include "lb/core/http_fault.def"
#undef FAULT
    HTTP_FAULT_COUNT
};
unsigned http_fault_status(enum http_fault f); /* what the client of a bad request is told */
const char *http_fault_text(enum http_fault f);

struct http_head {
    /* parser */
    bool response;
    bool lf_ok;        /* after init: a bare LF ends a line too (RFC 9112 2.2) */
    bool trailers;     /* set by the owner: they are passed on, and Trailer with them */
    bool head_request; /* response: it answers HEAD, so it has no body */
    uint8_t phase;
    bool first_checked;
    uint16_t line; /* where the current line begins */
    uint16_t scan; /* where the search for its end goes on */
    uint8_t crlfs; /* empty lines before a request line */
    /* results, valid after HTTP_DONE */
    enum http_fault fault; /* after HTTP_BAD */
    uint16_t len;          /* bytes of the head, the empty line included */
    uint8_t minor;         /* HTTP/1.minor */
    /* request */
    enum http_method method;
    struct http_span method_span;
    struct http_span target;    /* origin form ("/..."), or "*" */
    struct http_span path;      /* of it, before '?' */
    struct http_span authority; /* of an absolute-form target; n == 0: origin form */
    struct http_span host;      /* value of Host; has_host tells an empty one from none */
    bool has_host;
    bool expect_continue;
    /* response */
    uint16_t status;
    struct http_span reason;
    /* both */
    enum http_framing framing;
    uint64_t length; /* HTTP_LENGTH; or what a bodiless response announces (has_length) */
    bool has_length;
    bool close;      /* Connection: close */
    bool keep_alive; /* Connection: keep-alive */
    bool upgrade;    /* Connection: upgrade, and an Upgrade field */
    struct http_span upgrade_to;
    uint16_t fields_n;
    struct http_field fields[HTTP_FIELDS_MAX];
    /* private between lines */
    uint8_t te_n, cl_n, host_n;
    bool te_chunked;
    bool connection_upgrade, connection_names;
};

void http_request_init(struct http_head *h);
void http_response_init(struct http_head *h, bool answers_head);

/* Go on with buf[0..n), the bytes of the head so far (and perhaps more behind it). */
enum http_result http_head_parse(struct http_head *h, const char *buf, size_t n);

static inline struct sv http_sv(const char *buf, struct http_span s)
{
    return (struct sv){buf + s.at, s.n};
}

/* Does a connection stay open after this message (RFC 9112 9.3)? */
bool http_head_persistent(const struct http_head *h);

/* Safe to repeat when nothing was answered (RFC 9110 9.2.2). */
bool http_method_idempotent(enum http_method m);
/* Asks for nothing to be changed (RFC 9110 9.2.1). */
bool http_method_safe(enum http_method m);

#endif
