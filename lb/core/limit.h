#ifndef LBCTL_LB_CORE_LIMIT_H
#define LBCTL_LB_CORE_LIMIT_H

#include <stdatomic.h>
#include <stdbool.h>

/* Places that requests in flight take, over all threads: never more than `max` are taken, and none
 * is lost. Pure but for the shared number. */
bool limit_take(atomic_uint *taken, unsigned max);
void limit_give(atomic_uint *taken);
bool limit_has_room(const atomic_uint *taken, unsigned max); /* a moment ago */

/* What becomes of a request that cannot begin at once. */
struct wait_in {
    unsigned backends;          /* in the table */
    bool expected;              /* a backend is on its way */
    bool safe;                  /* of the request's method (RFC 9110 9.2.1) */
    unsigned waiting;           /* requests of the service that wait already */
    unsigned queue_max;         /* that may, while all backends are full */
    unsigned hold_max;          /* that may, while there is none */
    unsigned queue_ms, hold_ms; /* for how long; 0: nobody waits */
};

enum wait_verdict {
    WAIT_QUEUE,      /* for a place */
    WAIT_HOLD,       /* for a backend */
    WAIT_NO_BACKEND, /* 503: there is none, and this request does not wait for one */
    WAIT_FULL,       /* 503: as many wait already as may */
};

enum wait_verdict wait_decide(const struct wait_in *in);

#endif
