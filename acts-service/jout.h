#ifndef ACTS_JOUT_H
#define ACTS_JOUT_H

#include <event2/buffer.h>

#include "common/base/str.h"

/* Writing JSON into an evbuffer. Strings must be valid UTF-8 (everything stored is). Out of memory
 * ends the process, as everywhere. */
void jout_raw(struct evbuffer *b, const char *s);
void jout_bytes(struct evbuffer *b, struct sv s);
void jout_string(struct evbuffer *b, struct sv s); /* with quotes and escapes */

#endif
