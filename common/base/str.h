#ifndef LBCTL_BASE_STR_H
#define LBCTL_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/macros.h"

/* A view of bytes that somebody else owns; not NUL-terminated. */
struct sv {
    const char *p;
    size_t n;
};

static inline struct sv sv_of(const char *s)
{
    return (struct sv){s, s != NULL ? strlen(s) : 0};
}

bool sv_eq(struct sv a, const char *b);
bool sv_ieq(struct sv a, const char *b); /* ASCII case-insensitive */
bool sv_starts(struct sv a, const char *prefix);

/* Strict parsers: the whole string, digits only (no sign, no blank, no 0x), within [min, max].
 * On failure *ret is untouched and the error says what was wrong with the value. */
bool str_to_u64(struct sv s, uint64_t min, uint64_t max, uint64_t *ret, struct err *e) MUST_CHECK;
/* "250ms", "1s", "2m", "1h", "1d", "1m30s"; a unit is required (except for 0). Milliseconds. */
bool str_to_duration_ms(struct sv s, uint64_t *ret, struct err *e) MUST_CHECK;
/* "4096", "512k", "16m", "2g" (Compose: b, k/kb, m/mb, g/gb; powers of 1024). Bytes. */
bool str_to_size(struct sv s, uint64_t *ret, struct err *e) MUST_CHECK;
/* "0.5", "2", up to three decimals: CPUs in thousandths. */
bool str_to_milli(struct sv s, uint64_t *ret, struct err *e) MUST_CHECK;

/* "2m", "1m30s", "350ms": the shortest exact form; writes at most n bytes, returns buf. */
const char *str_duration(uint64_t ms, char *buf, size_t n);

/* The candidate nearest to `word` (edit distance <= 2 and under half its length), or NULL. */
const char *str_suggest(const char *word, const char *const *candidates, size_t n);

/* Copies s into buf (n bytes, always terminated) with control bytes and non-ASCII made visible, for
 * logs and messages that quote foreign bytes. Returns buf. */
const char *str_quote(struct sv s, char *buf, size_t n);

#endif
