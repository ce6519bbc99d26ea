#ifndef LBCTL_LB_CORE_HTTP_TRAILER_H
#define LBCTL_LB_CORE_HTTP_TRAILER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/str.h"

/* Trailer fields on their way through. Pure. */

/* May a field stand behind the body? Not what frames, routes, authenticates or describes the
 * message that is over by then (RFC 9110 6.5.1), nor what belongs to one connection. */
bool http_trailer_may_pass(struct sv name);

/* Take the lines that may not pass out of a checked trailer section ("name: value" CRLF, without
 * the empty line at its end). Returns what is left of n. */
size_t http_trailer_filter(char *p, size_t n);

#endif
