#include "ctl/events.h"

#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "ctl/braking.h"
#include "ctl/cli.h"
#include "ctl/core/why.h"
#include "ctl/ledger.h"
#include "ctl/scaler.h"

enum { WAIT_MS_MAX = 4000, TEXT_MAX = 32 * 1024, SERVICE_LEN = 65 };

/* Somebody who asked for what comes. */
struct waiter {
    struct list node;
    struct events *ev;
    struct chan_ask ask;
    struct timer timer;
    char service[SERVICE_LEN]; /* "": all */
    int slot;
    uint64_t after;
    size_t limit;
};

struct events {
    struct ctl *c;
    struct list waiters;
    unsigned n;
    struct loop_later later;
};

struct events *events_new(struct ctl *c)
{
    struct events *ev = mem_zalloc(sizeof(*ev));

    ev->c = c;
    list_init(&ev->waiters);
    list_init(&ev->later.node);
    return ev;
}

static void waiter_free(struct waiter *w)
{
    list_unlink(&w->node);
    w->ev->n--;
    timer_fini(&w->timer);
    mem_free(w);
}

void events_free(struct events *ev)
{
    if (ev == NULL)
        return;
    LIST_EACH(n, &ev->waiters)
    {
        waiter_free(LIST_ENTRY_OF(n, struct waiter, node));
    }
    list_unlink(&ev->later.node);
    mem_free(ev);
}

static json_t *find(const struct waiter *w, uint64_t *ret_last)
{
    struct ledger_ask a = {.service = w->service[0] != '\0' ? w->service : NULL,
                           .slot = w->slot,
                           .after = w->after,
                           .limit = w->limit};

    return ledger_list(w->ev->c->ledger, &a, ret_last);
}

/* Answers when there is something to tell, or when that must be now. */
static bool answer(const struct waiter *w, bool now)
{
    uint64_t last = 0;
    json_t *list = find(w, &last);

    if (json_array_size(list) == 0 && !now) {
        json_decref(list);
        return false;
    }
    chan_answer(w->ask, json_pack("{s:o, s:I}", "events", list, "last", (json_int_t)last));
    return true;
}

static void on_waiter_timer(void *arg) /* timer */
{
    struct waiter *w = arg;

    (void)answer(w, true);
    waiter_free(w);
}

static void on_events_later(struct loop_later *self) /* loop_later */
{
    struct events *ev = CONTAINER_OF(self, struct events, later);

    LIST_EACH(n, &ev->waiters)
    {
        struct waiter *w = LIST_ENTRY_OF(n, struct waiter, node);

        if (answer(w, false))
            waiter_free(w);
    }
}

void events_wake(struct events *ev)
{
    if (ev != NULL && !list_empty(&ev->waiters)) /* what one turn notes is told together */
        loop_later(ev->c->loop, &ev->later, on_events_later);
}

void events_on_get(struct chan *ch, struct chan_ask ask, const json_t *body, void *arg)
{
    struct ctl *c = arg;
    struct events *ev = c->events;
    uint64_t limit = proto_uint(body, "limit", EVENTS_DEFAULT);
    uint64_t wait_ms = proto_uint(body, "wait_ms", 0);
    uint64_t slot = proto_uint(body, "slot", UINT64_MAX);
    struct waiter first = {.ev = ev,
                           .ask = ask,
                           .slot = slot != UINT64_MAX ? (int)slot : -1,
                           .after = proto_uint(body, "after", UINT64_MAX),
                           .limit = (size_t)(limit < EVENTS_LIMIT ? limit : EVENTS_LIMIT)};
    struct waiter *w;

    (void)ch;
    (void)snprintf(first.service, sizeof first.service, "%s", proto_str(body, "service", ""));
    if (answer(&first, wait_ms == 0 || ev->n >= EVENTS_WAIT_MAX))
        return;
    if (first.after == UINT64_MAX)
        first.after = ledger_last(c->ledger);
    w = mem_zalloc(sizeof(*w));
    *w = first;
    timer_init(&w->timer, c->loop, on_waiter_timer, w);
    timer_in(&w->timer, wait_ms < WAIT_MS_MAX ? wait_ms : WAIT_MS_MAX);
    list_push_back(&ev->waiters, &w->node);
    ev->n++;
}

/* ---- why ---- */

static void explain_slot(struct place *p, struct buf *out)
{
    char brake[2 * SLOT_REASON_MAX];

    why_slot(&(struct why_slot){.service = p->service->c->name,
                                .slot = p->index,
                                .s = &p->s,
                                .port = model_port(p),
                                .health = p->health,
                                .wanted = p->index < p->service->wish,
                                .now_ms = loop_now_ms(p->service->ctl->loop),
                                .now_wall_ms = clock_wall_ms()},
             out);
    if (p->s.state == SLOT_UNHEALTHY && braking_text(p->service, brake, sizeof brake)[0] != '\0')
        (void)buf_printf(out, " The brake is on: %s.", brake);
}

static void explain_service(struct service *s, struct buf *out)
{
    uint64_t now = loop_now_ms(s->ctl->loop);
    char brake[2 * SLOT_REASON_MAX];

    model_refresh_waits(s);
    why_service(
        &(struct why_service){
            .service = s->c->name,
            .mode = scaler_mode(s),
            .wish = s->wish,
            .ready = model_ready(s),
            .min = s->rule.min,
            .max = s->rule.max,
            .armed = s->scale.armed,
            .next_ms = s->scale.at_ms > now ? s->scale.at_ms - now : 0,
            .count = s->scale.count,
            .would_be = scaler_is_auto(s) ? scale_target(&s->rule, s->scale.count) : s->wish,
            .last = s->decided ? s->last.reason : NULL,
            .last_ago_ms = now - s->last_ms,
            .waits_for = s->deps_n > 0 && !model_deps_ready(s) ? s->waits_for : NULL,
            .brake = braking_text(s, brake, sizeof brake)},
        out);
    for (unsigned i = 0; i < s->places_n; i++) {
        struct place *p = &s->places[i];

        if (p->s.state == SLOT_READY || (i >= s->wish && p->s.state == SLOT_EMPTY))
            continue;
        (void)buf_adds(out, " ");
        explain_slot(p, out);
    }
}

void events_on_why(struct chan *ch, struct chan_ask ask, const json_t *body, void *arg)
{
    struct ctl *c = arg;
    struct service *s = cli_named(c, ask, body);
    uint64_t slot = proto_uint(body, "slot", UINT64_MAX);
    struct place *p = NULL;
    struct buf text;
    json_t *o;

    (void)ch;
    if (s == NULL)
        return;
    if (slot != UINT64_MAX && (p = cli_place(s, ask, slot)) == NULL)
        return;
    buf_init(&text, TEXT_MAX);
    if (p != NULL)
        explain_slot(p, &text);
    else
        explain_service(s, &text);
    o = json_pack("{s:s, s:s}", "service", s->c->name, "text", text.data != NULL ? text.data : "");
    buf_fini(&text);
    if (p != NULL)
        (void)json_object_update_new(
            o, json_pack("{s:i, s:s, s:s, s:s, s:I}", "slot", (int)p->index, "state",
                         slot_state_name(p->s.state), "code", reason_code(p->s.why), "next",
                         reason_next(p->s.why), "since_ms",
                         (json_int_t)(loop_now_ms(c->loop) - p->s.since_ms)));
    chan_answer(ask, o);
}
