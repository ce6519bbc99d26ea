#ifndef LBCTL_LB_CORE_ASSET_H
#define LBCTL_LB_CORE_ASSET_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/str.h"

/* Static files: which file a path names, and what a request gets of it. Pure. */

enum asset_path {
    ASSET_PATH_OK,
    ASSET_PATH_BAD,  /* 400: a percent sign without two hex digits */
    ASSET_PATH_NONE, /* 404: names nothing that we would ever serve */
    ASSET_PATH_LONG, /* 414 */
};

/* The file that the rest of a request path (behind its route's prefix, without the query) names,
 * relative to the service's directory and "." for that itself, into buf of n bytes.
 * Percent-encoding is taken off exactly once. No segment may be empty or begin with a dot, which no
 * "..", however it is written, survives; nor may a name contain a slash, a backslash or a control
 * byte. *ret_folder: the path ends in a slash. */
enum asset_path asset_path(struct sv rest, char *buf, size_t n, bool *ret_folder) MUST_CHECK;

/* "text/html; charset=utf-8", by the ending of the name; never NULL. */
const char *asset_type(const char *name);

struct asset_file {
    uint64_t size;
    int64_t modified_s;
    const char *etag; /* strong, with its quotes */
};

/* Header fields of the request; NULL: absent. */
struct asset_ask {
    bool head;
    const char *if_match, *if_unmodified_since, *if_none_match, *if_modified_since, *if_range,
        *range;
};

struct asset_answer {
    unsigned status;   /* 200, 206, 304, 412, 416 */
    uint64_t first, n; /* the bytes of a 200 or 206 */
};

/* Preconditions and ranges, RFC 9110 13.2.2 and 14.2. One range is served; of a list, or of a unit
 * that we do not know, the whole file is the answer. */
struct asset_answer asset_decide(const struct asset_file *f, const struct asset_ask *a);

#endif
