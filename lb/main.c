/* lbd: wires the parts together and decides nothing. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/notify.h"
#include "common/ev/loop.h"
#include "lb/alog.h"
#include "lb/args.h"
#include "lb/link.h"
#include "lb/listen.h"
#include "lb/saved.h"
#include "lb/site.h"
#include "lb/worker.h"

enum {
    EXIT_FAILED = 1,
    EXIT_USAGE = 64,
    STOP_MS = 10000, /* requests in flight get this long when we are told to stop */
    CLIENTS_MAX = 20000,
    DESCRIPTORS_WANTED = 65536,
    DESCRIPTORS_OWN = 128, /* listeners, loops, channels, logs, the status page */
};

/* Where things are and how many: the command line, then the configuration, then what was saved. */
struct setup {
    struct conf_addr listen[CONF_LISTEN_MAX];
    size_t listen_n;
    unsigned workers;
    char *state_dir, *run_dir;
    char *lb_sock, *site_sock, *table_file, *lock_file, *key_file;
    json_t *first_table; /* as saved, or NULL */
    json_t *listen_json;
    int lock_fd;
    char *access_log; /* path; NULL: stderr */
    bool has_access_log, access_log_json;
    struct cidr_list trusted;
    struct clocks clocks;
    bool forwarded_header, request_id, bare_lf;
    unsigned max_connections, client_connections; /* 0: any */
};

struct lbd {
    struct setup setup;
    struct loop *loop;
    struct link *link;
    struct site *site;
    struct shared shared;
    struct worker **workers;
    unsigned running;
    bool stopping, ended;
    struct timer stop_timer;
};

/* ---- set-up ---- */

static void log_conf_errors(const struct conf_errors *errs)
{
    for (size_t i = 0; i < errs->n; i++)
        log_error("configuration error", "reason=\"%s\"", errs->v[i].msg);
}

static void print_conf_errors(const struct conf_errors *errs)
{
    for (size_t i = 0; i < errs->n; i++)
        fprintf(stderr, "lbd: %s\n", errs->v[i].msg);
}

static void setup_paths(struct setup *s, const char *state_dir, const char *run_dir)
{
    s->state_dir = mem_strdup(state_dir);
    s->run_dir = mem_strdup(run_dir);
    s->lb_sock = mem_printf("%s/lb.sock", run_dir);
    s->site_sock = mem_printf("%s/site.sock", run_dir);
    s->table_file = mem_printf("%s/table.json", state_dir);
    s->key_file = mem_printf("%s/sticky.key", state_dir);
    s->lock_file = mem_printf("%s/lbd.lock", state_dir);
}

static void setup_listen(struct setup *s, const struct conf_addr *listen, size_t n)
{
    memcpy(s->listen, listen, n * sizeof(*listen));
    s->listen_n = n;
}

static void setup_access_log(struct setup *s, const struct conf *c)
{
    s->has_access_log = strcmp(c->access_log, "off") != 0;
    s->access_log_json = c->access_log_format == LOG_FMT_JSON;
    if (s->has_access_log && strcmp(c->access_log, "stderr") != 0)
        s->access_log = mem_strdup(c->access_log);
}

/* Without a configuration nobody but this host itself is believed. */
static void setup_trust(struct setup *s, const struct conf *c)
{
    struct err e;

    if (c == NULL) {
        if (!cidr_list_add(&s->trusted, sv_of("loopback"), &e))
            bug("loopback: %s", e.msg);
        return;
    }
    s->trusted = c->trusted_proxies;
    s->forwarded_header = c->forwarded_header;
    s->request_id = c->request_id;
    s->bare_lf = c->bare_lf;
    s->max_connections = c->max_connections;
    s->client_connections = c->client_connections;
}

static void setup_clocks(struct setup *s, const struct conf *c)
{
    s->clocks = (struct clocks){10000, 30000, 60000, 0};
    if (c != NULL)
        s->clocks = (struct clocks){(uint32_t)c->client_header_timeout_ms,
                                    (uint32_t)c->client_body_timeout_ms,
                                    (uint32_t)c->keepalive_timeout_ms, c->client_min_rate};
}

static const char *first_of(const char *a, const char *b, const char *c)
{
    return a != NULL ? a : b != NULL ? b : c;
}

/* The configuration is wanted for few things; when it is broken, what was saved and the command
 * line may do. A traffic path must not stay down because somebody mistyped a service. */
static int setup_all(struct setup *s, const struct args *a)
{
    AUTO(conf_freep) struct conf *conf = NULL;
    struct conf_errors errs = {.n = 0};
    struct saved saved = {0};
    bool loaded = conf_load(a->config, &conf, &errs);
    struct err e;

    if (loaded)
        log_init("lbd", conf->log_format, conf->log_level);
    setup_paths(s, first_of(a->state_dir, loaded ? conf->state_dir : NULL, "/var/lib/lbctl"),
                first_of(a->run_dir, loaded ? conf->run_dir : NULL, "/run/lbctl"));
    if (!saved_load(s->table_file, &saved, &e))
        log_warn("saved table not used", "reason=\"%s\"", e.msg);
    if (!loaded && (saved.table == NULL || (a->listen_n == 0 && saved.listen_n == 0))) {
        print_conf_errors(&errs);
        return EXIT_USAGE;
    }
    if (!loaded) {
        log_conf_errors(&errs);
        log_warn("going on with the saved table", "file=%s", s->table_file);
    }
    if (loaded)
        setup_access_log(s, conf);
    setup_trust(s, loaded ? conf : NULL);
    setup_clocks(s, loaded ? conf : NULL);
    s->first_table = saved.table;
    if (a->listen_n > 0)
        setup_listen(s, a->listen, a->listen_n);
    else if (loaded)
        setup_listen(s, conf->listen, conf->listen_n);
    else
        setup_listen(s, saved.listen, saved.listen_n);
    s->workers = a->has_workers ? a->workers : loaded ? conf->workers : 0;
    if (s->workers == 0) {
        long cpus = sysconf(_SC_NPROCESSORS_ONLN);

        s->workers = cpus < 1 ? 1 : cpus > TABLE_WORKERS_MAX ? TABLE_WORKERS_MAX : (unsigned)cpus;
    }
    s->listen_json = json_array();
    for (size_t i = 0; i < s->listen_n; i++) {
        char text[80];

        listen_format(&s->listen[i], text, sizeof(text));
        json_array_append_new(s->listen_json, json_string(text));
    }
    return 0;
}

/* As many descriptors as we may have; a client costs two. */
static unsigned raise_limits(void)
{
    struct rlimit r;
    rlim_t usable;

    if (getrlimit(RLIMIT_NOFILE, &r) < 0)
        return 256;
    if (r.rlim_cur < DESCRIPTORS_WANTED && r.rlim_cur < r.rlim_max) {
        r.rlim_cur = r.rlim_max < DESCRIPTORS_WANTED ? r.rlim_max : DESCRIPTORS_WANTED;
        (void)setrlimit(RLIMIT_NOFILE, &r);
        (void)getrlimit(RLIMIT_NOFILE, &r);
    }
    usable =
        r.rlim_cur > 2 * DESCRIPTORS_OWN ? (r.rlim_cur - DESCRIPTORS_OWN) / 2 : r.rlim_cur / 4 + 1;
    return usable < CLIENTS_MAX ? (unsigned)usable : CLIENTS_MAX;
}

static bool open_dirs(struct setup *s, struct err *e)
{
    return file_mkdir_p(s->state_dir, 0750, e) && file_mkdir_p(s->run_dir, 0755, e) &&
           file_lock(s->lock_file, &s->lock_fd, e);
}

static bool has_v4_twin(const struct setup *s, const struct conf_addr *a)
{
    for (size_t i = 0; i < s->listen_n; i++) {
        if (s->listen[i].port == a->port && strchr(s->listen[i].host, ':') == NULL)
            return true;
    }
    return false;
}

/* fds[worker * listen_n + address] */
static bool open_ports(const struct setup *s, int *fds, struct err *e)
{
    AUTO(mem_freep) int *of_one = mem_array(s->workers, sizeof(int));

    for (size_t i = 0; i < s->listen_n; i++) {
        if (!listen_open(&s->listen[i], has_v4_twin(s, &s->listen[i]), s->workers, of_one, e))
            return false;
        for (unsigned w = 0; w < s->workers; w++)
            fds[w * s->listen_n + i] = of_one[w];
    }
    return true;
}

static bool become(const struct setup *s, const char *user, struct err *e)
{
    struct passwd *pw;

    if (user == NULL)
        return true;
    errno = 0;
    pw = getpwnam(user);
    if (pw == NULL)
        return err_set(e, "--user: there is no user '%s'", user);
    if (geteuid() != 0)
        return pw->pw_uid == geteuid()
                   ? true
                   : err_set(e, "--user %s: only root may change the user", user);
    if (chown(s->state_dir, pw->pw_uid, pw->pw_gid) < 0 ||
        chown(s->run_dir, pw->pw_uid, pw->pw_gid) < 0 ||
        (chown(s->table_file, pw->pw_uid, pw->pw_gid) < 0 && errno != ENOENT) ||
        (chown(s->key_file, pw->pw_uid, pw->pw_gid) < 0 && errno != ENOENT) ||
        chown(s->lock_file, pw->pw_uid, pw->pw_gid) < 0)
        return err_sys(e, "give the directories to user %s", user);
    if (initgroups(user, pw->pw_gid) < 0 || setgid(pw->pw_gid) < 0 || setuid(pw->pw_uid) < 0)
        return err_sys(e, "become user %s", user);
    return true;
}

/* ---- running ---- */

static void end(struct lbd *d)
{
    d->ended = true;
    loop_stop(d->loop);
}

static void stop_workers(struct lbd *d, bool now)
{
    for (unsigned i = 0; i < d->setup.workers; i++)
        worker_send_stop(d->workers[i], now);
}

static void on_stop_timer(void *arg) /* timer; main */
{
    struct lbd *d = arg;

    log_warn("requests cut at the stop limit", "after_ms=%d", STOP_MS);
    stop_workers(d, true);
}

static void on_stop_signal(void *arg, int signo) /* loop_on_signal; main */
{
    struct lbd *d = arg;

    log_info(d->stopping ? "stopping at once" : "stopping", "signal=%d", signo);
    if (!d->stopping) {
        notify_supervisor("STOPPING=1");
        timer_in(&d->stop_timer, STOP_MS);
    }
    stop_workers(d, d->stopping);
    d->stopping = true;
}

static void on_hangup(void *arg UNUSED, int signo UNUSED) /* loop_on_signal; main */
{
    log_info("nothing to reload", "signal=SIGHUP hint=\"tables come from ctld\"");
}

static void on_reopen_signal(void *arg, int signo UNUSED) /* loop_on_signal; main */
{
    struct lbd *d = arg;

    if (d->setup.access_log == NULL) {
        log_info("no file to open anew", "signal=SIGUSR1");
        return;
    }
    log_info("access log opened anew", "file=%s", d->setup.access_log);
    alog_reopen(d->shared.alog);
}

static void on_worker_stopped(void *arg) /* link_config; main */
{
    struct lbd *d = arg;

    if (--d->running > 0)
        return;
    if (!d->stopping)
        log_error("all workers have ended", "remedy=\"see the errors above\"");
    end(d);
}

static void on_table(struct table *t, void *arg) /* link_config; main */
{
    struct lbd *d = arg;

    site_set_table(d->site, t);
}

static bool start_workers(struct lbd *d, const int *fds, struct err *e)
{
    struct table *first = NULL;

    if (d->setup.first_table != NULL &&
        !table_new(d->setup.first_table, d->setup.workers, NULL, NULL, NULL, &first, e)) {
        log_warn("saved table not used", "reason=\"%s\"", e->msg);
        first = NULL;
    }
    if (first != NULL)
        site_set_table(d->site, first);
    for (unsigned i = 0; i < d->setup.workers; i++) {
        if (!worker_start(&d->shared, i, fds + i * d->setup.listen_n, (unsigned)d->setup.listen_n,
                          first, &d->workers[i], e))
            return false; /* the process ends; nothing to undo */
        d->running++;
    }
    link_set_workers(d->link, d->workers, d->setup.workers, first);
    table_unref(first);
    return true;
}

static bool start(struct lbd *d, const struct args *a, struct err *e)
{
    struct setup *s = &d->setup;
    AUTO(mem_freep) int *fds = mem_array(s->workers * s->listen_n, sizeof(int));
    struct link_config lc = {.sock_path = s->lb_sock,
                             .state_path = s->table_file,
                             .listen = s->listen_json,
                             .on_stopped = on_worker_stopped,
                             .on_table = on_table,
                             .arg = d};

    d->shared.clients_max = raise_limits();
    if (s->max_connections > 0 && s->max_connections < d->shared.clients_max)
        d->shared.clients_max = s->max_connections;
    d->shared.per_client_max = s->client_connections;
    if (s->client_connections > 0)
        d->shared.crowd = mem_zalloc(sizeof(*d->shared.crowd));
    if (getrandom(&d->shared.seed, sizeof(d->shared.seed), 0) < 0)
        d->shared.seed = clock_wall_ms();
    d->shared.workers = s->workers;
    d->shared.trusted = s->trusted;
    d->shared.clocks = s->clocks;
    d->shared.forwarded_header = s->forwarded_header;
    d->shared.request_id = s->request_id;
    d->shared.bare_lf = s->bare_lf;
    for (size_t i = 0; i < s->listen_n; i++)
        d->shared.proxy_in[i] = s->listen[i].proxy;
    d->workers = mem_array(s->workers, sizeof(*d->workers));
    d->shared.all = d->workers;
    if (!open_dirs(s, e) || !open_ports(s, fds, e) || !become(s, a->user, e) ||
        !loop_new(&d->loop, e))
        return false;
    if (!sticky_key(s->key_file, d->shared.sticky_key, e))
        log_warn("sticky cookies last until lbd restarts", "reason=\"%s\"", e->msg);
    lc.loop = d->loop;
    timer_init(&d->stop_timer, d->loop, on_stop_timer, d);
    if (!loop_on_signal(d->loop, SIGTERM, on_stop_signal, d, e) ||
        !loop_on_signal(d->loop, SIGINT, on_stop_signal, d, e) ||
        !loop_on_signal(d->loop, SIGHUP, on_hangup, d, e) ||
        !loop_on_signal(d->loop, SIGUSR1, on_reopen_signal, d, e))
        return false;
    if (s->has_access_log) {
        struct alog_config ac = {s->access_log, s->access_log_json, s->workers};

        if (!alog_start(&ac, &d->shared.alog, e))
            return false;
        lc.alog = d->shared.alog;
    }
    if (!site_start(s->site_sock, &d->site, e) || !link_new(&lc, &d->link, e))
        return false;
    d->shared.link = d->link;
    d->shared.site = backend_new_unix(s->site_sock, s->workers);
    return start_workers(d, fds, e) && link_open(d->link, e);
}

static void finish(struct lbd *d)
{
    for (unsigned i = 0; i < d->setup.workers; i++)
        worker_join(d->workers[i]);
    for (unsigned i = 0; i < d->setup.workers; i++)
        worker_free(d->workers[i]);
    alog_stop(d->shared.alog);
    link_free(d->link);
    site_stop(d->site);
    backend_unref(d->shared.site);
    timer_fini(&d->stop_timer);
    loop_free(d->loop);
    mem_free(d->workers);
    mem_free(d->shared.crowd);
    json_decref(d->setup.first_table);
    json_decref(d->setup.listen_json);
    close(d->setup.lock_fd);
    mem_free(d->setup.state_dir);
    mem_free(d->setup.run_dir);
    mem_free(d->setup.lb_sock);
    mem_free(d->setup.site_sock);
    mem_free(d->setup.table_file);
    mem_free(d->setup.lock_file);
    mem_free(d->setup.key_file);
    mem_free(d->setup.access_log);
}

int main(int argc, char **argv)
{
    static struct lbd d;
    struct args a;
    struct err e;
    int code;

    log_init("lbd", LOG_FMT_TEXT, LOG_LV_INFO);
    if (!args_parse(argc, argv, &a, &e)) {
        fprintf(stderr, "lbd: %s\n", e.msg);
        return EXIT_USAGE;
    }
    if (a.verb != ARGS_RUN) {
        fputs(a.verb == ARGS_HELP ? args_help : "lbd " LBCTL_VERSION "\n", stdout);
        return 0;
    }
    loop_ignore_sigpipe();
    code = setup_all(&d.setup, &a);
    if (code != 0)
        return code;
    if (!start(&d, &a, &e)) {
        log_error("cannot start", "reason=\"%s\"", e.msg);
        return EXIT_FAILED;
    }
    log_info("ready", "workers=%u connections_max=%u table=%s", d.setup.workers,
             d.shared.clients_max, d.setup.first_table != NULL ? "saved" : "none");
    notify_supervisor("READY=1");
    if (!loop_run(d.loop, &e))
        log_error("main loop failed", "reason=\"%s\"", e.msg);
    finish(&d);
    log_info("stopped", "version=%s", LBCTL_VERSION);
    return d.ended && d.stopping ? 0 : EXIT_FAILED;
}
