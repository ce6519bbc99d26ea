#include "ctl/store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "ctl/hold.h"
#include "ctl/lblink.h"
#include "ctl/scaler.h"

enum { STORE_SCHEMA = 1, STORE_FILE_MODE = 0640, STORE_FAILS_MAX = 100 };

struct store {
    struct ctl *c;
    char *path;
    struct timer timer;
    bool dirty, failing;
};

static json_t *pack_service(const struct service *s)
{
    json_t *slots = json_array();

    for (unsigned i = 0; i < s->places_n; i++) {
        const struct place *p = &s->places[i];

        (void)json_array_append_new(slots, json_pack("{s:I, s:i, s:i, s:i, s:s, s:o}", "generation",
                                                     (json_int_t)p->s.generation, "replaced",
                                                     (int)p->s.replaced, "fails", (int)p->s.fails,
                                                     "flaps", (int)p->s.flaps, "ready",
                                                     p->ready_token, "hold", hold_pack(&p->hold)));
    }
    return json_pack("{s:i, s:b, s:s, s:{s:b, s:I, s:I, s:b}, s:{s:s, s:I}, s:o, s:I, s:o}", "wish",
                     (int)s->wish, "manual", s->manual, "hash", s->hash, "clock", "armed",
                     s->scale.armed, "at_ms", (json_int_t)s->scale.at_ms, "count",
                     (json_int_t)s->scale.count, "gap", s->scale.gap, "feed", "boot", s->feed.boot,
                     "seen", (json_int_t)s->feed.seen, "slots", slots, "pin_until_ms",
                     (json_int_t)s->pin_until_ms, "hold", hold_pack(&s->hold));
}

static json_t *pack_all(const struct ctl *c)
{
    json_t *services = json_object();

    for (size_t i = 0; i < c->services_n; i++)
        (void)json_object_set_new(services, c->services[i].c->name, pack_service(&c->services[i]));
    return json_pack("{s:i, s:s, s:I, s:o}", "schema", STORE_SCHEMA, "boot", clock_boot_id(),
                     "generation", (json_int_t)lblink_generation(c->lb), "services", services);
}

static void save(struct store *st)
{
    json_t *doc = pack_all(st->c);
    char *text = json_dumps(doc, JSON_INDENT(1) | JSON_SORT_KEYS);
    struct err e;

    timer_clear(&st->timer);
    st->dirty = false;
    json_decref(doc);
    if (text == NULL)
        return;
    if (file_write_atomic(st->path, text, strlen(text), STORE_FILE_MODE, &e)) {
        if (st->failing)
            log_info("state saved again", "path=%s", st->path);
        st->failing = false;
    } else {
        if (!st->failing) /* a full disk is told once */
            log_warn("state not saved", "reason=\"%s\"", e.msg);
        st->failing = true;
        st->dirty = true;
        timer_in(&st->timer, 10 * STORE_DELAY_MS);
    }
    mem_free(text);
}

static void on_store_timer(void *arg) /* timer */
{
    save(arg);
}

void store_forget(const char *state_dir)
{
    static const char *const files[] = {"ctl.json", "runtime"};

    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        AUTO(mem_freep) char *path = mem_printf("%s/%s", state_dir, files[i]);

        if (unlink(path) < 0 && errno != ENOENT)
            log_warn("saved state not removed", "path=%s reason=\"%s\"", path, strerror(errno));
    }
}

struct store *store_new(struct ctl *c, const char *state_dir)
{
    struct store *st = mem_zalloc(sizeof(*st));

    st->c = c;
    st->path = mem_printf("%s/ctl.json", state_dir);
    timer_init(&st->timer, c->loop, on_store_timer, st);
    return st;
}

void store_free(struct store *st)
{
    if (st == NULL)
        return;
    if (st->dirty)
        save(st);
    timer_fini(&st->timer);
    mem_free(st->path);
    mem_free(st);
}

static void mark(struct store *st, uint64_t in_ms)
{
    uint64_t at = loop_now_ms(st->c->loop) + in_ms;

    st->dirty = true;
    if (!st->failing && (!st->timer.set || st->timer.at_ms > at))
        timer_at(&st->timer, at);
}

void store_soon(struct store *st)
{
    mark(st, STORE_DELAY_MS);
}

void store_lazily(struct store *st)
{
    mark(st, STORE_LAZY_MS);
}

void store_now(struct store *st)
{
    mark(st, 0);
}

/* ---- reading: every member is doubted ---- */

static uint64_t number(const json_t *obj, const char *name)
{
    json_int_t n = json_integer_value(json_object_get(obj, name));

    return n > 0 ? (uint64_t)n : 0;
}

/* Failures of another form say nothing about this one. */
static void load_slots(struct service *s, const json_t *slots, bool same_form)
{
    for (unsigned i = 0; i < s->places_n; i++) {
        struct place *p = &s->places[i];
        const json_t *row = json_array_get(slots, i);
        const char *ready = json_string_value(json_object_get(row, "ready"));

        p->s.generation = number(row, "generation");
        p->s.replaced = (unsigned)number(row, "replaced");
        p->s.fails = number(row, "fails") < STORE_FAILS_MAX ? (unsigned)number(row, "fails")
                                                            : STORE_FAILS_MAX;
        p->s.flaps = number(row, "flaps") < STORE_FAILS_MAX ? (unsigned)number(row, "flaps")
                                                            : STORE_FAILS_MAX;
        if (!same_form)
            p->s.fails = p->s.flaps = 0;
        hold_load(&p->hold, json_object_get(row, "hold"));
        (void)snprintf(p->ready_token, sizeof p->ready_token, "%s", ready != NULL ? ready : "");
    }
}

static void load_clock(struct service *s, const json_t *row)
{
    const json_t *clock = json_object_get(row, "clock"), *feed = json_object_get(row, "feed");
    uint64_t now = loop_now_ms(s->ctl->loop), at = number(clock, "at_ms");
    const char *boot = json_string_value(json_object_get(feed, "boot"));

    s->scale.count = number(clock, "count");
    s->scale.gap = json_is_true(json_object_get(clock, "gap"));
    s->scale.armed = json_is_true(json_object_get(clock, "armed")) && scaler_is_auto(s);
    /* A deadline further away than one interval is not ours, or the interval was shortened. */
    s->scale.at_ms = at < now + s->rule.every_ms ? at : now + s->rule.every_ms;
    (void)snprintf(s->feed.boot, sizeof s->feed.boot, "%s", boot != NULL ? boot : "");
    s->feed.seen = number(feed, "seen");
}

static void load_service(struct service *s, const json_t *row, bool same_boot)
{
    uint64_t wish = number(row, "wish");
    uint64_t now = loop_now_ms(s->ctl->loop);

    const char *hash = json_string_value(json_object_get(row, "hash"));

    load_slots(s, json_object_get(row, "slots"), hash == NULL || strcmp(hash, s->hash) == 0);
    hold_load(&s->hold, json_object_get(row, "hold"));
    if (wish == 0 || !model_has_instances(s))
        return;
    s->restored = true;
    s->manual = json_is_true(json_object_get(row, "manual"));
    s->pin_until_ms = s->manual ? number(row, "pin_until_ms") : 0;
    s->wish = wish < s->rule.max ? (unsigned)wish : s->rule.max;
    if (!s->manual && (s->wish < s->rule.min || s->rule.every_ms == 0))
        s->wish = s->rule.min;
    if (same_boot)
        load_clock(s, row);
    if (scaler_is_auto(s) && !s->scale.armed && s->wish > s->rule.min)
        scale_resume(&s->scale, &s->rule, s->wish, now);
}

void store_load(struct store *st)
{
    AUTO(mem_freep) char *text = NULL;
    struct err e;
    size_t n = 0;
    json_t *doc;
    bool same_boot;

    if (!file_read(st->path, STORE_MAX, &text, &n, &e)) {
        if (access(st->path, F_OK) == 0)
            log_warn("saved state not read", "reason=\"%s\"", e.msg);
        return;
    }
    doc = json_loadb(text, n, 0, NULL);
    if (number(doc, "schema") != STORE_SCHEMA) {
        log_warn("saved state not understood", "path=%s", st->path);
        json_decref(doc);
        return;
    }
    same_boot = strcmp(clock_boot_id(), proto_str(doc, "boot", "")) == 0;
    lblink_set_generation(st->c->lb, number(doc, "generation"));
    for (size_t i = 0; i < st->c->services_n; i++) {
        const json_t *row =
            json_object_get(json_object_get(doc, "services"), st->c->services[i].c->name);

        if (row != NULL)
            load_service(&st->c->services[i], row, same_boot);
    }
    json_decref(doc);
}
