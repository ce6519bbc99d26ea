#include "ctl/docker_engine.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "ctl/docker_events.h"
#include "ctl/docker_json.h"

enum {
    VERSION_ANSWER_MAX = 64 * 1024,
    STREAM_CHUNK_MAX = 1 << 20,
    STREAM_HEAD_MS = 5000,
    STREAM_GOOD_MS = 1000, /* a stream that lived this long was a success: back-off begins anew */
    ENGINE_MAGIC = MAGIC('d', 'e', 'n', 'g'),
};

struct docker_engine {
    uint32_t magic;
    struct loop *loop;
    struct http *http;
    struct docker_where where;
    char *project;
    rt_hint_fn *hint;
    void *arg;
    struct rt_info info;
    bool told;   /* that it is away has been logged */
    bool agreed; /* info.api holds */
    uint64_t epoch;
    struct http_call *version_call;
    struct list waits;
    struct loop_later kick; /* begins to negotiate */
    struct loop_later away; /* the engine has just gone: tell */
    struct timer retry;     /* asks for the version again */
    uint64_t retry_ms;
    struct http_call *stream;
    struct timer reopen; /* of the stream */
    uint64_t reopen_ms;
    bool stream_told;         /* that it was refused has been logged */
    uint64_t stream_since_ms; /* 0: its head is not there yet */
    struct docker_events events;
    bool hinting; /* a hint is on the stack: free at its end */
    bool closing;
};

/* ---- where ---- */

static bool where_tcp(const char *text, const char *s, struct docker_where *ret, struct err *e)
{
    const char *colon = strrchr(s, ':'), *host = s;
    size_t host_n = colon != NULL ? (size_t)(colon - s) : 0;
    struct sv digits;
    uint64_t port;

    if (host_n >= 2 && host[0] == '[' && host[host_n - 1] == ']') {
        host++;
        host_n -= 2;
    }
    if (host_n == 0 || host_n >= sizeof(ret->host))
        return err_set(e, "'%s' is no engine address; write unix:///PATH or http://HOST:PORT",
                       text);
    digits = sv_of(colon + 1);
    if (digits.n > 0 && digits.p[digits.n - 1] == '/')
        digits.n--;
    if (!str_to_u64(digits, 1, UINT16_MAX, &port, e))
        return err_wrap(e, "port in '%s'", text);
    *ret = (struct docker_where){.port = (uint16_t)port};
    snprintf(ret->host, sizeof(ret->host), "%.*s", (int)host_n, host);
    return true;
}

bool docker_where_parse(const char *s, struct docker_where *ret, struct err *e)
{
    static const char unix_[] = "unix://", http[] = "http://", tcp[] = "tcp://";

    if (sv_starts(sv_of(s), http))
        return where_tcp(s, s + sizeof(http) - 1, ret, e);
    if (sv_starts(sv_of(s), tcp))
        return where_tcp(s, s + sizeof(tcp) - 1, ret, e);
    if (!sv_starts(sv_of(s), unix_) || s[sizeof(unix_) - 1] != '/')
        return err_set(e, "'%s' is no engine address; write unix:///PATH or http://HOST:PORT", s);
    s += sizeof(unix_) - 1;
    if (strlen(s) >= sizeof(ret->socket))
        return err_set(e, "'%s' is too long for a socket's path (%zu bytes at most)", s,
                       sizeof(ret->socket) - 1);
    *ret = (struct docker_where){.port = 0};
    snprintf(ret->socket, sizeof(ret->socket), "%s", s);
    return true;
}

static void fill_where(const struct docker_engine *en, struct http_ask *ask)
{
    ask->socket = en->where.socket[0] != '\0' ? en->where.socket : NULL;
    ask->host = en->where.host;
    ask->port = en->where.port;
}

/* ---- up and down ---- */

static void back_off(struct timer *t, uint64_t *ms)
{
    if (t->set)
        return;
    timer_in(t, *ms);
    *ms = *ms * 2 < DOCKER_RETRY_MAX_MS ? *ms * 2 : DOCKER_RETRY_MAX_MS;
}

static void set_up(struct docker_engine *en, bool up)
{
    if (en->info.up == up)
        return;
    en->info.up = up;
    en->info.since_ms = clock_mono_ms();
}

static void on_away(struct loop_later *self); /* loop_later */

static void engine_down(struct docker_engine *en, const char *why)
{
    en->agreed = false;
    set_up(en, false);
    snprintf(en->info.error, sizeof(en->info.error), "%s", why);
    if (!en->told) {
        log_warn("engine away", "reason=\"%s\"", why);
        loop_later(en->loop, &en->away, on_away);
    }
    en->told = true;
    back_off(&en->retry, &en->retry_ms);
}

static void engine_up(struct docker_engine *en, const struct docker_version *v)
{
    if (!en->info.up)
        log_info("engine reached", "version=%s api=%s", v->engine, v->api);
    en->agreed = true;
    en->epoch++;
    en->told = false;
    timer_clear(&en->retry);
    en->retry_ms = DOCKER_RETRY_MIN_MS;
    snprintf(en->info.api, sizeof(en->info.api), "%s", v->api);
    snprintf(en->info.engine, sizeof(en->info.engine), "%s", v->engine);
    en->info.error[0] = '\0';
    set_up(en, true);
}

/* Something is odd: ask for the version before anything else is sent. One call that got no answer
 * may be one container's fault; an engine that does not say its version in time is away. */
static void engine_suspect(struct docker_engine *en)
{
    en->agreed = false;
    back_off(&en->retry, &en->retry_ms);
}

void docker_engine_saw(struct docker_engine *en, const struct http_answer *a)
{
    switch (a->end) {
    case HTTP_ANSWERED: /* an engine that was replaced by another version under our feet says 400 */
        if (a->status == 400 && strstr(a->body, "client version") != NULL)
            engine_suspect(en);
        break;
    case HTTP_REFUSED:
    case HTTP_BAD_ANSWER:
        engine_down(en, a->e->msg);
        break;
    case HTTP_RESET:
    case HTTP_TIMEOUT:
        engine_suspect(en);
        break;
    case HTTP_TOO_BIG:
    case HTTP_LOCAL:
        break;
    }
}

/* ---- the event stream ---- */

/* Hints run foreign code, which may free us: true when it did (or tried to). */
static bool tell_hint(struct docker_engine *en, const char *action, const char *id,
                      const char *service, unsigned slot)
{
    if (!en->closing)
        en->hint(en->arg, action, id, service, slot);
    return en->closing;
}

static void engine_fini(struct docker_engine *en);

static void hinting_ends(struct docker_engine *en)
{
    en->hinting = false;
    if (en->closing)
        engine_fini(en);
}

static void on_away(struct loop_later *self)
{
    struct docker_engine *en = CONTAINER_OF(self, struct docker_engine, away);

    if (en->hint == NULL)
        return;
    en->hinting = true;
    tell_hint(en, "away", "", "", 0);
    hinting_ends(en);
}

static void stream_lost(struct docker_engine *en, const char *why)
{
    if (en->stream_since_ms > 0) {
        log_warn("engine event stream lost", "reason=\"%s\"", why);
    } else if (!en->stream_told) {
        log_warn("engine event stream refused", "reason=\"%s\"", why);
        en->stream_told = true;
    }
    if (en->stream_since_ms > 0 && clock_mono_ms() - en->stream_since_ms >= STREAM_GOOD_MS)
        en->reopen_ms = DOCKER_RETRY_MIN_MS;
    en->stream = NULL;
    en->stream_since_ms = 0;
    back_off(&en->reopen, &en->reopen_ms);
    engine_suspect(en); /* most likely it was restarted */
}

static void on_engine_event(void *arg, const struct docker_event *ev) /* docker_event_fn */
{
    tell_hint(CAST(arg, docker_engine, ENGINE_MAGIC), ev->action, ev->id, ev->service, ev->slot);
}

static void on_stream_head(void *arg) /* http_head_fn */
{
    struct docker_engine *en = CAST(arg, docker_engine, ENGINE_MAGIC);

    log_info("engine event stream open", "api=%s", en->info.api);
    en->stream_since_ms = clock_mono_ms();
    en->stream_told = false;
    en->hinting = true;
    tell_hint(en, "resync", "", "", 0);
    hinting_ends(en);
}

static void on_stream_data(void *arg, const char *p, size_t n) /* http_data_fn */
{
    struct docker_engine *en = CAST(arg, docker_engine, ENGINE_MAGIC);
    struct err e;
    bool ok;

    en->hinting = true;
    ok = docker_events_feed(&en->events, p, n, &e);
    if (!ok && !en->closing) {
        http_cancel(en->stream);
        stream_lost(en, e.msg);
    }
    hinting_ends(en);
}

static void on_stream_done(void *arg, const struct http_answer *a) /* http_done_fn */
{
    struct docker_engine *en = CAST(arg, docker_engine, ENGINE_MAGIC);
    char text[256];

    docker_engine_saw(en, a);
    if (a->e != NULL)
        snprintf(text, sizeof(text), "%.255s", a->e->msg);
    else if (a->status == 200)
        snprintf(text, sizeof(text), "the engine ended it");
    else
        docker_message(a->body, a->body_n, text, sizeof(text));
    stream_lost(en, text);
}

static void stream_open(struct docker_engine *en)
{
    AUTO(buf_fini) struct buf target;
    struct err e;

    buf_init(&target, HTTP_TARGET_MAX);
    buf_adds(&target, "/events?");
    if (en->events.last_ns > 0)
        buf_printf(&target, "since=%llu.%09llu&",
                   (unsigned long long)((en->events.last_ns + 1) / 1000000000),
                   (unsigned long long)((en->events.last_ns + 1) % 1000000000));
    buf_adds(&target, "filters=");
    if (!docker_filters(en->project, true, &target, &e)) {
        stream_lost(en, e.msg);
        return;
    }
    docker_events_restart(&en->events);
    en->stream = docker_engine_call(en, (struct http_ask){
                                            .method = "GET",
                                            .target = target.data,
                                            .timeout_ms = STREAM_HEAD_MS,
                                            .answer_max = STREAM_CHUNK_MAX,
                                            .mode = HTTP_BODY_STREAM,
                                            .on_head = on_stream_head,
                                            .on_data = on_stream_data,
                                            .done = on_stream_done,
                                            .arg = en,
                                        });
}

static void stream_want(struct docker_engine *en)
{
    if (en->hint != NULL && en->stream == NULL && !en->reopen.set)
        stream_open(en);
}

/* ---- the version ---- */

/* Tells everybody who waits; they may free us while at it. */
static void waits_over(struct docker_engine *en, const struct err *e)
{
    struct list batch;

    list_init(&batch);
    LIST_EACH(n, &en->waits)
    {
        list_unlink(n);
        list_push_back(&batch, n);
    }
    while (!list_empty(&batch)) {
        struct docker_wait *w = LIST_ENTRY_OF(batch.next, struct docker_wait, node);

        list_unlink(&w->node);
        w->fn(w, e);
    }
}

static void on_version(void *arg, const struct http_answer *a) /* http_done_fn */
{
    struct docker_engine *en = CAST(arg, docker_engine, ENGINE_MAGIC);
    char text[200];
    struct docker_version v;
    struct err e;
    bool ok;

    en->version_call = NULL;
    if (a->end != HTTP_ANSWERED) {
        e = *a->e;
        ok = false;
    } else if (a->status != 200) {
        ok = err_set(&e, "status %d: %s", a->status,
                     docker_message(a->body, a->body_n, text, sizeof(text)));
    } else {
        ok = docker_parse_version(a->body, a->body_n, &v, &e);
    }
    if (ok) {
        engine_up(en, &v);
        stream_want(en);
    } else {
        err_wrap(&e, "the engine at %s%s", en->where.socket, en->where.host);
        engine_down(en, e.msg);
    }
    waits_over(en, ok ? NULL : &e);
}

static void negotiate(struct docker_engine *en)
{
    struct http_ask ask = {
        .method = "GET",
        .target = "/version", /* without a version: this every engine understands */
        .timeout_ms = DOCKER_VERSION_MS,
        .answer_max = VERSION_ANSWER_MAX,
        .done = on_version,
        .arg = en,
    };

    if (en->version_call != NULL)
        return;
    fill_where(en, &ask);
    en->version_call = http_start(en->http, &ask);
}

static void on_retry(void *arg) /* timer */
{
    struct docker_engine *en = CAST(arg, docker_engine, ENGINE_MAGIC);

    negotiate(en);
}

static void on_reopen(void *arg) /* timer */
{
    struct docker_engine *en = CAST(arg, docker_engine, ENGINE_MAGIC);

    if (en->agreed)
        stream_want(en);
    else
        negotiate(en);
}

static void on_kick(struct loop_later *self) /* loop_later */
{
    struct docker_engine *en = CONTAINER_OF(self, struct docker_engine, kick);

    if (en->agreed)
        waits_over(en, NULL);
    else
        negotiate(en);
}

void docker_engine_ready(struct docker_engine *en, struct docker_wait *w)
{
    list_push_back(&en->waits, &w->node);
    loop_later(en->loop, &en->kick, on_kick);
}

struct http_call *docker_engine_call(struct docker_engine *en, struct http_ask ask)
{
    AUTO(mem_freep) char *target = mem_printf("/v%s%s", en->info.api, ask.target);

    fill_where(en, &ask);
    ask.target = target;
    return http_start(en->http, &ask);
}

/* ---- life ---- */

const struct rt_info *docker_engine_info(const struct docker_engine *en)
{
    return &en->info;
}

uint64_t docker_engine_epoch(const struct docker_engine *en)
{
    return en->epoch;
}

bool docker_engine_new(struct loop *l, const char *where, const char *project, rt_hint_fn *hint,
                       void *arg, struct docker_engine **ret, struct err *e)
{
    struct docker_engine *en = mem_zalloc(sizeof(*en));

    *en = (struct docker_engine){.magic = ENGINE_MAGIC,
                                 .loop = l,
                                 .hint = hint,
                                 .arg = arg,
                                 .retry_ms = DOCKER_RETRY_MIN_MS,
                                 .reopen_ms = DOCKER_RETRY_MIN_MS};
    if (!docker_where_parse(where, &en->where, e) || !http_new(l, &en->http, e)) {
        mem_free(en);
        return false;
    }
    en->project = mem_strdup(project);
    en->info.since_ms = clock_mono_ms();
    list_init(&en->waits);
    list_init(&en->kick.node);
    list_init(&en->away.node);
    docker_events_init(&en->events, en->project, on_engine_event, en);
    timer_init(&en->reopen, l, on_reopen, en);
    timer_init(&en->retry, l, on_retry, en);
    timer_in(&en->retry, 0);
    *ret = en;
    return true;
}

static void engine_fini(struct docker_engine *en)
{
    docker_events_fini(&en->events);
    mem_free(en->project);
    en->magic = 0;
    mem_free(en);
}

void docker_engine_free(struct docker_engine *en)
{
    if (en == NULL || en->closing)
        return;
    en->closing = true;
    list_unlink(&en->kick.node);
    list_unlink(&en->away.node);
    LIST_EACH(n, &en->waits)
    list_unlink(n);
    timer_fini(&en->retry);
    timer_fini(&en->reopen);
    http_free(en->http);
    en->http = NULL;
    if (!en->hinting)
        engine_fini(en);
}
