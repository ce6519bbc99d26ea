#ifndef LBCTL_LB_FLOW_H
#define LBCTL_LB_FLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "lb/core/http_chunk.h"
#include "lb/sock.h"

/* One direction of an exchange: a head of ours, then the body from one socket to the other, taken
 * out of its framing and put into the next one's. Never holds more than the source's one buffer,
 * and reads on only when everything has been written: that is the back-pressure.
 *
 * Framing owns the bytes: of the source's buffer only what belongs to this message is ever used;
 * the next message's bytes stay behind src->in_at. */
enum flow_result {
    FLOW_BLOCKED, /* waits for a socket: waits_src, waits_dst */
    FLOW_DONE,    /* everything came and was written */
    FLOW_YIELD,   /* could go on, but it is the others' turn */
    FLOW_SRC_END, /* the source ended before the message did */
    FLOW_SRC_BAD, /* chunk.fault */
    FLOW_DST_ERR,
    FLOW_NO_MEMORY,
};

struct flow {
    struct sock *src, *dst;
    enum http_framing in, out;
    struct http_chunk chunk;
    uint64_t left;             /* of a body of known length */
    uint32_t pay_at, pay_end;  /* payload in src->in, not yet written */
    uint32_t keep_at;          /* where the payload began, while keep */
    bool keep;                 /* everything since then is still there: rewind is possible */
    bool in_done;              /* the message has come whole */
    bool last;                 /* its end has been put into the output */
    bool waits_src, waits_dst; /* after FLOW_BLOCKED */
    bool closes;               /* dst is closed as soon as everything is written */
    bool moved;                /* bytes moved in this pump */
    uint64_t got;              /* payload that came */
    uint64_t out_n;            /* bytes written, over all attempts */
    bool sent;                 /* at least one byte was written since flow_head() */
    /* output under way: the head, a chunk line, payload, the end of a chunk */
    const char *head;
    char *head_copy; /* what a socket did not take of it; of the worker's large buffers */
    const char *post;
    uint32_t head_n, body_n;
    char *tail; /* a trailer section, between what ends a body; of the worker's small buffers */
    uint16_t post_n;
    uint8_t pre_at, pre_n;
    char pre[HTTP_CHUNK_LINE_MAX];
};

/* A message whose body begins at src->in_at. keep: hold on to it for flow_rewind() as long as there
 * is room. */
void flow_init(struct flow *f, struct sock *src, struct sock *dst, enum http_framing in,
               enum http_framing out, uint64_t length, bool keep);
/* Begin, or begin again, with a head (borrowed until the next flow_pump() returns). */
void flow_head(struct flow *f, const char *head, size_t n);
/* To send everything once more, to another dst. Only while f->keep. */
void flow_rewind(struct flow *f, struct sock *dst);
/* Pass trailer fields on, from a chunked message to a chunked one. Before the first flow_pump(). */
void flow_pass_trailers(struct flow *f);
/* What is left of an attempt to send can go; flow_rewind() may follow. */
void flow_give_up(struct flow *f);
enum flow_result flow_pump(struct flow *f);
void flow_fini(struct flow *f); /* idempotent on a zeroed or finished flow */

static inline bool flow_has_output(const struct flow *f)
{
    return f->head_n > 0 || f->pre_n > 0 || f->body_n > 0 || f->post_n > 0;
}

#endif
