#ifndef LBCTL_CTL_CORE_SCALE_H
#define LBCTL_CTL_CORE_SCALE_H

#include <stdbool.h>
#include <stdint.h>

/* The interval autoscaler. Pure.
 *
 * At minimum size the clock is unarmed; the first counted request arms it, at its own time. From
 * then on a decision is due every `every_ms`, on absolute times that do not drift; one that ends at
 * the minimum unarms the clock again. The count is taken and zeroed by the decision. Without
 * complete numbers a decision may grow the service, never shrink it. */
struct scale_rule {
    unsigned min, max;
    unsigned per;
    uint64_t every_ms; /* 0: not scaled by load */
};

struct scale {
    bool armed;
    uint64_t at_ms; /* next decision, monotonic */
    uint64_t count; /* counted requests since the interval began */
    bool gap;       /* numbers of this interval may be incomplete */
};

enum { SCALE_REASON_MAX = 160 };

struct scale_decision {
    uint64_t count;
    unsigned from, to;
    bool final; /* false: grown early on incomplete numbers, the real decision is still to come */
    char reason[SCALE_REASON_MAX];
};

/* floor(count / per) + 1 within min..max */
unsigned scale_target(const struct scale_rule *r, uint64_t count);
/* n more counted requests; first_ms: time of the first of them, 0 when unknown. */
void scale_count(struct scale *s, const struct scale_rule *r, uint64_t n, uint64_t first_ms,
                 bool gap, uint64_t now_ms);
bool scale_is_due(const struct scale *s, uint64_t now_ms);
/* Decide, when due. complete: all requests up to now are in the count. False: nothing was decided
 * (not due, or the numbers are incomplete and give no ground to grow; the decision stays due). */
bool scale_decide(struct scale *s, const struct scale_rule *r, unsigned wish, bool complete,
                  uint64_t now_ms, struct scale_decision *ret);
void scale_reset(struct scale *s); /* count zero, clock unarmed */
/* The autoscaler takes over at `wish`: a new interval begins, armed when there is something to
 * shrink. */
void scale_resume(struct scale *s, const struct scale_rule *r, unsigned wish, uint64_t now_ms);

#endif
