#include "ctl/table.h"

#include <string.h>

#include "ctl/braking.h"

static void add_fields(json_t *list, const char *op, const struct conf_pairs *fields)
{
    for (size_t i = 0; i < fields->n; i++)
        (void)json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "op", op, "name",
                                                    fields->v[i].key, "value", fields->v[i].value));
}

static void set_edits(json_t *route, const char *member, const struct conf_edits *e)
{
    json_t *list = json_array();

    for (size_t i = 0; i < e->remove.n; i++)
        (void)json_array_append_new(
            list, json_pack("{s:s, s:s}", "op", "remove", "name", e->remove.v[i]));
    add_fields(list, "set", &e->set);
    add_fields(list, "add", &e->add);
    if (json_array_size(list) > 0)
        (void)json_object_set(route, member, list);
    json_decref(list);
}

static json_t *build_route(const struct conf_route *r, const char *host)
{
    json_t *o = json_pack("{s:s}", "prefix", r->path);

    if (host != NULL)
        (void)json_object_set_new(o, "host", json_string(host));
    if (r->strip || r->rewrite != NULL)
        (void)json_object_set_new(o, "rewrite", json_string(r->strip ? "/" : r->rewrite));
    set_edits(o, "request_headers", &r->request);
    set_edits(o, "response_headers", &r->response);
    if (r->redirect.to != NULL)
        (void)json_object_set_new(o, "redirect",
                                  json_pack("{s:s, s:i, s:b}", "to", r->redirect.to, "status",
                                            (int)r->redirect.status, "keep_path",
                                            r->redirect.keep_path));
    if (r->respond.status != 0)
        (void)json_object_set_new(o, "respond",
                                  json_pack("{s:i, s:s, s:s}", "status", (int)r->respond.status,
                                            "type", r->respond.type, "body",
                                            r->respond.body != NULL ? r->respond.body : ""));
    return o;
}

/* A route of several hosts is several to lbd. */
static json_t *build_routes(const struct conf_service *cs)
{
    json_t *routes = json_array();

    for (size_t i = 0; i < cs->routes.n; i++) {
        const struct conf_route *r = &cs->routes.v[i];

        if (r->hosts.n == 0)
            (void)json_array_append_new(routes, build_route(r, NULL));
        for (size_t k = 0; k < r->hosts.n; k++)
            (void)json_array_append_new(routes, build_route(r, r->hosts.v[k]));
    }
    return routes;
}

static void set_pages(json_t *service, const struct conf_service *cs)
{
    json_t *pages = json_array();

    for (size_t i = 0; i < cs->error_pages.n; i++)
        (void)json_array_append_new(pages, json_pack("{s:i, s:s}", "status",
                                                     (int)cs->error_pages.v[i].status, "file",
                                                     cs->error_pages.v[i].file));
    if (json_array_size(pages) > 0)
        (void)json_object_set(service, "error_pages", pages);
    json_decref(pages);
}

static void set_maintenance(json_t *service, const struct conf_service *cs)
{
    (void)json_object_set_new(service, "maintenance", json_true());
    (void)json_object_set_new(service, "maintenance_retry_s",
                              json_integer((json_int_t)(cs->maintenance_retry_ms / 1000)));
    if (cs->maintenance_page != NULL)
        (void)json_object_set_new(service, "maintenance_page", json_string(cs->maintenance_page));
}

static json_t *build_ignore(const struct conf_service *cs)
{
    json_t *paths = json_array();

    for (size_t i = 0; i < cs->scale.ignore.n; i++)
        (void)json_array_append_new(paths, json_string(cs->scale.ignore.v[i]));
    return paths;
}

static bool in_table(const struct place *p)
{
    uint16_t port;

    bool serves =
        p->s.state == SLOT_READY || (p->s.state == SLOT_UNHEALTHY && braking_fail_open(p->service));

    return serves && p->service->c->routes.n > 0 && model_backend_host(p, &port)[0] != '\0';
}

static json_t *build_backends(const struct service *s)
{
    json_t *backends = json_array();

    for (unsigned i = 0; i < s->places_n; i++) {
        const struct place *p = &s->places[i];
        uint16_t port = 0;
        const char *host = model_backend_host(p, &port);
        unsigned weight = model_is_fixed(s) ? s->c->backends.v[i].weight : 1;
        json_t *b;

        if (!in_table(p))
            continue;
        b = json_pack("{s:i, s:s, s:s, s:i, s:i}", "slot", (int)i, "instance", p->s.cur.token,
                      "address", host, "port", (int)port, "weight", (int)weight);
        if (p->listener != 0)
            (void)json_object_set_new(b, "listener", json_integer((json_int_t)p->listener));
        (void)json_array_append_new(backends, b);
    }
    return backends;
}

static json_t *build_balance(const struct conf_balance *b)
{
    json_t *o = json_pack("{s:s, s:I}", "policy", conf_policy_word(b->policy), "slow_start_ms",
                          (json_int_t)b->slow_start_ms);

    if (b->policy == CONF_POLICY_HASH) {
        (void)json_object_set_new(o, "hash_by", json_string(conf_hash_by_word(b->hash_by)));
        if (b->hash_name != NULL)
            (void)json_object_set_new(o, "hash_name", json_string(b->hash_name));
        (void)json_object_set_new(o, "load_bound_milli",
                                  json_integer((json_int_t)b->load_bound_milli));
    }
    if (b->sticky != NULL) {
        static const char *const same_site[] = {
            [CONF_SAME_SITE_LAX] = "Lax",
            [CONF_SAME_SITE_STRICT] = "Strict",
            [CONF_SAME_SITE_NONE] = "None",
        };

        (void)json_object_set_new(o, "sticky", json_string(b->sticky));
        (void)json_object_set_new(o, "sticky_path", json_string(b->sticky_path));
        (void)json_object_set_new(o, "sticky_same_site",
                                  json_string(same_site[b->sticky_same_site]));
        (void)json_object_set_new(o, "sticky_secure", json_boolean(b->sticky_secure));
    }
    return o;
}

/* Numbers of the connections to instances. */
static void set_upstream(json_t *o, const struct conf_service *cs)
{
    const struct {
        const char *member;
        uint64_t value;
    } numbers[] = {
        {"tunnel_timeout_ms", cs->tunnel_timeout_ms},
        {"stall_timeout_ms",
         cs->stall_timeout_ms != 0 ? cs->stall_timeout_ms : cs->response_timeout_ms},
        {"max_body", cs->max_body},
        {"keepalive_idle_ms", cs->keepalive_idle_ms},
        {"keepalive_time_ms", cs->keepalive_time_ms},
        {"keepalive_requests", cs->keepalive_requests},
        {"send_proxy", cs->send_proxy},
    };

    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        (void)json_object_set_new(o, numbers[i].member, json_integer((json_int_t)numbers[i].value));
    if (cs->client_body_timeout_ms != 0)
        (void)json_object_set_new(o, "client_body_timeout_ms",
                                  json_integer((json_int_t)cs->client_body_timeout_ms));
}

/* Only while there is no backend: a table that says it all the time would be pushed at every start.
 */
static bool is_expected(const struct service *s)
{
    bool any = false;

    for (unsigned i = 0; i < s->places_n; i++) {
        if (in_table(&s->places[i]))
            return false;
        any = any || slot_is_coming(&s->places[i].s, &s->places[i].env);
    }
    return any;
}

static json_t *build_limits(const struct conf_limits *l)
{
    return json_pack("{s:i, s:i, s:i, s:I, s:i, s:I, s:i, s:i}", "per_instance",
                     (int)l->per_instance, "in_flight", (int)l->in_flight, "queue", (int)l->queue,
                     "queue_timeout_ms", (json_int_t)l->queue_timeout_ms, "hold", (int)l->hold,
                     "hold_timeout_ms", (json_int_t)l->hold_timeout_ms, "rate", (int)l->rate,
                     "burst", (int)l->burst);
}

static json_t *build_service(const struct service *s)
{
    json_t *o = json_pack("{s:s, s:o, s:o, s:i, s:I, s:I, s:o}", "name", s->c->name, "routes",
                          build_routes(s->c), "count_ignore", build_ignore(s->c), "retry_after_s",
                          (int)model_retry_after_s(s), "connect_timeout_ms",
                          (json_int_t)s->c->connect_timeout_ms, "response_timeout_ms",
                          (json_int_t)s->c->response_timeout_ms, "backends", build_backends(s));

    set_upstream(o, s->c);
    if (s->c->balance.is_set)
        (void)json_object_set_new(o, "balance", build_balance(&s->c->balance));
    (void)json_object_set_new(o, "eject_after", json_integer((json_int_t)s->c->eject_after));
    if (s->c->pass_trailers)
        (void)json_object_set_new(o, "pass_trailers", json_true());
    set_pages(o, s->c);
    if (s->c->maintenance)
        set_maintenance(o, s->c);
    if (s->c->limits.is_set)
        (void)json_object_set_new(o, "limits", build_limits(&s->c->limits));
    if (is_expected(s))
        (void)json_object_set_new(o, "expected", json_true());
    if (braking_fail_open(s))
        (void)json_object_set_new(o, "fail_open", json_true());
    if (s->c->static_dir != NULL)
        (void)json_object_set_new(o, "static", json_string(s->c->static_dir));
    return o;
}

json_t *table_build(const struct ctl *c)
{
    json_t *services = json_array();

    for (size_t i = 0; i < c->services_n; i++) {
        const struct service *s = &c->services[i];

        if (s->c->routes.n == 0)
            continue;
        (void)json_array_append_new(services, build_service(s));
    }
    return json_pack("{s:o}", "services", services);
}

bool table_has(const json_t *table, const char *service, const char *token)
{
    const json_t *s, *b;
    size_t i, k;

    json_array_foreach(json_object_get(table, "services"), i, s)
    {
        if (strcmp(proto_str(s, "name", ""), service) != 0)
            continue;
        json_array_foreach(json_object_get(s, "backends"), k, b)
        {
            if (strcmp(proto_str(b, "instance", ""), token) == 0)
                return true;
        }
    }
    return false;
}

void table_mark_listed(struct ctl *c)
{
    for (size_t i = 0; i < c->services_n; i++)
        for (unsigned k = 0; k < c->services[i].places_n; k++)
            if (in_table(&c->services[i].places[k]))
                c->services[i].places[k].s.cur.listed = true;
}
