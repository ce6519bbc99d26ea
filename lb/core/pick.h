#ifndef LBCTL_LB_CORE_PICK_H
#define LBCTL_LB_CORE_PICK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Choice of a backend. Pure but for the cursor, which all threads share: each pick takes the next
 * number, so that round robin is exact over all of them. */
struct pick_ops {
    const char *name;
    /* usable(arg, i): may backend i be taken now? Called at most n times. Returns an index in [0,
     * n). When none is usable the cursor's choice stands: the last backend is never taken out. */
    unsigned (*choose)(_Atomic uint64_t *cursor, unsigned n, bool (*usable)(void *arg, unsigned i),
                       void *arg);
};
extern const struct pick_ops pick_round_robin;

/* How long a backend that failed `fails` times in a row (connections refused, or closed unused) is
 * left alone while others are ready. Milliseconds. */
uint64_t pick_hold_ms(unsigned fails);

#endif
