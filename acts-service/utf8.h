#ifndef ACTS_UTF8_H
#define ACTS_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/str.h"

/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. Pure. */

/* Bytes of the first character of s, 0 when it is not valid (or s is empty). */
size_t utf8_len(struct sv s);
bool utf8_valid(struct sv s);
/* Write the character (at most 4 bytes) and return its length. `c` must be a scalar value. */
size_t utf8_put(char *out, uint32_t c);

#endif
