#ifndef LBCTL_LB_CORE_HISTO_H
#define LBCTL_LB_CORE_HISTO_H

#include <stdint.h>

/* A histogram of durations with fixed buckets: microseconds up to 7 have one each, above that every
 * doubling is cut into eight, so that a quantile is at most an eighth too high. Pure. */
enum {
    HISTO_SUB_BITS = 3,
    HISTO_TOP_BIT = 29, /* the last bucket takes all from 2^30 us (18 minutes) on */
    HISTO_BUCKETS = (HISTO_TOP_BIT - HISTO_SUB_BITS + 2) << HISTO_SUB_BITS,
};

unsigned histo_index(uint64_t us);
uint64_t histo_upper(unsigned index); /* the largest duration of a bucket, in microseconds */

/* The duration that `permille` of the counted ones do not exceed; 0: nothing is counted. */
uint64_t histo_quantile(const uint64_t counts[HISTO_BUCKETS], unsigned permille);

#endif
