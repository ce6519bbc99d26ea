#ifndef LBCTL_LB_STICKY_H
#define LBCTL_LB_STICKY_H

#include <stdbool.h>

#include "common/base/err.h"
#include "common/base/hmac.h"
#include "common/base/str.h"

/* The value of a sticky cookie: HMAC-SHA256, cut to 128 bits (RFC 2104 5), of a service's and an
 * instance's name under a key that only lbd has. It names one instance of one service without
 * telling which; nobody else can make one; and what fits no backend of the table means nothing. */
enum { STICKY_KEY = HMAC_SIZE, STICKY_TOKEN = 32 };

/* The key in a file: read, or made at random and written (mode 0600). On failure a key is made that
 * lasts as long as this process: false, and the error says why. */
bool sticky_key(const char *path, unsigned char ret[STICKY_KEY], struct err *e) MUST_CHECK;

/* STICKY_TOKEN hexadecimal digits. */
void sticky_token(const unsigned char key[STICKY_KEY], const char *service, const char *instance,
                  char ret[STICKY_TOKEN]);
/* Compare in a time that does not depend on where they differ. */
bool sticky_is(const char token[STICKY_TOKEN], struct sv value);

#endif
