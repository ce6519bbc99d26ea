#ifndef ACTS_CHECK_H
#define ACTS_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/str.h"

/* The value rules of the Acts contract, section 4. Pure. */

/* A whole decimal number >= 0 of any length, digits only. *ret is s without leading zeros, so that
 * equal numbers have equal text. */
bool check_id(struct sv s, struct sv *ret) MUST_CHECK;

/* Exactly DD-MM-YYYY:SS-MM-HH (seconds, minutes, hours), a real calendar date, year 1 to 9999. *ret
 * is a number that orders like the time and from which check_ts_text() gives the text back. */
bool check_ts(struct sv s, int64_t *ret) MUST_CHECK;
enum { CHECK_TS_LEN = 19 };
void check_ts_text(int64_t key, char buf[CHECK_TS_LEN + 1]);

/* Remove CR and LF in place, then judge strictly: not empty, the standard alphabet, length a
 * multiple of four, padding only at the end. s->n becomes the new length. */
bool check_base64(char *p, size_t *n) MUST_CHECK;

/* Exactly 40 hexadecimal digits of any case, as SHA-1 is written. */
bool check_sha1(struct sv s) MUST_CHECK;

/* Text that the database can hold: valid UTF-8 without NUL. */
bool check_text(struct sv s) MUST_CHECK;

/* Decode %XX into out (room for s.n bytes); a plus sign stays one. False when a percent sign is not
 * followed by two hexadecimal digits. */
bool check_percent(struct sv s, char *out, size_t *ret_n) MUST_CHECK;

#endif
