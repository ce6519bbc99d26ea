#include "common/wire/chan-internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"

/* ---- life and death of a channel ---- */

static void pending_end(struct pending *p, const json_t *body, const struct err *e)
{
    chan_done_fn *done = p->done;
    void *arg = p->arg;

    list_unlink(&p->node);
    timer_fini(&p->deadline);
    mem_free(p);
    done(arg, body, e);
}

static void on_pending_deadline(void *arg) /* timer */
{
    struct pending *p = arg;
    struct err e;

    err_set(&e, "%s: no answer from %s in time", proto_msg_info(p->msg)->name,
            proto_role_name(p->ch->peer_role));
    pending_end(p, NULL, &e);
}

static void fail_pending(struct chan *ch, const char *why)
{
    struct err e;

    err_set(&e, "channel to %s closed: %s", proto_role_name(ch->peer_role), why);
    while (!list_empty(&ch->pending))
        pending_end(LIST_ENTRY_OF(ch->pending.next, struct pending, node), NULL, &e);
}

void chan_free(struct chan *ch)
{
    fail_pending(ch, "it was closed before"); /* requests made after the close */
    list_unlink(&ch->node);
    timer_fini(&ch->hello_timer);
    buf_fini(&ch->in);
    buf_fini(&ch->out);
    ch->magic = 0;
    mem_free(ch);
}

/* Runs at the end of a turn: closes a channel that failed in it, or frees one that was closed in
 * it. */
static void on_chan_later(struct loop_later *self)
{
    struct chan *ch = CONTAINER_OF(self, struct chan, later);

    if (ch->state == CHAN_CLOSED)
        chan_free(ch);
    else
        chan_close(ch, ch->fail_why); /* posts the freeing */
}

/* Closes at the end of the turn: for places that must not call anybody's `done` or on_close. */
static void chan_fail(struct chan *ch, const char *why)
{
    if (ch->state == CHAN_CLOSED || ch->fail_why != NULL)
        return;
    ch->fail_why = why;
    loop_later(ch->hub->loop, &ch->later, on_chan_later);
}

void chan_close(struct chan *ch, const char *why)
{
    struct chan_hub *h = ch->hub;
    bool was_open = ch->state == CHAN_OPEN;

    if (ch->state == CHAN_CLOSED)
        return;
    ch->state = CHAN_CLOSED;
    timer_clear(&ch->hello_timer);
    event_free(ch->rd);
    event_free(ch->wr);
    close(ch->fd);
    if (ch->link == NULL)
        h->accepted_n--;
    fail_pending(ch, why);
    if ((was_open || (ch->link != NULL && ch->link->once)) && h->c.on_close != NULL)
        h->c.on_close(ch, why, h->c.arg);
    if (ch->link != NULL && !ch->link->once)
        chan_link_retry_later(ch->link);
    loop_later(h->loop, &ch->later, on_chan_later);
}

/* ---- output ---- */

static void chan_flush(struct chan *ch)
{
    while (ch->out.len > 0) {
        ssize_t n = send(ch->fd, ch->out.data, ch->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            event_add(ch->wr, NULL);
            return;
        }
        if (n < 0) {
            chan_fail(ch, "the peer has gone");
            return;
        }
        buf_drop_front(&ch->out, (size_t)n);
    }
}

/* Takes the reference of msg. */
static void chan_send(struct chan *ch, json_t *msg)
{
    char *text = json_dumps(msg, JSON_COMPACT);
    bool waiting = ch->out.len > 0;

    json_decref(msg);
    if (ch->state == CHAN_CLOSED || ch->fail_why != NULL || text == NULL) {
        mem_free(text);
        return;
    }
    if (strlen(text) >= PROTO_LINE_MAX) {
        log_error("message too long", "to=%s bytes=%zu", proto_role_name(ch->peer_role),
                  strlen(text));
        chan_fail(ch, "a message of ours is too long");
    } else if (!buf_adds(&ch->out, text) || !buf_add(&ch->out, "\n", 1)) {
        chan_fail(ch, "the peer does not read");
    } else if (!waiting) {
        chan_flush(ch);
    }
    mem_free(text);
}

static void on_writable(evutil_socket_t fd UNUSED, short what UNUSED,
                        void *arg) /* event_callback_fn */
{
    chan_flush(CAST(arg, chan, CHAN_MAGIC));
}

static json_t *new_message(void)
{
    json_t *m = json_object();

    json_object_set_new(m, "v", json_integer(PROTO_VERSION));
    return m;
}

static void send_request(struct chan *ch, enum proto_msg msg, uint64_t id, json_t *body)
{
    json_t *m = new_message();

    if (id != 0)
        json_object_set_new(m, "id", json_integer((json_int_t)id));
    json_object_set_new(m, "type", json_string(proto_msg_info(msg)->name));
    json_object_set_new(m, "body", body);
    chan_send(ch, m);
}

static void send_error(struct chan *ch, uint64_t req_id, const char *text)
{
    json_t *m = new_message();

    json_object_set_new(m, "re", json_integer((json_int_t)req_id));
    json_object_set_new(m, "error", json_string(text));
    chan_send(ch, m);
}

static json_t *hello_body(struct chan_hub *h)
{
    return json_pack("{s:i, s:s, s:s, s:I}", "proto", PROTO_VERSION, "role",
                     proto_role_name(h->c.role), "build", h->c.build, "pid", (json_int_t)getpid());
}

void chan_request(struct chan *ch, enum proto_msg msg, json_t *body, uint64_t timeout_ms,
                  chan_done_fn *done, void *arg)
{
    struct pending *p = mem_zalloc(sizeof(*p));

    *p = (struct pending){.ch = ch, .id = ch->next_req++, .msg = msg, .done = done, .arg = arg};
    timer_init(&p->deadline, ch->hub->loop, on_pending_deadline, p);
    timer_in(&p->deadline, timeout_ms);
    list_push_back(&ch->pending, &p->node);
    send_request(ch, msg, p->id, body);
}

static bool may_send(const struct chan_hub *h, const struct chan *ch,
                     const struct proto_msg_info *m)
{
    return (m->from == PROTO_ANY || m->from == h->c.role) &&
           (m->to == PROTO_ANY || m->to == ch->peer_role);
}

void chan_hub_event(struct chan_hub *h, enum proto_msg msg, json_t *body)
{
    LIST_EACH(n, &h->chans)
    {
        struct chan *ch = LIST_ENTRY_OF(n, struct chan, node);

        if (ch->state == CHAN_OPEN && may_send(h, ch, proto_msg_info(msg)))
            send_request(ch, msg, 0, json_incref(body));
    }
    json_decref(body);
}

void chan_answer(struct chan_ask ask, json_t *body)
{
    struct chan *ch = chan_find(ask.hub, ask.chan_id);
    json_t *m;

    if (ch == NULL || ask.req_id == 0) {
        json_decref(body);
        return;
    }
    m = new_message();
    json_object_set_new(m, "re", json_integer((json_int_t)ask.req_id));
    json_object_set_new(m, "body", body);
    chan_send(ch, m);
}

void chan_refuse(struct chan_ask ask, const char *fmt, ...)
{
    struct chan *ch = chan_find(ask.hub, ask.chan_id);
    char text[512];
    va_list ap;

    if (ch == NULL || ask.req_id == 0)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    send_error(ch, ask.req_id, text);
}

/* ---- input ---- */

static void chan_opened(struct chan *ch)
{
    ch->state = CHAN_OPEN;
    timer_clear(&ch->hello_timer);
    if (ch->link != NULL)
        ch->link->backoff_ms = CHAN_BACKOFF_MIN_MS;
    if (ch->hub->c.on_open != NULL)
        ch->hub->c.on_open(ch, ch->hub->c.arg);
}

/* Remembers who the peer says it is. */
static bool take_hello(struct chan *ch, const json_t *body, struct err *e)
{
    uint64_t proto = proto_uint(body, "proto", 0);

    if (proto != PROTO_VERSION)
        return err_set(e,
                       "protocol version %llu, but this is version %d: bring both to one release",
                       (unsigned long long)proto, PROTO_VERSION);
    if (!proto_role_find(proto_str(body, "role", ""), &ch->peer_role))
        return err_set(e, "unknown role");
    snprintf(ch->peer_build, sizeof(ch->peer_build), "%s", proto_str(body, "build", ""));
    return true;
}

static void on_hello_answer(void *arg, const json_t *body, const struct err *e) /* chan_done_fn */
{
    struct chan *ch = CAST(arg, chan, CHAN_MAGIC);
    struct err why;

    if (ch->state == CHAN_CLOSED)
        return;
    if (body == NULL || !take_hello(ch, body, &why)) {
        log_warn("channel refused", "reason=\"%s\"", body == NULL ? e->msg : why.msg);
        chan_fail(ch, "no hello");
        return;
    }
    chan_opened(ch);
}

static void take_request(struct chan *ch, enum proto_msg msg, uint64_t id, const json_t *body)
{
    const struct proto_msg_info *m = proto_msg_info(msg);
    struct chan_ask ask = {ch->hub, ch->id, id};
    struct err e;

    if (msg == MSG_HELLO) {
        if (ch->state == CHAN_OPEN || ch->link != NULL) {
            chan_refuse(ask, "hello was said already");
        } else if (!take_hello(ch, body, &e)) {
            chan_refuse(ask, "%s", e.msg);
            chan_fail(ch, "no hello");
        } else {
            chan_answer(ask, hello_body(ch->hub));
            chan_opened(ch);
        }
        return;
    }
    if (ch->state != CHAN_OPEN) {
        chan_refuse(ask, "say hello first");
        chan_fail(ch, "no hello");
    } else if ((m->from != PROTO_ANY && m->from != ch->peer_role) ||
               ch->hub->c.handlers[msg] == NULL) {
        chan_refuse(ask, "'%s' from %s is not for %s", m->name, proto_role_name(ch->peer_role),
                    proto_role_name(ch->hub->c.role));
    } else {
        ch->hub->c.handlers[msg](ch, ask, body, ch->hub->c.arg);
    }
}

static void take_answer(struct chan *ch, uint64_t re, const json_t *m)
{
    LIST_EACH(n, &ch->pending)
    {
        struct pending *p = LIST_ENTRY_OF(n, struct pending, node);
        const char *error = json_string_value(json_object_get(m, "error"));
        const json_t *body = json_object_get(m, "body");
        char q[400];
        struct err e;

        if (p->id != re)
            continue;
        if (error != NULL) {
            err_set(&e, "%s", str_quote(sv_of(error), q, sizeof(q)));
            pending_end(p, NULL, &e);
        } else if (!proto_check(proto_msg_info(p->msg)->answer, body, &e)) {
            err_wrap(&e, "ill-shaped answer to %s", proto_msg_info(p->msg)->name);
            pending_end(p, NULL, &e);
        } else {
            pending_end(p, body, NULL);
        }
        return;
    }
    /* The answer to a request whose deadline has passed: nobody waits for it. */
}

/* One message. What is wrong with it is told to the peer; false: the frame is no message at all. */
static bool take_message(struct chan *ch, const json_t *m)
{
    const json_t *re = json_object_get(m, "re"), *id = json_object_get(m, "id");
    const char *type = json_string_value(json_object_get(m, "type"));
    json_t *body = json_object_get(m, "body");
    json_t *empty = NULL;
    uint64_t req_id;
    enum proto_msg msg;
    struct err e;

    if (!json_is_object(m) || json_integer_value(json_object_get(m, "v")) != PROTO_VERSION)
        return false;
    if (json_is_integer(re)) {
        take_answer(ch, (uint64_t)json_integer_value(re), m);
        return true;
    }
    if (type == NULL || (id != NULL && (!json_is_integer(id) || json_integer_value(id) <= 0)))
        return false;
    req_id = (uint64_t)json_integer_value(id);
    if (!proto_msg_find(type, &msg)) {
        send_error(ch, req_id, "unknown message type");
        return true;
    }
    if ((proto_msg_info(msg)->kind == PROTO_REQ) != (req_id != 0)) {
        send_error(ch, req_id,
                   req_id != 0 ? "this is an event: send it without id"
                               : "this is a request: give it an id");
        return true;
    }
    if (body == NULL)
        body = empty = json_object();
    if (proto_check(proto_msg_info(msg)->body, body, &e))
        take_request(ch, msg, req_id, body);
    else
        send_error(ch, req_id, e.msg);
    json_decref(empty);
    return true;
}

static bool take_line(struct chan *ch, const char *line, size_t n)
{
    json_t *m = json_loadb(line, n, JSON_REJECT_DUPLICATES, NULL);
    bool ok = m != NULL && take_message(ch, m);

    json_decref(m);
    return ok;
}

static void take_lines(struct chan *ch)
{
    size_t used = 0;

    while (ch->state != CHAN_CLOSED && ch->fail_why == NULL && used < ch->in.len) {
        const char *line = ch->in.data + used;
        const char *end = memchr(line, '\n', ch->in.len - used);

        if (end == NULL)
            break;
        used += (size_t)(end - line) + 1;
        if (!take_line(ch, line, (size_t)(end - line))) {
            log_warn("bad frame on a channel", "peer=%s pid=%ld", proto_role_name(ch->peer_role),
                     (long)ch->peer_pid);
            chan_fail(ch, "bad frame");
        }
    }
    buf_drop_front(&ch->in, used);
}

static void on_readable(evutil_socket_t fd, short what UNUSED, void *arg) /* event_callback_fn */
{
    struct chan *ch = CAST(arg, chan, CHAN_MAGIC);
    char chunk[CHAN_READ_CHUNK];
    ssize_t n = recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        chan_close(ch, n == 0 ? "the peer has closed it" : "the peer has gone");
        return;
    }
    /* The buffer holds at most one unfinished line and this chunk. */
    if (!buf_add(&ch->in, chunk, (size_t)n)) {
        chan_close(ch, "line too long");
        return;
    }
    take_lines(ch);
    if (ch->state != CHAN_CLOSED && ch->in.len >= PROTO_LINE_MAX) {
        log_warn("line too long on a channel", "peer=%s pid=%ld max=%d",
                 proto_role_name(ch->peer_role), (long)ch->peer_pid, PROTO_LINE_MAX);
        chan_close(ch, "line too long");
    }
}

/* ---- birth ---- */

static void on_hello_late(void *arg) /* timer */
{
    chan_close(CAST(arg, chan, CHAN_MAGIC), "no hello in time");
}

struct chan *chan_new(struct chan_hub *h, int fd, struct link *lk)
{
    struct ucred cred = {.pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1};
    socklen_t len = sizeof(cred);
    struct chan *ch = mem_zalloc(sizeof(*ch));

    *ch = (struct chan){
        .magic = CHAN_MAGIC, .hub = h, .id = h->next_id++, .fd = fd, .link = lk, .next_req = 1};
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0)
        ch->peer_pid = cred.pid;
    list_init(&ch->pending);
    list_push_back(&h->chans, &ch->node);
    buf_init(&ch->in, PROTO_LINE_MAX + CHAN_READ_CHUNK);
    buf_init(&ch->out, CHAN_OUT_MAX);
    timer_init(&ch->hello_timer, h->loop, on_hello_late, ch);
    timer_in(&ch->hello_timer, CHAN_HELLO_TIMEOUT_MS);
    ch->rd = event_new(loop_base(h->loop), fd, EV_READ | EV_PERSIST, on_readable, ch);
    ch->wr = event_new(loop_base(h->loop), fd, EV_WRITE, on_writable, ch);
    if (ch->rd == NULL || ch->wr == NULL || event_add(ch->rd, NULL) < 0)
        abort(); /* out of memory; see mem.h */
    if (lk == NULL)
        h->accepted_n++;
    return ch;
}

void chan_begin_hello(struct chan *ch)
{
    chan_request(ch, MSG_HELLO, hello_body(ch->hub), CHAN_HELLO_TIMEOUT_MS, on_hello_answer, ch);
}

uint64_t chan_id(const struct chan *ch)
{
    return ch->id;
}

enum proto_role chan_peer_role(const struct chan *ch)
{
    return ch->peer_role;
}

const char *chan_peer_build(const struct chan *ch)
{
    return ch->peer_build;
}

pid_t chan_peer_pid(const struct chan *ch)
{
    return ch->peer_pid;
}
