#include "ctl/tenancy.h"

#include <arpa/inet.h>
#include <unistd.h>

#include "common/base/listener.h"
#include "common/base/log.h"
#include "ctl/ctl.h"

void tenancy_init(struct ctl *c)
{
    struct err e;

    c->diag = c->ops->keeps_ports ? listener_open(&e) : -1;
    if (c->ops->keeps_ports && c->diag < 0)
        log_warn("owners of ports are not checked", "reason=\"%s\"", e.msg);
}

void tenancy_fini(struct ctl *c)
{
    if (c->diag >= 0)
        close(c->diag);
    c->diag = -1;
}

static bool address_of(const char *host, uint16_t port, struct sockaddr_storage *ret)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;

    *ret = (struct sockaddr_storage){0};
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        return true;
    }
    if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        return true;
    }
    return false;
}

/* Who listens on the place's host port now; 0: nobody, or it cannot be told. */
static uint64_t listener_of(const struct place *p)
{
    struct ctl *c = p->service->ctl;
    struct sockaddr_storage sa;
    uint16_t port;
    uint64_t id = 0;
    const char *host = model_backend_host(p, &port);
    struct err e;

    if (c->diag < 0 || model_is_fixed(p->service) || model_port(p) == 0 || port != model_port(p) ||
        !address_of(host, port, &sa))
        return 0;
    if (!listener_ask(c->diag, (const struct sockaddr *)&sa, &id, &e)) {
        log_warn("owner of a port unknown", "service=%s port=%u reason=\"%s\"", p->service->c->name,
                 port, e.msg);
        return 0;
    }
    return id;
}

void tenancy_note(struct place *p)
{
    p->listener = listener_of(p);
}

void tenancy_look(struct ctl *c)
{
    for (size_t i = 0; i < c->services_n; i++)
        for (unsigned k = 0; k < c->services[i].places_n; k++)
            c->services[i].places[k].listener_seen = listener_of(&c->services[i].places[k]);
}

void tenancy_confirm(struct place *p)
{
    if (p->listener_seen == 0 || p->listener_seen == p->listener)
        return;
    if (p->listener != 0)
        log_info("port opened anew by the engine", "service=%s slot=%u port=%u",
                 p->service->c->name, p->index, model_port(p));
    p->listener = p->listener_seen;
    ctl_kick(p->service->ctl);
}

bool tenancy_lost(const struct place *p)
{
    uint64_t now;

    if (p->listener == 0)
        return false;
    now = listener_of(p);
    return now != 0 && now != p->listener;
}
