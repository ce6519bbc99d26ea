#ifndef LBCTL_LB_LATENCY_H
#define LBCTL_LB_LATENCY_H

#include <stdint.h>

/* How long a service's exchanges take: one histogram for each worker, written by that worker only,
 * summed by the main thread, which looks at the last one to two minutes. */
struct latency;

struct latency *latency_new(unsigned workers);
void latency_free(struct latency *l);
void latency_add(struct latency *l, unsigned worker, uint64_t us); /* that worker's thread */

struct latency_quantiles {
    uint64_t p50_us, p99_us; /* 0: nothing happened */
};
struct latency_quantiles latency_read(struct latency *l, uint64_t now_ms); /* main thread */

#endif
