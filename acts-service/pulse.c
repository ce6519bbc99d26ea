#include "acts-service/pulse.h"

#include <event2/util.h>

#include "common/base/mem.h"

/* The next write begins a part of a request's own time after the last one, with all that have come
 * meanwhile: most requests wait for the database longer than for that, and a write costs it half as
 * much as an upload. Where requests are quick there is no pause. */
enum { PAUSE_MAX_MS = 10, PAUSE_PART = 4, EWMA_PART = 8 };

struct pulse {
    struct db *db;
    struct timer pause;
    unsigned stmt;
    uint64_t timeout_ms;
    int64_t shard;
    bool ready, flying;
    uint64_t took_us;        /* own time of a request, smoothed */
    struct list next, now;   /* waiters of the coming write and of the one on its way */
    uint64_t hits, hits_now; /* the same of their requests */
};

static void write_next(struct pulse *p);

static void on_pause_over(void *arg) /* timer */
{
    write_next(arg);
}

struct pulse *pulse_new(struct loop *l, struct db *db, unsigned stmt, uint64_t timeout_ms)
{
    struct pulse *p = mem_zalloc(sizeof(*p));
    uint8_t random = 0;

    evutil_secure_rng_get_bytes(&random, sizeof(random));
    *p = (struct pulse){.db = db, .stmt = stmt, .timeout_ms = timeout_ms};
    timer_init(&p->pause, l, on_pause_over, p);
    p->shard = random % PULSE_SHARDS;
    list_init(&p->next);
    list_init(&p->now);
    return p;
}

void pulse_free(struct pulse *p)
{
    if (p == NULL)
        return;
    timer_fini(&p->pause);
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
    uint64_t pause_ms;

    p->flying = false;
    /* Not written for sure: count with the next write. Otherwise it may have happened, and
     * counting twice would be as wrong as losing them. */
    if (!r->sent)
        p->hits += p->hits_now;
    p->hits_now = 0;
    pause_ms = p->took_us / PAUSE_PART / 1000;
    if (pause_ms > 0)
        timer_in(&p->pause, pause_ms < PAUSE_MAX_MS ? pause_ms : PAUSE_MAX_MS);
    tell(&p->now, r->status == DB_OK);
    write_next(p);
}

static void write_next(struct pulse *p)
{
    struct db_param params[2];

    /* Hits that were kept go out with the next one who waits, not on their own in a circle. */
    if (p->flying || p->pause.set || !p->ready || list_empty(&p->next))
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

void pulse_took(struct pulse *p, uint64_t ms)
{
    p->took_us = p->took_us - p->took_us / EWMA_PART + ms * 1000 / EWMA_PART;
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
