#include "common/base/http_text.h"
#include "common/base/mem.h"
#include "common/wire/proto.h"
#include "lb/table-internal.h"

/* So that any head still fits its buffer with the changes of a route. */
enum { EDITS_BYTES_MAX = 8 << 10 };

static bool find_op(const char *name, enum http_edit_op *ret)
{
    static const char *const names[] = {
        [HTTP_EDIT_ADD] = "add", [HTTP_EDIT_SET] = "set", [HTTP_EDIT_REMOVE] = "remove"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            *ret = (enum http_edit_op)i;
            return true;
        }
    }
    return false;
}

static bool read_edit(const json_t *spec, struct http_edit *ret, struct err *e)
{
    const char *op = proto_str(spec, "op", "");

    ret->name = sv_of(proto_str(spec, "name", ""));
    ret->value = sv_of(proto_str(spec, "value", ""));
    if (!find_op(op, &ret->op))
        return err_set(e, "'op' must be add, set or remove");
    if (!http_text_name_ok(ret->name) || !http_text_value_ok(ret->value))
        return err_set(e, "no valid field name or value");
    if (!http_text_may_edit(ret->name))
        return err_set(e, "field '%.*s' cannot be changed", (int)ret->name.n, ret->name.p);
    return true;
}

static bool read_edits(const json_t *list, struct http_edit **v, struct http_edits *ret,
                       struct err *e)
{
    size_t i, bytes = 0;
    json_t *item;

    if (json_array_size(list) == 0)
        return true;
    *v = mem_array(json_array_size(list), sizeof(**v));
    json_array_foreach(list, i, item)
    {
        if (!read_edit(item, &(*v)[i], e))
            return false;
        bytes += (*v)[i].name.n + (*v)[i].value.n + 4;
    }
    *ret = (struct http_edits){*v, json_array_size(list)};
    return bytes <= EDITS_BYTES_MAX || err_set(e, "more than %d bytes of fields", EDITS_BYTES_MAX);
}

static bool read_redirect(const json_t *spec, struct route_redirect *ret, struct err *e)
{
    static const unsigned statuses[] = {301, 302, 303, 307, 308};
    bool ok = false;

    ret->to = sv_of(proto_str(spec, "to", ""));
    ret->status = (unsigned)proto_uint(spec, "status", 0);
    ret->keep_path = proto_bool(spec, "keep_path", false);
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
        ok = ok || statuses[i] == ret->status;
    return (ok && http_text_goal_ok(ret->to)) || err_set(e, "no redirect's status or goal");
}

static bool read_respond(const json_t *spec, struct route_respond *ret, struct err *e)
{
    ret->status = (unsigned)proto_uint(spec, "status", 0);
    ret->type = sv_of(proto_str(spec, "type", "text/plain; charset=utf-8"));
    ret->body = sv_of(proto_str(spec, "body", ""));
    return (ret->status >= 200 && http_text_value_ok(ret->type)) ||
           err_set(e, "no status or type of an answer");
}

/* What a route does: the members beside host and prefix. */
static bool read_acts(const json_t *spec, struct route *to, struct route_parts *parts,
                      struct err *e)
{
    const char *rewrite = proto_str(spec, "rewrite", NULL);
    const json_t *redirect = json_object_get(spec, "redirect");
    const json_t *respond = json_object_get(spec, "respond");
    struct http_request_edit *edit = &parts->edit;

    if (!read_edits(json_object_get(spec, "request_headers"), &parts->v[0], &edit->fields, e) ||
        !read_edits(json_object_get(spec, "response_headers"), &parts->v[1], &parts->answer_edits,
                    e))
        return false;
    if (rewrite != NULL) {
        if (!http_text_prefix_ok(sv_of(rewrite)) ||
            !route_prefix_clean(sv_of(rewrite), &edit->rewrite))
            return err_set(e, "'rewrite' must be a path");
        edit->cut = true;
        edit->prefix = to->prefix;
    }
    if (edit->cut || edit->fields.n > 0)
        to->edit = edit;
    if (parts->answer_edits.n > 0)
        to->answer_edits = &parts->answer_edits;
    return (redirect == NULL || read_redirect(redirect, &to->redirect, e)) &&
           (respond == NULL || read_respond(respond, &to->respond, e));
}

bool table_add_route(struct table *t, unsigned index, const json_t *spec, struct err *e)
{
    const struct table_service *ts = &t->services[index];
    const char *text = proto_str(spec, "prefix", ""), *host = proto_str(spec, "host", "");
    struct route *to = &t->routes[t->routes_n];
    struct route_parts *parts = &t->parts[t->routes_n];

    t->routes_n++; /* first, so that its parts are freed */
    to->service = index;
    to->host = sv_of(host);
    t->by_host = t->by_host || to->host.n > 0;
    if (!route_prefix_clean(sv_of(text), &to->prefix))
        return err_set(e, "service '%s': route '%s' must begin with / and have no query",
                       ts->service->name, text);
    if (to->host.n > 0 && !http_text_host_ok(to->host))
        return err_set(e, "service '%s': route '%s': '%s' is no host", ts->service->name, text,
                       host);
    for (size_t k = 0; k + 1 < t->routes_n; k++) {
        if (route_same(&t->routes[k], to))
            return err_set(e, "route '%s%s' is listed twice", host, text);
    }
    if (!read_acts(spec, to, parts, e))
        return err_wrap(e, "service '%s': route '%s%s'", ts->service->name, host, text);
    if (ts->dir != NULL && to->edit != NULL) /* the site finds its files by the request as it is */
        return err_set(e, "service '%s': route '%s': requests for files cannot be changed",
                       ts->service->name, text);
    return true;
}

void table_free_routes(struct table *t)
{
    for (size_t i = 0; i < t->routes_n; i++) {
        mem_free(t->parts[i].v[0]);
        mem_free(t->parts[i].v[1]);
    }
    mem_free(t->parts);
    mem_free(t->routes);
}
