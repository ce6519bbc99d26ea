#ifndef LBCTL_LB_CORE_QUEUE_H
#define LBCTL_LB_CORE_QUEUE_H

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/list.h"

/* A first-come-first-served queue over several threads without a lock: each thread has a part of
 * its own, a list that only it touches; who comes takes the next number, and each part shows the
 * number of its first. The smallest of these is the next one's. Pure but for the shared numbers.
 *
 * Whoever makes room does so first and asks queue_next_part() afterwards; whoever joins does so
 * first and looks for room afterwards. All of that is sequentially consistent, so one of the two
 * sees the other: nobody waits beside a free place. */
#define QUEUE_NONE UINT_MAX

struct queue_node {
    struct list node;
    uint64_t number; /* 0: none drawn yet; keeps its place when it joins again */
};

struct queue_part {
    struct list waiting;    /* of queue_nodes, by number; the owner only */
    _Atomic uint64_t first; /* number of the first; 0: nobody waits here */
    char pad[40];           /* no two parts in one cache line */
};

struct queue {
    _Atomic uint64_t numbers; /* drawn so far */
    atomic_uint n;            /* who waits, over all parts */
    unsigned parts_n;
    struct queue_part *parts; /* the caller's array */
};

void queue_init(struct queue *q, struct queue_part *parts, unsigned n);
void queue_node_init(struct queue_node *n);
/* false: `max` wait already. */
bool queue_join(struct queue *q, unsigned part, struct queue_node *n, unsigned max);
void queue_leave(struct queue *q, unsigned part, struct queue_node *n); /* idempotent */
bool queue_has(const struct queue_node *n);
struct queue_node *queue_first(struct queue *q, unsigned part); /* NULL: nobody; its owner only */
unsigned queue_next_part(struct queue *q); /* whose first is the next; QUEUE_NONE: nobody */

#endif
