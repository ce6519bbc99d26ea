#include "acts-service/service.h"

#include <event2/event.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "acts-service/check.h"
#include "acts-service/jout.h"
#include "acts-service/reserve.h"
#include "acts-service/users.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
    ASK_MAGIC = MAGIC('a', 's', 'k', '1'),
    PROBE_MAGIC = MAGIC('p', 'r', 'o', 'b'),
    STOP_MS = 10 * 1000, /* in-flight requests may take this long after SIGTERM */
};

/* --- one request --- */

static void ask_free(struct ask *a)
{
    if (a->job != NULL)
        a->job_free(a->job);
    evbuffer_free(a->out.b);
    mem_free(a->param_text);
    a->magic = 0;
    mem_free(a);
}

static void send_if_done(struct ask *a)
{
    if (!a->answered || a->counting)
        return;
    http_reply(a->req, a->status, a->out.b);
    ask_free(a);
}

static void on_ask_counted(struct pulse_wait *w, bool ok UNUSED) /* pulse */
{
    struct ask *a = CONTAINER_OF(w, struct ask, counted);

    a->counting = false;
    if (a->when_counted != NULL)
        a->when_counted(a);
    else
        send_if_done(a);
}

void ask_when_counted(struct ask *a, void (*fn)(struct ask *a))
{
    if (a->counting)
        a->when_counted = fn;
    else
        fn(a);
}

void ask_stream(struct ask *a, void (*drained)(void *arg), void *arg)
{
    a->streaming = true;
    http_stream(a->req, drained, arg);
}

void ask_stream_end(struct ask *a, bool whole)
{
    struct http_req *r = a->req;

    ask_free(a);
    http_stream_end(r, whole);
}

void ask_own(struct ask *a, void *job, void (*job_free)(void *))
{
    a->job = job;
    a->job_free = job_free;
}

void ask_reply(struct ask *a, int status)
{
    if (a->streaming) {
        ask_stream_end(a, false);
        return;
    }
    if (a->out.failed) {
        jout_clear(&a->out);
        status = 500;
    }
    a->status = status;
    a->answered = true;
    if (a->begun_ms != 0)
        pulse_took(a->svc->pulse, clock_mono_ms() - a->begun_ms);
    send_if_done(a);
}

void ask_refuse(struct ask *a, int status, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    jout_clear(&a->out);
    jout_raw(&a->out, "{\"error\": ");
    jout_string(&a->out, sv_of(text));
    jout_raw(&a->out, "}");
    if (status == 503 && !a->streaming)
        http_header(a->req, "Retry-After", "1");
    ask_reply(a, status);
}

void ask_no_memory(struct ask *a)
{
    ask_refuse(a, 500, "out of memory");
}

void ask_database_failed(struct ask *a, const struct db_reply *r)
{
    if (strcmp(r->sqlstate, "42P01") == 0 || strcmp(r->sqlstate, "3F000") == 0)
        schema_check(a->svc->schema); /* the database was made anew under us */
    switch (r->status) {
    case DB_REFUSED:
        ask_refuse(a, 400, "the database refuses this value (SQLSTATE %s)", r->sqlstate);
        return;
    case DB_BUSY:
        ask_refuse(a, 503, "too many requests are waiting for the database");
        return;
    case DB_TIMEOUT:
        ask_refuse(a, 503, "the database did not answer in time");
        return;
    case DB_DOWN:
        ask_refuse(a, 503, "the database cannot be reached");
        return;
    case DB_MEMORY:
        ask_no_memory(a);
        return;
    case DB_OK:
    case DB_FAULT:
        break;
    }
    ask_refuse(a, 500, "the database failed (SQLSTATE %s)", r->sqlstate);
}

static void on_question_answered(void *arg, const struct db_reply *r) /* db_done_fn */
{
    struct ask *a = CAST(arg, ask, ASK_MAGIC);

    a->asked(a, r);
}

void ask_query(struct ask *a, unsigned stmt, const struct db_param *params, size_t n,
               void (*done)(struct ask *a, const struct db_reply *r))
{
    if (!schema_is_ready(a->svc->schema)) {
        ask_refuse(a, 503, "the database is not ready yet");
        return;
    }
    a->asked = done;
    if (!db_ask(a->svc->db, DB_MAIN, stmt, params, n, 0, on_question_answered, a))
        ask_no_memory(a);
}

/* --- dispatch --- */

static void preflight(struct ask *a, const char *allow)
{
    http_header(a->req, "Allow", allow);
    http_header(a->req, "Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE, OPTIONS");
    http_header(a->req, "Access-Control-Allow-Headers",
                "Content-Type, Accept, Origin, X-Requested-With, Authorization");
    http_header(a->req, "Access-Control-Max-Age", "3600");
    ask_reply(a, 204);
}

static struct ask *ask_new(struct service *s, struct http_req *r)
{
    struct ask *a = mem_try_alloc(sizeof(*a));

    if (a == NULL)
        return NULL;
    *a = (struct ask){.magic = ASK_MAGIC, .svc = s, .req = r, .out = {.b = evbuffer_new()}};
    if (a->out.b == NULL) {
        mem_free(a);
        return NULL;
    }
    return a;
}

/* The parameter of the path; otherwise it has answered. */
static bool decode_param(struct ask *a, struct sv raw)
{
    a->param_text = mem_try_alloc(raw.n + 1);
    if (a->param_text == NULL) {
        ask_no_memory(a);
        return false;
    }
    a->param.p = a->param_text;
    if (check_percent(raw, a->param_text, &a->param.n))
        return true;
    ask_refuse(a, 400, "the path is not percent-encoded properly");
    return false;
}

static void on_http_request(void *arg, struct http_req *r) /* http_fn */
{
    struct service *s = arg;
    struct ask *a;
    struct sv raw = {NULL, 0};
    route_fn *fn;
    char allow[64];

    if (s->crashed) {
        http_reply(r, 500, NULL);
        return;
    }
    a = ask_new(s, r);
    if (a == NULL) {
        http_reply(r, 500, NULL);
        return;
    }
    a->counted.fn = on_ask_counted;
    a->route = router_find(s->def->routes, s->def->routes_n, http_path(r), &raw);
    if (a->route == NULL) {
        ask_refuse(a, 404, "no such route");
        return;
    }
    (void)router_allow(a->route, allow, sizeof(allow));
    if (http_method(r) ==
        METHOD_OPTIONS) { /* a browser's question, not a request of the API: not counted */
        preflight(a, allow);
        return;
    }
    if (a->route->counted) {
        a->counting = true;
        a->begun_ms = clock_mono_ms();
        pulse_beat(s->pulse, &a->counted, 1);
    }
    fn = router_method(a->route, http_method(r));
    if (fn == NULL) {
        http_header(r, "Allow", allow);
        ask_refuse(a, 405, "this route allows: %s", allow);
    } else if (decode_param(a, raw)) {
        fn(a);
    }
}

/* --- handlers that every service has --- */

void service_root(struct ask *a)
{
    ask_reply(a, 200);
}

void service_crash(struct ask *a)
{
    log_warn("crashed on request", "action=\"every request gets 500 from now on\"");
    a->svc->crashed = true;
    ask_reply(a, 200);
}

struct probe {
    uint32_t magic;
    struct ask *ask;
    struct pulse_wait wait;
    struct timer deadline;
};

static void probe_free(void *job)
{
    struct probe *p = CAST(job, probe, PROBE_MAGIC);

    timer_fini(&p->deadline);
    p->magic = 0;
    mem_free(p);
}

static void probe_done(struct probe *p, bool ok)
{
    pulse_cancel(&p->wait);
    ask_reply(p->ask, ok && !p->ask->svc->crashed ? 200 : 500);
}

static void on_probe_written(struct pulse_wait *w, bool ok) /* pulse */
{
    probe_done(CONTAINER_OF(w, struct probe, wait), ok);
}

static void on_probe_late(void *arg) /* timer */
{
    probe_done(CAST(arg, probe, PROBE_MAGIC), false);
}

void service_health(struct ask *a)
{
    struct probe *p = mem_try_alloc(sizeof(*p));

    if (p == NULL) {
        ask_reply(a, 500);
        return;
    }
    *p = (struct probe){.magic = PROBE_MAGIC, .ask = a, .wait = {.fn = on_probe_written}};
    ask_own(a, p, probe_free);
    if (!timer_try_init(&p->deadline, a->svc->loop, on_probe_late, p)) {
        ask_reply(a, 500);
        return;
    }
    timer_in(&p->deadline, a->svc->env.health_timeout_ms);
    pulse_beat(a->svc->pulse, &p->wait, 0);
}

/* --- the program --- */

static void on_schema_changed(void *arg, bool ready) /* schema */
{
    struct service *s = arg;

    if (ready)
        log_info("ready", "port=%u", (unsigned)http_port(s->http));
    pulse_ready(s->pulse, ready);
}

static void on_stopped(void *arg) /* http_drain, timer */
{
    struct service *s = arg;

    loop_stop(s->loop);
}

struct stopping {
    struct service *svc;
    struct timer limit;
    bool begun;
};

static void on_stop_signal(void *arg, int signo) /* loop_on_signal */
{
    struct stopping *st = arg;

    if (st->begun)
        return;
    st->begun = true;
    log_info("stopping", "signal=%d", signo);
    timer_in(&st->limit, STOP_MS);
    http_drain(st->svc->http, on_stopped, st->svc);
}

static void on_libevent_log(int severity, const char *msg) /* event_log_cb */
{
    char text[256];

    if (severity >= EVENT_LOG_WARN)
        log_warn("libevent", "text=\"%s\"", str_quote(sv_of(msg), text, sizeof(text)));
}

static bool start(struct service *s, struct err *e)
{
    const struct service_def *d = s->def;
    const struct env *v = &s->env;
    struct http_conf hc = {v->bind, (uint16_t)v->port, v->max_body};
    struct db_conf dc = {.host = v->db_host,
                         .port = (uint16_t)v->db_port,
                         .user = v->db_user,
                         .name = v->db_name,
                         .password = v->db_password,
                         .sslmode = v->db_sslmode,
                         .program = d->program,
                         .pool = (unsigned)v->db_pool,
                         .queue_max = (unsigned)v->db_queue,
                         .query_ms = v->db_timeout_ms,
                         .connect_ms = v->db_timeout_ms};

    if (!http_new(s->loop, &hc, on_http_request, s, &s->http, e) ||
        !db_new(s->loop, &dc, d->stmts, d->stmts_n, &s->db, e))
        return false;
    if (*v->users_url != '\0' &&
        !users_new(s->loop, v->users_url, v->users_origin, v->users_timeout_ms, &s->users, e))
        return false;
    s->pulse = pulse_new(s->loop, s->db, d->stmt_pulse, v->health_timeout_ms);
    s->schema = schema_new(s->loop, s->db, d->stmt_version, d->stmt_migrate, d->schema_version,
                           on_schema_changed, s);
    log_info("started", "version=%s port=%u pid=%d", LBCTL_VERSION, (unsigned)http_port(s->http),
             (int)getpid());
    return true;
}

static void service_fini(struct service *s)
{
    sigset_t stop;

    /* A second signal must not kill us, and spoil the exit status, once its handlers are gone. */
    (void)sigemptyset(&stop);
    (void)sigaddset(&stop, SIGTERM);
    (void)sigaddset(&stop, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &stop, NULL);
    http_free(s->http);
    db_free(s->db);
    schema_free(s->schema);
    pulse_free(s->pulse);
    users_free(s->users);
    loop_free(s->loop);
}

static bool run(struct service *s, struct err *e)
{
    struct stopping st = {.svc = s};
    bool ok;

    if (!loop_new_coarse(&s->loop, e))
        return false;
    timer_init(&st.limit, s->loop, on_stopped, s);
    /* As the first process of a container nothing ends us but what we handle ourselves. */
    ok = loop_on_signal(s->loop, SIGTERM, on_stop_signal, &st, e) &&
         loop_on_signal(s->loop, SIGINT, on_stop_signal, &st, e) && start(s, e) &&
         loop_run(s->loop, e);
    timer_fini(&st.limit);
    if (!ok || !http_is_answered(s->http))
        return ok; /* questions are still out: leave all as it is, the process ends anyway */
    service_fini(s);
    return true;
}

static bool check_users_url(const struct env *v, struct err *e)
{
    return *v->users_url == '\0' || users_check_url(v->users_url, e) ||
           err_wrap(e, "%s_USERS_URL", v->prefix);
}

int service_main(const struct service_def *def, int argc, char **argv, char **envp)
{
    struct service s = {.def = def};
    struct err e;
    bool ok;

    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        (void)printf("%s %s\n", def->program, LBCTL_VERSION);
        return EX_OK;
    }
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        (void)printf("usage: %s\nEnvironment:\n", def->program);
        env_help(def->prefix, stdout);
        return EX_OK;
    }
    if (argc != 1) {
        (void)fprintf(stderr, "%s: takes no arguments but --help and --version\n", def->program);
        return EX_USAGE;
    }
    log_init(def->program, LOG_FMT_TEXT, LOG_LV_INFO);
    if (!env_read(def->prefix, envp, &s.env, &e) || !check_users_url(&s.env, &e)) {
        log_error("bad environment", "error=\"%s\"", e.msg);
        env_fini(&s.env);
        return EX_USAGE;
    }
    log_init(def->program, s.env.format, s.env.level);
    if (!env_all_known(def->prefix, envp, &e))
        log_warn("unknown variable", "error=\"%s\"", e.msg);
    reserve_init();
    loop_ignore_sigpipe();
    event_set_log_callback(on_libevent_log);
    /* Bodies of megabytes come and go: give them back to the system, whatever was freed before. */
    (void)mallopt(M_MMAP_THRESHOLD, 256 * 1024);
    ok = run(&s, &e);
    if (!ok)
        log_error("cannot run", "error=\"%s\"", e.msg);
    else
        log_info("stopped", "port=%u reserve_used=%zu", (unsigned)s.env.port, reserve_used());
    env_fini(&s.env);
    return ok ? EX_OK : EX_OSERR;
}
