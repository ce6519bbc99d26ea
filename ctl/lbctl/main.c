#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/conf/conf.h"
#include "ctl/lbctl/client.h"
#include "ctl/lbctl/rollout.h"
#include "ctl/lbctl/show.h"

/* lbctl: the operator's hand. Exit codes: docs/status.md and lbctl(1). */
enum {
    EXIT_OK = 0,
    EXIT_DEGRADED = 1, /* also: refused, or the checked file has errors */
    EXIT_DOWN = 2,
    EXIT_UNREACHABLE = 3,
};

enum { OPT_NO_WAIT = 256, OPT_FOR, OPT_STOP };

enum {
    OUT_MAX = 4 << 20,
    HELP_COLUMN = 22,
    WHY_MAX = 40000,
    EVENTS_SHOWN = 50,
    EVENTS_SHOWN_MAX = 1000,
    EVENTS_WAIT_MS = 3000, /* below CLIENT_DEADLINE_MS */
};

static const char default_socket[] = "/run/lbctl/ctl.sock";

struct cli {
    const char *socket, *conf;
    bool json, no_wait, follow, stop;
    const char *for_time; /* --for */
    const char *last;     /* -n */
    char **argv;          /* arguments of the command */
    int argc;
};

typedef int cmd_fn(const struct cli *c);

#define CMD(sym, name, args, least, most, handler, help) static cmd_fn handler;
#include "ctl/lbctl/cmd.def"
#undef CMD

static const struct cmd {
    const char *name, *args, *help;
    int least, most;
    cmd_fn *run;
} cmds[] = {
#define CMD(sym, name, args, least, most, handler, help) {name, args, help, least, most, handler},
#include "ctl/lbctl/cmd.def"
#undef CMD
};

static const struct cmd *cmd_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(cmds); i++)
        if (strcmp(cmds[i].name, name) == 0)
            return &cmds[i];
    return NULL;
}

static int cmd_unknown(const char *name)
{
    const char *names[ARRAY_LEN(cmds)], *like;
    char q[100];

    for (size_t i = 0; i < ARRAY_LEN(cmds); i++)
        names[i] = cmds[i].name;
    like = str_suggest(name, names, ARRAY_LEN(cmds));
    (void)str_quote(sv_of(name), q, sizeof q);
    if (like != NULL)
        (void)fprintf(stderr, "lbctl: no command '%s': did you mean '%s'?\n", q, like);
    else
        (void)fprintf(stderr, "lbctl: no command '%s': try lbctl help\n", q);
    return EX_USAGE;
}

static void print_help(void)
{
    (void)printf("usage: lbctl [-s SOCKET | -c FILE] COMMAND [ARGUMENTS]\n\n");
    for (size_t i = 0; i < ARRAY_LEN(cmds); i++) {
        char left[64];

        (void)snprintf(left, sizeof left, "%s %s", cmds[i].name, cmds[i].args);
        /* A long one has its line to itself, so that the explanations stand in a column. */
        if (strlen(left) > HELP_COLUMN)
            (void)printf("  %s\n  %-*s %s\n", left, HELP_COLUMN, "", cmds[i].help);
        else
            (void)printf("  %-*s %s\n", HELP_COLUMN, left, cmds[i].help);
    }
    (void)printf(
        "\n"
        "  -s, --socket PATH      ctld's socket (default %s)\n"
        "  -c, --config FILE      take the socket's place from this configuration's run_dir\n"
        "      --json             print the answer as JSON\n"
        "      --for TIME         scale: the pin ends after TIME, such as 2h\n"
        "      --stop             hold: stop the container, too\n"
        "      --no-wait          reload: do not wait until it is in force\n"
        "  -f, --follow           events: go on with what comes\n"
        "  -n, --last N           events: begin with the last N (default 50)\n"
        "  -h, --help             this text\n"
        "  -V, --version          the version\n"
        "\n"
        "Exit codes: 0 ok; 1 degraded, or refused; 2 down; 3 ctld cannot be reached; 64 wrong "
        "usage.\n",
        default_socket);
}

static int cmd_help(const struct cli *c)
{
    const struct cmd *m = c->argc > 0 ? cmd_find(c->argv[0]) : NULL;

    if (c->argc > 0 && m == NULL)
        return cmd_unknown(c->argv[0]);
    if (m != NULL)
        (void)printf("usage: lbctl %s %s\n\n%s\n", m->name, m->args, m->help);
    else
        print_help();
    return EXIT_OK;
}

static int cmd_version(const struct cli *c)
{
    if (c->json)
        (void)printf("{\"version\": \"%s\"}\n", LBCTL_VERSION);
    else
        (void)printf("lbctl %s\n", LBCTL_VERSION);
    return EXIT_OK;
}

static void print_errors(const struct conf_errors *errs)
{
    for (size_t i = 0; i < errs->n; i++)
        (void)fprintf(stderr, "%s\n", errs->v[i].msg);
}

/* What is right in the file but not on this host. */
static void print_host_warnings(const char *file, const struct conf *conf)
{
    char path[300];
    struct stat st;

    for (size_t i = 0; i < conf->services_n; i++) {
        const struct conf_service *s = &conf->services[i];

        if (s->static_dir == NULL || (stat(s->static_dir, &st) == 0 && S_ISDIR(st.st_mode)))
            continue;
        (void)fprintf(stderr,
                      "%s: warning: service '%s': static: '%s' is no directory on this host: its "
                      "files cannot be served until it is made\n",
                      file, s->name, str_quote(sv_of(s->static_dir), path, sizeof(path)));
    }
}

static int cmd_check(const struct cli *c)
{
    struct conf_errors *errs = mem_zalloc(sizeof(*errs));
    struct conf *conf = NULL;
    bool ok = conf_load(c->argv[0], &conf, errs);
    char q[300];

    (void)str_quote(sv_of(c->argv[0]), q, sizeof(q));
    if (ok) {
        print_host_warnings(q, conf);
        (void)printf("%s: ok\n", q);
    } else {
        print_errors(errs);
    }
    mem_free(errs);
    conf_free(conf);
    return ok ? EXIT_OK : EXIT_DEGRADED;
}

/* What became of a request: says what went wrong; the exit code. */
static int tell(enum client_end end, const struct err *e)
{
    char q[600];

    switch (end) {
    case CLIENT_ANSWERED:
        return EXIT_OK;
    case CLIENT_REFUSED:
        (void)fprintf(stderr, "lbctl: %s\n", str_quote(sv_of(e->msg), q, sizeof q));
        return EXIT_DEGRADED;
    case CLIENT_UNREACHABLE:
        break;
    }
    (void)fprintf(stderr,
                  "lbctl: ctld cannot be reached: %s; is it running, and may you speak to it?\n",
                  str_quote(sv_of(e->msg), q, sizeof q));
    return EXIT_UNREACHABLE;
}

/* Asks ctld. The exit code, EXIT_OK with *ret on success. */
static int ask(const struct cli *c, enum proto_msg msg, json_t *body, json_t **ret)
{
    struct err e = {0};
    enum client_end end = client_ask(c->socket, msg, body, ret, &e);

    return tell(end, &e);
}

static void print_json(json_t *doc)
{
    char *text = json_dumps(doc, JSON_INDENT(2));

    (void)printf("%s\n", text != NULL ? text : "{}");
    mem_free(text);
}

static int cmd_status(const struct cli *c)
{
    json_t *doc = NULL;
    int code = ask(c, MSG_STATUS_GET, json_object(), &doc);
    const char *state;
    struct buf out;

    if (code != EXIT_OK)
        return code;
    if (c->json) {
        print_json(doc);
    } else {
        buf_init(&out, OUT_MAX);
        show_status(doc, &out);
        (void)fwrite(out.data, 1, out.len, stdout);
        buf_fini(&out);
    }
    state = proto_str(doc, "state", "down");
    code = strcmp(state, "ok") == 0         ? EXIT_OK
           : strcmp(state, "degraded") == 0 ? EXIT_DEGRADED
                                            : EXIT_DOWN;
    json_decref(doc);
    return code;
}

static int cmd_scale(const struct cli *c)
{
    json_t *body = json_pack("{s:s}", "service", c->argv[0]), *done = NULL;
    uint64_t n = 0, for_ms = 0;
    char age[32];
    struct err e;
    int code;

    if (body == NULL) {
        (void)fputs("lbctl: the name of the service is no UTF-8\n", stderr);
        return EX_USAGE;
    }
    if (strcmp(c->argv[1], "auto") == 0) {
        (void)json_object_set_new(body, "auto", json_true());
    } else if (str_to_u64(sv_of(c->argv[1]), 0, UINT16_MAX, &n, &e)) {
        (void)json_object_set_new(body, "replicas", json_integer((json_int_t)n));
    } else {
        (void)fprintf(stderr, "lbctl: number of instances: %s, or 'auto'\n", e.msg);
        json_decref(body);
        return EX_USAGE;
    }
    if (c->for_time != NULL) {
        if (!str_to_duration_ms(sv_of(c->for_time), &for_ms, &e)) {
            (void)fprintf(stderr, "lbctl: --for: %s\n", e.msg);
            json_decref(body);
            return EX_USAGE;
        }
        (void)json_object_set_new(body, "for_ms", json_integer((json_int_t)for_ms));
    }
    code = ask(c, MSG_SCALE_SET, body, &done);
    if (code != EXIT_OK)
        return code;
    if (c->json)
        print_json(done);
    else
        (void)printf("%s: %u -> %u instances, %s%s%s\n", proto_str(done, "service", ""),
                     (unsigned)proto_uint(done, "from", 0), (unsigned)proto_uint(done, "to", 0),
                     proto_str(done, "mode", ""), for_ms > 0 ? " for " : "",
                     for_ms > 0 ? show_age(for_ms, age, sizeof age) : "");
    json_decref(done);
    return EXIT_OK;
}

static int cmd_reset(const struct cli *c)
{
    json_t *body = json_pack("{s:s}", "service", c->argv[0]), *done = NULL;
    int code;

    if (body == NULL) {
        (void)fputs("lbctl: the name of the service is no UTF-8\n", stderr);
        return EX_USAGE;
    }
    code = ask(c, MSG_SERVICE_RESET, body, &done);
    if (code != EXIT_OK)
        return code;
    if (c->json)
        print_json(done);
    else
        (void)printf("%s: count zero, clock unarmed, back to the minimum\n",
                     proto_str(done, "service", ""));
    json_decref(done);
    return EXIT_OK;
}

/* The plan's text on stdout, its errors on stderr. */
static int print_plan(const struct cli *c, json_t *plan)
{
    const json_t *errors = json_object_get(plan, "errors"), *error;
    char q[1024];
    size_t i;

    if (c->json) {
        print_json(plan);
    } else {
        struct buf out;

        buf_init(&out, OUT_MAX);
        show_plan(plan, &out);
        (void)fwrite(out.data != NULL ? out.data : "", 1, out.len, stdout);
        buf_fini(&out);
    }
    json_array_foreach(errors, i, error)
    {
        (void)fprintf(stderr, "%s\n", str_quote(sv_of(json_string_value(error)), q, sizeof q));
    }
    return json_array_size(errors) > 0 ? EXIT_DEGRADED : EXIT_OK;
}

static int cmd_plan(const struct cli *c)
{
    json_t *plan = NULL;
    int code = ask(c, MSG_PLAN_GET, json_object(), &plan);

    if (code == EXIT_OK)
        code = print_plan(c, plan);
    json_decref(plan);
    return code;
}

static int cmd_reload(const struct cli *c)
{
    json_t *before = NULL, *plan = NULL;
    int code = ask(c, MSG_STATUS_GET, json_object(), &before);

    if (code == EXIT_OK)
        code = ask(c, MSG_RELOAD, json_object(), &plan);
    if (code == EXIT_OK)
        code = print_plan(c, plan);
    if (code == EXIT_OK && !c->no_wait && proto_bool(plan, "changes", false))
        code = rollout_wait(c->socket, before, plan) ? EXIT_OK : EXIT_DEGRADED;
    json_decref(before);
    json_decref(plan);
    return code;
}

/* SERVICE or SERVICE/SLOT as members of a request; NULL after a message. */
static json_t *target_of(const char *arg)
{
    const char *slash = strchr(arg, '/');
    size_t n = slash != NULL ? (size_t)(slash - arg) : strlen(arg);
    json_t *body = json_pack("{s:s%}", "service", arg, n);
    uint64_t slot = 0;
    struct err e;

    if (body == NULL) {
        (void)fputs("lbctl: the name of the service is no UTF-8\n", stderr);
        return NULL;
    }
    if (slash == NULL)
        return body;
    if (!str_to_u64(sv_of(slash + 1), 0, UINT16_MAX, &slot, &e)) {
        (void)fprintf(stderr, "lbctl: slot: %s; write SERVICE/NUMBER\n", e.msg);
        json_decref(body);
        return NULL;
    }
    (void)json_object_set_new(body, "slot", json_integer((json_int_t)slot));
    return body;
}

static int hold(const struct cli *c, const char *change)
{
    json_t *body = target_of(c->argv[0]), *done = NULL;
    int code;

    if (body == NULL)
        return EX_USAGE;
    if (change != NULL)
        (void)json_object_set_new(body, change, json_true());
    code = ask(c, MSG_HOLD_SET, body, &done);
    if (code != EXIT_OK)
        return code;
    if (c->json)
        print_json(done);
    else
        (void)printf("%s: %s; instances of %s in rotation: %u\n", c->argv[0],
                     proto_bool(done, "held", false) ? "held" : "released",
                     proto_str(done, "service", ""), (unsigned)proto_uint(done, "ready", 0));
    json_decref(done);
    return EXIT_OK;
}

static int cmd_hold(const struct cli *c)
{
    return hold(c, c->stop ? "stop" : NULL);
}

static int cmd_release(const struct cli *c)
{
    return hold(c, "release");
}

static void print_events(const struct cli *c, const json_t *doc)
{
    const json_t *o;
    struct buf out;
    size_t i;

    buf_init(&out, OUT_MAX);
    json_array_foreach(json_object_get(doc, "events"), i, o)
    {
        char *line = c->json ? json_dumps(o, JSON_COMPACT) : NULL;

        if (line != NULL)
            (void)buf_printf(&out, "%s\n", line);
        else if (!c->json)
            show_event(o, &out);
        mem_free(line);
    }
    (void)fwrite(out.data != NULL ? out.data : "", 1, out.len, stdout);
    (void)fflush(stdout);
    buf_fini(&out);
}

/* ctld that was there and is not: it reloads, or is restarted, and its ledger goes on where it
 * was. */
static bool may_come_back(uint64_t *lost_ms, bool heard)
{
    uint64_t now = clock_mono_ms();
    struct err e;

    if (*lost_ms == 0)
        *lost_ms = now;
    return heard && now - *lost_ms < CLIENT_AWAY_MAX_MS && client_pause(CLIENT_LOOK_MS, &e);
}

/* One answer after the other: what comes is waited for by ctld, not asked for over and over. */
static int cmd_events(const struct cli *c)
{
    json_t *body = c->argc > 0 ? target_of(c->argv[0]) : json_object(), *doc = NULL;
    uint64_t n = EVENTS_SHOWN, lost_ms = 0;
    bool heard = false;
    struct err e;
    int code;

    if (body == NULL)
        return EX_USAGE;
    if (c->last != NULL && !str_to_u64(sv_of(c->last), 1, EVENTS_SHOWN_MAX, &n, &e)) {
        (void)fprintf(stderr, "lbctl: -n: %s\n", e.msg);
        json_decref(body);
        return EX_USAGE;
    }
    (void)json_object_set_new(body, "limit", json_integer((json_int_t)n));
    for (;;) {
        enum client_end end = client_ask(c->socket, MSG_EVENTS_GET, json_deep_copy(body), &doc, &e);
        uint64_t last;

        if (end == CLIENT_UNREACHABLE && may_come_back(&lost_ms, heard))
            continue;
        code = tell(end, &e);
        if (code != EXIT_OK)
            break;
        heard = true;
        lost_ms = 0;
        last = proto_uint(doc, "last", 0);
        print_events(c, doc);
        json_decref(doc);
        if (!c->follow || ferror(stdout))
            break;
        (void)json_object_set_new(body, "after", json_integer((json_int_t)last));
        (void)json_object_set_new(body, "wait_ms", json_integer(EVENTS_WAIT_MS));
    }
    json_decref(body);
    return code;
}

static int cmd_why(const struct cli *c)
{
    json_t *body = target_of(c->argv[0]), *doc = NULL;
    char q[WHY_MAX];
    int code;

    if (body == NULL)
        return EX_USAGE;
    code = ask(c, MSG_WHY_GET, body, &doc);
    if (code != EXIT_OK)
        return code;
    if (c->json)
        print_json(doc);
    else
        (void)printf("%s\n", str_quote(sv_of(proto_str(doc, "text", "")), q, sizeof q));
    json_decref(doc);
    return EXIT_OK;
}

/* The exit code when there is nothing to run; -1: go on. */
static int parse(int argc, char **argv, struct cli *c)
{
    static const struct option longs[] = {
        {"socket", required_argument, NULL, 's'},
        {"config", required_argument, NULL, 'c'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {"no-wait", no_argument, NULL, OPT_NO_WAIT},
        {"for", required_argument, NULL, OPT_FOR},
        {"stop", no_argument, NULL, OPT_STOP},
        {"follow", no_argument, NULL, 'f'},
        {"last", required_argument, NULL, 'n'},
        {NULL, 0, NULL, 0},
    };
    int opt;

    while ((opt = getopt_long(argc, argv, "s:c:fn:hV", longs, NULL)) != -1) {
        switch (opt) {
        case 's':
            c->socket = optarg;
            break;
        case 'c':
            c->conf = optarg;
            break;
        case 'j':
            c->json = true;
            break;
        case OPT_NO_WAIT:
            c->no_wait = true;
            break;
        case OPT_FOR:
            c->for_time = optarg;
            break;
        case OPT_STOP:
            c->stop = true;
            break;
        case 'f':
            c->follow = true;
            break;
        case 'n':
            c->last = optarg;
            break;
        case 'h':
            print_help();
            return EXIT_OK;
        case 'V':
            return cmd_version(c);
        default:
            (void)fputs("lbctl: try --help\n", stderr);
            return EX_USAGE;
        }
    }
    c->argv = argv + optind;
    c->argc = argc - optind;
    if (c->argc > 0)
        return -1;
    (void)fputs("lbctl: no command; try --help\n", stderr);
    return EX_USAGE;
}

static int run(struct cli *c)
{
    const struct cmd *m = cmd_find(c->argv[0]);

    if (m == NULL)
        return cmd_unknown(c->argv[0]);
    c->argv++;
    c->argc--;
    if (c->argc < m->least || c->argc > m->most) {
        (void)fprintf(stderr, "usage: lbctl %s %s\n", m->name, m->args);
        return EX_USAGE;
    }
    return m->run(c);
}

int main(int argc, char **argv)
{
    struct cli c = {.socket = default_socket};
    struct conf_errors *errs;
    struct conf *conf = NULL;
    char *path = NULL;
    int code = parse(argc, argv, &c);

    if (code >= 0)
        return code;
    if (c.conf != NULL) {
        errs = mem_zalloc(sizeof(*errs));
        if (!conf_load(c.conf, &conf, errs)) {
            print_errors(errs);
            mem_free(errs);
            return EX_USAGE;
        }
        mem_free(errs);
        c.socket = path = mem_printf("%s/ctl.sock", conf->run_dir);
        conf_free(conf);
    }
    code = run(&c);
    mem_free(path);
    return fflush(stdout) == 0 ? code : EXIT_UNREACHABLE;
}
