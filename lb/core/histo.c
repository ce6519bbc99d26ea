#include "lb/core/histo.h"

enum { SUBS = 1 << HISTO_SUB_BITS };

unsigned histo_index(uint64_t us)
{
    unsigned top;

    if (us < SUBS)
        return (unsigned)us;
    top = 63 - (unsigned)__builtin_clzll(us);
    if (top > HISTO_TOP_BIT)
        return HISTO_BUCKETS - 1;
    return ((top - HISTO_SUB_BITS + 1) << HISTO_SUB_BITS) +
           ((unsigned)(us >> (top - HISTO_SUB_BITS)) & (SUBS - 1));
}

uint64_t histo_upper(unsigned index)
{
    unsigned shift = (index >> HISTO_SUB_BITS) - 1;

    if (index < SUBS)
        return index;
    return ((uint64_t)(SUBS + (index & (SUBS - 1)) + 1) << shift) - 1;
}

uint64_t histo_quantile(const uint64_t counts[HISTO_BUCKETS], unsigned permille)
{
    uint64_t all = 0, seen = 0, rank;

    for (unsigned i = 0; i < HISTO_BUCKETS; i++)
        all += counts[i];
    if (all == 0)
        return 0;
    rank = (all * permille + 999) / 1000;
    for (unsigned i = 0; i < HISTO_BUCKETS; i++) {
        seen += counts[i];
        if (seen >= rank && counts[i] > 0)
            return histo_upper(i);
    }
    return histo_upper(HISTO_BUCKETS - 1);
}
