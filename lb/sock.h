#ifndef LBCTL_LB_SOCK_H
#define LBCTL_LB_SOCK_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "lb/core/wheel.h"

struct worker;

/* A non-blocking stream socket on a worker's loop: the transport under the codec (TLS would stand
 * here).
 *
 * One edge-triggered event for reading, writing and the peer's end, added once. Readiness is
 * remembered: a socket is taken to be readable (writable) until the kernel says otherwise. Bytes
 * that came and are not used yet lie in in[in_at..in_end); the buffer comes from the worker's free
 * lists when there is something to read, and goes back when the message is over, so that an idle
 * connection has none. */
struct sock {
    struct worker *w;
    int fd;
    bool rd, wr;
    bool fin;    /* the peer's end was announced: a short read does not mean "drained" */
    bool eof;    /* read to the end */
    bool dead;   /* a read failed: nothing more comes */
    bool w_dead; /* a write failed; what the peer had said before may still be read */
    bool filled; /* the last read took all the room there was: a larger buffer pays */
    bool
        unsure; /* the last read was short, and whether more or the end follows was not looked at */
    char *in;
    uint32_t in_cap, in_at, in_end;
    uint64_t deadline_ms;            /* 0: none */
    struct wheel_node clock;         /* set to the deadline or, lazily, to an earlier one */
    void (*expired)(struct sock *s); /* the deadline passed; it is cleared before */
    struct event ev;
};

enum sock_result { SOCK_OK, SOCK_AGAIN, SOCK_EOF, SOCK_ERR };

/* Takes the descriptor. fn(fd, what, arg) is told of readiness; it calls sock_note() first. */
bool sock_open(struct sock *s, struct worker *w, int fd, event_callback_fn fn, void *arg,
               void (*expired)(struct sock *s));
void sock_note(struct sock *s, short what);
void sock_close(struct sock *s); /* idempotent; the buffer goes back too */

/* Make sure that there is a buffer, of that size (WORKER_*) or larger if it is empty and such a one
 * is to be had. false: out of memory. */
bool sock_want_buffer(struct sock *s, uint32_t size);
void sock_drop_buffer(struct sock *s);
/* Make room behind in_end while in[from..in_end) must stay: *from becomes 0. false: out of memory,
 * or all of the larger buffer is in use. */
bool sock_make_room(struct sock *s, uint32_t *from);
/* Is it worth a try to read? Who waits for more must have asked: a reset is announced like bytes,
 * and only once. */
static inline bool sock_may_read(const struct sock *s)
{
    return s->rd || s->unsure || s->eof;
}

/* Read into the free end of the buffer, which must not be empty. */
enum sock_result sock_read(struct sock *s);
/* Write; *ret_n bytes were taken. SOCK_AGAIN: not all. final: once all is taken the socket is
 * closed or shut down in the same turn, so the kernel may hold the last bytes for the segment of
 * the end. */
enum sock_result sock_write(struct sock *s, const struct iovec *v, unsigned n, bool final,
                            size_t *ret_n);

/* Deadlines move at every request, so a later one only writes it down; the wheel finds out when the
 * earlier one comes up. 0 clears. */
void sock_clock(struct sock *s, uint64_t at_ms);
void sock_clock_up(struct sock *s, uint64_t now_ms); /* the wheel's node came up */

#endif
