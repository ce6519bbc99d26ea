#ifndef LBCTL_LB_CORE_EJECT_H
#define LBCTL_LB_CORE_EJECT_H

#include <stdbool.h>
#include <stdint.h>

/* Passive health: which backends are left out for a while because of what traffic met. Made for few
 * backends: a wrong verdict costs a large part of the service. Pure. */
enum {
    EJECT_WINDOW_MS = 10000, /* of the run */
    EJECT_FORGET_MS = 60000, /* after this long without, the next time counts as the first */
};

/* How many of n may be left out at a time: at most half, never the last. */
unsigned eject_max(unsigned n);

/* Does this status speak of a backend that is not well? Not 501 or 505, which speak of the request.
 */
bool eject_is_bad(unsigned status);

/* What is known of a backend's answers: a number, so that threads may share it without a lock. 0:
 * nothing bad of late, and a good answer leaves it so. Returns the new one. *ret_eject: the last
 * `run` answers were bad, and at least half of all since the first bad one, within the window; it
 * begins anew then. run: 1..EJECT_RUN_MAX. */
enum { EJECT_RUN_MAX = 200 };
uint64_t eject_note(uint64_t known, bool bad, unsigned run, uint64_t now_ms, bool *ret_eject);

/* For how long, the `times`-th time (1, 2, ...): 2 s, 4 s ... 30 s. */
uint64_t eject_ms(unsigned times);

#endif
