#ifndef ACTS_HTTP_H
#define ACTS_HTTP_H

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "acts-service/router.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "common/ev/loop.h"

/* The HTTP shell of a service: evhttp with limits, strict where evhttp is lax (RFC 9112), CORS
 * headers on every answer. Knows nothing of routes. Runs on one loop. */
struct http;
struct http_req;

struct http_conf {
    const char *bind; /* a numeric address */
    uint16_t port;    /* 0: any free one */
    size_t max_body;  /* bytes; 413 above it */
};

/* `fn` gets every well-formed request and answers it with http_reply() exactly once, at once or
 * later. The request stays valid until then even when the client goes away. */
typedef void http_fn(void *arg, struct http_req *r);

bool http_new(struct loop *l, const struct http_conf *conf, http_fn *fn, void *arg,
              struct http **ret, struct err *e) MUST_CHECK;
uint16_t http_port(const struct http *h);
/* Accept nothing more, close idle connections, and call done(arg) when the last answer is sent. */
void http_drain(struct http *h, void (*done)(void *arg), void *arg);
bool http_is_answered(const struct http *h); /* no request is open */
void http_free(struct http *h);              /* only then */

enum method http_method(const struct http_req *r);
struct sv http_path(const struct http_req *r); /* as sent: still percent-encoded */
struct sv http_query(const struct http_req *r);
/* The body as one run of bytes that may be changed in place. False when memory is out. */
bool http_body(struct http_req *r, char **ret, size_t *ret_n) MUST_CHECK;

void http_header(struct http_req *r, const char *name, const char *value);
/* Answer and forget the request. Takes the contents of `body` (may be NULL), not the buffer. */
void http_reply(struct http_req *r, int status, struct evbuffer *body);

/* A long answer in pieces: 200, then pieces, then the end. `drained(arg)` is called when a piece
 * has left the process, and when the client is gone; a piece more may be sent then. */
void http_stream(struct http_req *r, void (*drained)(void *arg), void *arg);
void http_stream_piece(struct http_req *r, struct evbuffer *piece); /* takes the contents */
bool http_stream_gone(const struct http_req *r);
/* Ends the answer and forgets the request; not whole: the client must notice that it is cut off. */
void http_stream_end(struct http_req *r, bool whole);

#endif
