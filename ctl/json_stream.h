#ifndef LBCTL_CTL_JSON_STREAM_H
#define LBCTL_CTL_JSON_STREAM_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/err.h"

/* JSON objects one after the other, cut into pieces anywhere: the engine's long answers. Pure. */
struct json_stream {
    const char *what;    /* for messages: "event", "pull" */
    struct buf in;       /* the unfinished object */
    unsigned depth;      /* of braces */
    bool string, escape; /* within a string; after a backslash in it */
};

/* The object is the stream's. The receiver may not touch the stream. */
typedef void json_stream_fn(void *arg, const json_t *object);

void json_stream_init(struct json_stream *s, const char *what, size_t object_max);
void json_stream_fini(struct json_stream *s);
void json_stream_restart(struct json_stream *s);      /* a new stream begins */
bool json_stream_is_cut(const struct json_stream *s); /* within an object */
/* false: this is no stream of objects, or one is longer than object_max bytes; give it up. */
bool json_stream_feed(struct json_stream *s, const char *p, size_t n, json_stream_fn *fn, void *arg,
                      struct err *e) MUST_CHECK;

#endif
