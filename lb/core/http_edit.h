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

struct http_peer {
    struct sv address; /* of the client, as text */
    bool trusted;   /* its X-Forwarded-* and Forwarded are believed and continued, else replaced */
    bool forwarded; /* write Forwarded (RFC 7239) too */
    struct sv request_id; /* X-Request-Id is replaced by it; n == 0: it is left alone */
};

/* The request for a backend. `fallback_host` is for HTTP/1.0 clients that sent none. */
void http_edit_request(struct http_out *o, const struct http_head *h, const char *buf,
                       const struct http_peer *peer, struct sv fallback_host);

/* How the body of an answer goes on to a client of HTTP/1.client_minor. */
enum http_framing http_edit_framing(const struct http_head *h, unsigned client_minor);

/* The answer for a client. close: we close the connection behind it. */
void http_edit_response(struct http_out *o, const struct http_head *h, const char *buf,
                        unsigned client_minor, enum http_framing out, bool close);

#endif
