#ifndef LBCTL_CTL_HTTP_H
#define LBCTL_CTL_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/ev/loop.h"

/* An HTTP/1.1 client on the loop: libcurl's multi interface, fed by libevent. Unix sockets and TCP.
 * Everything is asynchronous, has a deadline and a bounded answer; no proxies, no redirects, no
 * connection is used twice (a connection that died unnoticed can so never be mistaken for an
 * answer, and nothing is ever sent a second time).
 *
 * All callbacks run on the loop's thread, from the loop, never from within a function of this
 * module and never from within libcurl: they may start and cancel calls and free the client. */
struct http;
struct http_call;

enum {
    HTTP_CALLS_MAX = 8192,      /* at once; what is above ends HTTP_LOCAL */
    HTTP_HEAD_MAX = 64 * 1024,  /* bytes of an answer's head */
    HTTP_TARGET_MAX = 8 * 1024, /* bytes of a request's target */
};

enum http_end {
    HTTP_ANSWERED,   /* an answer of any status, whole; a mere connect: connected */
    HTTP_REFUSED,    /* nobody listens, or no way leads there: nothing was sent */
    HTTP_RESET,      /* connected, then closed before the answer was whole */
    HTTP_TIMEOUT,    /* the deadline passed */
    HTTP_BAD_ANSWER, /* not HTTP, or a head that is too long */
    HTTP_TOO_BIG,    /* more body than answer_max */
    HTTP_LOCAL, /* our own trouble: no descriptors, no memory, a bad request. Nothing was sent */
};
const char *http_end_name(enum http_end end);

/* Valid during the callback only. */
struct http_answer {
    enum http_end end;
    int status;       /* 0: no head came, or a mere connect */
    const char *body; /* NUL-terminated; "" when dropped or streamed */
    size_t body_n;
    uint64_t took_us;
    const struct err *e; /* NULL when HTTP_ANSWERED */
};

typedef void http_done_fn(void *arg, const struct http_answer *a);
typedef void http_head_fn(void *arg);
typedef void http_data_fn(void *arg, const char *p, size_t n);

enum http_body {
    HTTP_BODY_KEEP,   /* collect up to answer_max and hand it over at the end */
    HTTP_BODY_DROP,   /* read up to answer_max, keep nothing; more than that ends the call, answered
                       */
    HTTP_BODY_STREAM, /* hand it to on_data as it comes; at most answer_max in one go; HTTP errors
                         as KEEP */
};

/* What to ask. Everything is borrowed during http_start() only. */
struct http_ask {
    const char *method; /* "GET", "POST", "DELETE"; NULL: only connect */
    const char *socket; /* path of a Unix socket; NULL: TCP to host:port */
    const char *host;   /* address or name; IPv6 without brackets */
    uint16_t port;
    const char *host_field; /* value of Host; NULL: the address. Not together with json */
    const char *target;     /* origin form, encoded: "/a/b?c=d" */
    bool proxy_header;      /* begin with a PROXY header, version 1, of this connection */
    const char *json;       /* request body; NULL: none */
    uint64_t timeout_ms;    /* the whole call; for streams only until the head is there */
    size_t answer_max;
    enum http_body mode;
    http_head_fn *on_head; /* streams with status 200 only; may be NULL */
    http_data_fn *on_data; /* streams with status 200 only */
    http_done_fn *done;    /* exactly once unless cancelled */
    void *arg;
};

bool http_new(struct loop *l, struct http **ret, struct err *e) MUST_CHECK;
void http_free(struct http *h); /* running calls are dropped without done */
/* Start a call. Never fails here: failures come through done. The call belongs to h and lives until
 * done returns. */
struct http_call *http_start(struct http *h, const struct http_ask *ask);
void http_cancel(struct http_call *c); /* no done; c is gone */

#endif
