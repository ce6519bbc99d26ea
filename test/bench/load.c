/* Load for benchmarks: as fast as answers come, at half of wrk's price (so that the proxy is the
 * limit, not the load), or at a constant rate without waiting for answers (latency counts from the
 * moment a request was due, so a stalled proxy is not asked less), or idle connections. One thread,
 * epoll, HTTP/1.1 answers with Content-Length; trusts its peer. usage: load [option value]... PORT
 * PATH
 *   -c N  connections (1)
 *   -n N  that many requests in all, each connection's next one as soon as its last is answered
 *   -d S  or as many as go in S seconds (1)
 *   -r N  or N requests a second, for S seconds or as many as -n says
 *   -i 1  or one request on each connection, 64 at a time, then "idle", then wait for the end of
 * stdin -x 1  a new connection for each request -s A  source address, 127.0.0.1 (a new port range
 * for more than 28 000 connections) -H L  header line; may be repeated Prints one line: requests,
 * errors, late (due while no connection was free), seconds, and quantiles in microseconds. Exit
 * status 1 after an error. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base/macros.h"
#include "common/base/mem.h"
#include "common/base/str.h"

enum { HEAD_MAX = 4096, SAMPLES_MAX = 50000000, SECOND_MAX = 500000, IDLE_AT_ONCE = 64 };

struct conn {
    int fd; /* -1: none; a request opens one */
    uint64_t due_ns;
    char in[HEAD_MAX]; /* of a head that came in pieces */
    size_t in_n;
    uint64_t body_left;
    bool in_body, busy;
    struct conn *next_free;
};

static struct {
    uint64_t conns, requests, rate, seconds, port;
    uint64_t idle, close_each;
    struct in_addr source;
    char head[8192];
    size_t head_n;

    int ep;
    struct conn *all, *free;
    uint32_t *samples; /* microseconds */
    uint64_t samples_max, begun_ns, end_ns, sent, done, errors, late;
} load = {.conns = 1, .seconds = 1};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void fail(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    _exit(1);
}

/* Blocking, as loopback connects at once or not at all; the socket does not block afterwards. */
static void conn_open(struct conn *c)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)load.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr = load.source};
    struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    int on = 1;

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        fail("socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    if (load.source.s_addr != 0 && bind(c->fd, (struct sockaddr *)&from, sizeof(from)) < 0)
        fail("bind");
    if (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
        fail("connect");
    if (epoll_ctl(load.ep, EPOLL_CTL_ADD, c->fd, &ev) < 0)
        fail("epoll_ctl");
    c->in_n = 0;
    c->in_body = false;
}

static void conn_lost(struct conn *c)
{
    close(c->fd);
    c->fd = -1;
    if (c->busy)
        load.errors++;
}

static void conn_send(struct conn *c, uint64_t due_ns)
{
    if (c->fd < 0)
        conn_open(c);
    c->due_ns = due_ns;
    c->busy = true;
    load.sent++;
    /* a head fits an empty socket buffer whole */
    if (send(c->fd, load.head, load.head_n, MSG_NOSIGNAL) != (ssize_t)load.head_n)
        fail("send");
}

static bool may_send(uint64_t now)
{
    return load.requests > 0 ? load.sent < load.requests : now < load.end_ns;
}

static void conn_answered(struct conn *c)
{
    uint64_t now = now_ns(), us = (now - c->due_ns) / 1000;

    if (load.done < load.samples_max)
        load.samples[load.done] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
    load.done++;
    c->busy = c->in_body = false;
    c->in_n = 0;
    if (load.close_each) {
        close(c->fd);
        c->fd = -1;
    }
    if (load.idle)
        return;
    if (load.rate == 0 && may_send(now)) {
        conn_send(c, now);
        return;
    }
    c->next_free = load.free;
    load.free = c;
}

/* How long is the body? The head is in [head, end). */
static uint64_t head_length(char *head, char *end)
{
    static const char name[] = "content-length:";
    char *p = head;
    uint64_t n = 0;

    if (strncmp(head, "HTTP/1.1 200", 12) != 0)
        load.errors++;
    *end = '\0';
    while ((p = strchr(p, '\n')) != NULL && strncasecmp(++p, name, sizeof(name) - 1) != 0)
        continue;
    for (p = p != NULL ? p + sizeof(name) - 1 : end; *p == ' ' || (*p >= '0' && *p <= '9'); p++)
        n = *p == ' ' ? n : n * 10 + (uint64_t)(*p - '0');
    return n;
}

/* n bytes came, at p (with room for one more). */
static void conn_bytes(struct conn *c, char *p, size_t n)
{
    if (!c->in_body) {
        char *end = memmem(p, n, "\r\n\r\n", 4);

        if (end == NULL) {
            c->in_n = n < sizeof(c->in) ? n : 0;
            load.errors += n >= sizeof(c->in);
            memcpy(c->in, p, c->in_n);
            return;
        }
        c->in_body = true;
        c->in_n = 0;
        c->body_left = head_length(p, end);
        n -= (size_t)(end + 4 - p);
    }
    c->body_left -= n < c->body_left ? n : c->body_left;
    if (c->body_left == 0)
        conn_answered(c);
}

static void on_conn(struct conn *c, uint32_t events)
{
    static char buf[262144 + 1];

    while (c->fd >= 0) {
        size_t had = c->in_n, room = sizeof(buf) - 1 - had;
        ssize_t n = recv(c->fd, buf + had, room, MSG_DONTWAIT);

        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0 || !c->busy) {
            conn_lost(c);
            return;
        }
        memcpy(buf, c->in, had);
        conn_bytes(c, buf, had + (size_t)n);
        if ((size_t)n < room && (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == 0)
            return; /* drained: what comes raises a new edge */
    }
}

static struct conn *free_conn(void)
{
    struct conn *c = load.free;

    if (c != NULL)
        load.free = c->next_free;
    return c;
}

/* Sends what is due. Returns nanoseconds until the next is, or 0 when all are sent. */
static uint64_t send_due(void)
{
    uint64_t now;

    while (may_send(now = now_ns())) {
        uint64_t due = now;
        struct conn *c;

        if (load.idle && load.sent - load.done - load.errors >= IDLE_AT_ONCE)
            return 1000000;
        if (load.rate > 0)
            due = load.begun_ns + load.sent * 1000000000 / load.rate;
        if (due > now)
            return due - now;
        c = free_conn();
        if (c == NULL) {
            load.late += load.rate > 0;
            return 1000000; /* an answer frees one and wakes us sooner */
        }
        conn_send(c, due);
    }
    return 0;
}

static void run(void)
{
    struct epoll_event evs[256];
    uint64_t limit_ns = (load.seconds + 30) * 1000000000;

    load.begun_ns = now_ns();
    load.end_ns = load.begun_ns + load.seconds * 1000000000;
    while (may_send(now_ns()) || load.done + load.errors < load.sent) {
        uint64_t wait_ns = send_due();
        struct timespec t = {0, wait_ns > 0 && wait_ns < 50000000 ? (long)wait_ns : 50000000};
        int n = epoll_pwait2(load.ep, evs, 256, &t, NULL);

        for (int i = 0; i < n; i++)
            on_conn(evs[i].data.ptr, evs[i].events);
        if ((load.rate > 0 || load.requests == 0) && now_ns() - load.begun_ns > limit_ns) {
            fprintf(stderr, "load: %llu requests unanswered after %llu s\n",
                    (unsigned long long)(load.sent - load.done),
                    (unsigned long long)limit_ns / 1000000000);
            load.errors += load.sent - load.done;
            return;
        }
    }
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void report(void)
{
    size_t n = (size_t)(load.done < load.samples_max ? load.done : load.samples_max);
    double s = (double)(now_ns() - load.begun_ns) / 1e9;

    if (n == 0)
        return;
    qsort(load.samples, n, sizeof(*load.samples), by_value);
    printf("requests %llu errors %llu late %llu seconds %.3f p50 %u p99 %u p999 %u max %u\n",
           (unsigned long long)load.done, (unsigned long long)load.errors,
           (unsigned long long)load.late, s, load.samples[n / 2], load.samples[n * 99 / 100],
           load.samples[n * 999 / 1000], load.samples[n - 1]);
}

static bool options(int argc, char **argv)
{
    char headers[6144] = "";
    size_t at = 0;
    int i = 1;

    for (; i + 1 < argc && argv[i][0] == '-'; i += 2) {
        const char *v = argv[i + 1];
        uint64_t *to = NULL;

        switch (argv[i][1]) {
        case 'c':
            to = &load.conns;
            break;
        case 'n':
            to = &load.requests;
            break;
        case 'r':
            to = &load.rate;
            break;
        case 'd':
            to = &load.seconds;
            break;
        case 'i':
            to = &load.idle;
            break;
        case 'x':
            to = &load.close_each;
            break;
        case 's':
            if (inet_pton(AF_INET, v, &load.source) != 1)
                return false;
            continue;
        case 'H':
            at += (size_t)snprintf(headers + at, sizeof(headers) - at, "%s\r\n", v);
            if (at >= sizeof(headers))
                return false;
            continue;
        default:
            return false;
        }
        if (!str_to_u64(sv_of(v), 0, SAMPLES_MAX, to, NULL))
            return false;
    }
    if (i + 2 != argc || !str_to_u64(sv_of(argv[i]), 1, 65535, &load.port, NULL))
        return false;
    load.head_n =
        (size_t)snprintf(load.head, sizeof(load.head), "GET %s HTTP/1.1\r\nHost: bench\r\n%s%s\r\n",
                         argv[i + 1], headers, load.close_each ? "Connection: close\r\n" : "");
    if (load.rate > 0 && load.requests == 0)
        load.requests = load.rate * load.seconds;
    if (load.idle)
        load.requests = load.conns;
    load.samples_max = load.requests > 0 ? load.requests : load.seconds * SECOND_MAX;
    if (load.samples_max > SAMPLES_MAX)
        load.samples_max = SAMPLES_MAX;
    return load.head_n < sizeof(load.head) && load.conns > 0 && load.samples_max > 0;
}

int main(int argc, char **argv)
{
    struct rlimit files;

    if (!options(argc, argv)) {
        fprintf(stderr, "usage: load [-c N] [-n N | -d S | -r N -d S | -i 1] [-x 1] [-s ADDRESS] "
                        "[-H LINE]... PORT PATH\n");
        return 64;
    }
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    load.ep = epoll_create1(EPOLL_CLOEXEC);
    load.all = mem_array((size_t)load.conns, sizeof(*load.all));
    load.samples = mem_array((size_t)load.samples_max, sizeof(uint32_t));
    for (uint64_t i = load.conns; i-- > 0;) {
        load.all[i].fd = -1;
        if (!load.close_each)
            conn_open(&load.all[i]);
        load.all[i].next_free = load.free;
        load.free = &load.all[i];
    }
    run();
    if (load.idle) {
        char c;

        printf("idle\n");
        fflush(stdout);
        while (read(0, &c, 1) > 0)
            continue;
    }
    report();
    mem_free(load.samples);
    mem_free(load.all);
    return load.errors > 0;
}
