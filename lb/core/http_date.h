#ifndef LBCTL_LB_CORE_HTTP_DATE_H
#define LBCTL_LB_CORE_HTTP_DATE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/str.h"

/* IMF-fixdate, "Sun, 06 Nov 1994 08:49:37 GMT": the one form of RFC 9110 5.6.7 that is written
 * today. Pure. */
enum { HTTP_DATE_SIZE = 30 }; /* with the NUL */

/* Seconds since 1970; years 1970 to 9999, others are bent to the nearest of these. */
void http_date_format(int64_t at_s, char ret[HTTP_DATE_SIZE]);
/* Strict: every byte in its place, a real date; the weekday is not compared. */
bool http_date_parse(struct sv text, int64_t *ret_s) MUST_CHECK;

#endif
