#ifndef ACTS_JOUT_H
#define ACTS_JOUT_H

#include <event2/buffer.h>
#include <stdbool.h>

#include "common/base/str.h"

/* Writing JSON into an evbuffer. Strings must be valid UTF-8 (everything stored is). What does not
 * fit into memory is left out and marks the whole as failed: look before it is sent. */
struct jout {
    struct evbuffer *b; /* the owner's */
    bool failed;
};

void jout_raw(struct jout *o, const char *s);
void jout_bytes(struct jout *o, struct sv s);
void jout_string(struct jout *o, struct sv s); /* with quotes and escapes */
void jout_clear(struct jout *o);               /* empty, and not failed */

#endif
