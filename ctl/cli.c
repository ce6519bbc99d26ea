#include "ctl/cli.h"

#include <stdio.h>

#include "common/base/mem.h"
#include "common/base/str.h"
#include "ctl/model.h"
#include "ctl/reload.h"
#include "ctl/scaler.h"
#include "ctl/status.h"

enum { NAMES_MAX = 256 };

struct service *cli_named(struct ctl *c, struct chan_ask ask, const json_t *body)
{
    const char *name = proto_str(body, "service", "");
    struct service *s = model_service(c, name);
    const char *names[NAMES_MAX], *like;
    char q[200];
    size_t n = 0;

    if (s != NULL)
        return s;
    for (; n < c->services_n && n < NAMES_MAX; n++)
        names[n] = c->services[n].c->name;
    like = str_suggest(name, names, n);
    (void)str_quote(sv_of(name), q, sizeof q);
    if (like != NULL)
        chan_refuse(ask, "no service '%s': did you mean '%s'?", q, like);
    else
        chan_refuse(ask, "no service '%s': see lbctl status", q);
    return NULL;
}

static bool refused_without_instances(const struct service *s, struct chan_ask ask)
{
    if (model_is_static(s))
        chan_refuse(ask, "'%s' is a directory that lbd serves itself: it has no instances",
                    s->c->name);
    else if (model_is_fixed(s))
        chan_refuse(ask, "'%s' is made of servers that others run: it has no instances",
                    s->c->name);
    else
        return false;
    return true;
}

struct place *cli_place(struct service *s, struct chan_ask ask, uint64_t slot)
{
    if (slot < s->places_n)
        return &s->places[slot];
    if (s->places_n == 0)
        chan_refuse(ask, "'%s' is a directory that lbd serves itself: it has no slots", s->c->name);
    else
        chan_refuse(ask, "'%s' has the slots 0 to %u: there is no slot %llu", s->c->name,
                    s->places_n - 1, (unsigned long long)slot);
    return NULL;
}

void cli_on_status(struct chan *ch, struct chan_ask ask, const json_t *body, void *arg)
{
    (void)ch;
    (void)body;
    chan_answer(ask, status_build(arg));
}

void cli_on_scale(struct chan *ch, struct chan_ask ask, const json_t *body, void *arg)
{
    struct ctl *c = arg;
    struct service *s = cli_named(c, ask, body);
    bool give_back = proto_bool(body, "auto", false);
    uint64_t replicas = proto_uint(body, "replicas", UINT64_MAX);
    uint64_t for_ms = proto_uint(body, "for_ms", 0);
    unsigned from;
    struct err e;

    (void)ch;
    if (s == NULL)
        return;
    if (give_back == (replicas != UINT64_MAX)) {
        chan_refuse(ask, "say either 'auto' or a number of instances");
        return;
    }
    if (refused_without_instances(s, ask))
        return;
    from = s->wish;
    if (give_back) {
        scaler_release(c->scaler, s);
    } else if (!scaler_pin(c->scaler, s, (unsigned)replicas, for_ms, &e)) {
        chan_refuse(ask, "%s", e.msg);
        return;
    }
    chan_answer(ask, json_pack("{s:s, s:i, s:i, s:s, s:I}", "service", s->c->name, "from",
                               (int)from, "to", (int)s->wish, "mode", scaler_mode(s), "for_ms",
                               (json_int_t)(give_back ? 0 : for_ms)));
}

struct reset_ask {
    struct chan_ask ask;
    const struct service *service;
};

static void on_reset_done(void *arg) /* scaler_done_fn */
{
    struct reset_ask *r = arg;

    chan_answer(r->ask, json_pack("{s:s}", "service", r->service->c->name));
    mem_free(r);
}

void cli_on_reset(struct chan *ch, struct chan_ask ask, const json_t *body, void *arg)
{
    struct ctl *c = arg;
    struct service *s = cli_named(c, ask, body);
    struct reset_ask *r;

    (void)ch;
    if (s == NULL)
        return;
    if (refused_without_instances(s, ask))
        return;
    r = mem_zalloc(sizeof(*r));
    *r = (struct reset_ask){ask, s};
    scaler_reset(c->scaler, s, on_reset_done, r);
}

void cli_on_plan(struct chan *ch, struct chan_ask ask, const json_t *body, void *arg)
{
    struct reload r = reload_read(arg);

    (void)ch;
    (void)body;
    chan_answer(ask, json_incref(r.body));
    reload_fini(&r);
}

void cli_on_reload(struct chan *ch, struct chan_ask ask, const json_t *body, void *arg)
{
    struct ctl *c = arg;
    struct reload r;

    (void)ch;
    (void)body;
    if (c->on_next == NULL) {
        chan_refuse(ask, "this ctld does not reload: restart it");
        return;
    }
    r = reload_read(c);
    chan_answer(ask, json_incref(r.body));
    reload_take(c, &r);
    reload_fini(&r);
}
