/* Drives the runtime and the probes from outside: commands on standard input, one line each, what
 * came of them on standard output, one JSON object a line.
 *
 *   list KEY | create KEY SERVICE SLOT GENERATION PORT | start KEY ID | stop KEY ID GRACE_MS |
 * remove KEY ID info KEY | probe KEY http|tcp ADDRESS PORT PATH TIMEOUT_MS
 *
 * KEY is a number that the answer repeats as "re". Hints come as {"hint":ACTION,...}. End of input
 * ends it. */
#include <event2/event.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "ctl/probe.h"
#include "ctl/runtime.h"

enum { WORDS_MAX = 8, LINE_MAX_ = 64 * 1024 };

struct driver {
    struct loop *loop;
    struct conf *conf;
    struct runtime *rt;
    struct probe_pool *probes;
    struct buf in;
    struct list asks; /* not answered yet */
    bool inside;      /* a call into the runtime is on the stack: no done may come now */
};

struct ask {
    struct list node;
    struct driver *d;
    uint64_t key, begun_ms;
};

static void say(json_t *line)
{
    AUTO(mem_freep) char *text = json_dumps(line, JSON_COMPACT);

    json_decref(line);
    printf("%s\n", text);
    fflush(stdout);
}

static struct ask *ask_new(struct driver *d, uint64_t key)
{
    struct ask *a = mem_zalloc(sizeof(*a));

    *a = (struct ask){.d = d, .key = key, .begun_ms = clock_mono_ms()};
    list_push_back(&d->asks, &a->node);
    return a;
}

static void ask_free(struct ask *a)
{
    list_unlink(&a->node);
    mem_free(a);
}

static json_t *answer(struct ask *a, const char *result)
{
    json_t *j =
        json_pack("{s:I,s:s,s:I,s:b}", "re", (json_int_t)a->key, "result", result, "took_ms",
                  (json_int_t)(clock_mono_ms() - a->begun_ms), "within_call", a->d->inside);

    ask_free(a);
    return j;
}

static void put_err(json_t *j, const struct err *e)
{
    json_object_set_new(j, "error", e != NULL ? json_string(e->msg) : json_null());
}

static void on_done(void *arg, enum rt_result r, const struct err *e) /* rt_done_fn */
{
    json_t *j = answer(arg, rt_result_name(r));

    put_err(j, e);
    say(j);
}

static void on_created(void *arg, enum rt_result r, const char *id,
                       const struct err *e) /* rt_create_fn */
{
    json_t *j = answer(arg, rt_result_name(r));

    json_object_set_new(j, "id", json_string(id));
    put_err(j, e);
    say(j);
}

static void on_started(void *arg, enum rt_result r, const char *address,
                       const struct err *e) /* rt_start_fn */
{
    json_t *j = answer(arg, rt_result_name(r));

    json_object_set_new(j, "address", json_string(address));
    put_err(j, e);
    say(j);
}

static void on_list(void *arg, enum rt_result r, const struct rt_instance *v, size_t n,
                    const struct err *e) /* rt_list_fn */
{
    json_t *j = answer(arg, rt_result_name(r)), *rows = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(rows,
                              json_pack("{s:s,s:s,s:s,s:i,s:I,s:s,s:s,s:s,s:s,s:i,s:i}", "id",
                                        v[i].id, "name", v[i].name, "service", v[i].service, "slot",
                                        (int)v[i].slot, "generation", (json_int_t)v[i].generation,
                                        "token", v[i].token, "conf_hash", v[i].conf_hash, "state",
                                        rt_state_name(v[i].state), "address", v[i].address, "port",
                                        (int)v[i].host_port, "exit_code", v[i].exit_code));
    json_object_set_new(j, "rows", rows);
    put_err(j, e);
    say(j);
}

static void on_hint(void *arg UNUSED, const char *action, const char *id, const char *service,
                    unsigned slot) /* rt_hint_fn */
{
    say(json_pack("{s:s,s:s,s:s,s:i}", "hint", action, "id", id, "service", service, "slot",
                  (int)slot));
}

static void on_probe(void *arg UNUSED, uint64_t tag, enum probe_result r, int status,
                     uint64_t took_us) /* probe_done_fn */
{
    say(json_pack("{s:I,s:s,s:i,s:I}", "re", (json_int_t)tag, "result", probe_result_name(r),
                  "status", status, "took_us", (json_int_t)took_us));
}

static uint64_t number(const char *s)
{
    uint64_t v = 0;
    struct err e;

    if (!str_to_u64(sv_of(s), 0, UINT64_MAX, &v, &e))
        fprintf(stderr, "driver: '%s': %s\n", s, e.msg);
    return v;
}

static void create(struct driver *d, struct ask *a, char **w)
{
    const struct conf_service *s = conf_service_find(d->conf, w[2]);
    char hash[17], token[64];
    struct rt_spec spec = {
        .service = s, .project = d->conf->project, .network = d->conf->network, .conf_hash = hash};

    if (s == NULL) {
        fprintf(stderr, "driver: no service %s\n", w[2]);
        ask_free(a);
        return;
    }
    conf_service_hash(s, hash);
    snprintf(token, sizeof(token), "t%s.%s", w[3], w[4]);
    spec.token = token;
    spec.slot = (unsigned)number(w[3]);
    spec.generation = number(w[4]);
    spec.host_port = (uint16_t)number(w[5]);
    runtime_docker.create(d->rt, &spec, on_created, a);
}

static void info(struct driver *d, uint64_t key)
{
    const struct rt_info *i = runtime_docker.info(d->rt);

    say(json_pack("{s:I,s:s,s:b,s:s,s:s,s:s}", "re", (json_int_t)key, "result", "ok", "up", i->up,
                  "api", i->api, "engine", i->engine, "error", i->error));
}

static void command(struct driver *d, char **w, size_t n)
{
    uint64_t key = n >= 2 ? number(w[1]) : 0;

    d->inside = true;
    if (n == 2 && strcmp(w[0], "list") == 0)
        runtime_docker.list(d->rt, on_list, ask_new(d, key));
    else if (n == 6 && strcmp(w[0], "create") == 0)
        create(d, ask_new(d, key), w);
    else if (n == 3 && strcmp(w[0], "start") == 0)
        runtime_docker.start(d->rt, &d->conf->services[0], w[2], on_started, ask_new(d, key));
    else if (n == 4 && strcmp(w[0], "stop") == 0)
        runtime_docker.stop(d->rt, w[2], number(w[3]), on_done, ask_new(d, key));
    else if (n == 3 && strcmp(w[0], "remove") == 0)
        runtime_docker.remove(d->rt, w[2], on_done, ask_new(d, key));
    else if (n == 2 && strcmp(w[0], "info") == 0)
        info(d, key);
    else if (n == 7 && strcmp(w[0], "probe") == 0)
        probe_start(d->probes, key,
                    &(struct conf_health){.kind = strcmp(w[2], "tcp") == 0 ? CONF_HEALTH_TCP
                                                                           : CONF_HEALTH_HTTP,
                                          .path = w[5],
                                          .timeout_ms = number(w[6])},
                    w[3], (uint16_t)number(w[4]));
    else
        fprintf(stderr, "driver: not understood: %s\n", n > 0 ? w[0] : "");
    d->inside = false;
}

static void run_line(struct driver *d, char *line)
{
    char *w[WORDS_MAX], *save = NULL;
    size_t n = 0;

    for (char *p = strtok_r(line, " \r", &save); p != NULL && n < WORDS_MAX;
         p = strtok_r(NULL, " \r", &save))
        w[n++] = p;
    command(d, w, n);
}

static void on_input(evutil_socket_t fd, short what UNUSED, void *arg) /* event_callback_fn */
{
    struct driver *d = arg;
    char chunk[4096], *nl;
    ssize_t got = read(fd, chunk, sizeof(chunk));

    if (got <= 0 || !buf_add(&d->in, chunk, (size_t)got)) {
        loop_stop(d->loop);
        return;
    }
    while (d->in.len > 0 && (nl = memchr(d->in.data, '\n', d->in.len)) != NULL) {
        size_t n = (size_t)(nl - d->in.data) + 1;

        *nl = '\0';
        run_line(d, d->in.data);
        buf_drop_front(&d->in, n);
    }
}

int main(int argc, char **argv)
{
    struct driver d = {0};
    struct conf_errors errs = {.n = 0};
    struct event *in;
    struct err e;

    if (argc != 2 || !conf_load(argv[1], &d.conf, &errs)) {
        fprintf(stderr, "driver: %s\n", errs.n > 0 ? errs.v[0].msg : "usage: driver CONF");
        return 64;
    }
    log_init("driver", LOG_FMT_TEXT, LOG_LV_DEBUG);
    buf_init(&d.in, LINE_MAX_);
    list_init(&d.asks);
    if (!loop_new(&d.loop, &e) || !probe_pool_new(d.loop, on_probe, &d, &d.probes, &e) ||
        !runtime_docker.open(d.loop, d.conf, on_hint, &d, &d.rt, &e)) {
        fprintf(stderr, "driver: %s\n", e.msg);
        return 1;
    }
    in = event_new(loop_base(d.loop), STDIN_FILENO, EV_READ | EV_PERSIST, on_input, &d);
    event_add(in, NULL);
    if (!loop_run(d.loop, &e))
        fprintf(stderr, "driver: %s\n", e.msg);
    event_free(in);
    runtime_docker.close(d.rt);
    probe_pool_free(d.probes);
    LIST_EACH(n, &d.asks)
    ask_free(LIST_ENTRY_OF(n, struct ask, node));
    loop_free(d.loop);
    buf_fini(&d.in);
    conf_free(d.conf);
    return 0;
}
