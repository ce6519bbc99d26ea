#ifndef LBCTL_CTL_RUNTIME_H
#define LBCTL_CTL_RUNTIME_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/conf/conf.h"
#include "common/ev/loop.h"

/* What runs instances. One operations record; `docker` (ctl/docker*.c) and `process`
 * (ctl/process*.c), later swarm.
 *
 * All calls are asynchronous: `done` is called exactly once, never from within the call itself, on
 * the loop's thread, at the latest when the call's deadline passes. A failed call says whether the
 * thing asked for may have happened all the same (RT_UNKNOWN): unknown is not dead, and the caller
 * looks again (list) before it acts. The runtime keeps no memory of instances: the engine, through
 * labels, is the only store of truth. */

enum rt_state {
    RT_CREATED,
    RT_RUNNING,
    RT_PAUSED,
    RT_RESTARTING,
    RT_EXITED,
    RT_DEAD,
    RT_REMOVING,
    RT_OTHER
};
const char *rt_state_name(enum rt_state s);

/* One of our own instances as the engine shows it. Strings are valid during the callback only. */
struct rt_instance {
    const char *id;      /* the engine's id, 64 hex digits for docker */
    const char *name;    /* PROJECT-SERVICE-SLOT-GENERATION */
    const char *service; /* label */
    unsigned slot;       /* label */
    uint64_t generation; /* label: grows with every instance of the slot */
    const char *token;   /* label: random, the instance's name in the table and in lbd's counters */
    const char *conf_hash; /* label: conf_service_hash() it was made from */
    enum rt_state state;
    const char *address; /* on our network; "" while not running or not known */
    uint16_t host_port;  /* published port by label; 0: none */
    int exit_code;
};

/* Everything that creating an instance needs. Borrowed during the call. */
struct rt_spec {
    const struct conf_service *service;
    const char *project, *network;
    unsigned slot;
    uint64_t generation;
    const char *token;
    const char *conf_hash;
    uint16_t host_port; /* 0: not published */
};

enum rt_result {
    RT_OK,
    RT_REFUSED,   /* the engine said no; the text is its own. Nothing happened */
    RT_GONE,      /* no such instance: for stop and remove as good as OK */
    RT_NO_IMAGE,  /* create: the engine does not have the image */
    RT_PORT_BUSY, /* start: the host port is taken by somebody else */
    RT_CONFLICT,  /* create: the name is taken */
    RT_UNKNOWN,   /* time-out, connection lost: it may or may not have happened */
};
const char *rt_result_name(enum rt_result r);

typedef void rt_done_fn(void *arg, enum rt_result r, const struct err *e);
typedef void rt_create_fn(void *arg, enum rt_result r, const char *id, const struct err *e);
typedef void rt_start_fn(void *arg, enum rt_result r, const char *address, const struct err *e);
/* How a pull gets on, in the engine's words, printable. The receiver may not touch the runtime. */
typedef void rt_said_fn(void *arg, const char *line);
typedef void rt_list_fn(void *arg, enum rt_result r, const struct rt_instance *v, size_t n,
                        const struct err *e);
/* A hint that something happened to an instance of ours (by the engine's event stream: start, die,
 * pause, unpause, destroy, oom ...). Hints may be lost or late: only list() is the truth. action
 * "resync": the stream was lost and is back; look at everything. "away": the engine has stopped
 * answering; a look at it will say so. */
typedef void rt_hint_fn(void *arg, const char *action, const char *id, const char *service,
                        unsigned slot);

struct rt_info {
    bool up;           /* the last call was answered by the engine */
    uint64_t since_ms; /* monotonic, since when `up` is as it is */
    char api[16];      /* negotiated version, "" before the first contact */
    char engine[64];   /* engine's own version */
    char error[256];   /* why it is not up */
};

struct runtime;
struct runtime_ops {
    const char *name;
    /* It opens an instance's host port itself, with one socket from its start to its end. */
    bool keeps_ports;
    /* hint may be NULL. Connects lazily; an engine that is away is no error here. */
    bool (*open)(struct loop *l, const struct conf *c, rt_hint_fn *hint, void *arg,
                 struct runtime **ret, struct err *e);
    void (*close)(struct runtime *rt); /* outstanding calls are dropped without done */
    const struct rt_info *(*info)(struct runtime *rt);
    /* All instances that carry our project's label, in any state, foreign ones never. */
    void (*list)(struct runtime *rt, rt_list_fn *done, void *arg);
    /* Makes the network first if it is not there. Publishes host_port on service->publish; joins
     * the network with the service's name as alias; json-file logs, bounded; no-new-privileges;
     * restart policy "no" (ctld restarts). */
    void (*create)(struct runtime *rt, const struct rt_spec *spec, rt_create_fn *done, void *arg);
    /* Joins the service's further networks first. service: what it was created for, borrowed. */
    void (*start)(struct runtime *rt, const struct conf_service *service, const char *id,
                  rt_start_fn *done, void *arg);
    /* SIGTERM (or the service's stop signal), wait grace_ms, SIGKILL. grace 0: SIGKILL at once.
     * Works on paused ones. */
    void (*stop)(struct runtime *rt, const char *id, uint64_t grace_ms, rt_done_fn *done,
                 void *arg);
    void (*remove)(struct runtime *rt, const char *id, rt_done_fn *done,
                   void *arg); /* forced; anonymous volumes too */
    /* Is the image there? RT_OK, RT_NO_IMAGE, or RT_REFUSED: the engine does not tell. NULL
     * with pull. */
    void (*look_image)(struct runtime *rt, const char *image, rt_done_fn *done, void *arg);
    /* Fetches an image (NAME[:TAG][@DIGEST]) that the engine does not have, as long as that takes:
     * it ends when nothing was heard of it for conf.pull_timeout_ms. NULL: there are no images. */
    void (*pull)(struct runtime *rt, const char *image, rt_said_fn *said, rt_done_fn *done,
                 void *arg);
};

extern const struct runtime_ops runtime_docker, runtime_process;

#endif
