#include "lb/table.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/un.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/wire/proto.h"
#include "lb/latency.h"
#include "lb/table-internal.h"

enum { CONNECT_MS = 1000, RESPONSE_MS = 30000, TUNNEL_MS = 3600000, RETRY_AFTER_S = 1 };
enum { KEEP_IDLE_MS = 4000, KEEP_TIME_MS = 3600000, KEEP_REQUESTS = 1000 };
enum { QUEUE_MS = 5000, HOLD_MAX = 256, HOLD_MS = 10000, EJECT_AFTER = 5 };

static struct service *service_new(const char *name, unsigned workers)
{
    struct service *s = mem_zalloc(sizeof(*s));

    atomic_init(&s->refs, 1);
    s->workers = workers;
    s->name = mem_strdup(name);
    s->cells = mem_array(workers, sizeof(*s->cells));
    s->latency = latency_new(workers);
    queue_init(&s->queue, mem_array(workers, sizeof(struct queue_part)), workers);
    return s;
}

static struct service *service_ref(struct service *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

static void service_unref(struct service *s)
{
    if (s == NULL || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    mem_free(s->name);
    mem_free(s->cells);
    latency_free(s->latency);
    mem_free(s->queue.parts);
    mem_free(s->rates);
    mem_free(s);
}

static struct backend *backend_new(struct service *s, const char *instance, unsigned workers)
{
    struct backend *b = mem_zalloc(sizeof(*b));

    atomic_init(&b->refs, 1);
    b->workers = workers;
    b->service = service_ref(s);
    b->instance = mem_strdup(instance);
    b->cells = mem_array(workers, sizeof(*b->cells));
    return b;
}

/* It comes back because ctld has found it well. */
static void backend_forgive(struct backend *b)
{
    atomic_store(&b->hold_until_ms, 0);
    atomic_store(&b->suspect_until_ms, 0);
    atomic_store(&b->fails, 0);
    atomic_store(&b->answers, 0);
    atomic_store(&b->out_until_ms, 0);
}

struct backend *backend_ref(struct backend *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void backend_unref(struct backend *b)
{
    if (b == NULL || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
        return;
    service_unref(b->service);
    mem_free(b->instance);
    mem_free(b->cells);
    mem_free(b);
}

struct backend *backend_new_unix(const char *path, unsigned workers)
{
    struct service *s = service_new("", workers);
    struct backend *b = backend_new(s, "", workers);
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    service_unref(s);
    snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
    memcpy(&b->sa, &un, sizeof(un));
    b->sa_len = sizeof(un);
    return b; /* no host: what a client asked without one must not become a route's */
}

static bool set_address(struct backend *b, const char *address, uint16_t port)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&b->sa;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)&b->sa;

    if (port == 0)
        return false;
    snprintf(b->address, sizeof(b->address), "%s", address);
    b->port = port;
    if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        b->sa_len = sizeof(*v4);
        snprintf(b->host, sizeof(b->host), "%s:%u", b->address, port);
        return true;
    }
    if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        b->sa_len = sizeof(*v6);
        snprintf(b->host, sizeof(b->host), "[%s]:%u", b->address, port);
        return true;
    }
    return false;
}

const struct table_service *table_find_service(const struct table *t, const char *name)
{
    for (unsigned i = 0; t != NULL && i < t->services_n; i++) {
        if (t->services[i].service != NULL && strcmp(t->services[i].service->name, name) == 0)
            return &t->services[i];
    }
    return NULL;
}

struct backend *table_find_backend(const struct table *t, const char *service, const char *instance)
{
    const struct table_service *ts = table_find_service(t, service);

    for (unsigned i = 0; ts != NULL && i < ts->backends_n; i++) {
        if (strcmp(ts->backends[i]->instance, instance) == 0)
            return ts->backends[i];
    }
    return NULL;
}

static bool add_backend(struct table *t, struct table_service *ts, const json_t *spec,
                        unsigned workers, const struct table *before, table_past_fn *past,
                        void *past_arg, struct err *e)
{
    const char *name = ts->service->name, *instance = proto_str(spec, "instance", "");
    const char *address = proto_str(spec, "address", "");
    uint16_t port = (uint16_t)proto_uint(spec, "port", 0);
    struct backend *b;
    bool stays;

    if (table_find_backend(t, name, instance) != NULL)
        return err_set(e, "service '%s': instance '%s' is listed twice", name, instance);
    b = table_find_backend(before, name, instance);
    stays = b != NULL;
    if (b == NULL && past != NULL)
        b = past(past_arg, name, instance);
    if (b != NULL && b->service == ts->service && b->port == port &&
        strcmp(b->address, address) == 0) {
        backend_ref(b);
    } else {
        stays = false;
        b = backend_new(ts->service, instance, workers);
        if (!set_address(b, address, port)) {
            backend_unref(b);
            return err_set(e, "service '%s': '%s' port %u is no address of a backend", name,
                           address, port);
        }
    }
    b->slot = (unsigned)proto_uint(spec, "slot", 0); /* the same for the same instance */
    if (!stays) {
        const struct table_service *old = table_find_service(before, name);

        backend_forgive(b);
        b->joined_ms = old != NULL && old->backends_n > 0 ? clock_mono_ms() : 0;
    }
    atomic_store_explicit(&b->listener, proto_uint(spec, "listener", 0), memory_order_relaxed);
    ts->backends[ts->backends_n++] = b;
    return true;
}

static bool add_routes(struct table *t, unsigned index, const json_t *routes, struct err *e)
{
    size_t i;
    json_t *r;

    json_array_foreach(routes, i, r)
    {
        if (!table_add_route(t, index, r, e))
            return false;
    }
    return true;
}

/* As many may wait as may be in flight, if nothing else is said. */
static unsigned queue_of(const struct table_limits *l, unsigned backends)
{
    if (l->in_flight_max > 0)
        return l->in_flight_max;
    return l->per_backend * backends;
}

static void set_limits(struct table_service *ts, const json_t *limits)
{
    struct table_limits *l = &ts->limits;
    unsigned rate, burst;

    l->per_backend = (unsigned)proto_uint(limits, "per_instance", 0);
    l->in_flight_max = (unsigned)proto_uint(limits, "in_flight", 0);
    l->queue_max = (unsigned)proto_uint(limits, "queue", 0);
    l->queue_ms = (uint32_t)proto_uint(limits, "queue_timeout_ms", QUEUE_MS);
    l->hold_max = (unsigned)proto_uint(limits, "hold", HOLD_MAX);
    l->hold_ms = (uint32_t)proto_uint(limits, "hold_timeout_ms", HOLD_MS);
    rate = (unsigned)proto_uint(limits, "rate", 0);
    burst = (unsigned)proto_uint(limits, "burst", 0);
    if (rate > 0) {
        l->has_rate = true;
        l->rate = rate_rule(rate, burst > 0 ? burst : rate);
        if (ts->service->rates == NULL)
            ts->service->rates = mem_zalloc(sizeof(*ts->service->rates));
    }
    if (l->queue_max == 0)
        l->queue_max = queue_of(l, ts->backends_n);
}

static bool add_service(struct table *t, const json_t *spec, unsigned workers,
                        const struct table *before, table_past_fn *past, void *past_arg,
                        struct err *e)
{
    const char *name = proto_str(spec, "name", "");
    const struct table_service *old = table_find_service(before, name);
    const json_t *ignore = json_object_get(spec, "count_ignore");
    const json_t *backends = json_object_get(spec, "backends");
    struct table_service *ts = &t->services[t->services_n];
    size_t i;
    json_t *item;

    if (table_find_service(t, name) != NULL)
        return err_set(e, "service '%s' is listed twice", name);
    ts->service = old != NULL ? service_ref(old->service) : service_new(name, workers);
    t->services_n++;
    ts->retry_after_s = (unsigned)proto_uint(spec, "retry_after_s", RETRY_AFTER_S);
    ts->connect_ms = (uint32_t)proto_uint(spec, "connect_timeout_ms", CONNECT_MS);
    ts->response_ms = (uint32_t)proto_uint(spec, "response_timeout_ms", RESPONSE_MS);
    ts->body_ms = (uint32_t)proto_uint(spec, "client_body_timeout_ms", 0);
    ts->stall_ms = (uint32_t)proto_uint(spec, "stall_timeout_ms", ts->response_ms);
    ts->max_body = proto_uint(spec, "max_body", 0);
    ts->keep_idle_ms = (uint32_t)proto_uint(spec, "keepalive_idle_ms", KEEP_IDLE_MS);
    ts->keep_time_ms = (uint32_t)proto_uint(spec, "keepalive_time_ms", KEEP_TIME_MS);
    ts->keep_requests = (uint32_t)proto_uint(spec, "keepalive_requests", KEEP_REQUESTS);
    ts->pass_trailers = proto_bool(spec, "pass_trailers", false);
    ts->send_proxy = (unsigned)proto_uint(spec, "send_proxy", 0);
    ts->tunnel_ms = (uint32_t)proto_uint(spec, "tunnel_timeout_ms", TUNNEL_MS);
    ts->dir = proto_str(spec, "static", NULL);
    if (ts->dir != NULL && (ts->dir[0] != '/' || json_array_size(backends) > 0))
        return err_set(e, "service '%s': 'static' must be an absolute path, without backends",
                       name);
    table_read_pages(ts, spec);
    ts->ignore = mem_array(json_array_size(ignore) + 1, sizeof(*ts->ignore));
    json_array_foreach(ignore, i, item)
    {
        ts->ignore[ts->ignore_n++] = sv_of(json_string_value(item));
    }
    ts->backends = mem_array(json_array_size(backends) + 1, sizeof(*ts->backends));
    json_array_foreach(backends, i, item)
    {
        if (!add_backend(t, ts, item, workers, before, past, past_arg, e))
            return false;
    }
    if (!balance_build(&ts->balance, spec, ts->backends, ts->backends_n, e))
        return err_wrap(e, "service '%s'", name);
    set_limits(ts, json_object_get(spec, "limits"));
    ts->eject_after = (unsigned)proto_uint(spec, "eject_after", EJECT_AFTER);
    ts->expected = proto_bool(spec, "expected", false);
    ts->fail_open = proto_bool(spec, "fail_open", false);
    return add_routes(t, t->services_n - 1, json_object_get(spec, "routes"), e);
}

static void table_unrefp(struct table **t)
{
    table_unref(*t);
}

bool table_new(const json_t *body, unsigned workers, const struct table *before,
               table_past_fn *past, void *past_arg, struct table **ret, struct err *e)
{
    AUTO(table_unrefp) struct table *t = mem_zalloc(sizeof(*t));
    const json_t *services;
    size_t i, routes = 0;
    json_t *s;

    atomic_init(&t->refs, 1);
    t->body = json_deep_copy(body);
    if (t->body == NULL)
        return err_set(e, "no memory for the table");
    t->generation = proto_uint(t->body, "generation", 0);
    services = json_object_get(t->body, "services");
    json_array_foreach(services, i, s)
    {
        routes += json_array_size(json_object_get(s, "routes"));
    }
    t->services = mem_array(json_array_size(services) + 1, sizeof(*t->services));
    t->routes = mem_array(routes + 1, sizeof(*t->routes));
    t->parts = mem_array(routes + 1, sizeof(*t->parts));
    json_array_foreach(services, i, s)
    {
        if (!add_service(t, s, workers, before, past, past_arg, e))
            return false;
    }
    route_sort(t->routes, t->routes_n);
    *ret = MOVE(t);
    return true;
}

struct table *table_ref(struct table *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void table_unref(struct table *t)
{
    if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (unsigned i = 0; i < t->services_n; i++) {
        struct table_service *ts = &t->services[i];

        for (unsigned k = 0; k < ts->backends_n; k++)
            backend_unref(ts->backends[k]);
        mem_free(ts->backends);
        mem_free(ts->ignore);
        balance_fini(&ts->balance);
        table_free_pages(ts);
        service_unref(ts->service);
    }
    mem_free(t->services);
    table_free_routes(t);
    json_decref(t->body); /* jansson counts atomically, and nobody else holds this copy */
    mem_free(t);
}

uint64_t cells_sum(const struct cell *cells, unsigned n, size_t member_offset)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < n; i++) {
        const char *at = (const char *)&cells[i] + member_offset;

        sum +=
            atomic_load_explicit((const _Atomic uint64_t *)(const void *)at, memory_order_relaxed);
    }
    return sum;
}
