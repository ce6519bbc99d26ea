#include "ctl/removal.h"

#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "ctl/lblink.h"
#include "ctl/observe.h"

static const uint32_t REMOVAL_MAGIC = MAGIC('r', 'e', 'm', 'o');

enum phase { PHASE_DRAIN, PHASE_STOP, PHASE_REMOVE };
enum { STOP_GRACE_UNKNOWN_MS = 10000, DRAIN_UNKNOWN_MS = 30000 };

struct removal {
    uint32_t magic;
    struct list node;
    struct removals *list;
    enum phase phase;
    bool busy;
    uint64_t tag;
    uint64_t touched; /* tick of its last act */
    unsigned fails;
    struct timer retry;
    char id[SLOT_ID_MAX], service[65], token[SLOT_TOKEN_MAX];
};

struct removals {
    struct ctl *c;
    struct list all;
    size_t n;
    uint64_t last_tag;
};

struct removals *removals_new(struct ctl *c)
{
    struct removals *r = mem_zalloc(sizeof(*r));

    r->c = c;
    list_init(&r->all);
    return r;
}

static void removal_free(struct removal *m)
{
    list_unlink(&m->node);
    m->list->n--;
    timer_fini(&m->retry);
    m->magic = 0;
    mem_free(m);
}

void removals_free(struct removals *r)
{
    if (r == NULL)
        return;
    LIST_EACH(n, &r->all)
    {
        removal_free(LIST_ENTRY_OF(n, struct removal, node));
    }
    mem_free(r);
}

static void next_step(struct removal *m);

static void try_later(struct removal *m, const char *verb, enum rt_result r, const struct err *e)
{
    char q[SLOT_REASON_MAX];

    log_warn("engine call failed", "service=%s container=%.12s call=%s result=%s reason=\"%s\"",
             m->service, m->id, verb, rt_result_name(r),
             str_quote(sv_of(e != NULL ? e->msg : ""), q, sizeof q));
    m->fails++;
    timer_in(&m->retry, slot_backoff_ms(m->fails));
    if (r == RT_UNKNOWN)
        observe_soon(m->list->c->observer);
}

static void ended(struct removal *m)
{
    m->busy = false;
    m->touched = model_tick(m->list->c);
}

static void on_runtime_removed(void *arg, enum rt_result r, const struct err *e) /* rt_done_fn */
{
    struct removal *m = CAST(arg, removal, REMOVAL_MAGIC);

    ended(m);
    if (r == RT_OK || r == RT_GONE) {
        log_debug("instance removed", "service=%s container=%.12s", m->service, m->id);
        removal_free(m);
        return;
    }
    try_later(m, "remove", r, e);
}

static void on_runtime_stopped(void *arg, enum rt_result r, const struct err *e) /* rt_done_fn */
{
    struct removal *m = CAST(arg, removal, REMOVAL_MAGIC);

    ended(m);
    if (r != RT_OK && r != RT_GONE) {
        try_later(m, "stop", r, e);
        return;
    }
    m->phase = PHASE_REMOVE;
    next_step(m);
}

static void on_lb_drained(struct ctl *c, uint64_t tag) /* lblink_drained_fn */
{
    LIST_EACH(n, &c->removals->all)
    {
        struct removal *m = LIST_ENTRY_OF(n, struct removal, node);

        if (m->tag != tag || m->phase != PHASE_DRAIN)
            continue;
        ended(m);
        m->phase = PHASE_STOP;
        next_step(m);
        return;
    }
}

static void next_step(struct removal *m)
{
    struct ctl *c = m->list->c;
    const struct service *s = model_service(c, m->service);

    m->busy = true;
    switch (m->phase) {
    case PHASE_DRAIN:
        lblink_drain(c->lb, m->service, m->token, s != NULL ? s->c->drain_ms : DRAIN_UNKNOWN_MS,
                     on_lb_drained, m->tag);
        break;
    case PHASE_STOP:
        c->ops->stop(c->rt, m->id, s != NULL ? s->c->stop_grace_ms : STOP_GRACE_UNKNOWN_MS,
                     on_runtime_stopped, m);
        break;
    case PHASE_REMOVE:
        c->ops->remove(c->rt, m->id, on_runtime_removed, m);
        break;
    }
}

static void on_removal_retry(void *arg) /* timer */
{
    next_step(CAST(arg, removal, REMOVAL_MAGIC));
}

void removal_add(struct removals *r, enum removal_kind kind, const char *id, const char *service,
                 const char *token, const char *why)
{
    struct removal *m;

    if (removal_has(r, id) || r->n >= REMOVALS_MAX) /* the next list brings what does not fit now */
        return;
    m = mem_zalloc(sizeof(*m));
    *m = (struct removal){
        .magic = REMOVAL_MAGIC,
        .list = r,
        .phase = kind == REMOVAL_GRACEFUL ? PHASE_DRAIN : PHASE_REMOVE,
        .tag = ++r->last_tag,
        .touched = model_tick(r->c),
    };
    (void)snprintf(m->id, sizeof m->id, "%s", id);
    (void)snprintf(m->service, sizeof m->service, "%s", service);
    (void)snprintf(m->token, sizeof m->token, "%s", token);
    timer_init(&m->retry, r->c->loop, on_removal_retry, m);
    list_push_back(&r->all, &m->node);
    r->n++;
    if (kind == REMOVAL_GRACEFUL)
        log_info("instance leaves", "service=%s container=%.12s reason=\"%s\"", service, id, why);
    next_step(m);
}

bool removal_has(const struct removals *r, const char *id)
{
    for (const struct list *n = r->all.next; n != &r->all; n = n->next)
        if (strcmp(CONTAINER_OF((struct list *)n, struct removal, node)->id, id) == 0)
            return true;
    return false;
}

void removals_seen(struct removals *r, const struct rt_instance *v, size_t n, uint64_t asked)
{
    LIST_EACH(node, &r->all)
    {
        struct removal *m = LIST_ENTRY_OF(node, struct removal, node);
        bool there = m->busy || m->touched > asked;

        for (size_t i = 0; i < n && !there; i++)
            there = strcmp(v[i].id, m->id) == 0;
        if (!there)
            removal_free(m);
    }
}
