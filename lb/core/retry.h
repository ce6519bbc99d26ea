#ifndef LBCTL_LB_CORE_RETRY_H
#define LBCTL_LB_CORE_RETRY_H

#include <stdbool.h>

/* May a failed attempt be repeated, and where? Pure. */
enum { RETRY_ATTEMPTS_MAX = 4, RETRY_BUDGET_PERCENT = 20, RETRY_BUDGET_FLOOR = 3 };

struct retry_in {
    bool sent;     /* the kernel took at least one byte of the request */
    bool reused;   /* the connection came from the pool */
    bool answered; /* at least one byte of an answer came */
    bool idempotent;
    bool replayable;    /* head and all body bytes sent so far are still at hand */
    bool timed_out;     /* no answer in time, as opposed to closed or refused */
    bool departed;      /* the backend has left the table */
    bool repeated;      /* a request that may have been seen was repeated already */
    unsigned attempts;  /* attempts so far, this one included */
    unsigned backends;  /* ready ones in the table */
    unsigned active;    /* exchanges of this worker */
    unsigned repeating; /* of them, those in a repeated attempt */
};

enum retry_verdict {
    RETRY_NO,
    RETRY_FRESH, /* the same backend, on a new connection: the pooled one had died of age */
    RETRY_OTHER, /* another backend if there is one */
};

enum retry_verdict retry_decide(const struct retry_in *in);

#endif
