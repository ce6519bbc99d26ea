#ifndef ACTS_HTTP_CHECK_H
#define ACTS_HTTP_CHECK_H

#include <stdbool.h>

#include "common/base/str.h"

/* What evhttp lets through and RFC 9112 does not: judged on the parsed head. Pure. */
struct http_check {
    unsigned fields, hosts;
    bool bad;
};

void http_check_field(struct http_check *c, const char *name, const char *value);
/* 0, or the status to refuse with (400, 431, 505). */
int http_check_status(const struct http_check *c, int major, int minor);

/* The path and the query of a request target in origin form or absolute form (RFC 9112
 * section 3.2). */
bool http_check_target(const char *target, struct sv *ret_path, struct sv *ret_query) MUST_CHECK;

#endif
