#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/http_text.h"
#include "common/base/mem.h"
#include "common/conf/conf-internal.h"

/* Routes: which requests a service gets, and what lbd does to them. */

enum { EDITS_BYTES_MAX = 8 << 10, PAGES_FIRST = 400, PAGES_LAST = 599 };

/* ---- values ---- */

static bool prefix_item(struct conf_reader *r, const struct conf_row *row, const struct ynode *item)
{
    char q[128];

    return http_text_prefix_ok(item->text) ||
           CONF_BAD(r, item,
                    "'%s' is '%s'; write a path prefix such as /api/v1: beginning with '/', no "
                    "'/' at the end, no '?', '#', '%%' or blank",
                    row->key, str_quote(item->text, q, sizeof(q)));
}

bool conf_read_PREFIX(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                      void *dst)
{
    if (!conf_is_scalar(r, row, n) || !prefix_item(r, row, n))
        return false;
    conf_set_str(dst, n->text);
    return true;
}

static bool host_item(struct conf_reader *r, const struct conf_row *row, const struct ynode *item)
{
    char q[128];

    return http_text_host_ok(item->text) ||
           CONF_BAD(r, item,
                    "'%s' is '%s'; write a host's name without a port, or *.NAME for all names "
                    "below it",
                    row->key, str_quote(item->text, q, sizeof(q)));
}

bool conf_read_HOSTS(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                     void *dst)
{
    return conf_read_items(r, row, n, host_item, dst);
}

static bool name_item(struct conf_reader *r, const struct conf_row *row, const struct ynode *item)
{
    char q[128];

    str_quote(item->text, q, sizeof(q));
    if (!http_text_name_ok(item->text))
        return CONF_BAD(r, item, "'%s': '%s' is no name of a header field", row->key, q);
    return http_text_may_edit(item->text) ||
           CONF_BAD(r, item, "'%s': '%s' frames messages or belongs to one connection; remove it",
                    row->key, q);
}

bool conf_read_FIELD_NAMES(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                           void *dst)
{
    return conf_read_items(r, row, n, name_item, dst);
}

bool conf_read_FIELDS(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                      void *dst)
{
    struct conf_pairs *p = dst;

    if (n->kind != YN_MAP || n->n > row->max)
        return CONF_BAD(r, n, "'%s' must be a mapping of at most %llu fields to values", row->key,
                        (unsigned long long)row->max);
    for (size_t i = 0; i < n->n; i++) {
        const struct ynode *key = n->pairs[i].key, *value = n->pairs[i].value;

        if (!name_item(r, row, key))
            return false;
        if (value->kind != YN_SCALAR || !http_text_value_ok(value->text))
            return CONF_BAD(r, value, "'%s': a value must be one line of text", row->key);
        p->v = mem_grow(p->v, p->n + 1, sizeof(*p->v));
        p->v[p->n++] = (struct conf_pair){mem_strndup(key->text.p, key->text.n),
                                          mem_strndup(value->text.p, value->text.n)};
    }
    return true;
}

bool conf_read_GOAL(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                    void *dst)
{
    char q[128];

    if (!conf_is_scalar(r, row, n))
        return false;
    if (!http_text_goal_ok(n->text))
        return CONF_BAD(r, n,
                        "'%s' is '%s'; write http://..., https://... or /PATH, encoded as in a "
                        "browser's address line and without '#'",
                        row->key, str_quote(n->text, q, sizeof(q)));
    conf_set_str(dst, n->text);
    return true;
}

bool conf_read_PAGES(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                     void *dst)
{
    struct conf_pages *p = dst;

    if (n->kind != YN_MAP || n->n > row->max)
        return CONF_BAD(r, n, "'%s' must be a mapping of at most %llu statuses to files", row->key,
                        (unsigned long long)row->max);
    for (size_t i = 0; i < n->n; i++) {
        const struct ynode *key = n->pairs[i].key, *value = n->pairs[i].value;
        uint64_t status;

        if (!str_to_u64(key->text, PAGES_FIRST, PAGES_LAST, &status, NULL))
            return CONF_BAD(r, key, "'%s': a status is a number from %d to %d", row->key,
                            PAGES_FIRST, PAGES_LAST);
        if (value->kind != YN_SCALAR || value->text.n == 0 || value->text.p[0] != '/')
            return CONF_BAD(r, value, "'%s': a page must be an absolute path", row->key);
        p->v = mem_grow(p->v, p->n + 1, sizeof(*p->v));
        p->v[p->n++] =
            (struct conf_page){(unsigned)status, mem_strndup(value->text.p, value->text.n)};
    }
    return true;
}

/* ---- sections ---- */

static bool check_edits(struct conf_reader *r, const struct ynode *n, const struct conf_edits *e,
                        bool *ret_host_changes)
{
    const struct conf_pairs *lists[] = {&e->add, &e->set};
    size_t bytes = 0;

    *ret_host_changes = false;
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        for (size_t k = 0; k < lists[i]->n; k++) {
            bytes += strlen(lists[i]->v[k].key) + strlen(lists[i]->v[k].value) + 4;
            if (i == 0 && strcasecmp(lists[i]->v[k].key, "host") == 0)
                *ret_host_changes = true;
        }
    }
    for (size_t k = 0; k < e->remove.n; k++) {
        bytes += strlen(e->remove.v[k]) + 4;
        if (strcasecmp(e->remove.v[k], "host") == 0)
            *ret_host_changes = true;
    }
    return bytes <= EDITS_BYTES_MAX ||
           CONF_BAD(r, n, "the fields are longer than %d bytes together", EDITS_BYTES_MAX);
}

bool conf_read_EDITS(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                     void *dst)
{
    bool host;

    conf_read_section(r, SECTION_EDITS, n, dst);
    if (n->kind != YN_MAP || !check_edits(r, n, dst, &host))
        return false;
    return !host || strcmp(row->key, "request_headers") != 0 ||
           CONF_BAD(r, n, "a request has one Host (RFC 9112 3.2): write it under 'set'");
}

bool conf_read_REDIRECT(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                        void *dst)
{
    struct conf_redirect *d = dst;
    size_t errors = r->errs->n;

    if (n->kind == YN_SCALAR) {
        d->status = 308;
        d->keep_path = memchr(n->text.p, '?', n->text.n) == NULL;
        return conf_read_GOAL(r, row, n, &d->to);
    }
    conf_read_section(r, SECTION_REDIRECT, n, d);
    if (r->errs->n > errors)
        return false;
    if (d->to == NULL)
        return CONF_BAD(r, n, "redirect has no goal; add 'to: URL'");
    if (d->keep_path && strchr(d->to, '?') != NULL)
        return CONF_BAD(r, n, "redirect: no path fits behind a query; add 'keep_path: false'");
    if (d->status > 303 && d->status < 307)
        return CONF_BAD(r, n, "redirect: status %u is none; use 301, 302, 303, 307 or 308",
                        d->status);
    return true;
}

bool conf_read_RESPOND(struct conf_reader *r, const struct conf_row *row UNUSED,
                       const struct ynode *n, void *dst)
{
    struct conf_respond *d = dst;

    conf_read_section(r, SECTION_RESPOND, n, d);
    if (d->type != NULL && !http_text_value_ok(sv_of(d->type)))
        return CONF_BAD(r, n, "respond: 'type' must be one line of text");
    return true;
}

static struct conf_route *add_route(struct conf_routes *routes, const struct ynode *at)
{
    struct conf_route *route;

    routes->v = mem_grow(routes->v, routes->n + 1, sizeof(*routes->v));
    route = &routes->v[routes->n++];
    *route = (struct conf_route){.line = at->line, .column = at->column};
    return route;
}

bool conf_read_ROUTES(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                      void *dst)
{
    const struct ynode *one[] = {n};
    const struct ynode *const *items =
        n->kind == YN_LIST ? (const struct ynode *const *)n->items : one;
    size_t items_n = n->kind == YN_LIST ? n->n : 1;
    struct conf_strs paths = {NULL, 0};
    bool ok = conf_read_items(r, row, n, prefix_item, &paths);

    for (size_t i = 0; ok && i < items_n; i++)
        add_route(dst, items[i])->path = mem_strdup(paths.v[i]);
    conf_strs_fini(&paths);
    return ok;
}

static void read_route(struct conf_reader *r, const struct ynode *n, struct conf_route *route)
{
    conf_read_section(r, SECTION_ROUTE, n, route);
    if (route->strip && route->rewrite != NULL)
        CONF_BAD(r, n, "the route has both 'strip' and 'rewrite'; keep one");
    if (route->redirect.to != NULL && route->respond.status != 0)
        CONF_BAD(r, n, "the route has both 'redirect' and 'respond'; keep one");
    if ((route->redirect.to != NULL || route->respond.status != 0) &&
        (route->strip || route->rewrite != NULL || route->request.add.n > 0 ||
         route->request.set.n > 0 || route->request.remove.n > 0))
        CONF_BAD(r, n,
                 "the route is answered by lbd itself; remove 'strip', 'rewrite' and "
                 "'request_headers'");
}

bool conf_read_ROUTE_LIST(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                          void *dst)
{
    if (n->kind != YN_LIST || n->n > row->max)
        return CONF_BAD(r, n, "'%s' must be a list of at most %llu sections", row->key,
                        (unsigned long long)row->max);
    for (size_t i = 0; i < n->n; i++)
        read_route(r, n->items[i], add_route(dst, n->items[i]));
    return true;
}

static void edits_fini(struct conf_edits *e)
{
    conf_pairs_fini(&e->add);
    conf_pairs_fini(&e->set);
    conf_strs_fini(&e->remove);
}

void conf_routes_fini(struct conf_routes *routes)
{
    for (size_t i = 0; i < routes->n; i++) {
        struct conf_route *route = &routes->v[i];

        conf_strs_fini(&route->hosts);
        edits_fini(&route->request);
        edits_fini(&route->response);
        mem_free(route->path);
        mem_free(route->rewrite);
        mem_free(route->redirect.to);
        mem_free(route->respond.type);
        mem_free(route->respond.body);
    }
    mem_free(routes->v);
}

/* ---- against each other ---- */

static bool hosts_have(const struct conf_strs *hosts, const char *host)
{
    for (size_t i = 0; i < hosts->n; i++) {
        if (strcasecmp(hosts->v[i], host) == 0)
            return true;
    }
    return false;
}

/* The host that both name, "" for any; NULL: they never meet. */
static const char *common_host(const struct conf_route *a, const struct conf_route *b)
{
    if (a->hosts.n == 0 && b->hosts.n == 0)
        return "";
    for (size_t i = 0; i < a->hosts.n; i++) {
        if (hosts_have(&b->hosts, a->hosts.v[i]))
            return a->hosts.v[i];
    }
    return NULL;
}

static void check_pair(struct conf_reader *r, const struct conf_service *s,
                       const struct conf_route *a, const struct conf_service *other,
                       const struct conf_route *b)
{
    const char *host = common_host(a, b);

    if (host == NULL || strcmp(a->path, b->path) != 0)
        return;
    if (s == other)
        CONF_BAD(r, a, "service '%s' names route '%s%s' twice (before: line %u); remove one",
                 s->name, host, a->path, b->line);
    else
        CONF_BAD(r, a,
                 "route '%s%s' of service '%s' belongs to service '%s' (line %u) already; each "
                 "route has one service",
                 host, a->path, s->name, other->name, b->line);
}

static void check_static(struct conf_reader *r, const struct conf_service *s,
                         const struct conf_route *route)
{
    if (route->strip || route->rewrite != NULL || route->request.add.n > 0 ||
        route->request.set.n > 0 || route->request.remove.n > 0)
        CONF_BAD(r, route,
                 "service '%s' has 'static': its files are found below the route's path; remove "
                 "'strip', 'rewrite' and 'request_headers'",
                 s->name);
}

void conf_check_routes(struct conf_reader *r, const struct conf *c, size_t service)
{
    const struct conf_service *s = &c->services[service];

    for (size_t k = 0; k < s->routes.n; k++) {
        const struct conf_route *route = &s->routes.v[k];

        for (size_t m = 0; m < k; m++)
            check_pair(r, s, route, s, &s->routes.v[m]);
        for (size_t i = 0; i < service; i++) {
            const struct conf_service *other = &c->services[i];

            for (size_t m = 0; m < other->routes.n; m++)
                check_pair(r, s, route, other, &other->routes.v[m]);
        }
        if (s->static_dir != NULL)
            check_static(r, s, route);
    }
}
