/* A backend for benchmarks: one thread, epoll, keep-alive. GET /api/v1/SIZE answers SIZE bytes
 * (100, 10240, ...); a body of a request is read by its Content-Length and dropped. Trusts its
 * peer: it only ever meets our own load. usage: backend PORT... */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/str.h"

enum { HEAD_MAX = 16384, BODY_MAX = 4 << 20, HEAD_ROOM = 128, BODY_PIECE = 65536 };

struct client {
    int fd;
    char in[HEAD_MAX];
    size_t in_n;
    uint64_t skip; /* bytes of the request's body still to come */
    char head[HEAD_ROOM];
    uint64_t head_of; /* which length it tells */
    size_t head_n, head_at;
    size_t body_left;
    bool ends; /* the peer has closed its side */
};

static char page[HEAD_ROOM + BODY_PIECE], *const body = page + HEAD_ROOM;

static int listen_on(uint16_t port)
{
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 4096) < 0) {
        perror("backend: listen");
        _exit(1);
    }
    return fd;
}

static void client_close(struct client *c)
{
    close(c->fd);
    mem_free(c);
}

/* False: the client has gone. What the kernel does not take now waits for EPOLLOUT. */
static bool client_write(struct client *c)
{
    while (c->head_at < c->head_n || c->body_left > 0) {
        size_t head = c->head_n - c->head_at;
        size_t rest = c->body_left < BODY_PIECE ? c->body_left : BODY_PIECE, from_head;
        ssize_t n;

        memcpy(body - head, c->head + c->head_at, head); /* one piece is cheaper than two */
        n = send(c->fd, body - head, head + rest, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN;
        from_head = (size_t)n < head ? (size_t)n : head;
        c->head_at += from_head;
        c->body_left -= (size_t)n - from_head;
    }
    return true;
}

static uint64_t content_length(const char *head)
{
    static const char name[] = "content-length:";
    const char *p = head;
    uint64_t v = 0;

    while ((p = strchr(p, '\n')) != NULL && strncasecmp(++p, name, sizeof(name) - 1) != 0)
        continue;
    for (p = p != NULL ? p + sizeof(name) - 1 : ""; *p == ' ' || (*p >= '0' && *p <= '9'); p++)
        v = *p == ' ' ? v : v * 10 + (uint64_t)(*p - '0');
    return v;
}

static void answer(struct client *c, const char *head)
{
    const char *slash = strstr(head, "/api/v1/");
    struct sv digits = {slash != NULL ? slash + 8 : "", 0};
    uint64_t n = 0;

    while (digits.p[digits.n] >= '0' && digits.p[digits.n] <= '9')
        digits.n++;
    if (!str_to_u64(digits, 0, BODY_MAX, &n, NULL))
        n = 0;
    if (c->head_n == 0 || c->head_of != n)
        c->head_n = (size_t)snprintf(
            c->head, sizeof(c->head),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %llu\r\n\r\n",
            (unsigned long long)n);
    c->head_of = n;
    c->head_at = 0;
    c->body_left = strncmp(head, "HEAD ", 5) == 0 ? 0 : n;
}

/* Takes whole requests from the front of the buffer, one at a time. False: the client has gone. */
static bool client_requests(struct client *c)
{
    for (;;) {
        size_t drop = c->skip < c->in_n ? (size_t)c->skip : c->in_n;
        char *end;

        c->skip -= drop;
        c->in_n -= drop;
        memmove(c->in, c->in + drop, c->in_n);
        c->in[c->in_n] = '\0';
        if (c->skip > 0 || c->head_at < c->head_n || c->body_left > 0)
            return true;
        end = strstr(c->in, "\r\n\r\n");
        if (end == NULL)
            return true;
        *end = '\0';
        c->skip = content_length(c->in) + (uint64_t)(end + 4 - c->in);
        answer(c, c->in);
        if (c->skip <= c->in_n && !client_write(c)) /* the answer follows the whole request */
            return false;
    }
}

static bool client_read(struct client *c)
{
    for (;;) {
        size_t room = sizeof(c->in) - 1 - c->in_n;
        ssize_t n = recv(c->fd, c->in + c->in_n, room, 0);

        if (n < 0 && errno == EAGAIN)
            return c->skip > 0 || client_write(c);
        if (n <= 0)
            return false;
        c->in_n += (size_t)n;
        if (!client_requests(c))
            return false;
        if (c->skip == 0 && !client_write(c))
            return false;
        if ((size_t)n < room && !c->ends)
            return true; /* drained: what comes raises a new edge */
    }
}

static void accept_all(int ep, int lfd)
{
    int fd;

    while ((fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct client *c = mem_zalloc(sizeof(*c));
        struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                 .data.ptr = c};

        c->fd = fd;
        epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
    }
}

int main(int argc, char **argv)
{
    int ep = epoll_create1(EPOLL_CLOEXEC), *listeners = mem_array((size_t)argc, sizeof(int));
    struct epoll_event evs[256];

    memset(body, 'x', BODY_PIECE);
    for (int i = 1; i < argc; i++) {
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &listeners[i]};
        uint64_t port;

        if (!str_to_u64(sv_of(argv[i]), 1, 65535, &port, NULL)) {
            fprintf(stderr, "usage: backend PORT...\n");
            return 64;
        }
        listeners[i] = listen_on((uint16_t)port);
        epoll_ctl(ep, EPOLL_CTL_ADD, listeners[i], &ev);
    }
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(ep, evs, 256, -1);

        for (int i = 0; i < n; i++) {
            int *l = evs[i].data.ptr;

            if (l >= listeners && l < listeners + argc) {
                accept_all(ep, *l);
            } else {
                struct client *c = evs[i].data.ptr;

                c->ends = (evs[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
                if (!client_read(c))
                    client_close(c);
                else if (!client_requests(c))
                    client_close(c);
            }
        }
    }
}
