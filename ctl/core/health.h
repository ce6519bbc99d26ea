#ifndef LBCTL_CTL_CORE_HEALTH_H
#define LBCTL_CTL_CORE_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

/* What a row of probe results means. Pure. `fall` failures in a row take an instance down, `rise`
 * successes in a row bring it up; a new one may fail for start_period_ms, which its first way up
 * ends early. */
struct health_rule {
    unsigned fall, rise;
    uint64_t start_period_ms;
};

enum health_state { HEALTH_STARTING, HEALTH_UP, HEALTH_DOWN };

struct health {
    enum health_state state;
    unsigned good, bad; /* results in a row; one of the two is 0 */
    uint64_t began_ms;
};

void health_begin(struct health *h, uint64_t now_ms);     /* a new instance was started */
void health_assume_up(struct health *h, uint64_t now_ms); /* known from elsewhere to have been up */
/* One probe's result. True when the state changed. Results that say nothing about the instance are
 * not for here. */
bool health_result(struct health *h, const struct health_rule *r, bool ok, uint64_t now_ms);

#endif
