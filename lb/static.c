#include "lb/static.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "lb/core/asset.h"
#include "lb/core/http_date.h"

enum { PATH_SIZE = 4096, OPEN_MAX = 512, COMPLAIN_EVERY_MS = 10000 };

struct statics {
    unsigned open;          /* files that answers under way are sent from */
    uint64_t complained_ms; /* when a directory that cannot be opened was last logged */
};

struct statics *statics_new(void)
{
    return mem_zalloc(sizeof(struct statics));
}

void statics_free(struct statics *s)
{
    mem_free(s);
}

static void add(struct evhttp_request *req, const char *name, const char *value)
{
    evhttp_add_header(evhttp_request_get_output_headers(req), name, value);
}

static const char *field(struct evhttp_request *req, const char *name)
{
    return evhttp_find_header(evhttp_request_get_input_headers(req), name);
}

static bool is_head(struct evhttp_request *req)
{
    return evhttp_request_get_command(req) == EVHTTP_REQ_HEAD;
}

/* libevent sends what is in the buffer with any method; RFC 9110 9.3.2: nothing with HEAD. */
static void send_text(struct evhttp_request *req, unsigned status, const char *text)
{
    struct evbuffer *body = evbuffer_new();
    char length[24];

    if (body != NULL && is_head(req)) {
        (void)snprintf(length, sizeof(length), "%zu", strlen(text) + 1);
        add(req, "Content-Length", length);
    } else if (body != NULL) {
        evbuffer_add_printf(body, "%s\n", text);
    }
    evhttp_send_reply(req, (int)status, text + 4, body);
    if (body != NULL)
        evbuffer_free(body);
}

void static_answer_text(struct evhttp_request *req, unsigned status, const char *text)
{
    add(req, "Content-Type", "text/plain; charset=utf-8");
    add(req, "X-Content-Type-Options", "nosniff");
    send_text(req, status, text);
}

static void answer_path(struct evhttp_request *req, enum asset_path why)
{
    if (why == ASSET_PATH_BAD)
        static_answer_text(req, 400, "400 Bad Request");
    else if (why == ASSET_PATH_LONG)
        static_answer_text(req, 414, "414 URI Too Long");
    else
        static_answer_text(req, 404, "404 Not Found");
}

/* What is missing, hidden or leads outside is not there; what we cannot do now may go later. */
static void answer_errno(struct evhttp_request *req, int error)
{
    if (error == EMFILE || error == ENFILE || error == ENOMEM || error == EAGAIN) {
        add(req, "Retry-After", "1");
        static_answer_text(req, 503, "503 Service Unavailable");
    } else if (error == EIO) {
        static_answer_text(req, 500, "500 Internal Server Error");
    } else {
        static_answer_text(req, 404, "404 Not Found");
    }
}

/* ---- files ---- */

/* Below dir and nowhere else, whatever links say (openat2(2), Linux 5.6). -1: errno. */
static int open_beneath(int dir, const char *path, struct stat *ret_st)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));

    if (fd >= 0 && fstat(fd, ret_st) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void answer_folder(struct evhttp_request *req, const char *path)
{
    size_t n = strcspn(path, "?");
    AUTO(mem_freep) char *to = mem_printf("%.*s/%s", (int)n, path, path + n);

    add(req, "Location", to); /* links of a page are relative to its folder */
    static_answer_text(req, 301, "301 Moved Permanently");
}

static void on_file_sent(const struct evbuffer_file_segment *seg, int flags,
                         void *arg) /* evbuffer_file_segment_cleanup_cb; site */
{
    struct statics *s = arg;

    s->open--;
    (void)seg;
    (void)flags;
}

/* The bytes as a part of the file that the kernel sends. Neither read nor mapped: a file that is
 * cut short meanwhile ends that connection and nothing else. Takes fd. */
static bool add_file(struct statics *s, struct evbuffer *body, int fd, const struct asset_answer *a)
{
    struct evbuffer_file_segment *seg;
    bool ok;

    evbuffer_set_flags(body, EVBUFFER_FLAG_DRAINS_TO_FD);
    seg = evbuffer_file_segment_new(fd, (ev_off_t)a->first, (ev_off_t)a->n,
                                    EVBUF_FS_CLOSE_ON_FREE | EVBUF_FS_DISABLE_MMAP);
    if (seg == NULL) {
        close(fd);
        return false;
    }
    s->open++;
    evbuffer_file_segment_add_cleanup_cb(seg, on_file_sent, s);
    ok = evbuffer_add_file_segment(body, seg, 0, (ev_off_t)a->n) == 0;
    evbuffer_file_segment_free(seg); /* the buffer has its own hold of it */
    return ok;
}

static void add_fields(struct evhttp_request *req, const char *name, const struct asset_file *f,
                       const struct asset_answer *a)
{
    char date[HTTP_DATE_SIZE], text[80];

    http_date_format(f->modified_s, date);
    add(req, "ETag", f->etag);
    add(req, "Last-Modified", date);
    add(req, "Accept-Ranges", "bytes");
    add(req, "Cache-Control", "no-cache"); /* may be kept, but is asked about each time */
    add(req, "X-Content-Type-Options", "nosniff");
    add(req, "Referrer-Policy", "strict-origin-when-cross-origin");
    add(req, "Content-Security-Policy",
        "frame-ancestors 'self'; base-uri 'self'; object-src 'none'");
    if (a->status == 200 || a->status == 206)
        add(req, "Content-Type", asset_type(name));
    if (a->status == 206) {
        (void)snprintf(text, sizeof(text), "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, a->first,
                       a->first + a->n - 1, f->size);
        add(req, "Content-Range", text);
    } else if (a->status == 416) {
        (void)snprintf(text, sizeof(text), "bytes */%" PRIu64, f->size);
        add(req, "Content-Range", text);
    }
}

static void send_file(struct statics *s, struct evhttp_request *req, int fd,
                      const struct asset_answer *a)
{
    struct evbuffer *body = evbuffer_new();
    char length[24];
    bool ok = body != NULL;

    if (is_head(req) || a->n == 0) {
        close(fd);
        (void)snprintf(length, sizeof(length), "%" PRIu64, a->n);
        add(req, "Content-Length", length);
    } else if (ok) {
        ok = add_file(s, body, fd, a);
    } else {
        close(fd);
    }
    if (ok)
        evhttp_send_reply(req, (int)a->status, a->status == 206 ? "Partial Content" : "OK", body);
    else
        evhttp_send_error(req, HTTP_INTERNAL, NULL);
    if (body != NULL)
        evbuffer_free(body);
}

/* Takes fd. */
static void answer_file(struct statics *s, struct evhttp_request *req, const char *name, int fd,
                        const struct stat *st)
{
    struct asset_ask ask = {
        .head = is_head(req),
        .if_match = field(req, "If-Match"),
        .if_unmodified_since = field(req, "If-Unmodified-Since"),
        .if_none_match = field(req, "If-None-Match"),
        .if_modified_since = field(req, "If-Modified-Since"),
        .if_range = field(req, "If-Range"),
        .range = field(req, "Range"),
    };
    struct asset_file f = {.size = (uint64_t)st->st_size, .modified_s = st->st_mtim.tv_sec};
    struct asset_answer a;
    char etag[80];

    (void)snprintf(etag, sizeof(etag), "\"%" PRIx64 "-%" PRIx64 "-%" PRIx64 ".%lx\"",
                   (uint64_t)st->st_ino, f.size, (uint64_t)f.modified_s,
                   (unsigned long)st->st_mtim.tv_nsec);
    f.etag = etag;
    a = asset_decide(&f, &ask);
    if ((a.status == 200 || a.status == 206) && a.n > 0 && !ask.head && s->open >= OPEN_MAX) {
        close(fd);
        answer_errno(req, EMFILE);
        return;
    }
    add_fields(req, name, &f, &a);
    if (a.status == 200 || a.status == 206) {
        send_file(s, req, fd, &a);
        return;
    }
    close(fd);
    if (a.status == 304) {
        evhttp_send_reply(req, HTTP_NOTMODIFIED, "Not Modified", NULL);
    } else {
        add(req, "Content-Type", "text/plain; charset=utf-8");
        send_text(req, a.status,
                  a.status == 416 ? "416 Range Not Satisfiable" : "412 Precondition Failed");
    }
}

static void open_and_answer(struct statics *s, struct evhttp_request *req, int dir, char *name,
                            bool folder, const char *path)
{
    struct stat st;
    int fd = open_beneath(dir, name, &st);
    size_t n = strlen(name);

    if (fd >= 0 && S_ISDIR(st.st_mode) && folder) {
        close(fd);
        (void)snprintf(name + n, PATH_SIZE + 16 - n, "/index.html");
        fd = open_beneath(dir, name, &st);
    } else if (fd >= 0 && S_ISDIR(st.st_mode)) {
        close(fd);
        answer_folder(req, path);
        return;
    } else if (fd >= 0 && folder) { /* "file.html/" is no name of file.html */
        close(fd);
        answer_errno(req, ENOENT);
        return;
    }
    if (fd < 0) {
        answer_errno(req, errno);
    } else if (!S_ISREG(st.st_mode)) {
        close(fd);
        answer_errno(req, ENOENT);
    } else {
        answer_file(s, req, name, fd, &st);
    }
}

void static_answer(struct statics *s, struct evhttp_request *req, const char *dir, struct sv rest,
                   const char *path)
{
    char name[PATH_SIZE + 16];
    enum asset_path what;
    bool folder;
    int fd;

    what = asset_path(rest, name, PATH_SIZE, &folder);
    if (what != ASSET_PATH_OK) {
        answer_path(req, what);
        return;
    }
    fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        int error = errno;

        if (clock_mono_ms() - s->complained_ms >= COMPLAIN_EVERY_MS || s->complained_ms == 0) {
            s->complained_ms = clock_mono_ms();
            log_warn("static directory cannot be opened", "directory=%s reason=\"%s\"", dir,
                     strerror(error));
        }
        answer_errno(req, error);
        return;
    }
    open_and_answer(s, req, fd, name, folder, path);
    close(fd);
}
