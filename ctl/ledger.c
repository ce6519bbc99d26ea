#include "ctl/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "ctl/events.h"

enum {
    FILE_MODE = 0640,
    READ_MAX = LEDGER_FILE_MAX + (1 << 16), /* of one file, when ctld begins */
    ANSWER_MAX = PROTO_LINE_MAX * 3 / 4,
};

struct row {
    uint64_t seq;
    json_t *o;
    size_t len; /* as a line */
};

struct ledger {
    struct ctl *c;
    char *path, *old_path;
    struct row rows[LEDGER_KEPT]; /* a ring: number seq is at seq % LEDGER_KEPT */
    uint64_t last;
    int fd; /* -1: not open */
    size_t size;
    bool torn;         /* the file may end in the middle of a line */
    bool failing;      /* told already */
    uint64_t retry_ms; /* no write before */
};

static const char *const kind_names[LEDGER_KINDS] = {
    [LEDGER_SLOT] = "slot",   [LEDGER_DRAIN] = "drain",       [LEDGER_STOP] = "stop",
    [LEDGER_SCALE] = "scale", [LEDGER_OPERATOR] = "operator", [LEDGER_DAEMON] = "daemon",
    [LEDGER_BRAKE] = "brake", [LEDGER_IMAGE] = "image",
};

const char *ledger_kind_name(enum ledger_kind k)
{
    return kind_names[k];
}

/* ---- the file ---- */

static void close_file(struct ledger *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}

static bool fail(struct ledger *l, const char *what)
{
    if (!l->failing) /* a full disk is told once */
        log_warn("ledger not written", "path=%s call=%s reason=\"%s\"", l->path, what,
                 strerror(errno));
    l->failing = true;
    l->retry_ms = loop_now_ms(l->c->loop) + LEDGER_RETRY_MS;
    close_file(l);
    return false;
}

static bool open_file(struct ledger *l)
{
    struct stat st;

    if (l->fd >= 0)
        return true;
    l->fd = open(l->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    if (l->fd < 0 || fstat(l->fd, &st) < 0)
        return fail(l, "open");
    l->size = (size_t)st.st_size;
    return true;
}

static bool rotate(struct ledger *l)
{
    close_file(l);
    if (rename(l->path, l->old_path) < 0)
        return fail(l, "rename");
    l->torn = false;
    return open_file(l);
}

static void append(struct ledger *l, const char *line, size_t n)
{
    ssize_t put;

    if (l->retry_ms != 0 && loop_now_ms(l->c->loop) < l->retry_ms)
        return;
    l->retry_ms = 0;
    if (!open_file(l) || (l->size + n > LEDGER_FILE_MAX && !rotate(l)))
        return;
    if (l->torn && write(l->fd, "\n", 1) != 1) {
        (void)fail(l, "write");
        return;
    }
    l->torn = false;
    put = write(l->fd, line, n);
    l->size += put > 0 ? (size_t)put : 0;
    if (put != (ssize_t)n) {
        l->torn = put > 0;
        (void)fail(l, "write");
        return;
    }
    if (l->failing)
        log_info("ledger written again", "path=%s", l->path);
    l->failing = false;
}

/* ---- memory ---- */

static struct row *row_of(const struct ledger *l, uint64_t seq)
{
    return (struct row *)&l->rows[seq % LEDGER_KEPT];
}

static void keep(struct ledger *l, uint64_t seq, json_t *o, size_t len)
{
    struct row *r = row_of(l, seq);

    json_decref(r->o);
    *r = (struct row){seq, o, len};
    l->last = seq;
}

uint64_t ledger_last(const struct ledger *l)
{
    return l->last;
}

/* A line that another ctld wrote is doubted like a message. */
static void take_line(struct ledger *l, const char *p, size_t n)
{
    json_t *o = json_loadb(p, n, 0, NULL);
    uint64_t seq = proto_uint(o, "seq", 0);

    if (o != NULL && proto_check(SHAPE_EVENT, o, NULL) && seq > l->last)
        keep(l, seq, o, n + 1);
    else
        json_decref(o);
}

static void take_file(struct ledger *l, const char *path)
{
    AUTO(mem_freep) char *text = NULL;
    struct err e;
    size_t n = 0;

    if (!file_read(path, READ_MAX, &text, &n, &e)) {
        if (access(path, F_OK) == 0)
            log_warn("ledger not read", "reason=\"%s\"", e.msg);
        return;
    }
    for (size_t at = 0; at < n;) {
        const char *end = memchr(text + at, '\n', n - at);
        size_t len = end != NULL ? (size_t)(end - text) - at : n - at;

        take_line(l, text + at, len);
        at += len + 1;
    }
    l->torn = n > 0 && text[n - 1] != '\n';
}

struct ledger *ledger_new(struct ctl *c, const char *state_dir)
{
    struct ledger *l = mem_zalloc(sizeof(*l));

    l->c = c;
    l->fd = -1;
    l->path = mem_printf("%s/events.jsonl", state_dir);
    l->old_path = mem_printf("%s/events.jsonl.1", state_dir);
    take_file(l, l->old_path);
    take_file(l, l->path);
    return l;
}

void ledger_free(struct ledger *l)
{
    if (l == NULL)
        return;
    for (size_t i = 0; i < LEDGER_KEPT; i++)
        json_decref(l->rows[i].o);
    close_file(l);
    mem_free(l->path);
    mem_free(l->old_path);
    mem_free(l);
}

/* Foreign bytes (an engine's message) may be no UTF-8. */
static json_t *text_of(const char *s)
{
    char q[2 * LEDGER_TEXT_MAX];
    json_t *t = json_string(s);

    return t != NULL ? t : json_string(str_quote(sv_of(s), q, sizeof q));
}

static json_t *pack(uint64_t seq, const struct ledger_entry *n, const char *text)
{
    uint64_t now = clock_wall_ms();
    char at[40];
    json_t *o =
        json_pack("{s:I, s:s, s:I, s:s, s:s, s:o}", "seq", (json_int_t)seq, "at",
                  clock_rfc3339(now, at, sizeof at), "at_ms", (json_int_t)now, "kind",
                  kind_names[n->kind], "code", reason_code(n->reason), "text", text_of(text));

    if (n->service != NULL)
        (void)json_object_set_new(o, "service", text_of(n->service));
    if (n->slot >= 0)
        (void)json_object_set_new(o, "slot", json_integer(n->slot));
    if (n->inputs != NULL)
        (void)json_object_set_new(o, "inputs", n->inputs);
    return o;
}

uint64_t ledger_note(struct ledger *l, const struct ledger_entry *n, const char *fmt, ...)
{
    char text[LEDGER_TEXT_MAX], *line, *whole;
    json_t *o;
    va_list ap;

    if (l == NULL) {
        json_decref(n->inputs);
        return 0;
    }
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    o = pack(l->last + 1, n, text);
    line = json_dumps(o, JSON_COMPACT);
    if (line == NULL) {
        json_decref(o);
        return 0;
    }
    whole = mem_printf("%s\n", line);
    keep(l, l->last + 1, o, strlen(whole));
    append(l, whole, strlen(whole));
    mem_free(line);
    mem_free(whole);
    events_wake(l->c->events);
    return l->last;
}

/* ---- asking ---- */

static bool is_of(const json_t *o, const struct ledger_ask *a)
{
    if (a->service != NULL && strcmp(proto_str(o, "service", ""), a->service) != 0)
        return false;
    return a->slot < 0 || proto_uint(o, "slot", UINT64_MAX) == (uint64_t)a->slot;
}

/* Where the last `limit` that fit into an answer begin. */
static uint64_t tail_of(const struct ledger *l, const struct ledger_ask *a)
{
    size_t n = 0, bytes = 0;
    uint64_t seq = l->last;

    for (; seq > 0 && row_of(l, seq)->seq == seq; seq--) {
        const struct row *r = row_of(l, seq);

        if (!is_of(r->o, a))
            continue;
        if (n == a->limit || bytes + r->len > ANSWER_MAX)
            return seq;
        n++;
        bytes += r->len;
    }
    return seq;
}

json_t *ledger_list(const struct ledger *l, const struct ledger_ask *a, uint64_t *ret_last)
{
    uint64_t seq = a->after == UINT64_MAX ? tail_of(l, a) : a->after;
    json_t *list = json_array();
    size_t n = 0, bytes = 0;

    if (seq + LEDGER_KEPT < l->last)
        seq = l->last - LEDGER_KEPT; /* what is older is gone */
    for (; seq < l->last; seq++) {
        const struct row *r = row_of(l, seq + 1);

        if (r->seq != seq + 1 || !is_of(r->o, a))
            continue;
        if (n == a->limit || bytes + r->len > ANSWER_MAX)
            break;
        n++;
        bytes += r->len;
        (void)json_array_append(list, r->o);
    }
    *ret_last = seq;
    return list;
}
