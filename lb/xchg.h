#ifndef LBCTL_LB_XCHG_H
#define LBCTL_LB_XCHG_H

#include <stdbool.h>
#include <stddef.h>

#include "lb/core/http_head.h"
#include "lb/core/xchg_state.h"

/* An exchange: one request of a client with its answer. One machine (core/xchg_state.def) from the
 * accepted head to the last byte, whoever answers: a backend, the status page behind its socket, or
 * lbd itself. It knows the client's connection as a socket with a buffer and nothing of what came
 * before or comes after. */
struct client;
struct xchg;

enum xchg_end {
    XCHG_GOES_ON,
    XCHG_KEEP, /* the client's connection is at the next request */
    XCHG_CLOSE,
    XCHG_LINGER, /* close, but read on for a while: bytes of the request may still come */
    XCHG_RESET,  /* cut: the answer is not whole */
};

size_t xchg_size(void);
struct xchg *xchg_new(struct client *c); /* NULL: out of memory */
void xchg_free(struct xchg *x);          /* at any time: the upstream is cut if it is in use */

/* The request head, from the client's buffer. */
enum http_result xchg_parse(struct xchg *x, const char *buf, size_t n);
/* The head is complete (or bad): begin. */
void xchg_begin(struct xchg *x, bool bad);
/* The head did not come in time. */
void xchg_head_late(struct xchg *x);
/* Get as far as possible. */
enum xchg_end xchg_run(struct xchg *x);

bool xchg_has_request(const struct xchg *x); /* all of the request has come */
void xchg_client_gone(struct xchg *x);
void xchg_client_late(struct xchg *x);
bool xchg_wants_look(struct xchg *x); /* the client's clock did not mean that it is late */

void xchg_upstream_event(struct xchg *x);
void xchg_upstream_expired(struct xchg *x);

#endif
