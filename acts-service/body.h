#ifndef ACTS_BODY_H
#define ACTS_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/str.h"

/* Request bodies: JSON bytes in, checked values out. The bytes are changed in place and the views
 * point into them. The error is the text for the client of a 400. Pure. */
struct act_in {
    struct sv id, username, caption, category, image;
    int64_t ts; /* check_ts() */
};

struct user_in {
    struct sv name, password;
};

bool body_act(char *p, size_t n, struct act_in *ret, struct err *e) MUST_CHECK;
bool body_user(char *p, size_t n, struct user_in *ret, struct err *e) MUST_CHECK;
/* An array of exactly one non-empty string; `what` names it in messages. */
bool body_name(char *p, size_t n, const char *what, struct sv *ret, struct err *e) MUST_CHECK;
/* An array of exactly one act id: a whole number, or a string of digits. */
bool body_id(char *p, size_t n, struct sv *ret, struct err *e) MUST_CHECK;
/* Does an array of strings hold exactly this name? *ret is written only when the text is such an
 * array. */
bool body_has_name(char *p, size_t n, struct sv name, bool *ret, struct err *e) MUST_CHECK;

#endif
