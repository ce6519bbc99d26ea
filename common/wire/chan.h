#ifndef LBCTL_WIRE_CHAN_H
#define LBCTL_WIRE_CHAN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/err.h"
#include "common/ev/loop.h"
#include "common/wire/proto.h"

/* Channels between the daemons: a Unix stream socket, one JSON line a message (proto.def).
 *
 * A hub is one process's end of the protocol on one loop: its role, its handlers, its listener, and
 * all channels it accepted or opened. Nothing here may be used from another thread. A line that is
 * no JSON object, or is too long, or a peer that does not read (its output passes CHAN_OUT_MAX)
 * closes that channel; a message that is unknown, of the wrong direction or ill-shaped is refused
 * with an error answer. A peer never ends the process.
 *
 * Channels are named by id across events: an id of a closed channel finds nothing. */
enum { CHAN_OUT_MAX = 8 << 20, CHAN_PEERS_MAX = 64, CHAN_HELLO_TIMEOUT_MS = 5000 };

struct chan;
struct chan_hub;

/* A request to answer, now or later, by value; answering after the channel has gone does nothing.
 */
struct chan_ask {
    struct chan_hub *hub;
    uint64_t chan_id;
    uint64_t req_id;
};

/* A request or event has come; `body` (borrowed) has passed proto_check(). Events have ask.req_id
 * 0. */
typedef void chan_handler_fn(struct chan *ch, struct chan_ask ask, const json_t *body, void *arg);

/* The end of chan_request(), called exactly once, never from within chan_request() itself: body
 * (borrowed) on success, else NULL and an error. */
typedef void chan_done_fn(void *arg, const json_t *body, const struct err *e);

struct chan_config {
    enum proto_role role;
    const char *build;
    void *arg;                                   /* for all functions below */
    chan_handler_fn *handlers[MSG_COUNT];        /* NULL: "not for me", refused politely */
    void (*on_open)(struct chan *ch, void *arg); /* hello exchanged, versions agree; may be NULL */
    void (*on_close)(struct chan *ch, const char *why,
                     void *arg); /* only after on_open; may be NULL */
    /* May this peer speak to us? NULL: root and our own user only. */
    bool (*allow)(uid_t uid, gid_t gid, pid_t pid, void *arg);
};

bool chan_hub_new(struct loop *l, const struct chan_config *c, struct chan_hub **ret,
                  struct err *e) MUST_CHECK;
void chan_hub_free(struct chan_hub *h); /* closes all; removes the socket file it made */

/* Listen on a socket file (mode as given). A stale file of a dead process is replaced; a living
 * listener there is an error. */
bool chan_hub_listen(struct chan_hub *h, const char *path, mode_t mode, struct err *e) MUST_CHECK;

/* Open a channel to a socket file and keep it open: on_open when the hellos are exchanged, on_close
 * when lost, then reconnecting with back-off (50 ms doubling to 1 s) until the hub is freed. */
bool chan_hub_connect(struct chan_hub *h, const char *path, struct err *e) MUST_CHECK;
/* The same, once: an error at connect (at once) or later (done through on_close / failing
 * requests). */
bool chan_hub_connect_once(struct chan_hub *h, const char *path, struct err *e) MUST_CHECK;

struct chan *chan_find(struct chan_hub *h, uint64_t id); /* NULL when it has gone */
struct chan *chan_first(struct chan_hub *h,
                        enum proto_role peer_role); /* an open channel to that role, or NULL */
uint64_t chan_id(const struct chan *ch);
enum proto_role chan_peer_role(const struct chan *ch);
const char *chan_peer_build(const struct chan *ch);
pid_t chan_peer_pid(const struct chan *ch);
void chan_close(struct chan *ch, const char *why);

/* Send a request; `done` gets the answer, or an error when the deadline passes, the peer refuses,
 * or the channel closes. Takes the reference of `body`. */
void chan_request(struct chan *ch, enum proto_msg msg, json_t *body, uint64_t timeout_ms,
                  chan_done_fn *done, void *arg);
/* Send an event to every open channel whose peer may get it. Takes the reference of `body`. */
void chan_hub_event(struct chan_hub *h, enum proto_msg msg, json_t *body);

void chan_answer(struct chan_ask ask, json_t *body); /* takes the reference */
void chan_refuse(struct chan_ask ask, const char *fmt, ...) PRINTF(2, 3);

#endif
