#ifndef ACTS_USERS_H
#define ACTS_USERS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/str.h"
#include "common/ev/loop.h"

/* Asks the Users service, live and each time anew, whether a user exists: GET of the whole list
 * with an Origin header, exact match, bounded in time and size. */
struct users;
enum users_answer { USERS_KNOWN, USERS_UNKNOWN, USERS_AWAY };
typedef void users_done_fn(void *arg, enum users_answer answer);

/* url: http://host[:port][/path]; without a path it is /api/v1/users. */
bool users_check_url(const char *url, struct err *e) MUST_CHECK;
bool users_new(struct loop *l, const char *url, const char *origin, uint64_t timeout_ms,
               struct users **ret, struct err *e) MUST_CHECK;
/* done is called exactly once, never inside users_ask(); the name must stay until then. False: out
 * of memory, done will not be called. */
bool users_ask(struct users *u, struct sv name, users_done_fn *done, void *arg) MUST_CHECK;
void users_free(struct users *u);

#endif
