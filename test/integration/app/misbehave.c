/* A backend that misbehaves on command, for the integration tests. Static, for an image FROM
 * scratch.
 *
 * Environment: PORT (default 80), MIS_LISTEN_DELAY_MS (start listening that late), MIS_TERM=ignore
 * (SIGTERM changes nothing), MIS_LINGER_MS (default 300: how long it goes on accepting after
 * SIGTERM, so that arrivals after it are seen), MIS_FAIL_AT_START=1 (the process ends at once with
 * code 3).
 *
 * Answers below any prefix, all with `X-Instance: HOSTNAME`; any method:
 *   _health               200 without body, unless the mode says otherwise
 *   _crash                200, and from then on 500 for everything
 *   t/mode?set=M          ok, fail (500 for everything), silent (accepts, never answers), deaf
 * (stops listening, drops connections), slow (1.5 s before each answer). Answered before it takes
 * effect t/echo                the request's head and body as they came t/sink                201,
 * "bytes=N fnv=HEX" of the body t/slow?ms=N           200 after N ms t/hang                no
 * answer t/exit?code=N         the process ends without an answer t/status?code=N       that status
 * with a short body (none for 204 and 304) t/bytes?n=N           N bytes by length; with &chunked=1
 * by chunks t/cut?n=N             announces 2N bytes, sends N, closes t/arrivals            "N",
 * requests so far, health probes and this one not counted anything else         200, the host name
 *
 * Every event is a line of /log/HOSTNAME.log (when /log is there) and of stdout:
 *   MONOTONIC_MS start|listen|sigterm|end|probe|req METHOD TARGET|done STATUS TARGET */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_MAX = 65536, ECHO_MAX = 1 << 20, BACKLOG = 512 };
enum mode { MODE_OK, MODE_FAIL, MODE_SILENT, MODE_DEAF, MODE_SLOW };

static const char *const mode_names[] = {
    [MODE_OK] = "ok",     [MODE_FAIL] = "fail", [MODE_SILENT] = "silent",
    [MODE_DEAF] = "deaf", [MODE_SLOW] = "slow",
};

static struct {
    char host[64];
    int log_fd, listen_fd;
    atomic_int mode, in_flight;
    atomic_ullong arrivals;
} app = {.log_fd = -1, .listen_fd = -1};

struct conn {
    int fd;
    size_t start, len; /* unread bytes are buf[start..len) */
    char buf[HEAD_MAX];
};

struct request {
    char method[16], target[8192];
    char *head; /* as it came, terminated */
    size_t head_n;
    bool chunked, expect, close, got_body;
    uint64_t left;        /* bytes of the body, or of the present chunk, that are still to come */
    bool begun, finished; /* chunked: a chunk has been read; all has been read */
};

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void wait_ms(uint64_t ms)
{
    poll(NULL, 0, ms > INT32_MAX ? INT32_MAX : (int)ms);
}

/* A decimal number at the start of text; `absent` when there is none or it is too large. */
static uint64_t number(const char *text, uint64_t absent)
{
    uint64_t n = 0;
    bool any = false;

    for (; text != NULL && *text >= '0' && *text <= '9'; text++) {
        if (n > (UINT64_MAX - 9) / 10)
            return absent;
        n = n * 10 + (uint64_t)(*text - '0');
        any = true;
    }
    return any ? n : absent;
}

static void __attribute__((format(printf, 1, 2))) note(const char *fmt, ...)
{
    char line[512];
    int n = snprintf(line, sizeof(line), "%llu ", (unsigned long long)now_ms());
    va_list ap;
    ssize_t r = 0;

    va_start(ap, fmt);
    n += vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
    va_end(ap);
    if (n > (int)sizeof(line) - 2)
        n = (int)sizeof(line) - 2;
    line[n++] = '\n';
    if (app.log_fd >= 0)
        r = write(app.log_fd, line, (size_t)n);
    if (r >= 0)
        r = write(STDOUT_FILENO, line, (size_t)n);
    (void)r; /* nobody to tell */
}

static bool send_all(int fd, const void *data, size_t n)
{
    const char *p = data;

    while (n > 0) {
        ssize_t r = send(fd, p, n, MSG_NOSIGNAL);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return false;
        p += r;
        n -= (size_t)r;
    }
    return true;
}

/* ---- reading ---- */

static bool read_more(struct conn *c)
{
    ssize_t r;

    if (c->start > 0) {
        memmove(c->buf, c->buf + c->start, c->len - c->start);
        c->len -= c->start;
        c->start = 0;
    }
    if (c->len == sizeof(c->buf))
        return false;
    do
        r = recv(c->fd, c->buf + c->len, sizeof(c->buf) - c->len, 0);
    while (r < 0 && errno == EINTR);
    if (r <= 0)
        return false;
    c->len += (size_t)r;
    return true;
}

/* A line without its CRLF, at most n-1 bytes of it. */
static bool read_line(struct conn *c, char *ret, size_t n)
{
    for (;;) {
        char *from = c->buf + c->start;
        char *end = memmem(from, c->len - c->start, "\r\n", 2);
        if (end != NULL) {
            size_t have = (size_t)(end - from);
            size_t take = have < n ? have : n - 1;
            memcpy(ret, from, take);
            ret[take] = '\0';
            c->start += have + 2;
            return true;
        }
        if (!read_more(c))
            return false;
    }
}

static uint64_t hex(const char *s)
{
    uint64_t n = 0;

    for (; *s != '\0'; s++) {
        unsigned d;
        if (*s >= '0' && *s <= '9')
            d = (unsigned)(*s - '0');
        else if ((*s | 32) >= 'a' && (*s | 32) <= 'f')
            d = (unsigned)((*s | 32) - 'a') + 10;
        else
            break;
        n = n * 16 + d;
    }
    return n;
}

/* The next piece of the body, read into the connection's buffer. false: lost; n 0: the body has
 * ended. */
static bool body_next(struct conn *c, struct request *q, const char **ret, size_t *ret_n)
{
    char line[64];

    *ret_n = 0;
    while (q->chunked && q->left == 0 && !q->finished) {
        if (q->begun && (!read_line(c, line, sizeof(line)) || line[0] != '\0'))
            return false;
        if (!read_line(c, line, sizeof(line)))
            return false;
        q->begun = true;
        q->left = hex(line);
        if (q->left > 0)
            break;
        do {
            if (!read_line(c, line, sizeof(line)))
                return false;
        } while (line[0] != '\0');
        q->finished = true;
    }
    if (q->left == 0) {
        q->got_body = true;
        return true;
    }
    if (c->start == c->len && !read_more(c))
        return false;
    *ret = c->buf + c->start;
    *ret_n = c->len - c->start;
    if (*ret_n > q->left)
        *ret_n = (size_t)q->left;
    c->start += *ret_n;
    q->left -= *ret_n;
    return true;
}

static bool body_skip(struct conn *c, struct request *q)
{
    const char *p;
    size_t n;

    while (!q->got_body)
        if (!body_next(c, q, &p, &n))
            return false;
    return true;
}

/* The value of a field of the head, or NULL; not terminated. */
static const char *field(const struct request *q, const char *name, size_t *ret_n)
{
    size_t name_n = strlen(name);

    for (char *p = strstr(q->head, "\r\n"); p != NULL; p = strstr(p, "\r\n")) {
        p += 2;
        if (strncasecmp(p, name, name_n) != 0 || p[name_n] != ':')
            continue;
        p += name_n + 1;
        while (*p == ' ' || *p == '\t')
            p++;
        *ret_n = strcspn(p, "\r\n");
        return p;
    }
    return NULL;
}

static bool field_is(const struct request *q, const char *name, const char *want)
{
    size_t n;
    const char *v = field(q, name, &n);

    return v != NULL && n == strlen(want) && strncasecmp(v, want, n) == 0;
}

static bool read_request(struct conn *c, struct request *q)
{
    char *end;
    const char *v;
    size_t n;

    while ((end = memmem(c->buf + c->start, c->len - c->start, "\r\n\r\n", 4)) == NULL)
        if (!read_more(c))
            return false;
    memset(q, 0, sizeof(*q));
    q->head_n = (size_t)(end - (c->buf + c->start)) + 4;
    q->head = malloc(q->head_n + 1);
    if (q->head == NULL)
        return false;
    memcpy(q->head, c->buf + c->start, q->head_n);
    q->head[q->head_n] = '\0';
    c->start += q->head_n;
    n = strcspn(q->head, " ");
    if (n >= sizeof(q->method))
        return false;
    memcpy(q->method, q->head, n);
    v = q->head + n + 1;
    n = strcspn(v, " \r");
    if (n >= sizeof(q->target))
        return false;
    memcpy(q->target, v, n);
    q->chunked = field_is(q, "Transfer-Encoding", "chunked");
    q->expect = field_is(q, "Expect", "100-continue");
    q->close = field_is(q, "Connection", "close");
    if (!q->chunked)
        q->left = number(field(q, "Content-Length", &n), 0);
    return true;
}

/* The value of a member of the query, or NULL; ends at & or the end of the target. */
static const char *query(const struct request *q, const char *name)
{
    const char *p = strchr(q->target, '?');
    size_t n = strlen(name);

    while (p != NULL) {
        p++;
        if (strncmp(p, name, n) == 0 && p[n] == '=')
            return p + n + 1;
        p = strchr(p, '&');
    }
    return NULL;
}

/* ---- answering ---- */

static size_t write_head(char *head, size_t size, struct request *q, unsigned status,
                         const char *framing)
{
    return (size_t)snprintf(
        head, size, "HTTP/1.1 %u %s\r\nX-Instance: %s\r\n%s%sContent-Type: text/plain\r\n\r\n",
        status, status < 300 ? "OK" : "Told-So", app.host, framing,
        q->close ? "Connection: close\r\n" : "");
}

static bool answer_head(struct conn *c, struct request *q, unsigned status, const char *framing)
{
    char head[512];

    return send_all(c->fd, head, write_head(head, sizeof(head), q, status, framing));
}

static bool answer(struct conn *c, struct request *q, unsigned status, const char *body,
                   size_t body_n)
{
    char framing[64] = "";
    bool none = status == 204 || status == 304;
    bool bare = none || strcmp(q->method, "HEAD") == 0;
    char whole[2048];
    size_t n;

    if (!body_skip(c, q))
        return false;
    if (!none)
        snprintf(framing, sizeof(framing), "Content-Length: %zu\r\n", body_n);
    note("done %u %s", status, q->target);
    n = write_head(whole, 512, q, status, framing);
    if (bare || body_n > sizeof(whole) - n)
        return send_all(c->fd, whole, n) && (bare || send_all(c->fd, body, body_n));
    memcpy(whole + n, body, body_n); /* in one piece: a kill shall not come in the middle of it */
    return send_all(c->fd, whole, n + body_n);
}

static bool do_echo(struct conn *c, struct request *q)
{
    char *text = malloc(q->head_n + ECHO_MAX);
    size_t n = q->head_n;
    const char *p;
    size_t piece;
    bool ok = text != NULL;

    if (ok)
        memcpy(text, q->head, q->head_n);
    while (ok && !q->got_body) {
        ok = body_next(c, q, &p, &piece) && n + piece <= q->head_n + ECHO_MAX;
        if (ok && piece > 0) {
            memcpy(text + n, p, piece);
            n += piece;
        }
    }
    ok = ok && answer(c, q, 200, text, n);
    free(text);
    return ok;
}

static bool do_sink(struct conn *c, struct request *q)
{
    uint64_t total = 0, fnv = 14695981039346656037ULL;
    const char *p;
    size_t n;
    char text[96];
    int len;

    while (!q->got_body) {
        if (!body_next(c, q, &p, &n)) {
            note("lost %s after %llu", q->target, (unsigned long long)total);
            return false;
        }
        total += n;
        for (size_t i = 0; i < n; i++)
            fnv = (fnv ^ (unsigned char)p[i]) * 1099511628211ULL;
    }
    len = snprintf(text, sizeof(text), "bytes=%llu fnv=%016llx\n", (unsigned long long)total,
                   (unsigned long long)fnv);
    return answer(c, q, 201, text, (size_t)len);
}

static bool do_bytes(struct conn *c, struct request *q, uint64_t announced, uint64_t sent)
{
    static const char pattern[] =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
    enum { STEP = 16384, UNIT = sizeof(pattern) - 1 };
    bool chunked = query(q, "chunked") != NULL;
    char block[STEP], framing[64];
    bool ok = body_skip(c, q);

    for (size_t i = 0; i < STEP; i++)
        block[i] = pattern[i % UNIT];
    if (chunked)
        snprintf(framing, sizeof(framing), "Transfer-Encoding: chunked\r\n");
    else
        snprintf(framing, sizeof(framing), "Content-Length: %llu\r\n",
                 (unsigned long long)announced);
    ok = ok && answer_head(c, q, 200, framing);
    if (strcmp(q->method, "HEAD") == 0)
        return ok;
    while (ok && sent > 0) {
        size_t n = sent < STEP ? (size_t)sent : STEP;
        char size[32];
        if (chunked) {
            snprintf(size, sizeof(size), "%zx\r\n", n);
            ok = send_all(c->fd, size, strlen(size));
        }
        ok = ok && send_all(c->fd, block, n) && (!chunked || send_all(c->fd, "\r\n", 2));
        sent -= n;
    }
    note("done 200 %s", q->target);
    return ok && (!chunked || send_all(c->fd, "0\r\n\r\n", 5));
}

static bool do_mode(struct conn *c, struct request *q)
{
    const char *set = query(q, "set");
    bool ok = answer(c, q, 200, "ok\n", 3);

    for (size_t i = 0; set != NULL && i < sizeof(mode_names) / sizeof(mode_names[0]); i++)
        if (strcmp(set, mode_names[i]) == 0)
            atomic_store(&app.mode, (int)i);
    if (atomic_load(&app.mode) == MODE_DEAF) {
        shutdown(app.listen_fd, SHUT_RDWR);
        return false;
    }
    return ok;
}

/* Never answers; gives up when the peer does. */
static bool do_hang(struct conn *c)
{
    c->start = c->len = 0;
    while (read_more(c))
        c->start = c->len = 0;
    return false;
}

static bool ends_with(const char *path, const char *end)
{
    size_t n = strlen(path), m = strlen(end);

    return n >= m && strcmp(path + n - m, end) == 0;
}

static bool handle(struct conn *c, struct request *q)
{
    size_t n = strcspn(q->target, "?");
    char path[sizeof(q->target)];
    char text[96];
    int len;

    memcpy(path, q->target, n);
    path[n] = '\0';
    if (ends_with(path, "/_health")) {
        note("probe");
    } else if (!ends_with(path, "/t/arrivals")) {
        note("req %s %s", q->method, q->target);
        atomic_fetch_add(&app.arrivals, 1);
    }
    if (q->expect && !send_all(c->fd, "HTTP/1.1 100 Continue\r\n\r\n", 25))
        return false;
    switch ((enum mode)atomic_load(&app.mode)) {
    case MODE_FAIL:
        return answer(c, q, 500, "", 0);
    case MODE_SILENT:
        return do_hang(c);
    case MODE_DEAF:
        return false;
    case MODE_SLOW:
        wait_ms(1500);
        break;
    case MODE_OK:
        break;
    }
    if (ends_with(path, "/_health"))
        return answer(c, q, 200, "", 0);
    if (ends_with(path, "/_crash")) {
        atomic_store(&app.mode, MODE_FAIL);
        return answer(c, q, 200, "", 0);
    }
    if (ends_with(path, "/t/mode"))
        return do_mode(c, q);
    if (ends_with(path, "/t/echo"))
        return do_echo(c, q);
    if (ends_with(path, "/t/sink"))
        return do_sink(c, q);
    if (ends_with(path, "/t/hang"))
        return do_hang(c);
    if (ends_with(path, "/t/exit"))
        _exit((int)number(query(q, "code"), 1));
    if (ends_with(path, "/t/status"))
        return answer(c, q, (unsigned)number(query(q, "code"), 200), "told so\n", 8);
    if (ends_with(path, "/t/bytes"))
        return do_bytes(c, q, number(query(q, "n"), 1), number(query(q, "n"), 1));
    if (ends_with(path, "/t/cut")) {
        do_bytes(c, q, 2 * number(query(q, "n"), 1), number(query(q, "n"), 1));
        return false;
    }
    if (ends_with(path, "/t/slow"))
        wait_ms(number(query(q, "ms"), 1000));
    len = ends_with(path, "/t/arrivals") ? snprintf(text, sizeof(text), "%llu\n",
                                                    (unsigned long long)atomic_load(&app.arrivals))
                                         : snprintf(text, sizeof(text), "%s\n", app.host);
    return answer(c, q, 200, text, (size_t)len);
}

static void *on_connection(void *arg) /* a thread per connection */
{
    struct conn *c = arg;
    struct request q;
    bool ok = true;

    while (ok && read_request(c, &q)) {
        atomic_fetch_add(&app.in_flight, 1);
        ok = handle(c, &q) && body_skip(c, &q) && !q.close;
        atomic_fetch_sub(&app.in_flight, 1);
        free(q.head);
    }
    close(c->fd);
    free(c);
    return NULL;
}

static void *on_sigterm(void *arg) /* the one thread that takes SIGTERM */
{
    sigset_t set;
    int signo;
    uint64_t linger = number(getenv("MIS_LINGER_MS"), 300), until;
    const char *term = getenv("MIS_TERM");

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    do {
        sigwait(&set, &signo);
        note("sigterm");
    } while (term != NULL && strcmp(term, "ignore") == 0);
    wait_ms(linger);
    for (until = now_ms() + 5000; atomic_load(&app.in_flight) > 0 && now_ms() < until;)
        wait_ms(10);
    note("end");
    _exit(0);
    return arg;
}

static bool listen_on(uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1;

    app.listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return app.listen_fd >= 0 &&
           setsockopt(app.listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
           bind(app.listen_fd, (struct sockaddr *)&a, sizeof(a)) == 0 &&
           listen(app.listen_fd, BACKLOG) == 0;
}

static void accept_one(void)
{
    pthread_t thread;
    pthread_attr_t attr;
    int on = 1;
    int fd = accept4(app.listen_fd, NULL, NULL, SOCK_CLOEXEC);
    struct conn *c;

    if (fd < 0) {
        wait_ms(10); /* deaf, or out of descriptors: do not spin */
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    c = calloc(1, sizeof(*c));
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 256 << 10);
    if (c != NULL)
        c->fd = fd;
    if (c == NULL || pthread_create(&thread, &attr, on_connection, c) != 0) {
        close(fd);
        free(c);
    }
    pthread_attr_destroy(&attr);
}

int main(void)
{
    sigset_t set;
    pthread_t thread;
    char path[128];

    if (gethostname(app.host, sizeof(app.host) - 1) != 0)
        return 1;
    snprintf(path, sizeof(path), "/log/%s.log", app.host);
    app.log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    note("start");
    if (getenv("MIS_FAIL_AT_START") != NULL)
        return 3;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (pthread_create(&thread, NULL, on_sigterm, NULL) != 0)
        return 1;
    wait_ms(number(getenv("MIS_LISTEN_DELAY_MS"), 0));
    if (!listen_on((uint16_t)number(getenv("PORT"), 80))) {
        note("cannot listen: %s", strerror(errno));
        return 1;
    }
    note("listen");
    for (;;)
        accept_one();
}
