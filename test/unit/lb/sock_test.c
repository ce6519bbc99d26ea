#include "test/unit/unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/macros.h"
#include "lb/sock.h"
#include "lb/worker.h"

enum { MANY = 4096 };

static void worker_begin(struct worker *w)
{
    *w = (struct worker){0};
    slab_init(&w->small, WORKER_SMALL, 4);
    slab_init(&w->large, WORKER_LARGE, 4);
    slab_init(&w->huge, WORKER_HUGE, 4);
}

static void worker_end(struct worker *w)
{
    slab_fini(&w->small);
    slab_fini(&w->large);
    slab_fini(&w->huge);
}

/* What a socket has, what is asked for, what it gets. */
static const struct {
    const char *name;
    uint32_t has, want;
    bool full;   /* there are bytes in the buffer */
    bool scarce; /* no huge buffer is to be had */
    uint32_t gets;
} rows[] = {
    {"none, small", 0, WORKER_SMALL, false, false, WORKER_SMALL},
    {"none, huge", 0, WORKER_HUGE, false, false, WORKER_HUGE},
    {"none, huge when scarce", 0, WORKER_HUGE, false, true, WORKER_LARGE},
    {"small grows", WORKER_SMALL, WORKER_LARGE, false, false, WORKER_LARGE},
    {"small grows to huge", WORKER_SMALL, WORKER_HUGE, false, false, WORKER_HUGE},
    {"bytes stay where they are", WORKER_SMALL, WORKER_HUGE, true, false, WORKER_SMALL},
    {"large when huge is scarce", WORKER_LARGE, WORKER_HUGE, false, true, WORKER_LARGE},
    {"nothing shrinks", WORKER_HUGE, WORKER_SMALL, false, false, WORKER_HUGE},
};

static void test_want(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        static void *held[MANY];
        struct worker w;
        struct sock s = {.w = &w, .fd = -1};
        unsigned n = 0;

        worker_begin(&w);
        if (rows[i].has > 0)
            ROW_EQ_U64(rows[i].name, sock_want_buffer(&s, rows[i].has), true);
        s.in_end = rows[i].full ? 1 : 0;
        while (rows[i].scarce && n < MANY &&
               (held[n] = worker_buffer_take(&w, WORKER_HUGE)) != NULL)
            n++;
        ROW_EQ_U64(rows[i].name, sock_want_buffer(&s, rows[i].want), true);
        ROW_EQ_U64(rows[i].name, s.in_cap, rows[i].gets);
        sock_drop_buffer(&s);
        while (n > 0)
            worker_buffer_give(&w, held[--n], WORKER_HUGE);
        ROW_EQ_U64(rows[i].name, w.huge_n, 0);
        worker_end(&w);
    }
}

/* However many ask, the huge ones of a worker stay below 64 MiB. */
static void test_bound(void **state UNUSED)
{
    static void *held[MANY];
    struct worker w;
    unsigned n = 0;

    worker_begin(&w);
    while (n < MANY && (held[n] = worker_buffer_take(&w, WORKER_HUGE)) != NULL)
        n++;
    assert_in_range(n, 16, (64 << 20) / WORKER_HUGE);
    worker_buffer_give(&w, held[--n], WORKER_HUGE);
    held[n] = worker_buffer_take(&w, WORKER_HUGE);
    assert_non_null(held[n++]);
    assert_null(worker_buffer_take(&w, WORKER_HUGE));
    while (n > 0)
        worker_buffer_give(&w, held[--n], WORKER_HUGE);
    worker_end(&w);
}

/* A connected pair over loopback. */
static void connect_pair(int *ret_ours, int *ret_theirs)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(l, (struct sockaddr *)&a, n), 0);
    assert_int_equal(listen(l, 1), 0);
    assert_int_equal(getsockname(l, (struct sockaddr *)&a, &n), 0);
    *ret_theirs = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(*ret_theirs, (struct sockaddr *)&a, n), 0);
    *ret_ours = accept4(l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(*ret_ours >= 0);
    close(l);
}

/* What the peer did after its bytes, before they were read; and what the reads must say. */
static const struct {
    const char *name;
    bool ends, resets;
    short what; /* as libevent reports it: a reset is EPOLLERR, which has no flag of its own */
    enum sock_result then;
} ends[] = {
    {"nothing", false, false, EV_READ | EV_WRITE, SOCK_AGAIN},
    {"an end", true, false, EV_READ | EV_WRITE | EV_CLOSED, SOCK_EOF},
    {"a reset", true, true, EV_READ | EV_WRITE, SOCK_ERR},
};

static void test_what_follows_a_short_read(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        struct linger hard = {.l_onoff = 1, .l_linger = 0};
        struct sock s = {0};
        struct worker w;
        int theirs;

        worker_begin(&w);
        s.w = &w;
        connect_pair(&s.fd, &theirs);
        assert_int_equal(write(theirs, "hello", 5), 5);
        if (ends[i].resets)
            setsockopt(theirs, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
        if (ends[i].ends)
            close(theirs);
        sock_note(&s, ends[i].what);
        ROW_EQ_U64(ends[i].name, sock_want_buffer(&s, WORKER_SMALL), true);
        ROW_EQ_U64(ends[i].name, sock_read(&s), SOCK_OK);
        ROW_EQ_U64(ends[i].name, s.in_end, 5);
        ROW_EQ_U64(ends[i].name, sock_may_read(&s), true); /* who needs more looks again */
        ROW_EQ_U64(ends[i].name, sock_read(&s), ends[i].then);
        if (ends[i].then == SOCK_AGAIN) {
            ROW_EQ_U64(ends[i].name, sock_may_read(&s), false);
            close(theirs);
        }
        sock_drop_buffer(&s);
        close(s.fd);
        worker_end(&w);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_want),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_what_follows_a_short_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
