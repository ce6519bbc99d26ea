#ifndef ACTS_PEER_H
#define ACTS_PEER_H

#include <event2/bufferevent.h>
#include <event2/http.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/ev/loop.h"

/* Guards the connections of an evhttp server, which by itself has idle timeouts only: a total
 * deadline for the head and for the whole exchange, a maximum of connections (the longest idle one,
 * or else the slowest head, makes room; without either the listener pauses), a maximum of buffered
 * bytes over all of them. Puts the CORS header into evhttp's own refusals. Runs on the server's
 * loop. */
struct peers;
struct peer;

struct peers_conf {
    size_t head_max;      /* bytes of a head; more gets 431 */
    uint64_t head_ms;     /* first byte to the end of the head */
    uint64_t exchange_ms; /* first byte to the end of the response */
    unsigned max;         /* connections */
    size_t max_unread;    /* bytes one connection may have waiting */
    size_t max_held;      /* bytes of requests over all connections */
};

/* `room(arg, bool)` is called when there is no room for another connection, and again when there
 * is. */
struct peers *peers_new(struct loop *l, const struct peers_conf *conf, void (*room)(void *, bool),
                        void *arg);
void peers_free(struct peers *ps); /* after evhttp_free() */
/* For evhttp_set_bevcb(); arg is the struct peers. */
struct bufferevent *peers_accept(struct event_base *base, void *arg);
void peers_close_idle(struct peers *ps);
unsigned peers_count(const struct peers *ps);

/* The guard of a connection that has a complete request; NULL when it is going away. */
struct peer *peers_find(struct peers *ps, struct evhttp_connection *evcon);
/* A request of `n` body bytes is being served; `gone(arg)` is called if the connection ends before
 * peer_idle(). False: too much is held already, refuse it. */
bool peer_busy(struct peer *p, size_t n, void (*gone)(void *), void *arg);
void peer_idle(struct peer *p);
void peer_cut(struct peer *p); /* shut the connection down; evhttp notices and frees it */

#endif
