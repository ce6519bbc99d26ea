#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "ctl/docker_engine.h"
#include "ctl/docker_json.h"
#include "ctl/docker_pull.h"
#include "ctl/runtime.h"

/* The operations on Docker's engine. Each is a short chain of calls under one deadline; the
 * operation, not the runtime, holds its state. The engine's API must allow: GET version, events,
 * containers/json, containers/ID/json, networks/NAME, images/NAME/json; POST networks/create,
 * networks/NAME/connect, images/create, containers/create, containers/ID/start stop kill wait;
 * DELETE containers/ID. */
enum {
    READ_MS = 5000,
    CREATE_MS = 30000,
    START_MS = 30000,
    STOP_EXTRA_MS = 10000, /* on top of the grace */
    KILL_MS = 15000,       /* the engine itself waits up to 10 s for the end */
    REMOVE_MS = 30000,
    STOP_GRACE_MAX_MS = 24 * 3600 * 1000,
    LIST_MAX = 16 << 20,
    ANSWER_MAX = 1 << 20,
    DOCKER_MAGIC = MAGIC('d', 'o', 'c', 'k'),
    OP_MAGIC = MAGIC('d', 'k', 'o', 'p'),
};

struct docker {
    uint32_t magic;
    struct loop *loop;
    struct docker_engine *engine;
    struct docker_pulls *pulls;
    char *project, *network;
    struct list ops;
    struct docker_op
        *network_op; /* the one that looks for the network or makes it: two would make two */
    struct list network_queue; /* those that wait for it */
    uint64_t network_epoch; /* the network is there, as of this epoch of the engine; 0: not known */
    size_t bad_rows;        /* of the last list: told when it changes */
};

struct docker_op {
    uint32_t magic;
    struct list node, queue;
    struct docker *docker;
    struct docker_wait wait;
    struct loop_later later;
    struct http_call *call;
    enum docker_verb goal, verb; /* what was asked of us; which call runs */
    uint64_t deadline_ms, grace_ms;
    char id[DOCKER_ID_MAX + 1];
    char name[192];  /* create: of the container */
    char *body;      /* create */
    char **networks; /* start: to be joined, the last one next */
    size_t networks_n;
    char *alias; /* start: in those networks */
    bool again;  /* the network was lost and made once already */
    rt_done_fn *on_done;
    rt_create_fn *on_create;
    rt_start_fn *on_start;
    rt_list_fn *on_list;
    void *arg;
    enum rt_result early; /* refused before anything was sent */
    struct err early_e;
};

static struct docker *docker_of(struct runtime *rt)
{
    return CAST(rt, docker, DOCKER_MAGIC);
}

/* ---- life of an operation ---- */

static struct docker_op *op_new(struct runtime *rt, enum docker_verb goal, uint64_t ms, void *arg)
{
    struct docker *d = docker_of(rt);
    struct docker_op *op = mem_zalloc(sizeof(*op));

    op->magic = OP_MAGIC;
    op->docker = d;
    op->goal = op->verb = goal;
    op->deadline_ms = clock_mono_ms() + ms;
    op->arg = arg;
    list_init(&op->queue);
    list_init(&op->wait.node);
    list_init(&op->later.node);
    list_push_back(&d->ops, &op->node);
    return op;
}

static void op_free(struct docker_op *op)
{
    list_unlink(&op->node);
    list_unlink(&op->queue);
    list_unlink(&op->wait.node);
    list_unlink(&op->later.node);
    http_cancel(op->call);
    mem_free(op->body);
    while (op->networks_n > 0)
        mem_free(op->networks[--op->networks_n]);
    mem_free(op->networks);
    mem_free(op->alias);
    op->magic = 0;
    mem_free(op);
}

static void network_next(struct docker *d);

/* Off the runtime's lists, so that whoever is told may close the runtime. */
static void op_detach(struct docker_op *op)
{
    list_unlink(&op->node);
    list_unlink(&op->queue);
    if (op->docker->network_op == op) {
        op->docker->network_op = NULL;
        network_next(op->docker);
    }
}

/* The end: everybody's done function in one place. value: id, address or NULL. */
static void op_finish(struct docker_op *op, enum rt_result r, const char *value,
                      const struct err *e)
{
    op_detach(op);
    if (op->on_done != NULL)
        op->on_done(op->arg, r, e);
    if (op->on_create != NULL)
        op->on_create(op->arg, r, r == RT_OK ? value : "", e);
    if (op->on_start != NULL)
        op->on_start(op->arg, r, r == RT_OK ? value : "", e);
    if (op->on_list != NULL)
        op->on_list(op->arg, r, NULL, 0, e);
    op_free(op);
}

/* What the running call is about, for messages. */
static const char *op_subject(const struct docker_op *op)
{
    if (op->verb == DOCKER_NETWORK_GET || op->verb == DOCKER_NETWORK_CREATE)
        return op->docker->network;
    return op->goal == DOCKER_CREATE ? op->name
           : op->goal == DOCKER_LIST ? op->docker->project
                                     : op->id;
}

static void op_fail(struct docker_op *op, enum rt_result r, const char *why)
{
    struct err e;

    err_set(&e, "%s %.*s: %s", docker_verb_name(op->verb), op->id[0] != '\0' ? 12 : 128,
            op_subject(op), why);
    op_finish(op, r, NULL, &e);
}

static void on_early(struct loop_later *self) /* loop_later */
{
    struct docker_op *op = CONTAINER_OF(self, struct docker_op, later);

    op_fail(op, op->early, op->early_e.msg);
}

static void op_refuse_later(struct docker_op *op)
{
    op->early = RT_REFUSED;
    loop_later(op->docker->loop, &op->later, on_early);
}

/* ---- sending ---- */

static void on_op_answer(void *arg, const struct http_answer *a);

/* Of the whole operation; a call that only reads is not worth so long a wait. */
static uint64_t op_left_ms(const struct docker_op *op)
{
    uint64_t now = clock_mono_ms(), left = op->deadline_ms > now ? op->deadline_ms - now : 1;
    bool reads = op->verb == DOCKER_INSPECT || op->verb == DOCKER_NETWORK_GET;

    return reads && left > READ_MS ? READ_MS : left;
}

static void op_send(struct docker_op *op, enum docker_verb verb, const char *method,
                    const char *target, const char *json)
{
    op->verb = verb;
    op->call = docker_engine_call(op->docker->engine,
                                  (struct http_ask){
                                      .method = method,
                                      .target = target,
                                      .json = json,
                                      .timeout_ms = op_left_ms(op),
                                      .answer_max = verb == DOCKER_LIST ? LIST_MAX : ANSWER_MAX,
                                      .done = on_op_answer,
                                      .arg = op,
                                  });
}

static void op_send_id(struct docker_op *op, enum docker_verb verb, const char *method,
                       const char *tail)
{
    AUTO(mem_freep) char *target = mem_printf("/containers/%s%s", op->id, tail);

    op_send(op, verb, method, target, NULL);
}

static void send_list(struct docker_op *op)
{
    AUTO(buf_fini) struct buf target;

    buf_init(&target, HTTP_TARGET_MAX);
    buf_adds(&target, "/containers/json?all=1&filters=");
    if (!docker_filters(op->docker->project, false, &target, &op->early_e)) {
        op_refuse_later(op);
        return;
    }
    op_send(op, DOCKER_LIST, "GET", target.data, NULL);
}

static void send_stop(struct docker_op *op)
{
    char tail[48];

    if (op->grace_ms == 0) {
        op_send_id(op, DOCKER_KILL, "POST", "/kill?signal=KILL");
        return;
    }
    snprintf(tail, sizeof(tail), "/stop?t=%llu", (unsigned long long)((op->grace_ms + 999) / 1000));
    op_send_id(op, DOCKER_STOP, "POST", tail);
}

static void send_connect(struct docker_op *op)
{
    AUTO(mem_freep)
    char *target = mem_printf("/networks/%s/connect", op->networks[op->networks_n - 1]);
    AUTO(buf_fini) struct buf body;
    struct err e;

    buf_init(&body, DOCKER_BODY_MAX);
    if (docker_connect_body(op->id, op->alias, &body, &e))
        op_send(op, DOCKER_CONNECT, "POST", target, body.data);
    else
        op_fail(op, RT_REFUSED, e.msg);
}

static void send_start(struct docker_op *op)
{
    if (op->networks_n > 0)
        send_connect(op);
    else
        op_send_id(op, DOCKER_START, "POST", "/start");
}

/* The call that does what was asked, once all it needs is there. */
static void op_act(struct docker_op *op)
{
    AUTO(mem_freep) char *target = NULL;

    switch (op->goal) {
    case DOCKER_LIST:
        send_list(op);
        return;
    case DOCKER_CREATE:
        target = mem_printf("/containers/create?name=%s", op->name);
        op_send(op, DOCKER_CREATE, "POST", target, op->body);
        return;
    case DOCKER_START:
        send_start(op);
        return;
    case DOCKER_STOP:
        send_stop(op);
        return;
    case DOCKER_REMOVE:
        op_send_id(op, DOCKER_REMOVE, "DELETE", "?force=1&v=1");
        return;
    case DOCKER_INSPECT:
    case DOCKER_KILL:
    case DOCKER_WAIT:
    case DOCKER_NETWORK_GET:
    case DOCKER_NETWORK_CREATE:
    case DOCKER_CONNECT:
    case DOCKER_IMAGE_GET:
        break; /* steps on the way, never goals */
    }
    bug("docker operation without a goal: %d", (int)op->goal);
}

/* ---- the network ---- */

static bool network_known(const struct docker *d)
{
    return d->network_epoch != 0 && d->network_epoch == docker_engine_epoch(d->engine);
}

/* Go on with the network there: look, and make it if need be; one operation at a time does that for
 * all. */
static void op_need_network(struct docker_op *op)
{
    struct docker *d = op->docker;
    AUTO(mem_freep) char *target = NULL;

    if (network_known(d)) {
        op_act(op);
        return;
    }
    if (d->network_op != NULL && d->network_op != op) {
        list_push_back(&d->network_queue, &op->queue);
        return;
    }
    d->network_op = op;
    target = mem_printf("/networks/%s", d->network);
    op_send(op, DOCKER_NETWORK_GET, "GET", target, NULL);
}

static void network_next(struct docker *d)
{
    while (d->network_op == NULL && !list_empty(&d->network_queue)) {
        struct docker_op *op = LIST_ENTRY_OF(d->network_queue.next, struct docker_op, queue);

        list_unlink(&op->queue);
        op_need_network(op);
    }
}

static void network_there(struct docker_op *op)
{
    struct docker *d = op->docker;

    d->network_epoch = docker_engine_epoch(d->engine);
    d->network_op = NULL;
    op_act(op);
    network_next(d);
}

static void network_make(struct docker_op *op)
{
    struct docker *d = op->docker;
    AUTO(buf_fini) struct buf body;
    struct err e;

    buf_init(&body, DOCKER_BODY_MAX);
    if (!docker_network_body(d->network, d->project, &body, &e)) {
        op_fail(op, RT_REFUSED, e.msg);
        return;
    }
    log_info("making network", "network=%s", d->network);
    op_send(op, DOCKER_NETWORK_CREATE, "POST", "/networks/create", body.data);
}

static void network_answered(struct docker_op *op, enum rt_result r, const struct http_answer *a,
                             const char *says)
{
    bool same = false;
    struct err e;

    if (r == RT_OK && !docker_parse_network(a->body, a->body_n, op->docker->network, &same, &e))
        op_fail(op, RT_UNKNOWN, e.msg);
    else if (same)
        network_there(op);
    else if (r == RT_OK || r == RT_GONE)
        network_make(op);
    else
        op_fail(op, r, says);
}

/* ---- answers ---- */

static void created(struct docker_op *op, const struct http_answer *a)
{
    char id[DOCKER_ID_MAX + 1];
    struct err e;

    if (docker_parse_created(a->body, a->body_n, id, &e))
        op_finish(op, RT_OK, id, NULL);
    else
        op_fail(op, RT_UNKNOWN, e.msg);
}

static void inspected(struct docker_op *op, const struct http_answer *a)
{
    char address[64];
    struct err e;

    if (docker_parse_address(a->body, a->body_n, op->docker->network, address, sizeof(address), &e))
        op_finish(op, RT_OK, address, NULL);
    else
        op_fail(op, RT_UNKNOWN, e.msg);
}

static void listed(struct docker_op *op, const struct http_answer *a)
{
    struct docker *d = op->docker;
    struct docker_list l;
    struct err e;

    if (!docker_parse_list(a->body, a->body_n, d->project, d->network, &l, &e)) {
        op_fail(op, RT_UNKNOWN, e.msg);
        return;
    }
    if (l.skipped > 0 && l.skipped != d->bad_rows)
        log_warn("containers with bad labels left alone", "count=%zu first=\"%s\"", l.skipped,
                 l.first.msg);
    d->bad_rows = l.skipped;
    op_detach(op);
    op->on_list(op->arg, RT_OK, l.v, l.n, NULL);
    docker_list_fini(&l);
    op_free(op);
}

/* The operation's call was answered with what r stands for. */
static void op_step(struct docker_op *op, enum rt_result r, const struct http_answer *a,
                    const char *says)
{
    if (op->verb == DOCKER_NETWORK_GET) {
        network_answered(op, r, a, says);
        return;
    }
    if (r != RT_OK) {
        op_fail(op, r, says);
        return;
    }
    switch (op->verb) {
    case DOCKER_LIST:
        listed(op, a);
        break;
    case DOCKER_CREATE:
        created(op, a);
        break;
    case DOCKER_START:
        op_send_id(op, DOCKER_INSPECT, "GET", "/json");
        break;
    case DOCKER_CONNECT:
        mem_free(op->networks[--op->networks_n]);
        send_start(op);
        break;
    case DOCKER_INSPECT:
        inspected(op, a);
        break;
    case DOCKER_NETWORK_CREATE:
        network_there(op);
        break;
    case DOCKER_STOP:
    case DOCKER_KILL:
    case DOCKER_REMOVE:
    case DOCKER_WAIT:
    case DOCKER_NETWORK_GET:
    case DOCKER_IMAGE_GET:
        op_finish(op, RT_OK, NULL, NULL);
        break;
    }
}

static void on_op_answer(void *arg, const struct http_answer *a) /* http_done_fn */
{
    struct docker_op *op = CAST(arg, docker_op, OP_MAGIC);
    char says[384];

    op->call = NULL;
    docker_engine_saw(op->docker->engine, a);
    if (a->end != HTTP_ANSWERED) {
        op_fail(op, RT_UNKNOWN, a->e->msg);
        return;
    }
    docker_message(a->body, a->body_n, says, sizeof(says));
    if (op->goal != DOCKER_LIST && !op->again && docker_lacks_network(a->status, says) &&
        (op->verb == DOCKER_START || op->verb == DOCKER_CREATE)) {
        op->again = true;
        op->docker->network_epoch = 0;
        op_need_network(op);
    } else if (op->verb == DOCKER_REMOVE && docker_removes_already(a->status, says)) {
        op_send_id(op, DOCKER_WAIT, "POST", "/wait?condition=removed");
    } else {
        op_step(op, docker_judge(op->verb, a->status, says), a, says);
    }
}

static void on_engine_ready(struct docker_wait *self, const struct err *e)
{
    struct docker_op *op = CONTAINER_OF(self, struct docker_op, wait);

    if (e != NULL)
        op_fail(op, RT_UNKNOWN, e->msg);
    else if (op->goal == DOCKER_CREATE)
        op_need_network(op);
    else
        op_act(op);
}

static void op_begin(struct docker_op *op)
{
    op->wait.fn = on_engine_ready;
    docker_engine_ready(op->docker->engine, &op->wait);
}

static void op_begin_id(struct docker_op *op, const char *id)
{
    snprintf(op->id, sizeof(op->id), "%s", id);
    if (docker_id_ok(id)) {
        op_begin(op);
        return;
    }
    err_set(&op->early_e, "this is no id of a container");
    op_refuse_later(op);
}

/* ---- the operations record ---- */

static void docker_close(struct runtime *rt)
{
    struct docker *d;

    if (rt == NULL)
        return;
    d = docker_of(rt);
    LIST_EACH(n, &d->ops)
    op_free(LIST_ENTRY_OF(n, struct docker_op, node));
    docker_pulls_free(d->pulls);
    docker_engine_free(d->engine);
    mem_free(d->project);
    mem_free(d->network);
    d->magic = 0;
    mem_free(d);
}

static bool docker_open(struct loop *l, const struct conf *c, rt_hint_fn *hint, void *arg,
                        struct runtime **ret, struct err *e)
{
    struct docker *d = mem_zalloc(sizeof(*d));

    d->magic = DOCKER_MAGIC;
    d->loop = l;
    list_init(&d->ops);
    list_init(&d->network_queue);
    if (!docker_engine_new(l, c->docker, c->project, hint, arg, &d->engine, e)) {
        mem_free(d);
        return false;
    }
    d->pulls = docker_pulls_new(l, d->engine, c->pull_timeout_ms);
    d->project = mem_strdup(c->project);
    d->network = mem_strdup(c->network);
    *ret = (struct runtime *)d;
    return true;
}

static const struct rt_info *docker_info(struct runtime *rt)
{
    return docker_engine_info(docker_of(rt)->engine);
}

static void docker_list(struct runtime *rt, rt_list_fn *done, void *arg)
{
    struct docker_op *op = op_new(rt, DOCKER_LIST, READ_MS, arg);

    op->on_list = done;
    op_begin(op);
}

static void docker_create(struct runtime *rt, const struct rt_spec *spec, rt_create_fn *done,
                          void *arg)
{
    struct docker_op *op = op_new(rt, DOCKER_CREATE, CREATE_MS, arg);
    struct buf body;

    op->on_create = done;
    docker_name(spec, op->name, sizeof(op->name));
    buf_init(&body, DOCKER_BODY_MAX);
    if (strcmp(spec->network, docker_of(rt)->network) != 0) {
        err_set(&op->early_e, "network %s is not the one of this runtime", spec->network);
        op_refuse_later(op);
    } else if (docker_create_body(spec, &body, &op->early_e)) {
        op->body = buf_take(&body);
        op_begin(op);
    } else {
        buf_fini(&body);
        op_refuse_later(op);
    }
}

static void docker_start(struct runtime *rt, const struct conf_service *service, const char *id,
                         rt_start_fn *done, void *arg)
{
    struct docker_op *op = op_new(rt, DOCKER_START, START_MS, arg);

    op->on_start = done;
    op->alias = mem_strdup(service->name);
    op->networks = mem_array(service->networks.n, sizeof(*op->networks));
    for (; op->networks_n < service->networks.n; op->networks_n++)
        op->networks[op->networks_n] = mem_strdup(service->networks.v[op->networks_n]);
    op_begin_id(op, id);
}

static void docker_stop(struct runtime *rt, const char *id, uint64_t grace_ms, rt_done_fn *done,
                        void *arg)
{
    uint64_t grace = grace_ms < STOP_GRACE_MAX_MS ? grace_ms : STOP_GRACE_MAX_MS;
    struct docker_op *op =
        op_new(rt, DOCKER_STOP, grace > 0 ? grace + STOP_EXTRA_MS : KILL_MS, arg);

    op->grace_ms = grace;
    op->on_done = done;
    op_begin_id(op, id);
}

static void docker_remove(struct runtime *rt, const char *id, rt_done_fn *done, void *arg)
{
    struct docker_op *op = op_new(rt, DOCKER_REMOVE, REMOVE_MS, arg);

    op->on_done = done;
    op_begin_id(op, id);
}

static void docker_pull_image(struct runtime *rt, const char *image, rt_said_fn *said,
                              rt_done_fn *done, void *arg)
{
    docker_pull(docker_of(rt)->pulls, image, said, done, arg);
}

static void docker_look_image(struct runtime *rt, const char *image, rt_done_fn *done, void *arg)
{
    docker_pull_look(docker_of(rt)->pulls, image, done, arg);
}

const struct runtime_ops runtime_docker = {
    .name = "docker",
    .keeps_ports = true,
    .open = docker_open,
    .close = docker_close,
    .info = docker_info,
    .list = docker_list,
    .create = docker_create,
    .start = docker_start,
    .stop = docker_stop,
    .remove = docker_remove,
    .look_image = docker_look_image,
    .pull = docker_pull_image,
};
