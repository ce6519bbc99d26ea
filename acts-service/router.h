#ifndef ACTS_ROUTER_H
#define ACTS_ROUTER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/str.h"

/* Which route a path belongs to, and which methods that route allows. Pure. The tables are rows of
 * routes.def; a program has one. */
struct ask;
typedef void route_fn(struct ask *a); /* answers with ask_reply() exactly once, now or later */

struct route {
    const char *pattern; /* "/a/b" or "/a/" "*" "/b": "*" is any one segment, at most one of them */
    bool counted;        /* in _count */
    route_fn *get, *post, *del;
};

enum method { METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_DELETE, METHOD_OPTIONS, METHOD_OTHER };

/* The first row that matches; so fixed words stand before "*". One slash at the end of the path is
 * ignored. *ret_param is what stood for "*", still percent-encoded. NULL: no such route. */
const struct route *router_find(const struct route *table, size_t n, struct sv path,
                                struct sv *ret_param);
/* HEAD is served as GET. NULL: 405. */
route_fn *router_method(const struct route *r, enum method m);
/* The value of the Allow header. */
const char *router_allow(const struct route *r, char *buf, size_t n);

#endif
