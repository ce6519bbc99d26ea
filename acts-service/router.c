#include "acts-service/router.h"

#include <stdio.h>

/* The next segment of a path that begins with a slash; false at the end. */
static bool next_segment(struct sv *path, struct sv *ret)
{
    const char *slash;

    if (path->n == 0 || *path->p != '/')
        return false;
    path->p++;
    path->n--;
    slash = path->n > 0 ? memchr(path->p, '/', path->n) : NULL;
    *ret = (struct sv){path->p, slash != NULL ? (size_t)(slash - path->p) : path->n};
    path->p += ret->n;
    path->n -= ret->n;
    return true;
}

static bool matches(const char *pattern, struct sv path, struct sv *ret_param)
{
    struct sv want = sv_of(pattern), w, s, param = {"", 0};

    while (next_segment(&want, &w)) {
        if (!next_segment(&path, &s))
            return false;
        if (sv_eq(w, "*"))
            param = s;
        else if (w.n != s.n || memcmp(w.p, s.p, s.n) != 0)
            return false;
    }
    if (path.n > 0)
        return false;
    *ret_param = param;
    return true;
}

const struct route *router_find(const struct route *table, size_t n, struct sv path,
                                struct sv *ret_param)
{
    if (path.n > 1 && path.p[path.n - 1] == '/')
        path.n--;
    for (size_t i = 0; i < n; i++) {
        if (matches(table[i].pattern, path, ret_param))
            return &table[i];
    }
    return NULL;
}

route_fn *router_method(const struct route *r, enum method m)
{
    switch (m) {
    case METHOD_GET:
    case METHOD_HEAD:
        return r->get;
    case METHOD_POST:
        return r->post;
    case METHOD_DELETE:
        return r->del;
    case METHOD_OPTIONS:
    case METHOD_OTHER:
        break;
    }
    return NULL;
}

const char *router_allow(const struct route *r, char *buf, size_t n)
{
    (void)snprintf(buf, n, "%s%s%sOPTIONS", r->get != NULL ? "GET, HEAD, " : "",
                   r->post != NULL ? "POST, " : "", r->del != NULL ? "DELETE, " : "");
    return buf;
}
