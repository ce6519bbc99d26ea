#include "ctl/sweep.h"

#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"

enum {
    SWEEP_LISTS_MAX = 30, /* looks at the engine before giving up */
    SWEEP_AGAIN_MS = 500,
    SWEEP_GRACE_MS = 10000, /* of a service that the configuration does not know */
};

static const uint32_t TARGET_MAGIC = MAGIC('s', 'w', 'e', 'e');

/* One instance on its way out. */
struct target {
    uint32_t magic;
    struct list node;
    struct sweep *sweep;
    unsigned rank; /* the highest goes first */
    uint64_t grace_ms;
    bool busy;
    char *id, *service;
};

struct sweep {
    struct loop *loop;
    const struct conf *conf;
    const struct runtime_ops *ops;
    struct runtime *rt;
    struct list targets;
    struct timer again;
    unsigned lists, removed;
    bool ok;
    struct err e;
};

/* How many services stand on which others: dependents have a higher rank. */
static unsigned rank_of(const struct conf *c, const struct conf_service *s, unsigned depth)
{
    unsigned rank = 0;

    for (size_t i = 0; i < s->depends_on.n && depth < CONF_SERVICES_MAX; i++) {
        const struct conf_service *d = conf_service_find(c, s->depends_on.v[i]);
        unsigned below = d != NULL ? rank_of(c, d, depth + 1) + 1 : 0;

        if (below > rank)
            rank = below;
    }
    return rank;
}

static void target_free(struct target *t)
{
    list_unlink(&t->node);
    mem_free(t->id);
    mem_free(t->service);
    t->magic = 0;
    mem_free(t);
}

static void run_next_rank(struct sweep *s);

static void target_end(struct target *t, enum rt_result r, const char *verb, const struct err *e)
{
    struct sweep *s = t->sweep;

    if (r != RT_OK && r != RT_GONE) {
        char q[200];

        log_warn("engine call failed", "service=%s container=%.12s call=%s result=%s reason=\"%s\"",
                 t->service, t->id, verb, rt_result_name(r),
                 str_quote(sv_of(e != NULL ? e->msg : ""), q, sizeof q));
        s->e = e != NULL ? *e : s->e;
    } else {
        log_info("instance removed",
                 "service=%s container=%.12s reason=\"asked for by the operator\"", t->service,
                 t->id);
        s->removed++;
    }
    target_free(t);
    run_next_rank(s);
}

static void on_runtime_removed(void *arg, enum rt_result r, const struct err *e) /* rt_done_fn */
{
    target_end(CAST(arg, target, TARGET_MAGIC), r, "remove", e);
}

static void on_runtime_stopped(void *arg, enum rt_result r, const struct err *e) /* rt_done_fn */
{
    struct target *t = CAST(arg, target, TARGET_MAGIC);

    if (r == RT_OK || r == RT_GONE)
        t->sweep->ops->remove(t->sweep->rt, t->id, on_runtime_removed, t);
    else
        target_end(t, r, "stop", e);
}

static void finish(struct sweep *s, bool ok)
{
    s->ok = ok;
    loop_stop(s->loop);
}

/* Begins with all instances of the highest rank that is left, when no other is under way. */
static void run_next_rank(struct sweep *s)
{
    unsigned rank = 0;

    LIST_EACH(n, &s->targets)
    {
        struct target *t = LIST_ENTRY_OF(n, struct target, node);

        if (t->busy)
            return;
        if (t->rank > rank)
            rank = t->rank;
    }
    if (list_empty(&s->targets)) {
        timer_in(&s->again, s->lists > 1 ? SWEEP_AGAIN_MS : 0); /* look whether that was all */
        return;
    }
    LIST_EACH(n, &s->targets)
    {
        struct target *t = LIST_ENTRY_OF(n, struct target, node);

        if (t->rank != rank)
            continue;
        t->busy = true;
        s->ops->stop(s->rt, t->id, t->grace_ms, on_runtime_stopped, t);
    }
}

static void on_runtime_list(void *arg, enum rt_result r, const struct rt_instance *v, size_t n,
                            const struct err *e) /* rt_list_fn */
{
    struct sweep *s = arg;

    if (r != RT_OK || (n > 0 && s->lists >= SWEEP_LISTS_MAX)) {
        if (r != RT_OK)
            s->e = e != NULL ? *e : s->e;
        finish(s, false);
        return;
    }
    if (n == 0) {
        finish(s, true);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const struct conf_service *cs = conf_service_find(s->conf, v[i].service);
        struct target *t;

        if (v[i].state == RT_REMOVING)
            continue;
        t = mem_zalloc(sizeof(*t));
        *t = (struct target){
            .magic = TARGET_MAGIC,
            .sweep = s,
            .rank = cs != NULL ? rank_of(s->conf, cs, 0) : CONF_SERVICES_MAX,
            .grace_ms = cs != NULL ? cs->stop_grace_ms : SWEEP_GRACE_MS,
            .id = mem_strdup(v[i].id),
            .service = mem_strdup(v[i].service),
        };
        list_push_back(&s->targets, &t->node);
    }
    run_next_rank(s);
}

static void on_sweep_again(void *arg) /* timer */
{
    struct sweep *s = arg;

    s->lists++;
    s->ops->list(s->rt, on_runtime_list, s);
}

bool sweep(struct loop *l, const struct conf *conf, const struct runtime_ops *ops, struct err *e)
{
    struct sweep s = {.loop = l, .conf = conf, .ops = ops};
    bool ran;

    list_init(&s.targets);
    (void)err_set(&s.e, "instances are still there after %d looks at the engine", SWEEP_LISTS_MAX);
    if (!ops->open(l, conf, NULL, NULL, &s.rt, e))
        return false;
    timer_init(&s.again, l, on_sweep_again, &s);
    timer_in(&s.again, 0);
    ran = loop_run(l, e);
    timer_fini(&s.again);
    ops->close(s.rt);
    LIST_EACH(n, &s.targets)
    {
        target_free(LIST_ENTRY_OF(n, struct target, node));
    }
    log_info("instances of the project removed", "project=%s count=%u", conf->project, s.removed);
    if (ran && !s.ok)
        return err_set(e, "%s", s.e.msg);
    return ran;
}
