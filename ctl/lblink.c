#include "ctl/lblink.h"

#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "ctl/ctl.h"
#include "ctl/ledger.h"
#include "ctl/observe.h"
#include "ctl/probing.h"
#include "ctl/scaler.h"
#include "ctl/store.h"
#include "ctl/table.h"

static const uint32_t ASK_MAGIC = MAGIC('l', 'a', 's', 'k');

enum { FRESH_MS = 1000 };

/* Somebody waits for an instance to be drained. Named by id: answers may come after its end. */
struct drain {
    struct list node;
    struct lblink *link;
    uint64_t id;
    char service[65], token[SLOT_TOKEN_MAX];
    uint64_t limit_ms, last_ms; /* last_ms: its end, whatever happens */
    bool asked, over;
    uint64_t acked_ms, acked_generation; /* when lbd confirmed a table without it, and which */
    struct timer timer;
    lblink_drained_fn *done;
    uint64_t tag;
};

/* A request to lbd that waits for its answer. */
struct ask {
    uint32_t magic;
    struct lblink *link;
    uint64_t id; /* of the drain */
    lblink_fresh_fn *fresh;
    uint64_t tag;
    json_t *table; /* of the push, with a reference */
    uint64_t generation;
};

struct lblink {
    struct ctl *c;
    struct lblink_info info;
    uint64_t generation;
    json_t *acked; /* what lbd of this connection uses, without the generation; NULL: not known */
    uint64_t acked_generation, acked_ms; /* and when it said so */
    bool pushing, greeted, stopped;
    bool open; /* enough is known of reality to push a table */
    struct timer retry;
    struct list drains;
    uint64_t last_id;
    json_t *stats; /* last report, to recognise instances by */
};

static struct ask *ask_new(struct lblink *l)
{
    struct ask *a = mem_zalloc(sizeof(*a));

    a->magic = ASK_MAGIC;
    a->link = l;
    return a;
}

static void ask_free(struct ask *a)
{
    json_decref(a->table);
    a->magic = 0;
    mem_free(a);
}

static void on_lblink_retry(void *arg) /* timer */
{
    lblink_update(arg);
}

struct lblink *lblink_new(struct ctl *c)
{
    struct lblink *l = mem_zalloc(sizeof(*l));

    l->c = c;
    l->info.since_ms = loop_now_ms(c->loop);
    list_init(&l->drains);
    timer_init(&l->retry, c->loop, on_lblink_retry, l);
    return l;
}

static void drain_free(struct drain *d)
{
    list_unlink(&d->node);
    timer_fini(&d->timer);
    mem_free(d);
}

void lblink_stop(struct lblink *l)
{
    l->stopped = true;
    LIST_EACH(n, &l->drains)
    {
        drain_free(LIST_ENTRY_OF(n, struct drain, node));
    }
}

void lblink_free(struct lblink *l)
{
    if (l == NULL)
        return;
    lblink_stop(l);
    timer_fini(&l->retry);
    json_decref(l->acked);
    json_decref(l->stats);
    mem_free(l);
}

static struct chan *lb_chan(struct lblink *l)
{
    return l->info.connected ? chan_first(l->c->hub, PROTO_LB) : NULL;
}

/* ---- drains ---- */

/* The slot whose current instance it is; NULL: one that no slot has any more. */
static struct place *place_of(const struct drain *d)
{
    struct service *s = model_service(d->link->c, d->service);

    for (unsigned i = 0; s != NULL && i < s->places_n; i++)
        if (strcmp(s->places[i].s.cur.token, d->token) == 0)
            return &s->places[i];
    return NULL;
}

/* lbd's receipt, or the lack of one, is what a stop stands on. */
static void note_receipt(const struct drain *d, const json_t *body, const char *why)
{
    struct place *p = place_of(d);
    bool drained = proto_bool(body, "drained", false);
    uint64_t seq;
    json_t *inputs =
        json_pack("{s:s, s:b, s:I, s:I}", "instance", d->token, "drained", drained, "limit_ms",
                  (json_int_t)d->limit_ms, "acked_ms", (json_int_t)d->acked_ms);

    if (body != NULL)
        (void)json_object_update_new(
            inputs,
            json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "generation",
                      (json_int_t)proto_uint(body, "generation", d->acked_generation),
                      "in_flight_at_mark", (json_int_t)proto_uint(body, "in_flight_at_mark", 0),
                      "in_flight", (json_int_t)proto_uint(body, "in_flight", 0), "after_mark",
                      (json_int_t)proto_uint(body, "after_mark", 0), "took_ms",
                      (json_int_t)proto_uint(body, "took_ms", 0), "mark_ms",
                      (json_int_t)proto_uint(body, "mark_ms", 0), "zero_ms",
                      (json_int_t)proto_uint(body, "zero_ms", 0)));
    seq = ledger_note(d->link->c->ledger,
                      &(struct ledger_entry){LEDGER_DRAIN,
                                             drained ? REASON_DRAINED : REASON_DRAIN_FORCED,
                                             d->service, p != NULL ? (int)p->index : -1, inputs},
                      body == NULL ? "no receipt: %s"
                      : drained    ? "nothing is in flight at instance %s"
                                   : "something is still in flight at instance %s",
                      body == NULL ? why : d->token);
    if (p != NULL)
        p->receipt = seq;
}

static void drain_end(struct drain *d, const char *why)
{
    struct ctl *c = d->link->c;
    lblink_drained_fn *done = d->done;
    uint64_t tag = d->tag;

    if (why != NULL)
        log_warn("drain not confirmed", "service=%s instance=%s reason=\"%s\"", d->service,
                 d->token, why);
    if (why != NULL)
        note_receipt(d, NULL, why);
    drain_free(d);
    done(c, tag);
}

static struct drain *drain_find(struct lblink *l, uint64_t id)
{
    LIST_EACH(n, &l->drains)
    {
        struct drain *d = LIST_ENTRY_OF(n, struct drain, node);

        if (d->id == id)
            return d;
    }
    return NULL;
}

static void log_receipt(const struct drain *d, const json_t *body)
{
    log_info("drained",
             "service=%s instance=%s drained=%s generation=%llu in_flight_at_mark=%llu "
             "in_flight=%llu took_ms=%llu",
             d->service, d->token, proto_bool(body, "drained", false) ? "yes" : "no",
             (unsigned long long)proto_uint(body, "generation", 0),
             (unsigned long long)proto_uint(body, "in_flight_at_mark", 0),
             (unsigned long long)proto_uint(body, "in_flight", 0),
             (unsigned long long)proto_uint(body, "took_ms", 0));
    if (proto_uint(body, "after_mark", 0) > 0)
        log_error("requests after the drain mark", "service=%s instance=%s requests=%llu",
                  d->service, d->token, (unsigned long long)proto_uint(body, "after_mark", 0));
}

static void on_drain_answer(void *arg, const json_t *body, const struct err *e) /* chan_done_fn */
{
    struct ask *a = CAST(arg, ask, ASK_MAGIC);
    struct drain *d = drain_find(a->link, a->id);

    ask_free(a);
    if (d == NULL)
        return;
    if (body != NULL) {
        log_receipt(d, body);
        note_receipt(d, body, NULL);
    }
    drain_end(d, body != NULL ? NULL : e->msg);
}

/* Is it out of rotation? Then ask for the receipt, or be content. */
static void drain_step(struct drain *d)
{
    struct lblink *l = d->link;
    struct chan *ch = lb_chan(l);
    struct ask *a;

    if (d->asked || d->over || ch == NULL || l->acked == NULL ||
        table_has(l->acked, d->service, d->token))
        return;
    d->acked_ms = l->acked_ms;
    d->acked_generation = l->acked_generation;
    if (d->limit_ms == 0) {
        d->over = true; /* ends in the next turn: the caller may still be in lblink_drain() */
        timer_in(&d->timer, 0);
        return;
    }
    d->asked = true;
    a = ask_new(l);
    a->id = d->id;
    chan_request(ch, MSG_DRAIN_WAIT,
                 json_pack("{s:s, s:s, s:I}", "service", d->service, "instance", d->token,
                           "timeout_ms", (json_int_t)d->limit_ms),
                 d->limit_ms + LBLINK_ACK_MS, on_drain_answer, a);
}

static void on_drain_timer(void *arg) /* timer */
{
    struct drain *d = arg;

    if (d->over)
        drain_end(d, NULL);
    else
        drain_end(d, d->link->info.connected ? "lbd did not confirm in time"
                                             : "lbd cannot be reached");
}

/* How long to wait for lbd from now on. */
static void drain_set_timer(struct drain *d)
{
    uint64_t now = loop_now_ms(d->link->c->loop);
    uint64_t at = now + (d->link->info.connected ? d->limit_ms + LBLINK_AWAY_MS : LBLINK_AWAY_MS);

    if (!d->over)
        timer_at(&d->timer, at < d->last_ms ? at : d->last_ms);
}

void lblink_drain(struct lblink *l, const char *service, const char *token, uint64_t limit_ms,
                  lblink_drained_fn *done, uint64_t tag)
{
    struct drain *d = mem_zalloc(sizeof(*d));

    *d = (struct drain){
        .link = l, .id = ++l->last_id, .limit_ms = limit_ms, .done = done, .tag = tag};
    (void)snprintf(d->service, sizeof d->service, "%s", service);
    (void)snprintf(d->token, sizeof d->token, "%s", token);
    d->last_ms = loop_now_ms(l->c->loop) + limit_ms + 4 * LBLINK_ACK_MS;
    timer_init(&d->timer, l->c->loop, on_drain_timer, d);
    list_push_back(&l->drains, &d->node);
    drain_set_timer(d);
    ctl_kick(l->c); /* the table without it is pushed at the end of this turn */
    drain_step(d);
}

static void step_drains(struct lblink *l)
{
    LIST_EACH(n, &l->drains)
    {
        drain_step(LIST_ENTRY_OF(n, struct drain, node));
    }
}

/* ---- pushing ---- */

static bool unprobed_adopted(const struct ctl *c)
{
    for (size_t i = 0; i < c->services_n; i++)
        for (unsigned k = 0; k < c->services[i].places_n; k++) {
            const struct place *p = &c->services[i].places[k];

            if (p->s.cur.listed && slot_is_probed(&p->s) && !model_is_probed(p))
                return true;
        }
    return false;
}

/* lbd's own table is better than one made before the engine was seen and adopted instances were
 * probed. */
static bool is_open(struct lblink *l)
{
    uint64_t limit;

    if (l->open)
        return true;
    if (!observe_seen(l->c->observer))
        return false;
    limit = observe_seen_ms(l->c->observer) + LBLINK_ADOPT_MS;
    if (unprobed_adopted(l->c) && loop_now_ms(l->c->loop) < limit) {
        timer_at(&l->retry, limit);
        return false;
    }
    return l->open = true;
}

static void on_push_answer(void *arg, const json_t *body, const struct err *e) /* chan_done_fn */
{
    struct ask *a = CAST(arg, ask, ASK_MAGIC);
    struct lblink *l = a->link;

    l->pushing = false;
    if (l->stopped) {
        ask_free(a);
        return;
    }
    if (body != NULL) {
        log_debug("table acknowledged", "generation=%llu", (unsigned long long)a->generation);
        json_decref(l->acked);
        l->acked = json_incref(a->table);
        l->acked_ms = loop_now_ms(l->c->loop);
        l->acked_generation = l->info.generation = proto_uint(body, "generation", a->generation);
        step_drains(l);
        lblink_update(l);
    } else {
        log_warn("table not acknowledged", "generation=%llu reason=\"%s\"",
                 (unsigned long long)a->generation, e->msg);
        json_decref(l->acked);
        l->acked = NULL; /* it may have been taken all the same */
        timer_in(&l->retry, LBLINK_RETRY_MS);
    }
    ask_free(a);
}

static void push(struct lblink *l, struct chan *ch, json_t *table)
{
    struct ask *a = ask_new(l);
    json_t *body = json_copy(table);

    a->table = json_incref(table);
    a->generation = ++l->generation;
    (void)json_object_set_new(body, "generation", json_integer((json_int_t)a->generation));
    l->pushing = true;
    table_mark_listed(l->c);
    store_soon(l->c->store);
    chan_request(ch, MSG_TABLE_SET, body, LBLINK_ACK_MS, on_push_answer, a);
}

void lblink_update(struct lblink *l)
{
    struct chan *ch = lb_chan(l);
    json_t *table;

    if (l->stopped || ch == NULL || l->pushing || !l->greeted || !is_open(l))
        return;
    table = table_build(l->c);
    if (l->acked == NULL || json_equal(l->acked, table) == 0)
        push(l, ch, table);
    json_decref(table);
}

/* ---- counters ---- */

static void take_service(struct lblink *l, struct service *s, const json_t *row, const char *boot)
{
    const json_t *b;
    size_t i;

    s->stats = (struct service_stats){
        proto_uint(row, "requests", 0),       proto_uint(row, "counted", 0),
        proto_uint(row, "in_flight", 0),      proto_uint(row, "errors", 0),
        proto_uint(row, "retries", 0),        proto_uint(row, "latency_p50_us", 0),
        proto_uint(row, "latency_p99_us", 0),
    };
    for (unsigned k = 0; k < s->places_n; k++)
        s->places[k].in_flight = 0;
    json_array_foreach(json_object_get(row, "backends"), i, b)
    {
        uint64_t slot = proto_uint(b, "slot", UINT64_MAX);
        struct place *p = slot < s->places_n ? &s->places[slot] : NULL;

        if (p == NULL || strcmp(p->s.cur.token, proto_str(b, "instance", "")) != 0)
            continue;
        p->requests = proto_uint(b, "requests", 0);
        p->in_flight = proto_uint(b, "in_flight", 0);
    }
    scaler_take(l->c->scaler, s, boot, s->stats.counted, proto_uint(row, "first_ms", 0));
}

static const json_t *stats_row(const json_t *stats, const char *service)
{
    const json_t *row;
    size_t i;

    json_array_foreach(json_object_get(stats, "services"), i, row)
    {
        if (strcmp(proto_str(row, "name", ""), service) == 0)
            return row;
    }
    return NULL;
}

/* lbd uses a table that is not ours: somebody else has pushed one. Ours is put back. */
static void watch_generation(struct lblink *l)
{
    if (l->pushing || l->acked == NULL || l->info.generation == l->acked_generation)
        return;
    log_warn("table of somebody else", "generation=%llu ours=%llu",
             (unsigned long long)l->info.generation, (unsigned long long)l->acked_generation);
    json_decref(l->acked);
    l->acked = NULL;
    ctl_kick(l->c);
}

void lblink_on_stats(struct lblink *l, const json_t *body)
{
    const char *boot = proto_str(body, "boot", "");

    json_decref(l->stats);
    l->stats = json_incref((json_t *)body);
    l->info.connections = proto_uint(body, "connections", 0);
    l->info.generation = proto_uint(body, "generation", 0);
    if (l->info.generation > l->generation)
        l->generation = l->info.generation;
    watch_generation(l);
    for (size_t i = 0; i < l->c->services_n; i++) {
        struct service *s = &l->c->services[i];

        take_service(l, s, stats_row(body, s->c->name), boot);
    }
}

bool lblink_had(const struct lblink *l, const char *service, const char *token)
{
    const json_t *b;
    size_t i;

    json_array_foreach(json_object_get(stats_row(l->stats, service), "backends"), i, b)
    {
        if (strcmp(proto_str(b, "instance", ""), token) == 0)
            return true;
    }
    return false;
}

void lblink_on_hint(struct lblink *l, const json_t *body)
{
    struct place *p = model_place(l->c, proto_str(body, "service", ""),
                                  (unsigned)proto_uint(body, "slot", UINT16_MAX));

    if (p == NULL || strcmp(p->s.cur.token, proto_str(body, "instance", "")) != 0)
        return;
    log_debug("traffic met a fault", "service=%s slot=%u reason=%s", p->service->c->name, p->index,
              proto_str(body, "reason", ""));
    probing_hint(p);
}

static void on_fresh_answer(void *arg, const json_t *body, const struct err *e) /* chan_done_fn */
{
    struct ask *a = CAST(arg, ask, ASK_MAGIC);
    struct lblink *l = a->link;

    if (body != NULL && !l->stopped)
        lblink_on_stats(l, body);
    else if (body == NULL)
        log_warn("no counters from lbd", "reason=\"%s\"", e->msg);
    if (!l->stopped)
        a->fresh(l->c, body != NULL, a->tag);
    ask_free(a);
}

void lblink_fresh(struct lblink *l, lblink_fresh_fn *done, uint64_t tag)
{
    struct chan *ch = lb_chan(l);
    struct ask *a;

    if (ch == NULL) {
        done(l->c, false, tag);
        return;
    }
    a = ask_new(l);
    a->fresh = done;
    a->tag = tag;
    chan_request(ch, MSG_STATS_GET, json_object(), FRESH_MS, on_fresh_answer, a);
}

/* ---- the connection ---- */

/* lbd's first numbers: its generation, and which instances it knows. Then it gets our table. */
static void on_first_fresh(struct ctl *c, bool ok, uint64_t tag) /* lblink_fresh_fn */
{
    struct lblink *l = c->lb;

    (void)ok;
    if (tag != l->info.since_ms) /* of an earlier connection */
        return;
    l->greeted = true;
    observe_soon(c->observer);
    ctl_kick(c);
}

void lblink_on_open(struct lblink *l, struct chan *ch)
{
    l->info.connected = true;
    l->info.since_ms = loop_now_ms(l->c->loop);
    l->info.pid = (long)chan_peer_pid(ch);
    (void)snprintf(l->info.build, sizeof l->info.build, "%s", chan_peer_build(ch));
    l->greeted = false;
    json_decref(l->acked);
    l->acked = NULL;
    log_info("lbd connected", "pid=%ld build=%s", l->info.pid, l->info.build);
    ledger_note(l->c->ledger,
                &(struct ledger_entry){LEDGER_DAEMON, REASON_LBD_BACK, NULL, -1, NULL},
                "lbd is connected: pid %ld, build %s", l->info.pid, l->info.build);
    LIST_EACH(n, &l->drains)
    {
        drain_set_timer(LIST_ENTRY_OF(n, struct drain, node));
    }
    lblink_fresh(l, on_first_fresh, l->info.since_ms);
}

void lblink_on_close(struct lblink *l)
{
    log_warn("lbd lost", "pid=%ld", l->info.pid);
    ledger_note(l->c->ledger,
                &(struct ledger_entry){LEDGER_DAEMON, REASON_LBD_LOST, NULL, -1, NULL},
                "lbd is lost: pid %ld", l->info.pid);
    l->info.connected = false;
    l->info.since_ms = loop_now_ms(l->c->loop);
    l->greeted = false;
    json_decref(l->acked);
    l->acked = NULL;
    LIST_EACH(n, &l->drains)
    {
        drain_set_timer(LIST_ENTRY_OF(n, struct drain, node));
    }
}

const struct lblink_info *lblink_info(const struct lblink *l)
{
    return &l->info;
}

uint64_t lblink_generation(const struct lblink *l)
{
    return l->generation;
}

void lblink_set_generation(struct lblink *l, uint64_t g)
{
    if (g > l->generation)
        l->generation = g;
}
