#include "test/unit/ctl/fake.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "ctl/probe.h"

struct fake_engine engine;

enum verb { CREATE, START, STOP, REMOVE, LIST, LOOK, PULL };

struct op {
    struct list node;
    struct timer timer;
    enum verb verb;
    char id[65];
    uint64_t grace_ms;
    char image[64];
    rt_said_fn *said;
    struct fake_box made;
    struct fake_box *seen; /* list: as it was when it was asked for; the answer comes later */
    size_t seen_n;
    rt_done_fn *done;
    rt_create_fn *created;
    rt_start_fn *started;
    rt_list_fn *listed;
    void *arg;
};

static struct fake_box *by_id(const char *id)
{
    for (size_t i = 0; i < engine.n; i++)
        if (strcmp(engine.boxes[i].id, id) == 0)
            return &engine.boxes[i];
    return NULL;
}

static void check_not_in_table(const struct fake_box *b)
{
    if (lb.hub != NULL && !lb.deaf && fake_lb_has(b->token))
        engine.stopped_in_table++;
}

static void answer(struct op *o, enum rt_result r, const char *text)
{
    struct err e = {0};

    (void)err_set(&e, "%s", text);
    if (o->created != NULL)
        o->created(o->arg, r, r == RT_OK ? o->id : NULL, &e);
    else if (o->started != NULL)
        o->started(o->arg, r, r == RT_OK ? by_id(o->id)->address : NULL, &e);
    else
        o->done(o->arg, r, &e);
}

static bool is_missing(const struct op *o)
{
    return engine.missing != NULL && strcmp(o->image, engine.missing) == 0;
}

static enum rt_result run_pull(void)
{
    engine.pulls_at_once--;
    if (engine.pull_error != NULL)
        return RT_REFUSED;
    engine.missing = NULL;
    return RT_OK;
}

static enum rt_result run_create(struct op *o)
{
    struct fake_box *b = &engine.boxes[engine.n++];
    bool lost = engine.lose_create;

    *b = o->made;
    (void)snprintf(b->id, sizeof b->id, "%08x%056x", ++engine.serial, 7u);
    (void)snprintf(b->address, sizeof b->address, "10.0.0.%u", engine.serial);
    (void)snprintf(o->id, sizeof o->id, "%s", b->id);
    b->state = RT_CREATED;
    engine.creates++;
    engine.lose_create = false;
    return lost ? RT_UNKNOWN : RT_OK;
}

static enum rt_result run_start(struct op *o)
{
    struct fake_box *b = by_id(o->id);
    bool lost = engine.lose_start;
    enum rt_result refused = engine.refuse_start;

    engine.starts_at_once--;
    engine.refuse_start = RT_OK;
    if (b == NULL)
        return RT_GONE;
    if (refused != RT_OK)
        return refused;
    for (size_t i = 0; i < engine.n; i++)
        if (engine.boxes[i].host_port != 0 && engine.boxes[i].host_port == b->host_port &&
            engine.boxes[i].state == RT_RUNNING)
            return RT_PORT_BUSY;
    b->state = RT_RUNNING;
    b->sick = engine.born_sick;
    b->listens_ms = loop_now_ms(engine.loop) + engine.warm_ms;
    engine.starts++;
    engine.lose_start = false;
    return lost ? RT_UNKNOWN : RT_OK;
}

static enum rt_result run_stop(struct op *o)
{
    struct fake_box *b = by_id(o->id);
    bool lost = engine.lose_stop;

    if (b == NULL)
        return RT_GONE;
    check_not_in_table(b);
    if (engine.need_alive != NULL && strcmp(b->service, engine.need_alive) == 0 &&
        fake_count("web", RT_RUNNING) > 0)
        engine.too_early++;
    *(o->grace_ms == 0 ? &engine.kills : &engine.stops) += 1;
    b->state = RT_EXITED;
    engine.lose_stop = false;
    return lost ? RT_UNKNOWN : RT_OK;
}

static enum rt_result run_remove(struct op *o)
{
    struct fake_box *b = by_id(o->id);

    if (b == NULL)
        return RT_GONE;
    check_not_in_table(b);
    engine.removes++;
    fake_vanish(b);
    return RT_OK;
}

static void run_list(struct op *o)
{
    struct rt_instance v[FAKE_BOXES];
    size_t n = o->seen_n;

    for (size_t i = 0; i < n; i++) {
        const struct fake_box *b = &o->seen[i];

        v[i] = (struct rt_instance){
            b->id,        b->name,       b->service,
            b->slot,      b->generation, b->token,
            b->hash,      b->state,      b->state == RT_RUNNING ? b->address : "",
            b->host_port, b->exit_code};
    }
    o->listed(o->arg, RT_OK, v, n, NULL);
}

static void on_op(void *arg) /* timer */
{
    struct op *o = arg;
    enum rt_result r = RT_OK;
    struct err e;

    if (o->said != NULL) { /* a pull, half-way */
        o->said(o->arg, "1a2b: Downloading");
        o->said = NULL;
        timer_in(&o->timer, engine.pull_ms / 2);
        return;
    }
    list_unlink(&o->node);
    engine.info.up = !engine.away;
    (void)snprintf(engine.info.error, sizeof engine.info.error, "%s",
                   engine.away ? "the fake is away" : "");
    if (engine.away) {
        (void)err_set(&e, "the fake is away");
        if (o->verb == START)
            engine.starts_at_once--;
        if (o->verb == PULL)
            engine.pulls_at_once--;
        if (o->verb == LIST)
            o->listed(o->arg, RT_UNKNOWN, NULL, 0, &e);
        else
            answer(o, RT_UNKNOWN, e.msg);
    } else if (o->verb == LIST) {
        run_list(o);
    } else {
        if (o->verb == LOOK || (o->verb == CREATE && is_missing(o)))
            r = is_missing(o) ? RT_NO_IMAGE : RT_OK;
        else
            r = o->verb == CREATE  ? run_create(o)
                : o->verb == START ? run_start(o)
                : o->verb == STOP  ? run_stop(o)
                : o->verb == PULL  ? run_pull()
                                   : run_remove(o);
        answer(o, r,
               o->verb == PULL && engine.pull_error != NULL ? engine.pull_error
                                                            : "the fake says so");
    }
    timer_fini(&o->timer);
    mem_free(o->seen);
    mem_free(o);
}

static struct op *op_new(enum verb verb, const char *id, uint64_t delay_ms, void *arg)
{
    struct op *o = mem_zalloc(sizeof(*o));

    o->verb = verb;
    o->arg = arg;
    (void)snprintf(o->id, sizeof o->id, "%s", id);
    list_push_back(&engine.ops, &o->node);
    timer_init(&o->timer, engine.loop, on_op, o);
    timer_in(&o->timer, delay_ms);
    return o;
}

static bool fake_open(struct loop *l, const struct conf *c, rt_hint_fn *hint, void *arg,
                      struct runtime **ret, struct err *e)
{
    (void)l;
    (void)c;
    (void)e;
    engine.hint = hint;
    engine.hint_arg = arg;
    *ret = (struct runtime *)&engine;
    return true;
}

static void fake_close(struct runtime *rt)
{
    (void)rt;
    LIST_EACH(n, &engine.ops)
    {
        struct op *o = LIST_ENTRY_OF(n, struct op, node);

        list_unlink(&o->node);
        timer_fini(&o->timer);
        mem_free(o->seen);
        mem_free(o);
    }
    engine.starts_at_once = engine.pulls_at_once = 0;
    engine.hint = NULL;
}

static const struct rt_info *fake_info(struct runtime *rt)
{
    (void)rt;
    return &engine.info;
}

static void fake_list(struct runtime *rt, rt_list_fn *done, void *arg)
{
    struct op *o = op_new(LIST, "", engine.list_ms, arg);

    (void)rt;
    o->listed = done;
    o->seen_n = engine.n;
    o->seen = mem_array(FAKE_BOXES, sizeof(*o->seen));
    memcpy(o->seen, engine.boxes, engine.n * sizeof(*o->seen));
}

static void fake_create(struct runtime *rt, const struct rt_spec *s, rt_create_fn *done, void *arg)
{
    struct op *o = op_new(CREATE, "", 1, arg);

    (void)rt;
    o->created = done;
    (void)snprintf(o->image, sizeof o->image, "%s", s->service->image);
    o->made =
        (struct fake_box){.slot = s->slot, .generation = s->generation, .host_port = s->host_port};
    (void)snprintf(o->made.service, sizeof o->made.service, "%s", s->service->name);
    (void)snprintf(o->made.token, sizeof o->made.token, "%s", s->token);
    (void)snprintf(o->made.hash, sizeof o->made.hash, "%s", s->conf_hash);
    (void)snprintf(o->made.name, sizeof o->made.name, "%s-%s-%u-%llu", s->project, s->service->name,
                   s->slot, (unsigned long long)s->generation);
}

static void fake_start(struct runtime *rt, const struct conf_service *service, const char *id,
                       rt_start_fn *done, void *arg)
{
    (void)service;
    (void)rt;
    if (++engine.starts_at_once > engine.starts_at_once_max)
        engine.starts_at_once_max = engine.starts_at_once;
    op_new(START, id, engine.start_ms, arg)->started = done;
}

static void fake_stop(struct runtime *rt, const char *id, uint64_t grace_ms, rt_done_fn *done,
                      void *arg)
{
    struct op *o = op_new(STOP, id, 1, arg);

    (void)rt;
    o->grace_ms = grace_ms;
    o->done = done;
}

static void fake_remove(struct runtime *rt, const char *id, rt_done_fn *done, void *arg)
{
    (void)rt;
    op_new(REMOVE, id, 2, arg)->done = done;
}

static void fake_look_image(struct runtime *rt, const char *image, rt_done_fn *done, void *arg)
{
    struct op *o = op_new(LOOK, "", 1, arg);

    (void)rt;
    engine.looks++;
    o->done = done;
    (void)snprintf(o->image, sizeof o->image, "%s", image);
}

static void fake_pull(struct runtime *rt, const char *image, rt_said_fn *said, rt_done_fn *done,
                      void *arg)
{
    struct op *o = op_new(PULL, "", engine.pull_ms / 2, arg);

    (void)rt;
    engine.pulls++;
    if (++engine.pulls_at_once > engine.pulls_at_once_max)
        engine.pulls_at_once_max = engine.pulls_at_once;
    o->said = said;
    o->done = done;
    (void)snprintf(o->image, sizeof o->image, "%s", image);
}

const struct runtime_ops runtime_fake = {
    .name = "fake",
    .open = fake_open,
    .close = fake_close,
    .info = fake_info,
    .list = fake_list,
    .create = fake_create,
    .start = fake_start,
    .stop = fake_stop,
    .remove = fake_remove,
    .look_image = fake_look_image,
    .pull = fake_pull,
};

void fake_engine_reset(struct loop *l)
{
    engine = (struct fake_engine){.loop = l, .start_ms = 5, .warm_ms = 10, .list_ms = 2};
    (void)snprintf(engine.info.engine, sizeof engine.info.engine, "1");
    (void)snprintf(engine.info.api, sizeof engine.info.api, "1");
    list_init(&engine.ops);
}

struct fake_box *fake_box(const char *service, unsigned slot)
{
    for (size_t i = 0; i < engine.n; i++)
        if (engine.boxes[i].slot == slot && engine.boxes[i].state == RT_RUNNING &&
            strcmp(engine.boxes[i].service, service) == 0)
            return &engine.boxes[i];
    return NULL;
}

unsigned fake_count(const char *service, enum rt_state state)
{
    unsigned n = 0;

    for (size_t i = 0; i < engine.n; i++)
        n += engine.boxes[i].state == state &&
             (service == NULL || strcmp(engine.boxes[i].service, service) == 0);
    return n;
}

struct fake_box *fake_add(const char *service, unsigned slot, uint64_t generation,
                          enum rt_state state, const char *hash, uint16_t host_port)
{
    struct fake_box *b = &engine.boxes[engine.n++];

    *b = (struct fake_box){
        .slot = slot, .generation = generation, .state = state, .host_port = host_port};
    (void)snprintf(b->id, sizeof b->id, "%08x%056x", ++engine.serial, 9u);
    (void)snprintf(b->service, sizeof b->service, "%s", service);
    (void)snprintf(b->token, sizeof b->token, "token%u", engine.serial);
    (void)snprintf(b->hash, sizeof b->hash, "%s", hash);
    (void)snprintf(b->address, sizeof b->address, "10.0.0.%u", engine.serial);
    return b;
}

void fake_kill(struct fake_box *b)
{
    b->state = RT_EXITED;
    b->exit_code = 137;
    if (engine.hint != NULL)
        engine.hint(engine.hint_arg, "die", b->id, b->service, b->slot);
}

void fake_vanish(struct fake_box *b)
{
    engine.n--;
    *b = engine.boxes[engine.n];
}

/* ---- probes ---- */

struct probe_pool {
    probe_done_fn *done;
    void *arg;
    struct list all;
};

struct one_probe {
    struct list node;
    struct probe_pool *pool;
    struct timer timer;
    uint64_t tag;
    enum probe_result r;
    int status;
    char id[65];
};

const char *probe_result_name(enum probe_result r)
{
    static const char *const names[] = {"ok",      "bad-status", "refused", "reset",
                                        "timeout", "bad-answer", "local"};

    return names[r];
}

const char *rt_result_name(enum rt_result r)
{
    static const char *const names[] = {"ok",        "refused",  "gone",   "no-image",
                                        "port-busy", "conflict", "unknown"};

    return names[r];
}

const char *rt_state_name(enum rt_state s)
{
    static const char *const names[] = {"created", "running", "paused",   "restarting",
                                        "exited",  "dead",    "removing", "other"};

    return names[s];
}

bool probe_pool_new(struct loop *l, probe_done_fn *done, void *arg, struct probe_pool **ret,
                    struct err *e)
{
    (void)l;
    (void)e;
    *ret = mem_zalloc(sizeof(**ret));
    (*ret)->done = done;
    (*ret)->arg = arg;
    list_init(&(*ret)->all);
    return true;
}

static void one_free(struct one_probe *p)
{
    list_unlink(&p->node);
    timer_fini(&p->timer);
    mem_free(p);
}

void probe_pool_free(struct probe_pool *pool)
{
    if (pool == NULL)
        return;
    LIST_EACH(n, &pool->all)
    {
        one_free(LIST_ENTRY_OF(n, struct one_probe, node));
    }
    mem_free(pool);
}

static void on_probe(void *arg) /* timer */
{
    struct one_probe *p = arg;
    struct probe_pool *pool = p->pool;
    uint64_t tag = p->tag;
    enum probe_result r = p->r;
    int status = p->status;

    one_free(p);
    pool->done(pool->arg, tag, r, status, 1000);
}

static const struct fake_box *behind(const char *address, uint16_t port)
{
    for (size_t i = 0; i < engine.n; i++) {
        const struct fake_box *b = &engine.boxes[i];

        if (b->state == RT_RUNNING &&
            (strcmp(address, "127.0.0.1") == 0 ? b->host_port == port
                                               : strcmp(b->address, address) == 0))
            return b;
    }
    return NULL;
}

void probe_start(struct probe_pool *pool, uint64_t tag, const struct conf_health *h,
                 const char *address, uint16_t port)
{
    struct one_probe *p = mem_zalloc(sizeof(*p));
    const struct fake_box *b = behind(address, port);
    unsigned at_once = 1;

    *p = (struct one_probe){.pool = pool, .tag = tag, .r = PROBE_OK, .status = 200};
    if (b == NULL)
        p->r = PROBE_REFUSED;
    else if (loop_now_ms(engine.loop) < b->listens_ms)
        p->r = PROBE_RESET;
    else if (b->hung)
        p->r = PROBE_TIMEOUT;
    else if (b->sick)
        p->r = PROBE_BAD_STATUS;
    p->status = p->r == PROBE_BAD_STATUS ? 500 : 200;
    (void)snprintf(p->id, sizeof p->id, "%s", b != NULL ? b->id : "");
    LIST_EACH(n, &pool->all)
    {
        at_once += b != NULL && strcmp(LIST_ENTRY_OF(n, struct one_probe, node)->id, b->id) == 0;
    }
    if (at_once > engine.probes_at_once_max)
        engine.probes_at_once_max = at_once;
    list_push_back(&pool->all, &p->node);
    timer_init(&p->timer, engine.loop, on_probe, p);
    timer_in(&p->timer, p->r == PROBE_TIMEOUT ? h->timeout_ms : 1);
}
