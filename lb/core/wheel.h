#ifndef LBCTL_LB_CORE_WHEEL_H
#define LBCTL_LB_CORE_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/list.h"

/* Deadlines of many connections: setting, moving and clearing one costs a list operation, whatever
 * their number. Fires never early and at most WHEEL_TICK_MS late (plus the lateness of the caller's
 * own timer). Pure: time is an argument. */
enum { WHEEL_TICK_MS = 32, WHEEL_SLOTS = 2048 };

struct wheel_node {
    struct list node;
    uint64_t at_ms; /* 0: not set */
};

struct wheel {
    uint64_t tick; /* all slots before it are empty */
    uint64_t used[WHEEL_SLOTS / 64];
    struct list slots[WHEEL_SLOTS];
};

void wheel_init(struct wheel *w, uint64_t now_ms);
void wheel_node_init(struct wheel_node *n);
void wheel_set(struct wheel *w, struct wheel_node *n, uint64_t at_ms);
void wheel_clear(struct wheel *w, struct wheel_node *n);

/* The next node whose deadline is not after now, unset; NULL when there is none. */
struct wheel_node *wheel_pop(struct wheel *w, uint64_t now_ms);

/* When to look again, at the latest; 0: nothing is set. */
uint64_t wheel_next_ms(const struct wheel *w);

#endif
