#include "acts-service/pulse.h"

#include <event2/util.h>

#include "common/base/mem.h"

struct pulse {
    struct db *db;
    unsigned stmt;
    uint64_t timeout_ms;
    int64_t shard;
    bool ready, flying;
    struct list next, now;   /* waiters of the coming write and of the one on its way */
    uint64_t hits, hits_now; /* the same of their requests */
};

static void write_next(struct pulse *p);

struct pulse *pulse_new(struct db *db, unsigned stmt, uint64_t timeout_ms)
{
    struct pulse *p = mem_zalloc(sizeof(*p));
    uint8_t random = 0;

    evutil_secure_rng_get_bytes(&random, sizeof(random));
    *p = (struct pulse){.db = db, .stmt = stmt, .timeout_ms = timeout_ms};
    p->shard = random % PULSE_SHARDS;
    list_init(&p->next);
    list_init(&p->now);
    return p;
}

void pulse_free(struct pulse *p)
{
    mem_free(p);
}

static void tell(struct list *waiters, bool ok)
{
    struct list batch;

    list_init(&batch);
    while (!list_empty(waiters)) { /* who is told may wait again: only those that are here now */
        struct list *n = waiters->next;

        list_unlink(n);
        list_push_back(&batch, n);
    }
    while (!list_empty(&batch)) {
        struct pulse_wait *w = LIST_ENTRY_OF(batch.next, struct pulse_wait, node);

        list_unlink(&w->node);
        w->fn(w, ok);
    }
}

static void on_written(void *arg, const struct db_reply *r) /* db_done_fn */
{
    struct pulse *p = arg;

    p->flying = false;
    /* Not written for sure: count with the next write. Otherwise it may have happened, and
     * counting twice would be as wrong as losing them. */
    if (!r->sent)
        p->hits += p->hits_now;
    p->hits_now = 0;
    tell(&p->now, r->status == DB_OK);
    write_next(p);
}

static void write_next(struct pulse *p)
{
    struct db_param params[2];

    /* Hits that were kept go out with the next one who waits, not on their own in a circle. */
    if (p->flying || !p->ready || list_empty(&p->next))
        return;
    while (!list_empty(&p->next)) {
        struct list *n = p->next.next;

        list_unlink(n);
        list_push_back(&p->now, n);
    }
    p->hits_now = p->hits;
    p->hits = 0;
    p->flying = true;
    params[0] = db_num(p->shard);
    params[1] = db_num((int64_t)p->hits_now);
    if (!db_ask(p->db, DB_SIDE, p->stmt, params, ARRAY_LEN(params), p->timeout_ms, on_written, p))
        on_written(p, &(struct db_reply){.status = DB_MEMORY});
}

void pulse_ready(struct pulse *p, bool ready)
{
    p->ready = ready;
    if (!ready)
        tell(&p->next, false);
    else
        write_next(p);
}

void pulse_beat(struct pulse *p, struct pulse_wait *w, unsigned hits)
{
    p->hits += hits;
    if (!p->ready) {
        list_init(&w->node);
        w->fn(w, false);
        return;
    }
    list_push_back(&p->next, &w->node);
    write_next(p);
}

void pulse_cancel(struct pulse_wait *w)
{
    list_unlink(&w->node);
}
