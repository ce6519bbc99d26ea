#ifndef LBCTL_LB_CORE_ROUTE_H
#define LBCTL_LB_CORE_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/str.h"

/* Path prefixes and the services behind them. Pure. Paths are compared as bytes, as the client sent
 * them: no decoding, no normalisation, so that lbd and a backend can never disagree about what was
 * asked for. */
struct route {
    struct sv prefix; /* "/api/v1"; no slash at its end; "" is the root: it matches every path */
    unsigned service; /* index */
};

/* A prefix as the operator writes it ("/api/v1/" and "/" have a slash too many) in the form above.
 */
bool route_prefix_clean(struct sv text, struct sv *ret) MUST_CHECK;

/* Longest prefix first; of equal ones the first in the list is used. */
void route_sort(struct route *r, size_t n);

/* The route of a path: its prefix, then the end of the path or a slash. NULL: none. r is sorted. */
const struct route *route_find(const struct route *r, size_t n, struct sv path);

#endif
