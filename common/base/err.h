#ifndef LBCTL_BASE_ERR_H
#define LBCTL_BASE_ERR_H

#include <stdbool.h>

#include "common/base/macros.h"

/* An error on the caller's stack: set once where it happens, wrapped on the way up, logged once
 * where it is handled. A text names the thing, the place and the remedy. All functions return
 * false, so that `return err_set(e, ...)` ends a fallible function. `e` may be NULL (the caller
 * does not care). */
struct err {
    char msg[512];
};

bool err_set(struct err *e, const char *fmt, ...) PRINTF(2, 3);
bool err_sys(struct err *e, const char *fmt, ...) PRINTF(2, 3);  /* appends ": strerror(errno)" */
bool err_wrap(struct err *e, const char *fmt, ...) PRINTF(2, 3); /* puts "TEXT: " in front */

#endif
