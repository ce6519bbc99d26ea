#include "ctl/lbctl/client.h"

#include "common/ev/loop.h"
#include "common/wire/chan.h"

static const uint32_t CLIENT_MAGIC = MAGIC('l', 'c', 't', 'l');

struct client {
    uint32_t magic;
    struct loop *loop;
    struct chan_hub *hub;
    enum proto_msg msg;
    json_t *body, *answer;
    enum client_end end;
    bool finished;
    struct err e;
};

static void finish(struct client *c, enum client_end end)
{
    c->end = end;
    c->finished = true;
    loop_stop(c->loop);
}

static void on_answer(void *arg, const json_t *body, const struct err *e) /* chan_done_fn */
{
    struct client *c = CAST(arg, client, CLIENT_MAGIC);

    if (body != NULL) {
        c->answer = json_incref((json_t *)body);
        finish(c, CLIENT_ANSWERED);
        return;
    }
    c->e = *e;
    /* A refusal leaves the channel open; a lost channel refuses what waits on it. */
    finish(c, chan_first(c->hub, PROTO_CTL) != NULL ? CLIENT_REFUSED : CLIENT_UNREACHABLE);
}

static void on_chan_open(struct chan *ch, void *arg) /* chan_config.on_open */
{
    struct client *c = CAST(arg, client, CLIENT_MAGIC);

    if (chan_peer_role(ch) != PROTO_CTL) {
        (void)err_set(&c->e, "the peer is %s, not ctld", proto_role_name(chan_peer_role(ch)));
        finish(c, CLIENT_UNREACHABLE);
        return;
    }
    chan_request(ch, c->msg, json_incref(c->body), 2 * CLIENT_DEADLINE_MS, on_answer, c);
}

static void on_chan_close(struct chan *ch, const char *why, void *arg) /* chan_config.on_close */
{
    struct client *c = CAST(arg, client, CLIENT_MAGIC);

    (void)ch;
    if (c->finished)
        return;
    (void)err_set(&c->e, "the connection was closed: %s", why);
    finish(c, CLIENT_UNREACHABLE);
}

static void on_deadline(void *arg) /* timer */
{
    struct client *c = CAST(arg, client, CLIENT_MAGIC);

    (void)err_set(&c->e, "no answer within %d s", CLIENT_DEADLINE_MS / 1000);
    finish(c, CLIENT_UNREACHABLE);
}

enum client_end client_ask(const char *socket_path, enum proto_msg msg, json_t *body, json_t **ret,
                           struct err *e)
{
    struct client c = {.magic = CLIENT_MAGIC, .msg = msg, .body = body, .end = CLIENT_UNREACHABLE};
    struct chan_config cc = {
        .role = PROTO_CLI,
        .build = LBCTL_VERSION,
        .arg = &c,
        .on_open = on_chan_open,
        .on_close = on_chan_close,
    };
    struct timer deadline = {0};
    bool ok = loop_new(&c.loop, &c.e) && chan_hub_new(c.loop, &cc, &c.hub, &c.e) &&
              chan_hub_connect_once(c.hub, socket_path, &c.e);

    if (ok) {
        timer_init(&deadline, c.loop, on_deadline, &c);
        timer_in(&deadline, CLIENT_DEADLINE_MS);
        if (!loop_run(c.loop, &c.e))
            c.end = CLIENT_UNREACHABLE;
        timer_fini(&deadline);
    }
    chan_hub_free(c.hub);
    if (c.loop != NULL)
        loop_free(c.loop);
    json_decref(body);
    if (c.end == CLIENT_ANSWERED)
        *ret = c.answer;
    else
        *e = c.e;
    return c.end;
}

static void on_pause_end(void *arg) /* timer */
{
    loop_stop(arg);
}

bool client_pause(uint64_t ms, struct err *e)
{
    struct loop *l = NULL;
    struct timer t;
    bool ok;

    if (!loop_new(&l, e))
        return false;
    timer_init(&t, l, on_pause_end, l);
    timer_in(&t, ms);
    ok = loop_run(l, e);
    timer_fini(&t);
    loop_free(l);
    return ok;
}
