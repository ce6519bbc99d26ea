#include "test/unit/unit.h"

#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "common/base/mem.h"
#include "ctl/probe.h"

static void test_judge(void **state)
{
    static const struct {
        const char *name;
        enum conf_health_kind kind;
        enum http_end end;
        int status;
        enum probe_result want;
    } rows[] = {
        {"200", CONF_HEALTH_HTTP, HTTP_ANSWERED, 200, PROBE_OK},
        {"204 is not 200", CONF_HEALTH_HTTP, HTTP_ANSWERED, 204, PROBE_BAD_STATUS},
        {"500", CONF_HEALTH_HTTP, HTTP_ANSWERED, 500, PROBE_BAD_STATUS},
        {"302", CONF_HEALTH_HTTP, HTTP_ANSWERED, 302, PROBE_BAD_STATUS},
        {"connected", CONF_HEALTH_TCP, HTTP_ANSWERED, 0, PROBE_OK},
        {"refused", CONF_HEALTH_HTTP, HTTP_REFUSED, 0, PROBE_REFUSED},
        {"refused, tcp", CONF_HEALTH_TCP, HTTP_REFUSED, 0, PROBE_REFUSED},
        {"reset", CONF_HEALTH_HTTP, HTTP_RESET, 0, PROBE_RESET},
        {"reset after 200", CONF_HEALTH_HTTP, HTTP_RESET, 200, PROBE_RESET},
        {"late", CONF_HEALTH_HTTP, HTTP_TIMEOUT, 0, PROBE_TIMEOUT},
        {"late after 200", CONF_HEALTH_HTTP, HTTP_TIMEOUT, 200, PROBE_TIMEOUT},
        {"late, tcp", CONF_HEALTH_TCP, HTTP_TIMEOUT, 0, PROBE_TIMEOUT},
        {"no HTTP", CONF_HEALTH_HTTP, HTTP_BAD_ANSWER, 0, PROBE_BAD_ANSWER},
        {"too big", CONF_HEALTH_HTTP, HTTP_TOO_BIG, 200, PROBE_BAD_ANSWER},
        {"ours", CONF_HEALTH_HTTP, HTTP_LOCAL, 0, PROBE_LOCAL},
        {"ours, tcp", CONF_HEALTH_TCP, HTTP_LOCAL, 0, PROBE_LOCAL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct conf_health h = {.kind = rows[i].kind};
        const struct http_answer a = {.end = rows[i].end, .status = rows[i].status, .body = ""};

        ROW_EQ_STR(rows[i].name, probe_result_name(probe_judge(&h, &a)),
                   probe_result_name(rows[i].want));
    }
}

static void test_statuses_and_body(void **state)
{
    static char text[] = "up and well";
    const struct conf_health h = {
        .kind = CONF_HEALTH_HTTP, .status = {.v = {{204, 204}, {300, 399}}, .n = 2}, .body = text};
    static const struct {
        const char *name;
        int status;
        const char *body;
        enum probe_result want;
    } rows[] = {
        {"named", 204, "I am up and well, thanks", PROBE_OK},
        {"the range's ends", 300, "up and well", PROBE_OK},
        {"the range's ends", 399, "up and well", PROBE_OK},
        {"200 is not named", 200, "up and well", PROBE_BAD_STATUS},
        {"400", 400, "up and well", PROBE_BAD_STATUS},
        {"another text", 204, "up and wel", PROBE_BAD_BODY},
        {"no text", 204, "", PROBE_BAD_BODY},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct http_answer a = {.end = HTTP_ANSWERED,
                                      .status = rows[i].status,
                                      .body = rows[i].body,
                                      .body_n = strlen(rows[i].body)};

        ROW_EQ_STR(rows[i].name, probe_result_name(probe_judge(&h, &a)),
                   probe_result_name(rows[i].want));
    }
}

enum { PROBES = 200 };

struct fixture {
    struct loop *loop;
    struct probe_pool *pool;
    struct evconnlistener *listener;
    struct timer guard;
    uint16_t port;
    int silent;    /* listens, but nobody accepts */
    unsigned open; /* connections of the server */
    unsigned done, seen[PROBES], results[PROBE_LOCAL + 1];
    bool inside, free_now;
};

static void drop(struct bufferevent *bev, struct fixture *f)
{
    bufferevent_free(bev);
    f->open--;
}

static void on_written(struct bufferevent *bev, void *arg)
{
    drop(bev, arg);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    (void)what;
    drop(bev, arg);
}

static void on_read(struct bufferevent *bev, void *arg)
{
    bufferevent_setcb(bev, NULL, on_written, on_event, arg);
    bufferevent_write(bev, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 38);
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int n,
                      void *arg)
{
    struct bufferevent *bev =
        bufferevent_socket_new(evconnlistener_get_base(l), fd, BEV_OPT_CLOSE_ON_FREE);

    (void)sa;
    (void)n;
    ((struct fixture *)arg)->open++;
    bufferevent_setcb(bev, on_read, NULL, on_event, arg);
    bufferevent_enable(bev, EV_READ);
}

static void on_probe(void *arg, uint64_t tag, enum probe_result r, int status, uint64_t took_us)
{
    struct fixture *f = arg;

    assert_false(f->inside);
    assert_true(took_us < 10000000);
    assert_int_equal(status, r == PROBE_OK && tag % 4 == 0 ? 200 : 0);
    f->seen[tag]++;
    f->results[r]++;
    f->done++;
    if (f->free_now) {
        probe_pool_free(f->pool);
        f->pool = NULL;
        loop_stop(f->loop);
    } else if (f->done == PROBES) {
        loop_stop(f->loop);
    }
}

static void on_guard(void *arg)
{
    (void)arg;
    fail_msg("nothing happened for 10 s");
}

static int up(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    struct err e;

    f->silent = -1;
    assert_true(loop_new(&f->loop, &e));
    assert_true(probe_pool_new(f->loop, on_probe, f, &f->pool, &e));
    f->listener = evconnlistener_new_bind(loop_base(f->loop), on_accept, f, LEV_OPT_CLOSE_ON_FREE,
                                          PROBES, (struct sockaddr *)&a, sizeof(a));
    assert_non_null(f->listener);
    assert_int_equal(getsockname(evconnlistener_get_fd(f->listener), (struct sockaddr *)&a, &n), 0);
    f->port = ntohs(a.sin_port);
    timer_init(&f->guard, f->loop, on_guard, f);
    timer_in(&f->guard, 10000);
    *state = f;
    return 0;
}

static int down(void **state)
{
    struct fixture *f = *state;

    probe_pool_free(f->pool);
    evconnlistener_free(f->listener);
    while (f->open > 0) /* they see the clients go */
        event_base_loop(loop_base(f->loop), EVLOOP_ONCE);
    if (f->silent >= 0)
        evutil_closesocket(f->silent);
    timer_fini(&f->guard);
    loop_free(f->loop);
    mem_free(f);
    return 0;
}

static void start_all(struct fixture *f)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);

    f->silent = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(f->silent, (struct sockaddr *)&a, n), 0);
    assert_int_equal(listen(f->silent, PROBES), 0);
    assert_int_equal(getsockname(f->silent, (struct sockaddr *)&a, &n), 0);
    f->inside = true;
    for (unsigned i = 0; i < PROBES; i++) {
        char path[] = "/_health";
        struct conf_health h = {.kind = i % 4 == 1 ? CONF_HEALTH_TCP : CONF_HEALTH_HTTP,
                                .path = path,
                                .timeout_ms = i % 4 == 3 ? 100 : 5000};
        uint16_t port = i % 4 == 3 ? ntohs(a.sin_port) : f->port;

        probe_start(f->pool, i, &h, i % 4 == 2 ? "" : "127.0.0.1", port);
    }
    f->inside = false;
}

static void test_many_side_by_side(void **state)
{
    struct fixture *f = *state;
    struct err e;

    start_all(f);
    assert_true(loop_run(f->loop, &e));
    for (unsigned i = 0; i < PROBES; i++)
        assert_int_equal(f->seen[i], 1);
    assert_int_equal(f->results[PROBE_OK], PROBES / 2);
    assert_int_equal(f->results[PROBE_LOCAL], PROBES / 4);
    assert_int_equal(f->results[PROBE_TIMEOUT], PROBES / 4);
}

static void test_pool_freed_from_done(void **state)
{
    struct fixture *f = *state;
    struct err e;

    f->free_now = true;
    start_all(f);
    assert_true(loop_run(f->loop, &e));
    assert_int_equal(f->done, 1); /* the others are dropped */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judge),
        cmocka_unit_test(test_statuses_and_body),
        cmocka_unit_test_setup_teardown(test_many_side_by_side, up, down),
        cmocka_unit_test_setup_teardown(test_pool_freed_from_done, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
