#include "ctl/model.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"

static void find_deps(struct ctl *c, struct service *s)
{
    const struct conf_strs *names = &s->c->depends_on;

    s->deps = mem_array(names->n > 0 ? names->n : 1, sizeof(*s->deps));
    for (size_t i = 0; i < names->n; i++) {
        struct service *d = model_service(c, names->v[i]);

        if (d == NULL) /* the configuration's check has refused unknown names */
            continue;
        d->has_dependents = true;
        s->deps[s->deps_n++] = d->index;
    }
}

bool model_is_static(const struct service *s)
{
    return s->c->static_dir != NULL;
}

bool model_is_fixed(const struct service *s)
{
    return s->c->backends.n > 0;
}

bool model_has_instances(const struct service *s)
{
    return conf_service_has_instances(s->c);
}

bool model_needs_engine(const struct ctl *c)
{
    for (size_t i = 0; i < c->services_n; i++)
        if (model_has_instances(&c->services[i]))
            return true;
    return false;
}

bool model_has_ready(const struct service *s)
{
    return model_is_static(s) || model_ready(s) > 0;
}

/* What is there without us, under a name that stays the same while the address does. */
static void place_backend(struct place *p, uint64_t now)
{
    const struct conf_addr *at = &p->service->c->backends.v[p->index].at;
    struct inst i = {.generation = 1, .phase = INST_RUNNING};

    (void)snprintf(i.address, sizeof i.address, "%s", at->host);
    (void)snprintf(i.token, sizeof i.token, "fixed-%.24s-%u", at->host, at->port);
    slot_adopt(&p->s, &i, true, false, now);
}

/* scale.max; one more for the time of a roll where there is a port for it; all ports where a slot
 * whose port is taken is stood in for. */
static unsigned count_places(const struct conf_service *cs, bool may_surge)
{
    unsigned ports = (unsigned)(cs->host_port_last - cs->host_port_first) + 1;

    if (cs->host_port_first != 0 && cs->port_taken == CONF_PORT_TAKEN_MOVE)
        return ports;
    return cs->scale.max + (may_surge && (cs->host_port_first == 0 || ports > cs->scale.max));
}

void model_build(struct ctl *c)
{
    uint64_t now = loop_now_ms(c->loop);

    c->services_n = c->conf->services_n;
    c->services = mem_array(c->services_n > 0 ? c->services_n : 1, sizeof(*c->services));
    for (size_t i = 0; i < c->services_n; i++) {
        struct service *s = &c->services[i];
        const struct conf_service *cs = &c->conf->services[i];

        s->ctl = c;
        s->c = cs;
        s->index = (unsigned)i;
        s->rule =
            (struct scale_rule){cs->scale.min, cs->scale.max, cs->scale.per, cs->scale.every_ms};
        s->may_surge = conf_service_may_surge(cs);
        s->wish = cs->scale.min;
        s->places_n = count_places(cs, s->may_surge);
        if (!model_has_instances(s))
            s->wish = s->places_n = (unsigned)cs->backends.n;
        s->places = mem_array(s->places_n, sizeof(*s->places));
        conf_service_hash(cs, s->hash);
        for (unsigned k = 0; k < s->places_n; k++) {
            struct place *p = &s->places[k];

            slot_init(&p->s, now);
            p->service = s;
            p->index = k;
            (void)snprintf(p->health, sizeof p->health, "none");
            if (model_is_fixed(s))
                place_backend(p, now);
        }
    }
    for (size_t i = 0; i < c->services_n; i++)
        find_deps(c, &c->services[i]);
}

void model_fini(struct ctl *c)
{
    for (size_t i = 0; i < c->services_n; i++) {
        mem_free(c->services[i].places);
        mem_free(c->services[i].deps);
    }
    mem_free(c->services);
    c->services = NULL;
    c->services_n = 0;
}

uint64_t model_tick(struct ctl *c)
{
    return ++c->ticks;
}

struct service *model_service(struct ctl *c, const char *name)
{
    for (size_t i = 0; i < c->services_n; i++)
        if (strcmp(c->services[i].c->name, name) == 0)
            return &c->services[i];
    return NULL;
}

struct place *model_place(struct ctl *c, const char *service, unsigned slot)
{
    struct service *s = model_service(c, service);

    return s != NULL && slot < s->places_n ? &s->places[slot] : NULL;
}

struct place *model_place_at(struct ctl *c, unsigned service, unsigned slot)
{
    if (service >= c->services_n || slot >= c->services[service].places_n)
        return NULL;
    return &c->services[service].places[slot];
}

unsigned model_ready(const struct service *s)
{
    unsigned n = 0;

    for (unsigned i = 0; i < s->places_n; i++)
        n += s->places[i].s.state == SLOT_READY;
    return n;
}

unsigned model_outdated(const struct service *s)
{
    unsigned n = 0;

    for (unsigned i = 0; i < s->places_n; i++)
        n += s->places[i].s.cur.outdated && s->places[i].s.cur.phase != INST_NONE &&
             s->places[i].s.state != SLOT_HELD;
    return n;
}

bool model_deps_ready(const struct service *s)
{
    for (size_t i = 0; i < s->deps_n; i++)
        if (!model_has_ready(&s->ctl->services[s->deps[i]]))
            return false;
    return true;
}

void model_refresh_waits(struct service *s)
{
    size_t at = (size_t)snprintf(s->waits_for, sizeof s->waits_for, "waits for");

    for (size_t i = 0; i < s->deps_n && at < sizeof s->waits_for; i++) {
        const struct service *d = &s->ctl->services[s->deps[i]];

        if (!model_has_ready(d))
            at += (size_t)snprintf(s->waits_for + at, sizeof s->waits_for - at, " %s", d->c->name);
    }
}

bool model_is_stood_in(const struct place *p)
{
    return p->service->c->port_taken == CONF_PORT_TAKEN_MOVE && slot_is_port_taken(&p->s);
}

uint16_t model_port(const struct place *p)
{
    const struct conf_service *c = p->service->c;

    if (model_is_fixed(p->service))
        return c->backends.v[p->index].at.port;
    return c->host_port_first != 0 ? (uint16_t)(c->host_port_first + p->index) : 0;
}

bool model_is_probed(const struct place *p)
{
    return p->probed_generation == p->s.cur.generation;
}

/* A published port on this host: an instance published on all addresses is reached over loopback.
 */
static const char *published_host(const struct conf_service *c)
{
    if (c->publish == NULL || strcmp(c->publish, "0.0.0.0") == 0)
        return "127.0.0.1";
    return strcmp(c->publish, "::") == 0 ? "::1" : c->publish;
}

const char *model_probe_host(const struct place *p, uint16_t *ret_port)
{
    const struct conf_service *c = p->service->c;
    uint16_t inside = c->health.port != 0 ? c->health.port : c->port;

    if (model_is_fixed(p->service)) {
        *ret_port = c->health.port != 0 ? c->health.port : model_port(p);
        return c->backends.v[p->index].at.host;
    }
    if (model_port(p) != 0 && inside == c->port && c->connect == CONF_CONNECT_PUBLISHED) {
        *ret_port = model_port(p);
        return published_host(c);
    }
    *ret_port = inside;
    return p->s.cur.address;
}

const char *model_backend_host(const struct place *p, uint16_t *ret_port)
{
    const struct conf_service *c = p->service->c;

    if (model_is_fixed(p->service)) {
        *ret_port = model_port(p);
        return c->backends.v[p->index].at.host;
    }
    if (model_port(p) != 0 && c->connect == CONF_CONNECT_PUBLISHED) {
        *ret_port = model_port(p);
        return published_host(c);
    }
    *ret_port = c->port;
    return p->s.cur.address;
}

void model_note_start(struct service *s, uint64_t took_ms)
{
    s->start_ms[s->starts++ % START_SAMPLES] =
        took_ms < UINT32_MAX ? (uint32_t)took_ms : UINT32_MAX;
}

/* The slowest of the last starts, in whole seconds: what a client that comes now should wait. */
unsigned model_retry_after_s(const struct service *s)
{
    unsigned n = s->starts < START_SAMPLES ? s->starts : START_SAMPLES;
    uint32_t worst = 0;

    for (unsigned i = 0; i < n; i++)
        if (s->start_ms[i] > worst)
            worst = s->start_ms[i];
    worst = worst / 1000 + (worst % 1000 != 0);
    if (worst < 1)
        return 1;
    return worst > 60 ? 60 : worst;
}
