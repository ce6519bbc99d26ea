#include "lb/link.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/ev/mailbox.h"
#include "common/wire/chan.h"
#include "lb/alog.h"
#include "lb/drain.h"
#include "lb/latency.h"

enum { STATS_EVERY_MS = 200, HINT_EVERY_MS = 100, FULL_EVERY_MS = 10000, PURGE_EVERY_MS = 100 };
/* So many connections are a crowd; memory is looked through this long after most of it has gone. */
enum { CROWD = 512, GIVE_BACK_AFTER_MS = 1000 };

/* A table on its way to the workers. */
struct push {
    struct list node;
    uint64_t id;
    struct table *table; /* counted */
    unsigned waiting;    /* workers that do not use it yet */
    struct chan_ask ask;
};

struct link {
    struct link_config c;
    struct mailbox *mailbox;
    struct chan_hub *hub;
    struct worker **workers;
    unsigned workers_n;
    struct table *latest;  /* the last one pushed; counted */
    struct table *current; /* the last one that every worker uses; counted */
    struct list pushes;
    uint64_t push_id;
    uint64_t pusher; /* channel of the last push: generations grow within one */
    char *saved;     /* what table.json holds, without the generation */
    struct drain_book *drains;
    char boot[64];
    struct timer stats; /* a report is due */
    uint64_t reported_ms;
    struct letter dirty_letter;
    atomic_bool dirty; /* dirty_letter is under way, or a report is due: nobody posts another */
    uint64_t full_ms, purged_ms;
    uint64_t peak; /* most connections since memory was given back */
    struct timer give_back;
};

/* ---- counters ---- */

/* When did the counting begin that no report has told yet? A worker notes the time, then counts; we
 * take the time, then read the count. A count seen without its time came in between, so the time is
 * now; a time without its count waits for it. */
static uint64_t take_first(struct service *s, uint64_t *ret_counted)
{
    uint64_t first = 0, counted = 0;

    for (unsigned i = 0; i < s->workers; i++) {
        uint64_t t = atomic_exchange_explicit(&s->cells[i].first_ms, 0, memory_order_acq_rel);

        if (t != 0 && (first == 0 || t < first))
            first = t;
    }
    for (unsigned i = 0; i < s->workers; i++)
        counted += atomic_load_explicit(&s->cells[i].counted, memory_order_acquire);
    if (first == 0 || (s->pending_first_ms != 0 && s->pending_first_ms < first))
        first = s->pending_first_ms;
    *ret_counted = counted;
    if (counted == s->reported_counted) {
        s->pending_first_ms = first;
        return 0;
    }
    s->reported_counted = counted;
    s->pending_first_ms = 0;
    return first != 0 ? first : clock_mono_ms();
}

enum whose { OWN = 0, SERVICE = 1, BACKEND = 2, BOTH = 3 };

static const struct {
    const char *name;
    size_t at;
    enum whose whose;
} counters[] = {
#define STAT(member, whose, help) {#member, offsetof(struct cell, member), whose},
#include "lb/stat.def"
#undef STAT
};

static json_t *sums(const struct cell *cells, unsigned workers, enum whose of)
{
    json_t *o = json_object();

    for (size_t i = 0; i < ARRAY_LEN(counters); i++) {
        if (counters[i].whose & of)
            json_object_set_new(
                o, counters[i].name,
                json_integer((json_int_t)cells_sum(cells, workers, counters[i].at)));
    }
    return o;
}

static json_t *backend_stats(const struct backend *b)
{
    json_t *o = sums(b->cells, b->workers, BACKEND);

    json_object_set_new(o, "slot", json_integer((json_int_t)b->slot));
    json_object_set_new(o, "instance", json_string(b->instance));
    return o;
}

static json_t *service_stats(const struct table_service *ts)
{
    struct service *s = ts->service;
    struct latency_quantiles q = latency_read(s->latency, clock_mono_ms());
    json_t *backends = json_array(), *o;
    uint64_t counted, first = take_first(s, &counted);

    for (unsigned i = 0; i < ts->backends_n; i++)
        json_array_append_new(backends, backend_stats(ts->backends[i]));
    o = sums(s->cells, s->workers, SERVICE);
    json_object_set_new(o, "name", json_string(s->name));
    json_object_set_new(o, "waiting", json_integer((json_int_t)atomic_load(&s->queue.n)));
    json_object_set_new(o, "counted", json_integer((json_int_t)counted));
    json_object_set_new(o, "first_ms", json_integer((json_int_t)first));
    json_object_set_new(o, "latency_p50_us", json_integer((json_int_t)q.p50_us));
    json_object_set_new(o, "latency_p99_us", json_integer((json_int_t)q.p99_us));
    json_object_set_new(o, "backends", backends);
    return o;
}

static uint64_t connections_of(const struct link *l)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < l->workers_n; i++)
        n += atomic_load_explicit(&l->workers[i]->clients_n, memory_order_relaxed);
    return n;
}

static json_t *stats(struct link *l)
{
    const struct table *t = l->current;
    json_t *services = json_array();

    for (unsigned i = 0; t != NULL && i < t->services_n; i++)
        json_array_append_new(services, service_stats(&t->services[i]));
    return json_pack("{s:s, s:I, s:I, s:I, s:o}", "boot", l->boot, "generation",
                     (json_int_t)(t != NULL ? t->generation : 0), "connections",
                     (json_int_t)connections_of(l), "log_dropped",
                     (json_int_t)alog_dropped(l->c.alog), "services", services);
}

/* The buffers of a crowd that has gone lie free between others: the allocator keeps them unless it
 * is told to look. */
static void on_give_back(void *arg) /* timer; main */
{
    struct link *l = arg;

    mem_give_back();
    l->peak = connections_of(l);
}

static void note_ebb(struct link *l)
{
    uint64_t n = connections_of(l);

    if (n > l->peak)
        l->peak = n;
    if (l->peak >= CROWD && n < l->peak / 4 && !l->give_back.set)
        timer_in(&l->give_back, GIVE_BACK_AFTER_MS);
}

static void on_stats_due(void *arg) /* timer; main */
{
    struct link *l = arg;

    note_ebb(l);
    /* First the flag, then the counters: what changes from here on is told again. */
    atomic_store(&l->dirty, false);
    l->reported_ms = clock_mono_ms();
    if (chan_first(l->hub, PROTO_CTL) == NULL)
        return; /* nobody to tell: a report would use up the first counted request's time */
    chan_hub_event(l->hub, MSG_EV_STATS, stats(l));
}

static void open_dirty(struct letter *letter, void *owner UNUSED) /* letter; main */
{
    struct link *l = CONTAINER_OF(letter, struct link, dirty_letter);

    timer_at(&l->stats, l->reported_ms + STATS_EVERY_MS);
}

void link_post_dirty(struct link *l)
{
    if (atomic_load_explicit(&l->dirty, memory_order_relaxed) || atomic_exchange(&l->dirty, true))
        return;
    l->dirty_letter.open = open_dirty;
    mailbox_post(l->mailbox, &l->dirty_letter);
}

/* ---- tables ---- */

static void save(struct link *l, const struct table *t)
{
    AUTO(mem_freep) char *text = NULL;
    json_t *services = json_object_get(t->body, "services");
    char *dump = json_dumps(services, JSON_COMPACT | JSON_SORT_KEYS);
    json_t *doc;
    struct err e;

    if (l->c.state_path == NULL || dump == NULL ||
        (l->saved != NULL && strcmp(dump, l->saved) == 0)) {
        mem_free(dump);
        return;
    }
    doc = json_pack("{s:O, s:O}", "listen", l->c.listen, "table", t->body);
    text = json_dumps(doc, JSON_INDENT(1));
    json_decref(doc);
    if (text == NULL || !file_write_atomic(l->c.state_path, text, strlen(text), 0600, &e)) {
        log_warn("table not saved", "file=%s reason=\"%s\"", l->c.state_path,
                 text != NULL ? e.msg : "out of memory");
        mem_free(dump);
        return;
    }
    mem_free(l->saved);
    l->saved = dump;
}

static void push_done(struct link *l, struct push *p)
{
    /* The mark first: it is not later than the moment when ctld hears of it. */
    drain_book_mark(l->drains, p->id, clock_mono_ms());
    chan_answer(p->ask, json_pack("{s:I}", "generation", (json_int_t)p->table->generation));
    table_unref(l->current);
    l->current = table_ref(p->table);
    log_debug("table in use", "generation=%" PRIu64, p->table->generation);
    save(l, p->table);
    list_unlink(&p->node);
    table_unref(p->table);
    mem_free(p);
    link_post_dirty(l);
}

static void push_adopted(struct link *l, uint64_t id)
{
    LIST_EACH(n, &l->pushes)
    {
        struct push *p = LIST_ENTRY_OF(n, struct push, node);

        if (p->id == id && --p->waiting == 0)
            push_done(l, p);
    }
}

/* Requests to instances that are not ready are worth a line, once. */
static void tell_fail_open(const struct table *before, const struct table *now)
{
    for (unsigned i = 0; i < now->services_n; i++) {
        const struct table_service *ts = &now->services[i];
        const struct table_service *old = table_find_service(before, ts->service->name);
        bool was = old != NULL && old->fail_open;

        if (ts->fail_open && !was)
            log_warn("no instance is ready: requests go to all that run", "service=%s backends=%u",
                     ts->service->name, ts->backends_n);
        else if (was && !ts->fail_open)
            log_info("requests go to ready instances again", "service=%s backends=%u",
                     ts->service->name, ts->backends_n);
    }
}

static void on_table_set(struct chan *ch, struct chan_ask ask, const json_t *body,
                         void *arg) /* main */
{
    struct link *l = arg;
    uint64_t generation = proto_uint(body, "generation", 0);
    struct table *t;
    struct push *p;
    struct err e;

    /* A ctld that starts anew may begin lower; one and the same never goes back. */
    if (l->pusher == chan_id(ch) && l->latest != NULL && generation <= l->latest->generation) {
        chan_refuse(ask, "generation %" PRIu64 " is not larger than %" PRIu64, generation,
                    l->latest->generation);
        return;
    }
    if (!table_new(body, l->workers_n, l->latest, drain_book_past, l->drains, &t, &e)) {
        chan_refuse(ask, "%s", e.msg);
        return;
    }
    tell_fail_open(l->latest, t);
    drain_book_push(l->drains, l->latest, t, l->push_id + 1);
    table_unref(l->latest);
    l->latest = t;
    l->pusher = chan_id(ch);
    p = mem_zalloc(sizeof(*p));
    p->id = ++l->push_id;
    p->table = table_ref(t);
    p->waiting = l->workers_n;
    p->ask = ask;
    list_push_back(&l->pushes, &p->node);
    if (l->c.on_table != NULL)
        l->c.on_table(t, l->c.arg);
    for (unsigned i = 0; i < l->workers_n; i++)
        worker_send_table(l->workers[i], t, p->id);
}

static void on_drain_wait(struct chan *ch UNUSED, struct chan_ask ask, const json_t *body,
                          void *arg) /* main */
{
    struct link *l = arg;

    drain_book_wait(l->drains, ask, l->latest, proto_str(body, "service", ""),
                    proto_str(body, "instance", ""), proto_uint(body, "timeout_ms", 0));
}

static void on_stats_get(struct chan *ch UNUSED, struct chan_ask ask, const json_t *body UNUSED,
                         void *arg) /* main */
{
    chan_answer(ask, stats(arg));
}

/* ---- letters ---- */

struct link_letter {
    struct letter letter;
    uint64_t push;
    struct backend *backend; /* counted, or NULL */
    const char *text, *detail;
};

static void letter_free(struct letter *letter) /* letter: drop */
{
    struct link_letter *ll = CONTAINER_OF(letter, struct link_letter, letter);

    backend_unref(ll->backend);
    mem_free(ll);
}

static void post(struct link *l, void (*open)(struct letter *self, void *owner), uint64_t push,
                 struct backend *b, const char *text, const char *detail)
{
    struct link_letter *ll = mem_zalloc(sizeof(*ll));

    ll->letter.open = open;
    ll->letter.drop = letter_free;
    ll->push = push;
    ll->backend = b != NULL ? backend_ref(b) : NULL;
    ll->text = text;
    ll->detail = detail;
    mailbox_post(l->mailbox, &ll->letter);
}

static void open_adopted(struct letter *letter, void *owner) /* letter; main */
{
    push_adopted(owner, CONTAINER_OF(letter, struct link_letter, letter)->push);
    letter_free(letter);
}

void link_post_adopted(struct link *l, uint64_t push)
{
    post(l, open_adopted, push, NULL, NULL, NULL);
}

static void open_drained(struct letter *letter, void *owner) /* letter; main */
{
    struct link *l = owner;

    drain_book_check(l->drains, CONTAINER_OF(letter, struct link_letter, letter)->backend,
                     clock_mono_ms());
    letter_free(letter);
}

void link_post_drained(struct link *l, struct backend *b)
{
    post(l, open_drained, 0, b, NULL, NULL);
}

static void open_hint(struct letter *letter, void *owner) /* letter; main */
{
    struct link_letter *ll = CONTAINER_OF(letter, struct link_letter, letter);
    struct link *l = owner;
    struct backend *b = ll->backend;
    uint64_t now = clock_mono_ms();

    if (now - b->hinted_ms >= HINT_EVERY_MS) {
        b->hinted_ms = now;
        log_info("backend fault", "service=%s slot=%u instance=%s reason=%s detail=\"%s\"",
                 b->service->name, b->slot, b->instance, ll->text, ll->detail);
        chan_hub_event(l->hub, MSG_EV_BACKEND,
                       json_pack("{s:s, s:i, s:s, s:s}", "service", b->service->name, "slot",
                                 (int)b->slot, "instance", b->instance, "reason", ll->text));
    }
    letter_free(letter);
}

void link_post_hint(struct link *l, struct backend *b, const char *reason, const char *detail)
{
    post(l, open_hint, 0, b, reason, detail);
}

/* The worker that ran out has closed what it kept idle; the others may keep what it needs. */
static void purge_all(struct link *l, uint64_t now)
{
    if (now - l->purged_ms < PURGE_EVERY_MS)
        return;
    l->purged_ms = now;
    for (unsigned i = 0; i < l->workers_n; i++)
        worker_send_purge(l->workers[i]);
}

static void open_full(struct letter *letter, void *owner) /* letter; main */
{
    const char *of_what = CONTAINER_OF(letter, struct link_letter, letter)->text;
    struct link *l = owner;
    uint64_t now = clock_mono_ms();

    if (strcmp(of_what, "descriptors") == 0)
        purge_all(l, now);
    if (l->full_ms == 0 || now - l->full_ms >= FULL_EVERY_MS) {
        l->full_ms = now;
        log_warn("no more connections for now", "out_of=%s", of_what);
    }
    letter_free(letter);
}

void link_post_full(struct link *l, const char *of_what)
{
    post(l, open_full, 0, NULL, of_what, NULL);
}

static void open_stopped(struct letter *letter, void *owner) /* letter; main */
{
    struct link *l = owner;

    letter_free(letter);
    l->c.on_stopped(l->c.arg);
}

void link_post_stopped(struct link *l)
{
    post(l, open_stopped, 0, NULL, NULL, NULL);
}

/* ---- life ---- */

static void on_channel_open(struct chan *ch, void *arg) /* main */
{
    log_info("channel open", "peer=%s pid=%d build=%s", proto_role_name(chan_peer_role(ch)),
             (int)chan_peer_pid(ch), chan_peer_build(ch));
    link_post_dirty(arg);
}

static void on_channel_close(struct chan *ch, const char *why, void *arg UNUSED) /* main */
{
    log_info("channel closed", "peer=%s pid=%d reason=\"%s\"", proto_role_name(chan_peer_role(ch)),
             (int)chan_peer_pid(ch), why);
}

bool link_new(const struct link_config *c, struct link **ret, struct err *e)
{
    struct link *l = mem_zalloc(sizeof(*l));

    l->c = *c;
    list_init(&l->pushes);
    l->drains = drain_book_new(c->loop);
    snprintf(l->boot, sizeof(l->boot), "%d-%" PRIu64, (int)getpid(), clock_wall_ms());
    timer_init(&l->stats, c->loop, on_stats_due, l);
    timer_init(&l->give_back, c->loop, on_give_back, l);
    if (!mailbox_new(c->loop, l, &l->mailbox, e)) {
        link_free(l);
        return false;
    }
    *ret = l;
    return true;
}

bool link_open(struct link *l, struct err *e)
{
    struct chan_config c = {
        .role = PROTO_LB,
        .build = LBCTL_VERSION,
        .arg = l,
        .handlers = {[MSG_TABLE_SET] = on_table_set,
                     [MSG_DRAIN_WAIT] = on_drain_wait,
                     [MSG_STATS_GET] = on_stats_get},
        .on_open = on_channel_open,
        .on_close = on_channel_close,
    };

    return chan_hub_new(l->c.loop, &c, &l->hub, e) &&
           chan_hub_listen(l->hub, l->c.sock_path, 0660, e);
}

void link_set_workers(struct link *l, struct worker **workers, unsigned n, struct table *first)
{
    l->workers = workers;
    l->workers_n = n;
    if (first != NULL) {
        l->latest = table_ref(first);
        l->current = table_ref(first);
        l->saved =
            json_dumps(json_object_get(first->body, "services"), JSON_COMPACT | JSON_SORT_KEYS);
    }
}

void link_free(struct link *l)
{
    if (l == NULL)
        return;
    drain_book_free(l->drains); /* answers those who wait */
    chan_hub_free(l->hub);
    LIST_EACH(n, &l->pushes)
    {
        struct push *p = LIST_ENTRY_OF(n, struct push, node);

        table_unref(p->table);
        mem_free(p);
    }
    if (l->mailbox != NULL)
        mailbox_free(l->mailbox);
    timer_fini(&l->stats);
    timer_fini(&l->give_back);
    table_unref(l->latest);
    table_unref(l->current);
    mem_free(l->saved);
    mem_free(l);
}
