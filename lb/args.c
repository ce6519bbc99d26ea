#include "lb/args.h"

#include <getopt.h>
#include <string.h>

#include "common/base/str.h"
#include "lb/listen.h"
#include "lb/table.h"

const char args_help[] =
    "usage: lbd -c FILE [--listen ADDR:PORT]... [--workers N] [--state-dir DIR] [--run-dir DIR] "
    "[--user NAME]\n"
    "\n"
    "The balancer of lbctl: forwards HTTP requests to the backends that ctld tells it over "
    "RUN_DIR/lb.sock.\n"
    "\n"
    "  -c, --config FILE       configuration (default /etc/lbctl/lbctl.yaml)\n"
    "      --listen ADDR:PORT  listen here instead of where the configuration says; may be "
    "repeated\n"
    "      --workers N         event threads; 0: one per CPU\n"
    "      --state-dir DIR     where the last table is kept (default /var/lib/lbctl)\n"
    "      --run-dir DIR       where the sockets are (default /run/lbctl)\n"
    "      --user NAME         become this user once the ports are bound\n"
    "  -h, --help              this text\n"
    "  -V, --version           version\n"
    "\n"
    "Signals: SIGTERM or SIGINT finishes requests in flight, at most 10 s; a second one ends at "
    "once.\n"
    "SIGUSR1 opens the access log anew.\n";

enum { OPT_LISTEN = 256, OPT_WORKERS, OPT_STATE_DIR, OPT_RUN_DIR, OPT_USER };

static const struct option options[] = {
    {"config", required_argument, NULL, 'c'},
    {"listen", required_argument, NULL, OPT_LISTEN},
    {"workers", required_argument, NULL, OPT_WORKERS},
    {"state-dir", required_argument, NULL, OPT_STATE_DIR},
    {"run-dir", required_argument, NULL, OPT_RUN_DIR},
    {"user", required_argument, NULL, OPT_USER},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static bool take(struct args *a, int opt, const char *arg, struct err *e)
{
    uint64_t n;

    switch (opt) {
    case 'c':
        a->config = arg;
        return true;
    case 'h':
        a->verb = ARGS_HELP;
        return true;
    case 'V':
        a->verb = ARGS_VERSION;
        return true;
    case OPT_LISTEN:
        if (a->listen_n == CONF_LISTEN_MAX)
            return err_set(e, "--listen: at most %d addresses", CONF_LISTEN_MAX);
        if (!listen_parse(arg, &a->listen[a->listen_n], e))
            return err_wrap(e, "--listen");
        a->listen_n++;
        return true;
    case OPT_WORKERS:
        if (!str_to_u64(sv_of(arg), 0, TABLE_WORKERS_MAX, &n, e))
            return err_wrap(e, "--workers");
        a->workers = (unsigned)n;
        a->has_workers = true;
        return true;
    case OPT_STATE_DIR:
        a->state_dir = arg;
        return true;
    case OPT_RUN_DIR:
        a->run_dir = arg;
        return true;
    case OPT_USER:
        a->user = arg;
        return true;
    default:
        return err_set(e, "unknown option or missing argument; see lbd --help");
    }
}

bool args_parse(int argc, char *const *argv, struct args *ret, struct err *e)
{
    struct args a = {.config = "/etc/lbctl/lbctl.yaml"};
    int opt;

    optind = 0; /* begin anew: tests parse more than once */
    opterr = 0;
    while ((opt = getopt_long(argc, argv, "c:hV", options, NULL)) != -1) {
        if (!take(&a, opt, optarg, e))
            return false;
    }
    if (optind < argc)
        return err_set(e, "unexpected argument '%s'; see lbd --help", argv[optind]);
    *ret = a;
    return true;
}
