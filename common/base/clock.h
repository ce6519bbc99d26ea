#ifndef LBCTL_BASE_CLOCK_H
#define LBCTL_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Milliseconds. mono: CLOCK_MONOTONIC (the same for every process of one boot; never jumps). wall:
 * CLOCK_REALTIME since 1970, for people only, never for decisions. */
uint64_t clock_mono_ms(void);
uint64_t clock_wall_ms(void);
const char *clock_rfc3339(uint64_t wall_ms, char *buf, size_t n); /* 2026-01-31T12:00:00.123Z */
const char *clock_boot_id(void); /* 36 characters; monotonic times of another boot mean nothing */

#endif
