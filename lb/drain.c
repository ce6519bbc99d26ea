#include "lb/drain.h"

#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"

struct wait {
    struct chan_ask ask;
    struct timer timer;
    struct record *record;
    bool used;
};

struct record {
    struct list node; /* in book->records, oldest first */
    struct drain_book *book;
    struct backend *backend; /* counted */
    bool marked, drained;
    uint64_t push, generation; /* of the table that left it out */
    uint64_t mark_ms, zero_ms;
    uint64_t in_flight_at_mark, requests_at_mark;
    struct wait waits[DRAIN_ASKS_MAX];
};

struct drain_book {
    struct loop *loop;
    struct list records;
    unsigned n;
};

struct drain_book *drain_book_new(struct loop *l)
{
    struct drain_book *d = mem_zalloc(sizeof(*d));

    d->loop = l;
    list_init(&d->records);
    return d;
}

static json_t *receipt(const struct record *r, uint64_t now_ms)
{
    uint64_t in_flight = CELLS_SUM(r->backend, in_flight);
    uint64_t requests = CELLS_SUM(r->backend, requests);

    return json_pack("{s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "drained", r->drained,
                     "known", requests > 0, "generation", (json_int_t)r->generation,
                     "in_flight_at_mark", (json_int_t)r->in_flight_at_mark, "in_flight",
                     (json_int_t)in_flight, "after_mark",
                     (json_int_t)(r->marked ? requests - r->requests_at_mark : 0), "took_ms",
                     (json_int_t)(r->marked ? (r->drained ? r->zero_ms : now_ms) - r->mark_ms : 0),
                     "mark_ms", (json_int_t)r->mark_ms, "zero_ms", (json_int_t)r->zero_ms);
}

static void wait_end(struct wait *w, json_t *answer)
{
    chan_answer(w->ask, answer);
    timer_fini(&w->timer);
    w->used = false;
}

static void answer_all(struct record *r, uint64_t now_ms)
{
    for (unsigned i = 0; i < DRAIN_ASKS_MAX; i++) {
        if (r->waits[i].used)
            wait_end(&r->waits[i], receipt(r, now_ms));
    }
}

static void on_wait_timeout(void *arg) /* timer; main */
{
    struct wait *w = arg;

    wait_end(w, receipt(w->record, loop_now_ms(w->record->book->loop)));
}

static void record_free(struct record *r)
{
    for (unsigned i = 0; i < DRAIN_ASKS_MAX; i++) {
        if (r->waits[i].used) {
            chan_refuse(r->waits[i].ask, "instance '%s' is in the table again",
                        r->backend->instance);
            timer_fini(&r->waits[i].timer);
        }
    }
    list_unlink(&r->node);
    r->book->n--;
    backend_unref(r->backend);
    mem_free(r);
}

void drain_book_free(struct drain_book *d)
{
    if (d == NULL)
        return;
    while (!list_empty(&d->records))
        record_free(LIST_ENTRY_OF(d->records.next, struct record, node));
    mem_free(d);
}

static struct record *find(struct drain_book *d, const char *service, const char *instance)
{
    LIST_EACH(n, &d->records)
    {
        struct record *r = LIST_ENTRY_OF(n, struct record, node);

        if (strcmp(r->backend->service->name, service) == 0 &&
            strcmp(r->backend->instance, instance) == 0)
            return r;
    }
    return NULL;
}

struct backend *drain_book_past(void *arg, const char *service, const char *instance)
{
    struct record *r = find(arg, service, instance);

    return r != NULL ? r->backend : NULL;
}

/* The oldest that nobody waits for makes room. */
static void make_room(struct drain_book *d)
{
    LIST_EACH(n, &d->records)
    {
        struct record *r = LIST_ENTRY_OF(n, struct record, node);

        if (d->n < DRAIN_RECORDS_MAX)
            return;
        if (r->drained)
            record_free(r);
    }
}

static bool has(const struct table *t, const struct backend *b)
{
    return table_find_backend(t, b->service->name, b->instance) == b;
}

void drain_book_push(struct drain_book *d, const struct table *before, const struct table *now,
                     uint64_t push)
{
    LIST_EACH(n, &d->records)
    {
        struct record *r = LIST_ENTRY_OF(n, struct record, node);

        if (has(now, r->backend))
            record_free(r);
    }
    for (unsigned i = 0; before != NULL && i < before->services_n; i++) {
        for (unsigned k = 0; k < before->services[i].backends_n; k++) {
            struct backend *b = before->services[i].backends[k];
            struct record *r;

            if (has(now, b))
                continue;
            make_room(d);
            r = mem_zalloc(sizeof(*r));
            r->book = d;
            r->backend = backend_ref(b);
            r->push = push;
            r->generation = now->generation;
            list_push_back(&d->records, &r->node);
            d->n++;
        }
    }
}

static void check(struct record *r, uint64_t now_ms)
{
    if (!r->marked || r->drained || CELLS_SUM(r->backend, in_flight) > 0)
        return;
    r->drained = true;
    r->zero_ms = now_ms;
    log_info("backend drained", "service=%s slot=%u instance=%s took_ms=%llu",
             r->backend->service->name, r->backend->slot, r->backend->instance,
             (unsigned long long)(r->zero_ms - r->mark_ms));
    answer_all(r, now_ms);
}

void drain_book_mark(struct drain_book *d, uint64_t push, uint64_t now_ms)
{
    LIST_EACH(n, &d->records)
    {
        struct record *r = LIST_ENTRY_OF(n, struct record, node);

        /* Records of a later push have a table of their own, which is not in use everywhere yet. */
        if (r->marked || r->push != push)
            continue;
        r->marked = true;
        r->mark_ms = now_ms;
        r->in_flight_at_mark = CELLS_SUM(r->backend, in_flight);
        r->requests_at_mark = CELLS_SUM(r->backend, requests);
        check(r, now_ms);
    }
}

void drain_book_check(struct drain_book *d, struct backend *b, uint64_t now_ms)
{
    LIST_EACH(n, &d->records)
    {
        struct record *r = LIST_ENTRY_OF(n, struct record, node);

        if (r->backend == b)
            check(r, now_ms);
    }
}

void drain_book_wait(struct drain_book *d, struct chan_ask ask, const struct table *now,
                     const char *service, const char *instance, uint64_t timeout_ms)
{
    struct record *r = find(d, service, instance);

    if (now != NULL && table_find_backend(now, service, instance) != NULL) {
        chan_refuse(ask, "instance '%s' of service '%s' is still in the table", instance, service);
        return;
    }
    if (r == NULL) { /* it never was in a table of this life */
        chan_answer(ask, json_pack("{s:b, s:b, s:i, s:i, s:i, s:i, s:i}", "drained", 1, "known", 0,
                                   "generation", 0, "in_flight_at_mark", 0, "in_flight", 0,
                                   "after_mark", 0, "took_ms", 0));
        return;
    }
    if (r->drained) {
        chan_answer(ask, receipt(r, loop_now_ms(d->loop)));
        return;
    }
    for (unsigned i = 0; i < DRAIN_ASKS_MAX; i++) {
        struct wait *w = &r->waits[i];

        if (w->used)
            continue;
        *w = (struct wait){.ask = ask, .record = r, .used = true};
        timer_init(&w->timer, d->loop, on_wait_timeout, w);
        timer_in(&w->timer, timeout_ms);
        return;
    }
    chan_refuse(ask, "too many wait for instance '%s'", instance);
}
