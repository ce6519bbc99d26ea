/* Frames from a peer that sends what it likes: however the bytes are sliced, the channel answers
 * the same, every line it sends is a message, and a peer that broke the framing is let go. The
 * first byte chooses the slices. */
#include "test/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/wire/chan-internal.h"

enum { ANSWERS_MAX = CHAN_OUT_MAX };

/* What the peer got, and whether the channel was closed before the peer closed it. */
struct heard {
    struct buf bytes;
    bool closed;
    unsigned asked;
};

static void on_ask(struct chan *ch UNUSED, struct chan_ask ask, const json_t *body, void *arg)
{
    struct heard *h = arg;

    h->asked++;
    if (h->asked % 2 == 0)
        chan_refuse(ask, "request %u is not to our liking", h->asked);
    else
        chan_answer(ask, json_deep_copy(body));
}

static void turn(struct loop *l)
{
    MUST(event_base_loop(loop_base(l), EVLOOP_NONBLOCK) >= 0);
}

static void listen_to(int fd, struct heard *heard)
{
    static char chunk[1 << 16];
    ssize_t n;

    while ((n = recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT)) > 0)
        MUST(buf_add(&heard->bytes, chunk, (size_t)n));
    heard->closed = n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

static void talk(struct loop *l, const char *p, size_t n, size_t slice, struct heard *ret)
{
    struct chan_config c = {.role = PROTO_LB, .build = "fuzz", .arg = ret};
    struct chan_hub *h;
    struct err e;
    int fds[2];

    buf_init(&ret->bytes, ANSWERS_MAX);
    ret->closed = false;
    ret->asked = 0;
    for (unsigned i = 0; i < MSG_COUNT; i++)
        c.handlers[i] = i == MSG_STATS_GET ? NULL : on_ask;
    MUST(chan_hub_new(l, &c, &h, &e));
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    chan_new(h, fds[0], NULL);
    for (size_t at = 0; at < n && !ret->closed;) {
        size_t k = n - at < slice ? n - at : slice;
        ssize_t sent = send(fds[1], p + at, k, MSG_NOSIGNAL | MSG_DONTWAIT);

        MUST(sent > 0 || errno == EAGAIN || errno == EPIPE || errno == ECONNRESET);
        if (sent > 0)
            at += (size_t)sent;
        turn(l); /* reads */
        turn(l); /* ends what failed */
        listen_to(fds[1], ret);
    }
    while (!list_empty(&h->chans) && LIST_ENTRY_OF(h->chans.next, struct chan, node)->out.len > 0) {
        turn(l);
        listen_to(fds[1], ret);
    }
    chan_hub_free(h);
    turn(l);
    close(fds[1]);
}

static void check_answers(const struct heard *h)
{
    const char *at = h->bytes.data;
    size_t left = h->bytes.len;

    while (left > 0) {
        const char *end = memchr(at, '\n', left);
        json_t *m;

        MUST(end != NULL);
        m = json_loadb(at, (size_t)(end - at), 0, NULL);
        MUST(json_integer_value(json_object_get(m, "v")) == PROTO_VERSION);
        MUST(json_is_integer(json_object_get(m, "re")));
        MUST((json_object_get(m, "body") != NULL) != (json_object_get(m, "error") != NULL));
        json_decref(m);
        left -= (size_t)(end - at) + 1;
        at = end + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data + 1;
    struct heard whole, cut;
    static struct loop *l;
    struct err e;

    if (size < 2)
        return 0;
    if (l == NULL) {
        log_init("fuzz", LOG_FMT_TEXT, LOG_LV_ERROR); /* bad frames are warnings */
        MUST(loop_new(&l, &e));
    }
    size--;
    talk(l, p, size, SIZE_MAX, &whole);
    talk(l, p, size, 1 + data[0] % 61u + size / 64, &cut);
    check_answers(&whole);
    MUST(whole.bytes.len == cut.bytes.len && whole.asked == cut.asked);
    MUST(whole.bytes.len == 0 || memcmp(whole.bytes.data, cut.bytes.data, cut.bytes.len) == 0);
    MUST(whole.closed == cut.closed);
    buf_fini(&whole.bytes);
    buf_fini(&cut.bytes);
    return 0;
}
