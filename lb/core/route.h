#ifndef LBCTL_LB_CORE_ROUTE_H
#define LBCTL_LB_CORE_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/str.h"
#include "lb/core/http_edit.h"

/* Hosts and path prefixes, the services behind them, and what a route does to a message. Pure.
 * Paths are compared as bytes, as the client sent them: no decoding, no normalisation, so that lbd
 * and a backend can never disagree about what was asked for. */
struct route_redirect {
    struct sv to; /* n == 0: none */
    unsigned status;
    bool keep_path; /* what stands behind the route's prefix is put behind `to` */
};

struct route_respond {
    unsigned status; /* 0: none */
    struct sv type, body;
};

struct route {
    struct sv host;   /* "": any; "example.org"; "*.example.org": every name below it */
    struct sv prefix; /* "/api/v1"; no slash at its end; "" is the root: it matches every path */
    unsigned service; /* index */
    const struct http_request_edit *edit;  /* NULL: none */
    const struct http_edits *answer_edits; /* NULL: none */
    struct route_redirect redirect;
    struct route_respond respond;
};

/* A prefix as the operator writes it ("/api/v1/" and "/" have a slash too many) in the form above.
 */
bool route_prefix_clean(struct sv text, struct sv *ret) MUST_CHECK;

/* Do both match the same requests? */
bool route_same(const struct route *a, const struct route *b);

/* Whole hosts first, then wildcards (the longer name first), then routes of any host; among equals
 * the longest prefix first; of equal ones the first in the list is used. */
void route_sort(struct route *r, size_t n);

/* A host as it stands in Host (RFC 9110 7.2) without its port, and without a dot at its end. */
struct sv route_host(struct sv host);

/* The route of a request: its host, then its prefix, then the end of the path or a slash. NULL:
 * none. r is sorted; host comes from route_host(). */
const struct route *route_find(const struct route *r, size_t n, struct sv host, struct sv path);

/* The redirect's Location for a request target ("/path?query"): `to`, the rest of the path, and the
 * query, which is never lost. */
void route_location(struct http_out *o, const struct route *r, struct sv path, struct sv query);

#endif
