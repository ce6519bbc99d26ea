#ifndef LBCTL_CTL_CORE_ADOPT_H
#define LBCTL_CTL_CORE_ADOPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Which of the instances that the engine shows is whose? Pure. Given one full list of our project's
 * instances. */
enum adopt_state { ADOPT_IS_CREATED, ADOPT_IS_RUNNING, ADOPT_IS_OVER, ADOPT_IS_REMOVING };

struct adopt_item {
    unsigned service; /* index in the configuration */
    unsigned slot;
    bool known_place; /* the configuration has that service and slot */
    bool claimed;     /* a slot, or the removal list, holds it already */
    bool slot_free;   /* nothing is in its slot, nothing on its way there */
    bool ready;       /* known to be ready (lbd has it in its table) */
    bool same_conf;   /* made from the configuration of today */
    enum adopt_state state;
    uint64_t generation;
};

enum adopt_verdict {
    ADOPT_KNOWN,  /* nothing to decide */
    ADOPT_TAKE,   /* it fills its slot: running as it is, or created and to be started */
    ADOPT_REMOVE, /* a leftover or a duplicate: stop, if need be, and remove */
    ADOPT_EVICT,  /* running where nothing is configured: drain, stop gracefully, remove */
    ADOPT_WAIT,   /* the engine is removing it: its slot waits */
};

void adopt_judge(const struct adopt_item *v, size_t n, enum adopt_verdict *ret);

#endif
