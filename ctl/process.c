#include <errno.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "ctl/process_box.h"
#include "ctl/runtime.h"

/* The runtime of a host without an engine: instances are processes of their own session, below
 * STATE_DIR/instances (process_box.h). They go on when ctld ends; the next one finds them there.
 * What a container would add is not there: no image, no mounts, no network, no file system of its
 * own. */
enum {
    PROCESS_LOOK_MS = 20,      /* while an operation waits for a process to appear or to end */
    PROCESS_KILL_MS = 10000,   /* from SIGKILL until its outcome counts as unknown */
    PROCESS_ROTATE_MS = 10000, /* output is looked at this often */
    PROCESS_MAGIC = MAGIC('p', 'r', 'o', 'c'),
    PROCESS_OP_MAGIC = MAGIC('p', 'r', 'o', 'p'),
    PROCESS_WATCH_MAGIC = MAGIC('p', 'r', 'o', 'w'),
};

extern char **environ;

enum goal { PROC_CREATE, PROC_START, PROC_STOP, PROC_REMOVE, PROC_LIST };

struct process_rt {
    uint32_t magic;
    struct loop *loop;
    char *project, *base;
    rt_hint_fn *hint;
    void *arg;
    struct list ops, watches;
    struct timer rotate;
    struct rt_info info;
};

/* An operation, from its call to its done function. */
struct process_op {
    uint32_t magic;
    struct list node;
    struct process_rt *rt;
    enum goal goal;
    struct timer timer;
    char id[BOX_ID_MAX + 1];
    uint64_t kill_ms, give_up_ms; /* when */
    bool asked, killed;
    rt_done_fn *on_done;
    rt_create_fn *on_create;
    rt_start_fn *on_start;
    rt_list_fn *on_list;
    void *arg;
    enum rt_result result;
    struct err e;
};

/* A running process whose end is awaited. */
struct process_watch {
    uint32_t magic;
    struct list node;
    struct process_rt *rt;
    struct event *ev;
    int fd;
    pid_t pid;
    char id[BOX_ID_MAX + 1];
    char *service;
    unsigned slot;
};

static struct process_rt *process_of(struct runtime *rt)
{
    return CAST(rt, process_rt, PROCESS_MAGIC);
}

/* ---- the ends of processes ---- */

static void watch_free(struct process_watch *w)
{
    list_unlink(&w->node);
    if (w->ev != NULL)
        event_free(w->ev);
    if (w->fd >= 0)
        (void)close(w->fd);
    mem_free(w->service);
    w->magic = 0;
    mem_free(w);
}

static void op_step(struct process_op *op);

/* Whoever waits for this instance looks now. */
static void ops_look(struct process_rt *p, const char *id)
{
    LIST_EACH(n, &p->ops)
    {
        struct process_op *op = LIST_ENTRY_OF(n, struct process_op, node);

        if (op->goal != PROC_LIST && strcmp(op->id, id) == 0)
            timer_in(&op->timer, 0);
    }
}

static void reap(struct process_rt *p, const struct process_watch *w)
{
    int status = 0, code = BOX_EXIT_UNKNOWN;
    struct box b;

    (void)kill(-w->pid, SIGKILL);                    /* what it left in its session's first group */
    if (waitpid(w->pid, &status, WNOHANG) == w->pid) /* else another ctld's child */
        code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (!box_read(p->base, w->id, &b, NULL))
        return;
    if (b.state == RT_EXITED)
        box_write_exit(&b, code);
    box_fini(&b);
}

static void on_process_end(evutil_socket_t fd UNUSED, short what UNUSED,
                           void *arg) /* event_callback_fn */
{
    struct process_watch *w = CAST(arg, process_watch, PROCESS_WATCH_MAGIC);
    struct process_rt *p = w->rt;
    char id[BOX_ID_MAX + 1];
    AUTO(mem_freep) char *service = MOVE(w->service);
    unsigned slot = w->slot;

    (void)snprintf(id, sizeof id, "%s", w->id);
    reap(p, w);
    watch_free(w);
    ops_look(p, id);
    if (p->hint != NULL)
        p->hint(p->arg, "die", id, service, slot);
}

static bool is_watched(const struct process_rt *p, const char *id)
{
    LIST_EACH(n, &p->watches)
    {
        if (strcmp(LIST_ENTRY_OF(n, struct process_watch, node)->id, id) == 0)
            return true;
    }
    return false;
}

/* Its end will be told; a process that ends meanwhile is found by the next look. */
static void watch(struct process_rt *p, const struct box *b)
{
    struct process_watch *w;
    int fd;

    if (b->pid <= 0 || is_watched(p, b->id))
        return;
    fd = pidfd_open(b->pid, 0);
    if (fd < 0)
        return;
    if (box_started(b->pid) != b->started) { /* the number was given away in this moment */
        (void)close(fd);
        return;
    }
    w = mem_zalloc(sizeof(*w));
    *w = (struct process_watch){
        .magic = PROCESS_WATCH_MAGIC,
        .rt = p,
        .fd = fd,
        .pid = b->pid,
        .service = mem_strdup(box_str(b, "service")),
        .slot = (unsigned)box_uint(b, "slot"),
        .ev = event_new(loop_base(p->loop), fd, EV_READ, on_process_end, w),
    };
    (void)snprintf(w->id, sizeof w->id, "%s", b->id);
    list_push_back(&p->watches, &w->node);
    if (w->ev == NULL || event_add(w->ev, NULL) < 0)
        watch_free(w);
}

/* ---- operations ---- */

static void op_free(struct process_op *op)
{
    list_unlink(&op->node);
    timer_fini(&op->timer);
    op->magic = 0;
    mem_free(op);
}

static void op_end(struct process_op *op, enum rt_result r, const char *value)
{
    list_unlink(&op->node);
    if (op->on_done != NULL)
        op->on_done(op->arg, r, &op->e);
    if (op->on_create != NULL)
        op->on_create(op->arg, r, r == RT_OK ? value : "", &op->e);
    if (op->on_start != NULL)
        op->on_start(op->arg, r, r == RT_OK ? value : "", &op->e);
    op_free(op);
}

static void op_fail(struct process_op *op, enum rt_result r, const char *fmt, ...) PRINTF(3, 4);

static void op_fail(struct process_op *op, enum rt_result r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(op->e.msg, sizeof op->e.msg, fmt, ap);
    va_end(ap);
    op_end(op, r, "");
}

static void on_op_timer(void *arg) /* timer */
{
    op_step(CAST(arg, process_op, PROCESS_OP_MAGIC));
}

static struct process_op *op_new(struct runtime *rt, enum goal goal, const char *id, void *arg)
{
    struct process_rt *p = process_of(rt);
    struct process_op *op = mem_zalloc(sizeof(*op));

    op->magic = PROCESS_OP_MAGIC;
    op->rt = p;
    op->goal = goal;
    op->arg = arg;
    op->give_up_ms = loop_now_ms(p->loop) + PROCESS_KILL_MS;
    (void)snprintf(op->id, sizeof op->id, "%s", id);
    timer_init(&op->timer, p->loop, on_op_timer, op);
    timer_in(&op->timer, 0);
    list_push_back(&p->ops, &op->node);
    return op;
}

/* ---- start ---- */

/* Somebody listens there already: the program would fail, and probes would see another's answers.
 */
static bool is_port_free(uint64_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    bool ok;

    if (port == 0 || fd < 0)
        return true;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    ok = bind(fd, (struct sockaddr *)&a, sizeof a) == 0 || errno != EADDRINUSE;
    (void)close(fd);
    return ok;
}

/* As a session of its own, with no signal blocked or ignored. All our descriptors close by
 * themselves. */
static bool spawn(const struct box *b, struct err *e)
{
    char self[] = "/proc/self/exe", option[] = "--run-instance", dir[BOX_PATH_MAX];
    char *const argv[] = {self, option, dir, NULL};
    posix_spawnattr_t attr;
    sigset_t none, all;
    pid_t pid;
    int rc;

    (void)snprintf(dir, sizeof dir, "%s", b->dir);
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    (void)posix_spawnattr_init(&attr);
    (void)posix_spawnattr_setsigmask(&attr, &none);
    (void)posix_spawnattr_setsigdefault(&attr, &all);
    (void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF);
    rc = posix_spawn(&pid, self, NULL, &attr, argv, environ);
    (void)posix_spawnattr_destroy(&attr);
    errno = rc;
    return rc == 0 || err_sys(e, "no process can be started");
}

static void step_start(struct process_op *op, const struct box *b)
{
    uint64_t now = loop_now_ms(op->rt->loop);

    if (b->state == RT_EXITED || (b->state != RT_CREATED && b->pid > 0)) {
        watch(op->rt, b);
        op_end(op, RT_OK, "127.0.0.1"); /* it runs, or did: the next list tells */
        return;
    }
    if (now >= op->give_up_ms) {
        op_fail(op, RT_UNKNOWN, "start: the process has not been recorded in time");
        return;
    }
    if (!op->asked && b->state == RT_CREATED) {
        if (!is_port_free(box_uint(b, "port"))) {
            op_fail(op, RT_PORT_BUSY, "port %u is taken", (unsigned)box_uint(b, "port"));
            return;
        }
        if (!spawn(b, &op->e)) {
            op_end(op, RT_REFUSED, "");
            return;
        }
        op->asked = true;
    }
    timer_in(&op->timer, PROCESS_LOOK_MS);
}

/* ---- stop and remove ---- */

static int signal_number(const char *name)
{
    static const struct {
        const char *name;
        int number;
    } known[] = {
        {"SIGTERM", SIGTERM}, {"SIGINT", SIGINT},   {"SIGQUIT", SIGQUIT},   {"SIGHUP", SIGHUP},
        {"SIGUSR1", SIGUSR1}, {"SIGUSR2", SIGUSR2}, {"SIGWINCH", SIGWINCH}, {"SIGKILL", SIGKILL},
    };

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strcmp(known[i].name, name) == 0)
            return known[i].number;
    return SIGTERM;
}

static void signal_box(const struct box *b, int signo)
{
    (void)kill(b->pid, signo);
    if (b->state == RT_PAUSED)
        (void)kill(-b->pid, SIGCONT);
    if (signo == SIGKILL)
        (void)kill(-b->pid, SIGKILL);
}

static void step_stop(struct process_op *op, const struct box *b)
{
    uint64_t now = loop_now_ms(op->rt->loop);

    if (b->state == RT_EXITED || b->state == RT_CREATED) {
        if (op->goal == PROC_REMOVE && !box_remove(b, &op->e))
            op_end(op, RT_UNKNOWN, "");
        else
            op_end(op, RT_OK, "");
        return;
    }
    if (now >= op->give_up_ms) {
        op_fail(op, RT_UNKNOWN, "stop: process %d is still there", (int)b->pid);
        return;
    }
    watch(op->rt, b);
    if (b->pid > 0 && !op->asked && now < op->kill_ms) {
        op->asked = true;
        signal_box(b, signal_number(box_str(b, "stop_signal")));
    }
    if (b->pid > 0 && !op->killed && now >= op->kill_ms) {
        op->killed = true;
        signal_box(b, SIGKILL);
    }
    timer_in(&op->timer, PROCESS_LOOK_MS);
}

/* ---- list ---- */

static void step_list(struct process_op *op)
{
    struct process_rt *p = op->rt;
    char **ids = box_ids(p->base);
    size_t n = 0, max = 0;
    struct rt_instance *v;
    struct box *boxes;

    while (ids[max] != NULL)
        max++;
    v = mem_array(max + 1, sizeof(*v));
    boxes = mem_array(max + 1, sizeof(*boxes));
    for (size_t i = 0; i < max; i++) {
        struct box *b = &boxes[n];

        if (!box_read(p->base, ids[i], b, NULL))
            continue;
        if (strcmp(box_str(b, "project"), p->project) != 0) {
            box_fini(b);
            continue;
        }
        if (b->state == RT_RUNNING || b->state == RT_PAUSED)
            watch(p, b);
        v[n++] = (struct rt_instance){
            .id = b->id,
            .name = b->id,
            .service = box_str(b, "service"),
            .slot = (unsigned)box_uint(b, "slot"),
            .generation = box_uint(b, "generation"),
            .token = box_str(b, "token"),
            .conf_hash = box_str(b, "conf_hash"),
            .state = b->state,
            .address = b->state == RT_RUNNING || b->state == RT_PAUSED ? "127.0.0.1" : "",
            .host_port = (uint16_t)box_uint(b, "port"),
            .exit_code = b->exit_code,
        };
    }
    list_unlink(&op->node);
    op->on_list(op->arg, RT_OK, v, n, NULL);
    for (size_t i = 0; i < n; i++)
        box_fini(&boxes[i]);
    mem_free(boxes);
    mem_free(v);
    box_free_ids(ids);
    op_free(op);
}

static void op_step(struct process_op *op)
{
    struct box b;

    if (op->goal == PROC_LIST) {
        step_list(op);
        return;
    }
    if (op->goal == PROC_CREATE || op->result != RT_OK) {
        op_end(op, op->result, op->id);
        return;
    }
    if (!box_read(op->rt->base, op->id, &b, &op->e)) {
        op_end(op, RT_GONE, "");
        return;
    }
    if (op->goal == PROC_START)
        step_start(op, &b);
    else
        step_stop(op, &b);
    box_fini(&b);
}

/* ---- the operations record ---- */

static void on_rotate(void *arg) /* timer */
{
    struct process_rt *p = CAST(arg, process_rt, PROCESS_MAGIC);

    LIST_EACH(n, &p->watches)
    {
        struct box b;

        if (!box_read(p->base, LIST_ENTRY_OF(n, struct process_watch, node)->id, &b, NULL))
            continue;
        box_rotate(&b);
        box_fini(&b);
    }
    timer_in(&p->rotate, PROCESS_ROTATE_MS);
}

static bool process_open(struct loop *l, const struct conf *c, rt_hint_fn *hint, void *arg,
                         struct runtime **ret, struct err *e)
{
    struct process_rt *p = mem_zalloc(sizeof(*p));
    struct utsname u = {0};

    p->magic = PROCESS_MAGIC;
    p->loop = l;
    p->hint = hint;
    p->arg = arg;
    p->project = mem_strdup(c->project);
    p->base = mem_printf("%s/instances", c->state_dir);
    list_init(&p->ops);
    list_init(&p->watches);
    timer_init(&p->rotate, l, on_rotate, p);
    timer_in(&p->rotate, PROCESS_ROTATE_MS);
    (void)uname(&u);
    p->info = (struct rt_info){.up = true, .since_ms = loop_now_ms(l)};
    (void)snprintf(p->info.engine, sizeof p->info.engine, "Linux %.50s", u.release);
    *ret = (struct runtime *)p;
    return file_mkdir_p(p->base, 0700, e);
}

static void process_close(struct runtime *rt)
{
    struct process_rt *p;

    if (rt == NULL)
        return;
    p = process_of(rt);
    LIST_EACH(n, &p->ops)
    op_free(LIST_ENTRY_OF(n, struct process_op, node));
    LIST_EACH(n, &p->watches)
    watch_free(LIST_ENTRY_OF(n, struct process_watch, node));
    timer_fini(&p->rotate);
    mem_free(p->project);
    mem_free(p->base);
    p->magic = 0;
    mem_free(p);
}

static const struct rt_info *process_info(struct runtime *rt)
{
    return &process_of(rt)->info;
}

static void process_list(struct runtime *rt, rt_list_fn *done, void *arg)
{
    op_new(rt, PROC_LIST, "", arg)->on_list = done;
}

static void process_create(struct runtime *rt, const struct rt_spec *spec, rt_create_fn *done,
                           void *arg)
{
    struct process_op *op = op_new(rt, PROC_CREATE, spec->token, arg);
    const struct conf_service *s = spec->service;
    const char *program = s->entrypoint.n > 0 ? s->entrypoint.v[0]
                          : s->command.n > 0  ? s->command.v[0]
                                              : NULL;

    op->on_create = done;
    op->result = RT_REFUSED;
    if (program == NULL)
        (void)err_set(&op->e,
                      "service '%s' has no command: without containers the program is named by "
                      "'command'",
                      s->name);
    else if (strchr(program, '/') != NULL && access(program, X_OK) < 0)
        (void)err_sys(&op->e, "program %s of service '%s'", program, s->name);
    else if (box_create(op->rt->base, spec, &op->e))
        op->result = RT_OK;
}

static void process_start(struct runtime *rt, const struct conf_service *service UNUSED,
                          const char *id, rt_start_fn *done, void *arg)
{
    op_new(rt, PROC_START, id, arg)->on_start = done;
}

static void process_stop(struct runtime *rt, const char *id, uint64_t grace_ms, rt_done_fn *done,
                         void *arg)
{
    struct process_op *op = op_new(rt, PROC_STOP, id, arg);

    op->on_done = done;
    op->kill_ms = loop_now_ms(op->rt->loop) + grace_ms;
    op->give_up_ms = op->kill_ms + PROCESS_KILL_MS;
}

static void process_remove(struct runtime *rt, const char *id, rt_done_fn *done, void *arg)
{
    op_new(rt, PROC_REMOVE, id, arg)->on_done = done;
}

const struct runtime_ops runtime_process = {
    .name = "process",
    .open = process_open,
    .close = process_close,
    .info = process_info,
    .list = process_list,
    .create = process_create,
    .start = process_start,
    .stop = process_stop,
    .remove = process_remove,
};
