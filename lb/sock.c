#include "lb/sock.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lb/worker.h"

bool sock_open(struct sock *s, struct worker *w, int fd, event_callback_fn fn, void *arg,
               void (*expired)(struct sock *s))
{
    *s = (struct sock){.w = w, .fd = fd, .wr = true, .expired = expired};
    wheel_node_init(&s->clock);
    event_assign(&s->ev, loop_base(w->loop), fd,
                 EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, fn, arg);
    if (event_add(&s->ev, NULL) == 0)
        return true;
    close(fd);
    s->fd = -1;
    return false;
}

void sock_note(struct sock *s, short what)
{
    if (what & (EV_READ | EV_CLOSED))
        s->rd = true;
    if (what & EV_WRITE)
        s->wr = true;
    if (what & EV_CLOSED)
        s->fin = true;
}

void sock_close(struct sock *s)
{
    if (s->fd < 0)
        return;
    event_del(&s->ev);
    close(s->fd);
    s->fd = -1;
    s->rd = s->wr = s->unsure = false;
    s->dead = s->w_dead = true;
    s->deadline_ms = 0;
    wheel_clear(&s->w->wheel, &s->clock);
    sock_drop_buffer(s);
}

bool sock_want_buffer(struct sock *s, uint32_t size)
{
    char *in;

    if (s->in != NULL && (s->in_cap >= size || s->in_at != s->in_end))
        return true;
    in = worker_buffer_take(s->w, size);
    if (in == NULL && s->in != NULL)
        return true;
    if (in == NULL && size == WORKER_HUGE) {
        size = WORKER_LARGE;
        in = worker_buffer_take(s->w, size);
    }
    if (in == NULL)
        return false;
    sock_drop_buffer(s);
    s->in = in;
    s->in_cap = size;
    return true;
}

void sock_drop_buffer(struct sock *s)
{
    if (s->in != NULL)
        worker_buffer_give(s->w, s->in, s->in_cap);
    s->in = NULL;
    s->in_cap = s->in_at = s->in_end = 0;
    s->filled = false;
}

bool sock_make_room(struct sock *s, uint32_t *from)
{
    char *large;

    if (s->in_end < s->in_cap)
        return true;
    if (*from > 0) {
        memmove(s->in, s->in + *from, s->in_end - *from);
        s->in_end -= *from;
        s->in_at -= *from;
        *from = 0;
        return true;
    }
    if (s->in_cap >= WORKER_LARGE)
        return false;
    large = worker_buffer_take(s->w, WORKER_LARGE);
    if (large == NULL)
        return false;
    memcpy(large, s->in, s->in_end);
    worker_buffer_give(s->w, s->in, s->in_cap);
    s->in = large;
    s->in_cap = WORKER_LARGE;
    return true;
}

enum sock_result sock_read(struct sock *s)
{
    size_t room = s->in_cap - s->in_end;
    ssize_t n;

    if (s->dead)
        return SOCK_ERR;
    if (s->eof)
        return SOCK_EOF;
    if (!sock_may_read(s))
        return SOCK_AGAIN;
    s->unsure = false;
    do
        n = recv(s->fd, s->in + s->in_end, room, 0);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        s->in_end += (uint32_t)n;
        s->filled = (size_t)n == room;
        /* A short read has drained the socket; what comes later raises a new edge. But an end that
         * was announced already raises none, and libevent reports a reset (EPOLLERR) as nothing but
         * readiness: who needs more reads once again before it waits. */
        if (!s->filled && !s->fin) {
            s->rd = false;
            s->unsure = true;
        }
        return SOCK_OK;
    }
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        s->rd = false;
        return SOCK_AGAIN;
    }
    if (n == 0) {
        s->eof = true;
        return SOCK_EOF;
    }
    s->dead = true;
    return SOCK_ERR;
}

enum sock_result sock_write(struct sock *s, const struct iovec *v, unsigned n, bool final,
                            size_t *ret_n)
{
    struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)v, .msg_iovlen = n};
    int flags = MSG_NOSIGNAL | (final ? MSG_MORE : 0);
    size_t want = 0;
    ssize_t r;

    *ret_n = 0;
    if (s->w_dead)
        return SOCK_ERR;
    if (!s->wr)
        return SOCK_AGAIN;
    for (unsigned i = 0; i < n; i++)
        want += v[i].iov_len;
    do /* one piece is the common case, and a list of them costs the kernel 5 % more */
        r = n == 1 ? send(s->fd, v[0].iov_base, want, flags) : sendmsg(s->fd, &m, flags);
    while (r < 0 && errno == EINTR);
    if (r >= 0) {
        *ret_n = (size_t)r;
        if (*ret_n == want)
            return SOCK_OK;
        s->wr = false; /* the kernel has marked the socket as waiting for room */
        return SOCK_AGAIN;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINPROGRESS) {
        s->wr = false;
        return SOCK_AGAIN;
    }
    s->w_dead = true;
    s->rd = true;
    return SOCK_ERR;
}

void sock_clock(struct sock *s, uint64_t at_ms)
{
    s->deadline_ms = at_ms;
    if (at_ms != 0 && (s->clock.at_ms == 0 || at_ms < s->clock.at_ms))
        worker_clock(s->w, &s->clock, at_ms);
}

void sock_clock_up(struct sock *s, uint64_t now_ms)
{
    uint64_t at = s->deadline_ms;

    if (at > now_ms) {
        worker_clock(s->w, &s->clock, at);
    } else if (at != 0) {
        s->deadline_ms = 0;
        s->expired(s);
    }
}
