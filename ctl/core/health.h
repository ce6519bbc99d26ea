#ifndef LBCTL_CTL_CORE_HEALTH_H
#define LBCTL_CTL_CORE_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

/* What a row of probe results means. Pure. Three meanings:
 *   - startup: a new one may fail for start_period_ms; `start_rise` successes in a row end that;
 *   - readiness: `fall` failures in a row take an instance down, `rise` successes bring it up;
 *   - liveness: after `replace_after` failures in a row one that was up is lost. */
#define HEALTH_NEVER UINT32_MAX
struct health_rule {
    unsigned fall, rise;
    uint64_t start_period_ms;
    unsigned start_rise;    /* 0: rise */
    unsigned replace_after; /* 0: fall; HEALTH_NEVER */
};

enum health_state { HEALTH_STARTING, HEALTH_UP, HEALTH_DOWN };

struct health {
    enum health_state state;
    unsigned good, bad; /* results in a row; one of the two is 0 */
    bool lost;          /* it is down, and not expected to come back */
    uint64_t began_ms;
};

void health_begin(struct health *h, uint64_t now_ms);     /* a new instance was started */
void health_assume_up(struct health *h, uint64_t now_ms); /* known from elsewhere to have been up */
/* One probe's result. True when the state changed, or it is lost now. Results that say nothing
 * about the instance are not for here. */
bool health_result(struct health *h, const struct health_rule *r, bool ok, uint64_t now_ms);

#endif
