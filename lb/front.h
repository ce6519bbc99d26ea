#ifndef LBCTL_LB_FRONT_H
#define LBCTL_LB_FRONT_H

#include <stdbool.h>
#include <stdint.h>

#include "lb/sock.h"
#include "lb/worker.h"

/* Client connections of a worker: accepting, request heads, one exchange after the other, the end.
 */
struct upstream;
struct xchg;

enum {
    FRONT_LINGER_MS = 5000, /* reading on after a last answer, so that it is not lost in a reset */
    FRONT_FIN_MS =
        5000, /* a client that has closed its sending side is taken for gone after this */
    FRONT_LOOK_MS = 1000, /* a client whose answer takes longer is looked at: is it still there? */
};

enum front_phase { FRONT_PROXY, FRONT_IDLE, FRONT_HEAD, FRONT_BUSY, FRONT_LINGER };

struct client {
    uint32_t magic;
    struct grave grave;
    struct again again;
    struct list node; /* in worker->client_list */
    struct sock s;
    enum front_phase phase;
    struct xchg *x;        /* FRONT_HEAD, FRONT_BUSY */
    uint32_t msg_at;       /* where the current request begins in s.in */
    struct upstream *kept; /* a connection to a backend for this client alone; see upstream.h */
    bool crowded;          /* it has too many connections: the next request is answered 429 */
    bool trusted;          /* the peer's X-Forwarded-* fields are believed */
    uint16_t port;         /* of the client's side of the connection */
    uint8_t peer_n;
    uint32_t crowd_way; /* of crowd_leave() */
    struct cidr_addr addr;
    char peer[46]; /* INET6_ADDRSTRLEN */
};

size_t front_client_size(void);
void front_on_listener(evutil_socket_t fd, short what,
                       void *arg);        /* event_callback_fn; arg: struct listener */
void front_accept_last(struct worker *w); /* what waits in the backlogs, before they are closed */
void front_stop_all(struct worker *w, bool now);

struct cidr_addr front_address(const struct sockaddr_storage *sa, uint16_t *ret_port);

/* Go on with a connection as far as it gets. */
void front_run(struct client *c);
/* The exchange could go on but gave way: run again next turn. */
void front_run_again(struct client *c);

#endif
