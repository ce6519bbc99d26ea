#ifndef LBCTL_WIRE_CHAN_INTERNAL_H
#define LBCTL_WIRE_CHAN_INTERNAL_H

#include "common/base/buf.h"
#include "common/wire/chan.h"

/* Shared by chan.c (a channel, its messages and its end) and chan_hub.c (how channels come to be).
 */
enum {
    CHAN_READ_CHUNK = 65536,
    CHAN_BACKOFF_MIN_MS = 50,
    CHAN_BACKOFF_MAX_MS = 1000,
};

#define CHAN_MAGIC MAGIC('c', 'h', 'a', 'n')

enum chan_state { CHAN_HELLO, CHAN_OPEN, CHAN_CLOSED };

/* An outgoing connection that is kept up. */
struct link {
    struct chan_hub *hub;
    struct list node;
    char *path;
    bool once;
    uint64_t backoff_ms;
    struct timer retry;
};

struct chan {
    uint32_t magic;
    struct chan_hub *hub;
    struct list node;
    uint64_t id;
    int fd;
    struct event *rd, *wr;
    struct buf in, out;
    enum chan_state state;
    struct link *link; /* NULL: accepted */
    struct timer hello_timer;
    struct loop_later later;
    const char *fail_why; /* set: closes at the end of the turn */
    uint64_t next_req;
    struct list pending; /* struct pending */
    enum proto_role peer_role;
    char peer_build[65];
    pid_t peer_pid;
};

/* A request of ours that waits for its answer. */
struct pending {
    struct list node;
    struct chan *ch;
    uint64_t id;
    enum proto_msg msg;
    chan_done_fn *done;
    void *arg;
    struct timer deadline;
};

struct chan_hub {
    struct loop *loop;
    struct chan_config c;
    struct list chans, links;
    size_t accepted_n;
    uint64_t next_id;
    int listen_fd;
    struct event *listen_ev;
    struct timer accept_again;
    char *listen_path;
    dev_t listen_dev;
    ino_t listen_ino;
};

/* chan.c. chan_new() takes the descriptor of a connection; link: NULL when it was accepted. */
struct chan *chan_new(struct chan_hub *h, int fd, struct link *lk);
void chan_begin_hello(struct chan *ch); /* we have connected, so we speak first */
void chan_free(struct chan *ch);

/* chan_hub.c */
void chan_link_retry_later(struct link *lk);

#endif
