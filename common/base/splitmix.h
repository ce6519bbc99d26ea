#ifndef LBCTL_BASE_SPLITMIX_H
#define LBCTL_BASE_SPLITMIX_H

#include <stdint.h>

/* Mix the bits of a number so that numbers that are near each other look unrelated. One to one. */
static inline uint64_t splitmix(uint64_t z)
{
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* splitmix64: a walk through all 64-bit numbers in an order that looks random; not for secrets. */
static inline uint64_t splitmix_next(uint64_t *state)
{
    return splitmix(*state += UINT64_C(0x9e3779b97f4a7c15));
}

#endif
