#include "lb/alog.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/ev/mailbox.h"

enum {
    CHUNK_BYTES = 64 << 10,
    CHUNKS_MAX = 16,  /* of one worker, under way or being filled: 1 MiB */
    FLUSH_MS = 200,   /* a line waits no longer in the worker */
    STALL_MS = 2000,  /* a pipe that takes nothing for so long loses a buffer */
    REPORT_MS = 10000 /* of dropped lines and of a file that does not open */
};

/* Lines on their way from a worker to the writer. */
struct chunk {
    struct letter letter;
    struct alog_feed *feed;
    unsigned lines;
    size_t n;
    char data[CHUNK_BYTES];
};

struct alog_feed {
    struct alog *alog;
    struct loop *loop;
    struct timer flush;
    struct chunk *filling;
    atomic_uint chunks; /* that exist */
    char pad[64];
};

struct alog {
    char *path;
    bool json;
    pthread_t thread;
    struct loop *loop;
    struct mailbox *mailbox;
    struct alog_feed *feeds;
    unsigned workers;
    _Atomic uint64_t dropped; /* written by many, but rarely */
    /* writer */
    int fd;       /* < 0: not open */
    bool by_line; /* no regular file: whole lines, none larger than a pipe takes at once */
    bool stalled; /* it takes nothing: do not wait for it again */
    uint64_t tried_ms, reported_ms, reported;
    struct timer report;
};

/* ---- the writer ---- */

static void use_fd(struct alog *a, int fd)
{
    struct stat st;

    a->fd = fd;
    a->by_line = fstat(fd, &st) < 0 || !S_ISREG(st.st_mode);
}

static void open_file(struct alog *a)
{
    int fd = open(a->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
    struct err e;

    a->tried_ms = clock_mono_ms();
    if (fd >= 0) {
        use_fd(a, fd);
        return;
    }
    err_sys(&e, "open '%s'", a->path);
    log_error("access log not written", "reason=\"%s\" next_try_ms=%d", e.msg, REPORT_MS);
}

static void close_file(struct alog *a)
{
    if (a->path != NULL && a->fd >= 0)
        close(a->fd);
    if (a->path != NULL)
        a->fd = -1;
}

static bool wait_room(struct alog *a)
{
    struct pollfd p = {.fd = a->fd, .events = POLLOUT};
    int r;

    do
        r = poll(&p, 1, a->stalled ? 0 : STALL_MS);
    while (r < 0 && errno == EINTR);
    a->stalled = r <= 0 || (p.revents & POLLOUT) == 0;
    return !a->stalled;
}

/* The longest run of whole lines that a pipe takes at once. */
static size_t piece(const char *p, size_t n)
{
    const char *end = n > ALOG_LINE_MAX ? memrchr(p, '\n', ALOG_LINE_MAX) : NULL;

    return end != NULL ? (size_t)(end - p) + 1 : n;
}

static bool write_some(struct alog *a, const char **p, size_t *n)
{
    ssize_t r;

    if (a->by_line && !wait_room(a))
        return false;
    r = write(a->fd, *p, a->by_line ? piece(*p, *n) : *n);
    if (r < 0)
        return errno == EINTR || errno == EAGAIN;
    *p += r;
    *n -= (size_t)r;
    return true;
}

static void note_dropped(struct alog *a, uint64_t lines)
{
    atomic_fetch_add_explicit(&a->dropped, lines, memory_order_relaxed);
}

static void write_chunk(struct alog *a, const struct chunk *c)
{
    const char *p = c->data;
    size_t n = c->n;
    bool ok = true;

    if (a->fd < 0 && clock_mono_ms() - a->tried_ms >= REPORT_MS)
        open_file(a);
    if (a->fd < 0) {
        note_dropped(a, c->lines);
        return;
    }
    while (ok && n > 0)
        ok = write_some(a, &p, &n);
    if (ok)
        return;
    for (uint64_t lines = 0;; lines++) { /* disk full, reader gone or asleep */
        const char *end = memchr(p, '\n', n);

        if (end == NULL) {
            note_dropped(a, lines);
            return;
        }
        n -= (size_t)(end - p) + 1;
        p = end + 1;
    }
}

static void report_dropped(struct alog *a)
{
    uint64_t dropped = alog_dropped(a), now = clock_mono_ms();

    if (dropped == a->reported)
        return;
    if (a->reported_ms != 0 && now - a->reported_ms < REPORT_MS) {
        if (!a->report.set)
            timer_at(&a->report, a->reported_ms + REPORT_MS);
        return;
    }
    log_warn("access log lines dropped", "lines=%" PRIu64 " all=%" PRIu64, dropped - a->reported,
             dropped);
    a->reported = dropped;
    a->reported_ms = now;
}

static void on_report(void *arg) /* timer; writer */
{
    report_dropped(arg);
}

static void chunk_free(struct chunk *c)
{
    atomic_fetch_sub_explicit(&c->feed->chunks, 1, memory_order_release);
    mem_free(c);
}

static void open_chunk(struct letter *l, void *owner) /* letter; writer */
{
    struct chunk *c = CONTAINER_OF(l, struct chunk, letter);

    write_chunk(owner, c);
    chunk_free(c);
    report_dropped(owner);
}

static void drop_chunk(struct letter *l) /* letter */
{
    chunk_free(CONTAINER_OF(l, struct chunk, letter));
}

static void drop_letter(struct letter *l) /* letter */
{
    mem_free(l);
}

static void post(struct alog *a, void (*open)(struct letter *self, void *owner))
{
    struct letter *l = mem_zalloc(sizeof(*l));

    l->open = open;
    l->drop = drop_letter;
    mailbox_post(a->mailbox, l);
}

static void open_reopen(struct letter *l, void *owner) /* letter; writer */
{
    struct alog *a = owner;

    close_file(a);
    open_file(a);
    mem_free(l);
}

static void open_stop(struct letter *l, void *owner) /* letter; writer */
{
    struct alog *a = owner;

    loop_stop(a->loop);
    mem_free(l);
}

static void *writer_main(void *arg)
{
    struct alog *a = arg;
    struct err e;

    loop_block_signals();
    pthread_setname_np(pthread_self(), "lbd-log");
    if (!loop_run(a->loop, &e))
        log_error("access log failed", "reason=\"%s\"", e.msg);
    return NULL;
}

/* ---- a worker's end ---- */

static void feed_flush(struct alog_feed *f)
{
    struct chunk *c = f->filling;

    if (c == NULL)
        return;
    f->filling = NULL;
    mailbox_post(f->alog->mailbox, &c->letter);
}

static void on_flush(void *arg) /* timer; worker */
{
    feed_flush(arg);
}

static struct chunk *feed_chunk(struct alog_feed *f)
{
    struct chunk *c;

    if (atomic_load_explicit(&f->chunks, memory_order_acquire) >= CHUNKS_MAX)
        return NULL;
    c = mem_try_alloc(sizeof(*c));
    if (c == NULL)
        return NULL;
    atomic_fetch_add_explicit(&f->chunks, 1, memory_order_relaxed);
    c->letter = (struct letter){.open = open_chunk, .drop = drop_chunk};
    c->feed = f;
    c->lines = 0;
    c->n = 0;
    return c;
}

void alog_put(struct alog_feed *f, const struct alog_entry *en)
{
    struct chunk *c = f->filling;

    if (c != NULL && CHUNK_BYTES - c->n < ALOG_LINE_MAX) {
        feed_flush(f);
        c = NULL;
    }
    if (c == NULL) {
        f->filling = c = feed_chunk(f);
        if (c == NULL) {
            note_dropped(f->alog, 1);
            return;
        }
        if (!f->flush.set)
            timer_in(&f->flush, FLUSH_MS);
    }
    c->n += f->alog->json ? alog_line_json(en, c->data + c->n) : alog_line_text(en, c->data + c->n);
    c->lines++;
}

struct alog_feed *alog_feed_open(struct alog *a, unsigned worker, struct loop *l)
{
    struct alog_feed *f = &a->feeds[worker];

    f->alog = a;
    f->loop = l;
    timer_init(&f->flush, l, on_flush, f);
    return f;
}

void alog_feed_close(struct alog_feed *f)
{
    if (f == NULL)
        return;
    feed_flush(f);
    timer_fini(&f->flush);
}

/* ---- life ---- */

static void alog_free(struct alog *a)
{
    if (a->mailbox != NULL)
        mailbox_free(a->mailbox);
    close_file(a);
    timer_fini(&a->report);
    loop_free(a->loop);
    mem_free(a->feeds);
    mem_free(a->path);
    mem_free(a);
}

bool alog_start(const struct alog_config *c, struct alog **ret, struct err *e)
{
    struct alog *a = mem_zalloc(sizeof(*a));
    int err;

    a->path = mem_strdup(c->path);
    a->json = c->json;
    a->workers = c->workers;
    a->feeds = mem_array(c->workers, sizeof(*a->feeds));
    a->fd = -1;
    if (!loop_new(&a->loop, e) || !mailbox_new(a->loop, a, &a->mailbox, e)) {
        alog_free(a);
        return false;
    }
    timer_init(&a->report, a->loop, on_report, a);
    if (a->path != NULL)
        open_file(a);
    else
        use_fd(a, STDERR_FILENO);
    err = pthread_create(&a->thread, NULL, writer_main, a);
    if (err != 0) {
        alog_free(a);
        errno = err;
        return err_sys(e, "start the access log's thread");
    }
    *ret = a;
    return true;
}

void alog_reopen(struct alog *a)
{
    if (a != NULL && a->path != NULL)
        post(a, open_reopen);
}

uint64_t alog_dropped(const struct alog *a)
{
    return a != NULL ? atomic_load_explicit(&a->dropped, memory_order_relaxed) : 0;
}

void alog_stop(struct alog *a)
{
    if (a == NULL)
        return;
    post(a, open_stop);
    pthread_join(a->thread, NULL);
    alog_free(a);
}
