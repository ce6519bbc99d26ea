#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/notify.h"
#include "common/base/str.h"
#include "common/conf/conf.h"
#include "common/ev/loop.h"
#include "ctl/ctl.h"
#include "ctl/process_run.h"
#include "ctl/store.h"
#include "ctl/sweep.h"

/* ctld: wires things together, decides nothing. */
struct options {
    const char *conf, *run_dir, *state_dir;
    bool remove_instances;
};

static const char usage[] =
    "usage: ctld [-c FILE] [--run-dir DIR] [--state-dir DIR] [--remove-instances]\n"
    "\n"
    "The control daemon of lbctl: keeps the services of FILE running, healthy and scaled.\n"
    "\n"
    "  -c, --config FILE      configuration (default /etc/lbctl/lbctl.yaml)\n"
    "      --run-dir DIR      sockets and lock (default: run_dir of FILE)\n"
    "      --state-dir DIR    own small state (default: state_dir of FILE)\n"
    "      --remove-instances stop and remove all instances of the project, forget how they were\n"
    "                         scaled, and exit\n"
    "  -h, --help             this text\n"
    "  -V, --version          the version\n"
    "\n"
    "SIGHUP reads FILE anew; SIGTERM ends ctld, the instances go on running. See ctld(8).\n";

enum { RUNTIME_NAME_MAX = 64 };
enum { OPT_RUN_DIR = 256, OPT_STATE_DIR, OPT_REMOVE };

/* What the child of the process runtime is called with; for nobody else. */
static const char run_instance[] = "--run-instance";

/* False: *ret_code is the exit code. */
static bool parse(int argc, char **argv, struct options *o, int *ret_code)
{
    static const struct option longs[] = {
        {"config", required_argument, NULL, 'c'},
        {"run-dir", required_argument, NULL, OPT_RUN_DIR},
        {"state-dir", required_argument, NULL, OPT_STATE_DIR},
        {"remove-instances", no_argument, NULL, OPT_REMOVE},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "c:hV", longs, NULL)) != -1) {
        switch (c) {
        case 'c':
            o->conf = optarg;
            break;
        case OPT_RUN_DIR:
            o->run_dir = optarg;
            break;
        case OPT_STATE_DIR:
            o->state_dir = optarg;
            break;
        case OPT_REMOVE:
            o->remove_instances = true;
            break;
        case 'h':
            (void)fputs(usage, stdout);
            *ret_code = 0;
            return false;
        case 'V':
            (void)printf("ctld %s\n", LBCTL_VERSION);
            *ret_code = 0;
            return false;
        default:
            (void)fputs("ctld: try --help\n", stderr);
            *ret_code = EX_USAGE;
            return false;
        }
    }
    if (optind < argc) {
        (void)fprintf(stderr, "ctld: unexpected argument '%s'; try --help\n", argv[optind]);
        *ret_code = EX_USAGE;
        return false;
    }
    return true;
}

static const char *state_dir(const struct conf *conf, const struct options *o)
{
    return o->state_dir != NULL ? o->state_dir : conf->state_dir;
}

/* Without an engine's socket and with a command for everything, `auto` means processes. */
static bool would_be_process(const struct conf *conf)
{
    static const char unix_scheme[] = "unix://";

    if (strncmp(conf->docker, unix_scheme, strlen(unix_scheme)) != 0 ||
        access(conf->docker + strlen(unix_scheme), F_OK) == 0)
        return false;
    for (size_t i = 0; i < conf->services_n; i++) {
        const struct conf_service *s = &conf->services[i];

        if (conf_service_has_instances(s) && s->command.n == 0 && s->entrypoint.n == 0)
            return false;
    }
    return true;
}

/* `auto` is decided once: an engine that is away later must not make another runtime of it. */
static const struct runtime_ops *decide_auto(const struct conf *conf, const struct options *o)
{
    AUTO(mem_freep) char *path = mem_printf("%s/runtime", state_dir(conf, o));
    AUTO(mem_freep) char *text = NULL;
    const struct runtime_ops *ops = would_be_process(conf) ? &runtime_process : &runtime_docker;
    struct err e;
    size_t n = 0;

    if (file_read(path, RUNTIME_NAME_MAX, &text, &n, NULL))
        return strcmp(text, runtime_process.name) == 0 ? &runtime_process : &runtime_docker;
    if (!file_mkdir_p(state_dir(conf, o), 0755, &e) ||
        !file_write_atomic(path, ops->name, strlen(ops->name), 0644, &e))
        log_warn("runtime not remembered", "reason=\"%s\"", e.msg);
    return ops;
}

static const struct runtime_ops *runtime_of(const struct conf *conf, const struct options *o)
{
    if (conf->runtime == CONF_RUNTIME_AUTO)
        return decide_auto(conf, o);
    return conf->runtime == CONF_RUNTIME_PROCESS ? &runtime_process : &runtime_docker;
}

/* The option's directory is where the process runtime keeps its instances, too. */
static void take_state_dir(struct conf *conf, const struct options *o)
{
    if (o->state_dir == NULL)
        return;
    mem_free(conf->state_dir);
    conf->state_dir = mem_strdup(o->state_dir);
}

static struct conf *load(const char *path)
{
    struct conf_errors *errs = mem_zalloc(sizeof(*errs));
    struct conf *c = NULL;

    if (!conf_load(path, &c, errs))
        for (size_t i = 0; i < errs->n; i++)
            (void)fprintf(stderr, "%s\n", errs->v[i].msg);
    mem_free(errs);
    return c;
}

/* ctld with one configuration after another. */
struct server {
    struct loop *loop;
    struct ctl *ctl;
    struct conf *next; /* to be taken over; NULL: none */
    bool ends;
};

static void on_signal_end(void *arg, int signo) /* loop_on_signal */
{
    struct server *s = arg;

    log_info("ctld ends", "signal=%s", signo == SIGTERM ? "TERM" : "INT");
    notify_supervisor("STOPPING=1");
    s->ends = true;
    loop_stop(s->loop);
}

static void on_signal_reload(void *arg, int signo) /* loop_on_signal */
{
    struct server *s = arg;

    (void)signo;
    if (s->ctl != NULL && s->next == NULL)
        ctl_reload(s->ctl);
}

static void on_next(void *arg, struct conf *next) /* ctl_options.on_next */
{
    struct server *s = arg;

    conf_free(s->next); /* asked twice in one turn: the later one counts */
    s->next = next;
    loop_stop(s->loop);
}

/* Takes s->next over, or ends. False: the loop, or the new ctl, failed. */
static bool serve_one(struct server *s, const struct conf *conf, const struct options *o,
                      unsigned loads, struct err *e)
{
    struct ctl_options co = {
        .conf = conf,
        .runtime = runtime_of(conf, o),
        .run_dir = o->run_dir != NULL ? o->run_dir : conf->run_dir,
        .state_dir = conf->state_dir,
        .loads = loads,
        .on_next = on_next,
        .arg = s,
    };
    bool ok;

    if (!ctl_new(s->loop, &co, &s->ctl, e))
        return false;
    log_info("ctld runs", "version=%s project=%s services=%zu config=%s loads=%u", LBCTL_VERSION,
             conf->project, conf->services_n, o->conf, loads);
    notify_supervisor("READY=1");
    ok = loop_run(s->loop, e);
    ctl_free(s->ctl);
    s->ctl = NULL;
    return ok;
}

static bool serve(struct loop *l, struct conf **conf, const struct options *o, struct err *e)
{
    struct server s = {.loop = l};
    unsigned loads = 1;
    bool ok = loop_on_signal(l, SIGTERM, on_signal_end, &s, e) &&
              loop_on_signal(l, SIGINT, on_signal_end, &s, e) &&
              loop_on_signal(l, SIGHUP, on_signal_reload, &s, e) &&
              serve_one(&s, *conf, o, loads, e);

    while (ok && s.next != NULL && !s.ends) {
        conf_free(*conf);
        *conf = MOVE(s.next);
        take_state_dir(*conf, o);
        log_init("ctld", (*conf)->log_format, (*conf)->log_level);
        ok = serve_one(&s, *conf, o, ++loads, e);
    }
    conf_free(s.next);
    return ok;
}

static bool remove_all(struct loop *l, const struct conf *conf, const struct options *o,
                       struct err *e)
{
    const char *run_dir = o->run_dir != NULL ? o->run_dir : conf->run_dir;
    AUTO(mem_freep) char *lock = mem_printf("%s/ctld.lock", run_dir);
    int fd = -1;
    bool ok;

    if (!file_mkdir_p(run_dir, 0755, e))
        return false;
    if (!file_lock(lock, &fd, e))
        return err_wrap(e, "stop ctld first, it would start them again");
    ok = sweep(l, conf, runtime_of(conf, o), e);
    if (ok)
        store_forget(conf->state_dir);
    close(fd);
    return ok;
}

int main(int argc, char **argv)
{
    struct options o = {.conf = "/etc/lbctl/lbctl.yaml"};
    struct loop *l = NULL;
    struct conf *conf;
    struct err e;
    char q[1024];
    int code = 0;
    bool ok;

    if (argc == 3 && strcmp(argv[1], run_instance) == 0)
        return process_run(argv[2]);
    if (!parse(argc, argv, &o, &code))
        return code;
    conf = load(o.conf);
    if (conf == NULL)
        return EX_CONFIG;
    take_state_dir(conf, &o);
    log_init("ctld", conf->log_format, conf->log_level);
    ok = loop_new(&l, &e) &&
         (o.remove_instances ? remove_all(l, conf, &o, &e) : serve(l, &conf, &o, &e));
    if (!ok)
        log_error("ctld gives up", "reason=\"%s\"", str_quote(sv_of(e.msg), q, sizeof q));
    loop_free(l);
    conf_free(conf);
    return ok ? 0 : 1;
}
