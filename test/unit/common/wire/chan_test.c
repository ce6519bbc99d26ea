#include "test/unit/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/wire/chan.h"

/* Two hubs (lb listens, ctl connects) on one loop, and a raw peer that sends what it likes. */
struct fixture {
    struct loop *loop;
    struct chan_hub *lb, *ctl;
    char dir[32], path[64];
    unsigned opened, closed, asked, answered, failed, events;
    struct chan_ask held; /* a request that is answered later */
    bool hold;
    char error[512];
    struct timer limit;
};

static void on_limit(void *arg UNUSED)
{
    fail_msg("the test took too long");
}

static void on_table(struct chan *ch UNUSED, struct chan_ask ask, const json_t *body, void *arg)
{
    struct fixture *f = arg;

    f->asked++;
    f->held = ask;
    if (!f->hold)
        chan_answer(
            ask, json_pack("{s:I}", "generation", (json_int_t)proto_uint(body, "generation", 0)));
}

static void on_stats(struct chan *ch UNUSED, struct chan_ask ask, const json_t *body UNUSED,
                     void *arg UNUSED)
{
    chan_answer(ask, json_pack("{s:s}", "boot", "an answer of the wrong shape"));
}

static void on_hint(struct chan *ch UNUSED, struct chan_ask ask, const json_t *body UNUSED,
                    void *arg)
{
    struct fixture *f = arg;

    assert_int_equal(ask.req_id, 0);
    f->events++;
    loop_stop(f->loop);
}

static void on_open(struct chan *ch UNUSED, void *arg)
{
    struct fixture *f = arg;

    if (++f->opened == 2) /* both ends */
        loop_stop(f->loop);
}

static void on_close(struct chan *ch UNUSED, const char *why UNUSED, void *arg)
{
    struct fixture *f = arg;

    f->closed++;
}

static bool hub(struct fixture *f, enum proto_role role, struct chan_hub **ret)
{
    struct chan_config c = {
        .role = role, .build = "test", .arg = f, .on_open = on_open, .on_close = on_close};

    if (role == PROTO_LB) {
        c.handlers[MSG_TABLE_SET] = on_table;
        c.handlers[MSG_STATS_GET] = on_stats;
    } else {
        c.handlers[MSG_EV_BACKEND] = on_hint;
    }
    return chan_hub_new(f->loop, &c, ret, NULL);
}

static void run(struct fixture *f)
{
    struct err e;

    timer_in(&f->limit, 20000);
    assert_true(loop_run(f->loop, &e));
}

static int up(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    struct err e;

    log_init("test", LOG_FMT_TEXT, LOG_LV_ERROR); /* what the raw peers cause is expected */
    strcpy(f->dir, "/tmp/lbctl-chan-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/lb.sock", f->dir);
    assert_true(loop_new(&f->loop, &e));
    timer_init(&f->limit, f->loop, on_limit, f);
    assert_true(hub(f, PROTO_LB, &f->lb) && hub(f, PROTO_CTL, &f->ctl));
    assert_true(chan_hub_listen(f->lb, f->path, 0600, &e));
    assert_true(chan_hub_connect(f->ctl, f->path, &e));
    run(f);
    *state = f;
    return 0;
}

static int down(void **state)
{
    struct fixture *f = *state;

    chan_hub_free(f->ctl);
    chan_hub_free(f->lb);
    assert_int_not_equal(access(f->path, F_OK), 0); /* the listener takes its file away */
    timer_fini(&f->limit);
    loop_free(f->loop);
    assert_int_equal(rmdir(f->dir), 0);
    mem_free(f);
    return 0;
}

static void on_done(void *arg, const json_t *body, const struct err *e)
{
    struct fixture *f = arg;

    assert_true((body == NULL) == (e != NULL)); /* one or the other */
    if (body != NULL)
        f->answered++;
    else
        f->failed++;
    if (e != NULL)
        snprintf(f->error, sizeof(f->error), "%s", e->msg);
    loop_stop(f->loop);
}

static struct chan *to_lb(struct fixture *f)
{
    struct chan *ch = chan_first(f->ctl, PROTO_LB);

    assert_non_null(ch);
    return ch;
}

static json_t *table(void)
{
    return json_pack("{s:i, s:[]}", "generation", 7, "services");
}

static void test_request_and_answer(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(chan_peer_build(to_lb(f)), "test");
    assert_int_equal(chan_peer_pid(to_lb(f)), getpid());
    chan_request(to_lb(f), MSG_TABLE_SET, table(), 5000, on_done, f);
    assert_int_equal(f->answered, 0); /* never from within the call */
    run(f);
    assert_int_equal(f->answered, 1);
}

static void test_refused_requests(void **state)
{
    static const struct {
        const char *name;
        enum proto_msg msg;
        const char *body;
        const char *error;
    } rows[] = {
        {"no handler", MSG_DRAIN_WAIT, "{\"service\":\"s\",\"instance\":\"i\",\"timeout_ms\":1}",
         "is not for lb"},
        {"wrong direction", MSG_STATUS_GET, "{}", "is not for lb"},
        {"missing member", MSG_TABLE_SET, "{\"generation\":1}", "'services' is missing"},
        {"second hello", MSG_HELLO, "{\"proto\":1,\"role\":\"ctl\",\"build\":\"x\"}",
         "said already"},
        {"answer of the wrong shape", MSG_STATS_GET, "{}", "ill-shaped answer to stats.get"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        chan_request(to_lb(f), rows[i].msg, json_loads(rows[i].body, 0, NULL), 5000, on_done, f);
        run(f);
        ROW_EQ_U64(rows[i].name, f->failed, i + 1);
        ROW_HAS_STR(rows[i].name, f->error, rows[i].error);
    }
    assert_int_equal(f->closed, 0); /* a bad message closes nothing */
}

static void test_deadline_and_late_answer(void **state)
{
    struct fixture *f = *state;
    uint64_t t0 = clock_mono_ms();

    f->hold = true;
    chan_request(to_lb(f), MSG_TABLE_SET, table(), 30, on_done, f);
    run(f);
    assert_true(clock_mono_ms() - t0 >= 30);
    assert_int_equal(f->failed, 1);
    assert_non_null(strstr(f->error, "no answer from lb in time"));
    chan_answer(f->held, json_pack("{s:i}", "generation", 7)); /* nobody waits any more */
    f->hold = false;
    chan_request(to_lb(f), MSG_TABLE_SET, table(), 5000, on_done, f);
    run(f);
    assert_int_equal(f->answered, 1);
}

static void on_done_quiet(void *arg, const json_t *body, const struct err *e UNUSED)
{
    struct fixture *f = arg;

    assert_null(body);
    f->failed++;
}

static void test_lost_peer_fails_requests_and_comes_back(void **state)
{
    struct fixture *f = *state;
    struct err e;

    f->hold = true;
    chan_request(to_lb(f), MSG_TABLE_SET, table(), 5000, on_done, f);
    while (f->asked == 0)
        event_base_loop(loop_base(f->loop), EVLOOP_ONCE);
    f->opened = 0;
    chan_hub_free(f->lb); /* the process dies */
    run(f);
    assert_int_equal(f->failed, 1);
    assert_non_null(strstr(f->error, "closed"));
    assert_null(chan_first(f->ctl, PROTO_LB));
    assert_true(hub(f, PROTO_LB, &f->lb)); /* and is started again */
    assert_true(chan_hub_listen(f->lb, f->path, 0600, &e));
    run(f);
    assert_non_null(chan_first(f->ctl, PROTO_LB));
    /* A request on a channel that has just been closed fails too, once. */
    struct chan *ch = to_lb(f);
    unsigned before = f->failed;
    chan_close(ch, "test");
    chan_request(ch, MSG_TABLE_SET, table(), 5000, on_done_quiet, f);
    f->opened = 0;
    run(f);
    assert_int_equal(f->failed, before + 1);
}

static void test_event(void **state)
{
    struct fixture *f = *state;

    chan_hub_event(f->lb, MSG_EV_BACKEND,
                   json_pack("{s:s, s:i, s:s, s:s}", "service", "s", "slot", 0, "instance", "i",
                             "reason", "reset"));
    run(f);
    assert_int_equal(f->events, 1);
}

static void test_second_listener_is_refused(void **state)
{
    struct fixture *f = *state;
    struct chan_hub *other;
    struct err e;

    assert_true(hub(f, PROTO_LB, &other));
    assert_false(chan_hub_listen(other, f->path, 0600, &e));
    assert_non_null(strstr(e.msg, "another process listens"));
    chan_hub_free(other);
    assert_int_equal(access(f->path, F_OK), 0); /* the living one keeps its file */
}

/* ---- raw peers ---- */

static int raw_connect(struct fixture *f)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    memcpy(sa.sun_path, f->path, strlen(f->path) + 1);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    return fd;
}

/* Sends text (in slices of step bytes), turning the loop, until the peer closes or `want` has come.
 */
static void raw_talk(struct fixture *f, const char *name, const char *text, size_t n, size_t step,
                     const char *want)
{
    int fd = raw_connect(f);
    uint64_t deadline = clock_mono_ms() + 20000;
    struct buf got;
    size_t sent = 0;
    bool closed = false;

    buf_init(&got, 1 << 20);
    while (!closed && (want == NULL || got.data == NULL || strstr(got.data, want) == NULL)) {
        char chunk[4096];
        ssize_t r;

        if (clock_mono_ms() > deadline)
            fail_msg("row '%s': want %s, got '%s'", name, want != NULL ? want : "close",
                     got.len > 0 ? got.data : "");
        if (sent < n) {
            r = send(fd, text + sent, n - sent < step ? n - sent : step, MSG_NOSIGNAL);
            sent += r > 0 ? (size_t)r : 0;
        }
        event_base_loop(loop_base(f->loop), EVLOOP_NONBLOCK);
        r = recv(fd, chunk, sizeof(chunk), 0);
        if (r > 0)
            buf_add(&got, chunk, (size_t)r);
        closed = r == 0 || (r < 0 && errno != EAGAIN);
    }
    if (want == NULL && got.len > 0)
        fail_msg("row '%s': want a closed channel, got '%s'", name, got.data);
    if (want != NULL && (got.data == NULL || strstr(got.data, want) == NULL))
        fail_msg("row '%s': closed before '%s' came", name, want);
    close(fd);
    buf_fini(&got);
}

#define HELLO                                                                                      \
    "{\"v\":1,\"id\":1,\"type\":\"hello\",\"body\":{\"proto\":1,\"role\":\"ctl\",\"build\":"       \
    "\"raw\"}}\n"

static void test_raw_peers_never_end_the_hub(void **state)
{
    static const struct {
        const char *name, *text, *want; /* NULL: the channel is closed without a word */
    } rows[] = {
        {"not JSON", "garbage\n", NULL},
        {"empty line", "\n", NULL},
        {"a list", "[]\n", NULL},
        {"a member twice", "{\"v\":1,\"v\":1}\n", NULL},
        {"no version", "{\"id\":1,\"type\":\"hello\"}\n", NULL},
        {"frame of another version", "{\"v\":2,\"id\":1,\"type\":\"hello\"}\n", NULL},
        {"negative id", "{\"v\":1,\"id\":-1,\"type\":\"hello\"}\n", NULL},
        {"protocol of another version",
         "{\"v\":1,\"id\":1,\"type\":\"hello\",\"body\":{\"proto\":9,\"role\":\"ctl\",\"build\":"
         "\"x\"}}\n",
         "bring both to one release"},
        {"unknown role",
         "{\"v\":1,\"id\":1,\"type\":\"hello\",\"body\":{\"proto\":1,\"role\":\"me\",\"build\":"
         "\"x\"}}\n",
         "unknown role"},
        {"no hello first", "{\"v\":1,\"id\":4,\"type\":\"stats.get\"}\n", "say hello first"},
        {"unknown type", HELLO "{\"v\":1,\"id\":4,\"type\":\"nope\"}\n",
         "\"re\":4,\"error\":\"unknown message type\""},
        {"request as event", HELLO "{\"v\":1,\"type\":\"stats.get\"}\n", "give it an id"},
        {"event as request", HELLO "{\"v\":1,\"id\":3,\"type\":\"ev.backend\",\"body\":{}}\n",
         "send it without id"},
        {"answer that nobody asked for", HELLO "{\"v\":1,\"re\":99,\"body\":{}}\n" HELLO,
         "said already"},
        {"good request",
         HELLO
         "{\"v\":1,\"id\":5,\"type\":\"table.set\",\"body\":{\"generation\":3,\"services\":[]}}\n",
         "\"re\":5,\"body\":{\"generation\":3}"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        raw_talk(f, rows[i].name, rows[i].text, strlen(rows[i].text), 65536, rows[i].want);
        raw_talk(f, rows[i].name, rows[i].text, strlen(rows[i].text), 1,
                 rows[i].want); /* byte by byte */
    }
    chan_request(to_lb(f), MSG_TABLE_SET, table(), 5000, on_done,
                 f); /* the good peer is still served */
    run(f);
    assert_int_equal(f->answered, 1);
}

static void test_too_long_a_line(void **state)
{
    struct fixture *f = *state;
    size_t n = PROTO_LINE_MAX + 200000;
    char *big = mem_zalloc(n);

    memset(big, ' ', n);
    raw_talk(f, "endless line", big, n, 65536, NULL);
    mem_free(big);
}

static void test_a_peer_that_does_not_read_is_dropped(void **state)
{
    struct fixture *f = *state;
    int fd = raw_connect(f);
    uint64_t deadline = clock_mono_ms() + 20000;
    unsigned before = f->closed;

    assert_true(send(fd, HELLO, strlen(HELLO), 0) > 0);
    while (f->closed == before) { /* ask without end, never read an answer */
        static const char ask[] = "{\"v\":1,\"id\":4,\"type\":\"nope\"}\n";

        for (int i = 0; i < 1000; i++)
            (void)!send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL);
        event_base_loop(loop_base(f->loop), EVLOOP_NONBLOCK);
        if (clock_mono_ms() > deadline)
            fail_msg("the channel is still open");
    }
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_request_and_answer, up, down),
        cmocka_unit_test_setup_teardown(test_refused_requests, up, down),
        cmocka_unit_test_setup_teardown(test_deadline_and_late_answer, up, down),
        cmocka_unit_test_setup_teardown(test_lost_peer_fails_requests_and_comes_back, up, down),
        cmocka_unit_test_setup_teardown(test_event, up, down),
        cmocka_unit_test_setup_teardown(test_second_listener_is_refused, up, down),
        cmocka_unit_test_setup_teardown(test_raw_peers_never_end_the_hub, up, down),
        cmocka_unit_test_setup_teardown(test_too_long_a_line, up, down),
        cmocka_unit_test_setup_teardown(test_a_peer_that_does_not_read_is_dropped, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
