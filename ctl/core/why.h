#ifndef LBCTL_CTL_CORE_WHY_H
#define LBCTL_CTL_CORE_WHY_H

#include "common/base/buf.h"
#include "ctl/core/slot.h"

/* One paragraph about a slot or a service for a person: what state, since when, because of what,
 * what happens next. Pure. */
struct why_slot {
    const char *service;
    unsigned slot;
    const struct slot *s;
    uint16_t port;      /* on the host; 0: none */
    const char *health; /* last probe's result */
    bool wanted;
    uint64_t now_ms, now_wall_ms;
};

void why_slot(const struct why_slot *in, struct buf *out);

struct why_service {
    const char *service;
    const char *mode; /* auto, manual, fixed, static */
    unsigned wish, ready, min, max;
    bool armed; /* a scaling decision is due in next_ms */
    uint64_t next_ms, count;
    unsigned would_be;
    const char *last; /* reason of the last decision; NULL: there was none */
    uint64_t last_ago_ms;
    const char *waits_for; /* "waits for postgres"; NULL: for nothing */
    const char *brake;     /* why replacement is braked; "" or NULL: it is not */
};

void why_service(const struct why_service *in, struct buf *out);

#endif
