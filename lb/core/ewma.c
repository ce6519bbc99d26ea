#include "lb/core/ewma.h"

/* v * 2^(-dt / half), straight lines between the halvings. Rounded down, so that a difference never
 * stays for ever. */
static uint32_t decayed(uint32_t v, uint32_t dt)
{
    uint32_t halvings = dt / EWMA_HALF_MS, rest = dt % EWMA_HALF_MS;

    if (halvings >= 32)
        return 0;
    v >>= halvings;
    return v - (uint32_t)(((uint64_t)v * rest + 2 * EWMA_HALF_MS - 1) / (2 * EWMA_HALF_MS));
}

/* A clock that another thread read a moment earlier is no age. */
static uint32_t age(uint64_t ewma, uint32_t now_ms)
{
    uint32_t dt = now_ms - (uint32_t)ewma;

    return dt < UINT32_MAX / 2 ? dt : 0;
}

uint32_t ewma_read(uint64_t ewma, uint32_t now_ms)
{
    return decayed((uint32_t)(ewma >> 32), age(ewma, now_ms));
}

uint64_t ewma_add(uint64_t ewma, uint32_t sample_us, uint32_t now_ms)
{
    uint32_t v = (uint32_t)(ewma >> 32), dt = age(ewma, now_ms);

    if (sample_us == 0)
        sample_us = 1; /* 0 means that nothing is known */
    if (sample_us < v)
        sample_us += decayed(v - sample_us, dt);
    return (uint64_t)sample_us << 32 | now_ms;
}
