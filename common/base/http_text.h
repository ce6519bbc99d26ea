#ifndef LBCTL_BASE_HTTP_TEXT_H
#define LBCTL_BASE_HTTP_TEXT_H

#include <stdbool.h>

#include "common/base/str.h"

/* What an operator may write about HTTP, checked alike where the configuration and where a table is
 * read. Pure. */

/* A field name (RFC 9110 5.1), and a value without control bytes (5.5). */
bool http_text_name_ok(struct sv name);
bool http_text_value_ok(struct sv value);
/* May a route change this field? Not what frames messages or belongs to one connection (RFC 9110
 * 7.6.1): a proxy that gets those wrong is not a proxy. */
bool http_text_may_edit(struct sv name);

/* A host of a route: a name or an address as in Host, without a port; or "*.NAME" for every name
 * below NAME. */
bool http_text_host_ok(struct sv host);
/* Is it of that second form? */
bool http_text_is_wildcard(struct sv host);

/* A path prefix, or what takes its place: begins with '/', nothing that would have to be encoded,
 * no query, no empty segment; a slash at the end only if there is nothing else. */
bool http_text_prefix_ok(struct sv path);
/* A redirect's goal: http://..., https://... or /..., as it may stand in Location, without a
 * fragment. */
bool http_text_goal_ok(struct sv goal);

#endif
