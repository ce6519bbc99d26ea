#include "lb/flow.h"

#include <string.h>

#include "lb/core/http_trailer.h"
#include "lb/worker.h"

/* Reads in one pump before others get their turn. */
enum { ROUNDS_MAX = 16 };

void flow_init(struct flow *f, struct sock *src, struct sock *dst, enum http_framing in,
               enum http_framing out, uint64_t length, bool keep)
{
    memset(f, 0, offsetof(struct flow, pre));
    f->head = f->post = ""; /* so that they may be moved on by nothing */
    f->src = src;
    f->dst = dst;
    f->in = in;
    f->out = out;
    f->left = length;
    f->pay_at = f->pay_end = f->keep_at = src->in_at;
    f->keep = keep;
    f->in_done = in == HTTP_NO_BODY;
    f->last = in == HTTP_NO_BODY;
    if (in == HTTP_CHUNKED)
        http_chunk_init(&f->chunk);
}

void flow_head(struct flow *f, const char *head, size_t n)
{
    f->head = head;
    f->head_n = (uint32_t)n;
    f->sent = false;
}

void flow_pass_trailers(struct flow *f)
{
    f->chunk.keep = f->in == HTTP_CHUNKED && f->out == HTTP_CHUNKED;
}

void flow_fini(struct flow *f)
{
    flow_give_up(f);
    if (f->tail != NULL)
        worker_buffer_give(f->src->w, f->tail, WORKER_SMALL);
    f->tail = f->chunk.trailer = NULL;
}

void flow_give_up(struct flow *f)
{
    if (f->head_copy != NULL)
        worker_buffer_give(f->src->w, f->head_copy, WORKER_LARGE);
    f->head_copy = NULL;
    f->head_n = 0;
}

void flow_rewind(struct flow *f, struct sock *dst)
{
    flow_give_up(f);
    f->dst = dst;
    f->pay_at = f->keep_at;
    f->body_n = 0;
    f->pre_n = 0;
    f->post_n = 0;
    f->last = f->in == HTTP_NO_BODY;
}

/* The end of a body around its trailer section: CRLF, the last chunk, the fields, CRLF. */
static const char tail_start[] = "\r\n0\r\n";
enum { TAIL_START = sizeof(tail_start) - 1 };
_Static_assert(TAIL_START + HTTP_TRAILER_ROOM + 2 <= WORKER_SMALL, "a tail fits its buffer");

/* A trailer section begins. Without room for it it is dropped, as it may be anywhere. */
static void make_tail(struct flow *f)
{
    f->tail = worker_buffer_take(f->src->w, WORKER_SMALL);
    f->chunk.keep = f->tail != NULL;
    if (f->tail != NULL)
        f->chunk.trailer = f->tail + TAIL_START;
}

static void commit_tail(struct flow *f)
{
    size_t skip = f->body_n > 0 ? 0 : 2, n; /* the CRLF is that of the last chunk's data */

    f->chunk.trailer_n = (uint16_t)http_trailer_filter(f->chunk.trailer, f->chunk.trailer_n);
    n = TAIL_START + (size_t)f->chunk.trailer_n;
    memcpy(f->tail, tail_start, TAIL_START);
    memcpy(f->tail + n, "\r\n", 2);
    f->post = f->tail + skip;
    f->post_n = (uint16_t)(n + 2 - skip);
}

static bool decode_chunks(struct flow *f)
{
    struct sock *s = f->src;

    while (s->in_at < s->in_end) {
        size_t used, n;
        enum http_result r =
            http_chunk_next(&f->chunk, s->in + s->in_at, s->in_end - s->in_at, &used, &n);

        s->in_at += (uint32_t)used;
        if (r == HTTP_BAD)
            return false;
        if (r == HTTP_DONE) {
            f->in_done = true;
            return true;
        }
        if (n == 0) {
            if (f->chunk.keep && f->chunk.trailer == NULL && s->in_at < s->in_end)
                make_tail(f);
            continue;
        }
        if (f->pay_at == f->pay_end && (!f->keep || f->pay_at == f->keep_at)) {
            f->pay_at = f->pay_end = s->in_at; /* nothing before it: no need to move it up */
            if (f->keep)
                f->keep_at = s->in_at;
        } else if (f->pay_end != s->in_at) {
            memmove(s->in + f->pay_end, s->in + s->in_at, n);
        }
        f->pay_end += (uint32_t)n;
        f->got += n;
        s->in_at += (uint32_t)n;
        http_chunk_eat(&f->chunk, n);
    }
    /* The space that the framing took is free again. */
    s->in_at = s->in_end = f->pay_end;
    return true;
}

/* Turn bytes that came into payload. false: the framing is broken. */
static bool decode(struct flow *f)
{
    struct sock *s = f->src;
    uint64_t n = s->in_end - s->in_at;

    if (f->in_done || n == 0)
        return true;
    if (f->in == HTTP_CHUNKED)
        return decode_chunks(f);
    if (f->in == HTTP_LENGTH) {
        if (n > f->left)
            n = f->left;
        f->left -= n;
        f->in_done = f->left == 0;
    }
    if (f->pay_at == f->pay_end && !f->keep)
        f->pay_at = f->pay_end = s->in_at;
    f->got += n;
    f->pay_end += (uint32_t)n; /* s->in_at == pay_end: there are no gaps without chunks */
    s->in_at += (uint32_t)n;
    return true;
}

/* Put payload, or the end, into the output. */
static void commit(struct flow *f)
{
    f->body_n = f->pay_end - f->pay_at;
    if (f->out == HTTP_CHUNKED && !f->last) {
        if (f->body_n > 0) {
            f->pre_at = 0;
            f->pre_n = (uint8_t)http_chunk_line(f->pre, f->body_n);
        }
        if (f->in_done && f->tail != NULL) {
            commit_tail(f);
        } else if (f->in_done) {
            f->post = f->body_n > 0 ? "\r\n0\r\n\r\n" : "0\r\n\r\n";
            f->post_n = f->body_n > 0 ? 7 : 5;
        } else if (f->body_n > 0) {
            f->post = "\r\n";
            f->post_n = 2;
        }
    }
    f->last = f->last || f->in_done;
}

static size_t take(size_t *n, size_t most)
{
    size_t k = *n < most ? *n : most;

    *n -= k;
    return k;
}

static void advance(struct flow *f, size_t n)
{
    size_t k = take(&n, f->head_n);

    f->head += k;
    f->head_n -= (uint32_t)k;
    k = take(&n, f->pre_n);
    f->pre_at = (uint8_t)(f->pre_at + k);
    f->pre_n = (uint8_t)(f->pre_n - k);
    k = take(&n, f->body_n);
    f->pay_at += (uint32_t)k;
    f->body_n -= (uint32_t)k;
    k = take(&n, f->post_n);
    f->post += k;
    f->post_n = (uint16_t)(f->post_n - k);
}

/* The head is borrowed: what the socket did not take of it is copied. */
static bool save_head(struct flow *f)
{
    if (f->head_n == 0 || f->head_copy != NULL)
        return true;
    f->head_copy = worker_buffer_take(f->src->w, WORKER_LARGE);
    if (f->head_copy == NULL)
        return false;
    memcpy(f->head_copy, f->head, f->head_n);
    f->head = f->head_copy;
    return true;
}

/* A head goes right in front of its body, where an answer's old head was, when there is room: the
 * two leave as one piece. */
static void join_head(struct flow *f)
{
    if (f->head_n == 0 || f->body_n == 0 || f->pre_n > 0 || f->keep || f->pay_at < f->head_n)
        return;
    f->pay_at -= f->head_n;
    f->body_n += f->head_n;
    memcpy(f->src->in + f->pay_at, f->head, f->head_n);
    flow_give_up(f);
}

static enum sock_result write_out(struct flow *f)
{
    struct iovec v[4];
    unsigned n = 0;
    size_t taken;
    enum sock_result r;

    join_head(f);
    if (f->head_n > 0)
        v[n++] = (struct iovec){(char *)(uintptr_t)f->head, f->head_n};
    if (f->pre_n > 0)
        v[n++] = (struct iovec){f->pre + f->pre_at, f->pre_n};
    if (f->body_n > 0)
        v[n++] = (struct iovec){f->src->in + f->pay_at, f->body_n};
    if (f->post_n > 0)
        v[n++] = (struct iovec){(char *)(uintptr_t)f->post, f->post_n};
    r = sock_write(f->dst, v, n, f->closes && f->last, &taken);
    if (taken > 0) {
        advance(f, taken);
        f->out_n += taken;
        f->sent = f->moved = true;
    }
    if (f->head_n == 0 && f->head_copy != NULL)
        flow_give_up(f);
    return r;
}

/* A source that fills its buffer has more: the fewer reads and writes, the cheaper. */
static uint32_t size_for(const struct flow *f)
{
    if (!f->src->filled)
        return WORKER_SMALL;
    if (f->src->in_cap >= WORKER_LARGE || (f->in == HTTP_LENGTH && f->left > WORKER_LARGE))
        return WORKER_HUGE;
    return WORKER_LARGE;
}

/* All payload is written: room for more. */
static bool make_room(struct flow *f)
{
    struct sock *s = f->src;

    if (s->in == NULL)
        return sock_want_buffer(s, WORKER_SMALL);
    if (f->keep && s->in_end < s->in_cap)
        return true;
    f->keep = false; /* from here on bytes are lost: no second attempt */
    s->in_at = s->in_end = 0;
    f->pay_at = f->pay_end = 0;
    return sock_want_buffer(s, size_for(f));
}

enum flow_result flow_pump(struct flow *f)
{
    f->waits_src = f->waits_dst = f->moved = false;
    for (unsigned round = 0;; round++) {
        enum sock_result r;

        if (!decode(f))
            return FLOW_SRC_BAD;
        if (f->body_n == 0 && f->pre_n == 0 && f->post_n == 0)
            commit(f);
        if (flow_has_output(f)) {
            r = write_out(f);
            if (r == SOCK_ERR)
                return FLOW_DST_ERR;
            if (!save_head(f))
                return FLOW_NO_MEMORY;
            if (r == SOCK_AGAIN) {
                f->waits_dst = true;
                return FLOW_BLOCKED;
            }
            continue;
        }
        if (f->in_done)
            return FLOW_DONE;
        if (round >= ROUNDS_MAX)
            return FLOW_YIELD;
        if (!sock_may_read(f->src)) {
            f->waits_src = true;
            return FLOW_BLOCKED;
        }
        if (!make_room(f))
            return FLOW_NO_MEMORY;
        r = sock_read(f->src);
        if (r == SOCK_AGAIN) {
            f->waits_src = true;
            return FLOW_BLOCKED;
        }
        if (r == SOCK_EOF && f->in == HTTP_UNTIL_CLOSE) {
            f->in_done = true;
            continue;
        }
        if (r != SOCK_OK)
            return FLOW_SRC_END;
        f->moved = true;
    }
}
