#ifndef LBCTL_LB_CORE_EWMA_H
#define LBCTL_LB_CORE_EWMA_H

#include <stdint.h>

/* A backend's latency for the policy peak_ewma: jumps up to a sample that is worse, comes down
 * slowly over better ones, and is forgotten while there are none, so that a backend that was slow
 * is tried again. Value and time stamp are one number, for atomic loads and stores. Pure; times may
 * wrap. */
enum { EWMA_HALF_MS = 5000 }; /* half of the past is forgotten in this time */

/* Microseconds; 0: not known. */
uint32_t ewma_read(uint64_t ewma, uint32_t now_ms);
uint64_t ewma_add(uint64_t ewma, uint32_t sample_us, uint32_t now_ms);

#endif
