#ifndef ACTS_RANGE_H
#define ACTS_RANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/str.h"

/* Which acts of a category a request wants and what it gets (contract 4.3 and 4.4). Pure. */
enum { RANGE_MAX = 100 }; /* acts in one answer */

struct range {
    bool whole;          /* no start and end: the plain list */
    bool bad;            /* one of the two missing, empty, twice, or not a decimal number */
    uint64_t start, end; /* 1 is the newest; inclusive */
};

/* What the database is asked: count the acts of the category up to `probe`; when that count lies
 * within [min_n, max_n], give `limit` acts from `offset` on. */
struct range_ask {
    int64_t probe, offset, limit, min_n, max_n;
};

struct range range_parse(struct sv query);
struct range_ask range_ask(const struct range *r);
/* The status of the answer: 200, 204, 400 or 413. `n` is the count that the database gave for
 * `probe`. */
int range_status(const struct range *r, bool exists, int64_t n);

#endif
