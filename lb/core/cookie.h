#ifndef LBCTL_LB_CORE_COOKIE_H
#define LBCTL_LB_CORE_COOKIE_H

#include <stdbool.h>

#include "common/base/str.h"

/* The value of a Cookie field, pair by pair (RFC 6265 4.2.1; as lenient as 5.4 makes browsers: any
 * blanks, pairs without '=' are skipped, a value may be quoted). Pure. */

/* Take the next pair off *rest. false: there is none. Names are case-sensitive. */
bool cookie_next(struct sv *rest, struct sv *ret_name, struct sv *ret_value);

#endif
