#ifndef LBCTL_CTL_DOCKER_EVENTS_H
#define LBCTL_CTL_DOCKER_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "ctl/docker_json.h"
#include "ctl/json_stream.h"

/* The engine's event stream: JSON objects one after the other, cut into pieces anywhere. Pure. */
enum { DOCKER_EVENT_MAX = 256 * 1024 }; /* bytes of one object */

struct docker_event {
    const char *action; /* one of a fixed set: create start die oom pause unpause stop destroy
                           rename kill */
    const char *id, *service;
    unsigned slot;
};
/* Strings are valid during the call only. The receiver may not touch the stream. */
typedef void docker_event_fn(void *arg, const struct docker_event *ev);

struct docker_events {
    const char *project;
    docker_event_fn *fn;
    void *arg;
    struct json_stream in;
    uint64_t last_ns; /* the engine's time of the last event; 0: none yet */
    size_t ignored;   /* objects that were no event of ours */
};

void docker_events_init(struct docker_events *s, const char *project, docker_event_fn *fn,
                        void *arg);
void docker_events_fini(struct docker_events *s);
void docker_events_restart(struct docker_events *s); /* a new stream begins; last_ns stays */
/* false: this is no stream of objects, or one is too long; give the stream up. */
bool docker_events_feed(struct docker_events *s, const char *p, size_t n, struct err *e) MUST_CHECK;

#endif
