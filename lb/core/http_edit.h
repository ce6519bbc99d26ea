#ifndef LBCTL_LB_CORE_HTTP_EDIT_H
#define LBCTL_LB_CORE_HTTP_EDIT_H

#include <stdbool.h>
#include <stddef.h>

#include "lb/core/http_head.h"

/* Heads as they leave: rebuilt from the parsed parts of the head that came, never copied whole.
 * Pure. */
struct http_out {
    char *p;
    size_t n, cap;
    bool over; /* cap was not enough; the rest is missing */
};
void http_out_add(struct http_out *o, const char *p, size_t n);
void http_out_adds(struct http_out *o, const char *s);
void http_out_addu(struct http_out *o, uint64_t v);

/* What a route does to the fields of a message. Names are compared without case; framing and
 * connection fields are never among them (http_text_may_edit()). */
enum http_edit_op { HTTP_EDIT_ADD, HTTP_EDIT_SET, HTTP_EDIT_REMOVE };
struct http_edit {
    enum http_edit_op op;
    struct sv name, value;
};
struct http_edits {
    const struct http_edit *v;
    size_t n;
};
/* Is this field set or removed, so that what came with the message goes? e: may be NULL. */
bool http_edits_drop(const struct http_edits *e, struct sv name);
/* The lines that are added and set. e: may be NULL. */
void http_edits_add(struct http_out *o, const struct http_edits *e);

/* What a route does to a request. cut: the first prefix.n bytes of the path make way for `rewrite`
 * ("" or a path without a slash at its end); a backend is told of it in X-Forwarded-Prefix when
 * there is no rewrite. */
struct http_request_edit {
    struct http_edits fields;
    bool cut;
    struct sv prefix, rewrite;
};

struct http_peer {
    struct sv address; /* of the client, as text */
    bool trusted;   /* its X-Forwarded-* and Forwarded are believed and continued, else replaced */
    bool trailers;  /* trailer fields are passed on */
    bool forwarded; /* write Forwarded (RFC 7239) too */
    struct sv request_id; /* X-Request-Id is replaced by it; n == 0: it is left alone */
};

/* The request for a backend. `fallback_host` is for HTTP/1.0 clients that sent none. edit: NULL:
 * none. */
void http_edit_request(struct http_out *o, const struct http_head *h, const char *buf,
                       const struct http_peer *peer, struct sv fallback_host,
                       const struct http_request_edit *edit);

/* How the body of an answer goes on to a client of HTTP/1.client_minor. */
enum http_framing http_edit_framing(const struct http_head *h, unsigned client_minor);

/* The answer for a client. close: we close the connection behind it. edits: NULL: none; an interim
 * answer gets none. */
void http_edit_response(struct http_out *o, const struct http_head *h, const char *buf,
                        unsigned client_minor, enum http_framing out, bool close,
                        const struct http_edits *edits);

#endif
