#ifndef LBCTL_CTL_OBSERVE_H
#define LBCTL_CTL_OBSERVE_H

#include <stdbool.h>

#include "ctl/model.h"

/* Looks at the engine: its whole list every 10 s and whenever something is in doubt; adopts what is
 * ours. */
enum {
    OBSERVE_EVERY_MS = 10000,
    OBSERVE_RETRY_MS = 1000,
    OBSERVE_GAP_MS = 20,
    OBSERVE_FIRST_MS = 200,
    OBSERVE_DOUBT_MS = 1000
};

struct observer;

struct observer *observe_new(struct ctl *c);
void observe_free(struct observer *o);
void observe_soon(struct observer *o);  /* at once, unless one has just been asked for */
void observe_doubt(struct observer *o); /* something may have ended unheard: within OBSERVE_DOUBT_MS
                                           of the last look */
bool observe_engine_up(const struct observer *o);           /* the last list came */
const char *observe_engine_error(const struct observer *o); /* why it did not; "" when it did */
uint64_t
observe_engine_since_ms(const struct observer *o); /* since when the engine is up, or not */
bool observe_seen(const struct observer *o);       /* at least one list came */
uint64_t observe_seen_ms(const struct observer *o);
rt_hint_fn observe_on_hint; /* arg: the struct ctl */

#endif
