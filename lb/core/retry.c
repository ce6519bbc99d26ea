#include "lb/core/retry.h"

static bool within_budget(const struct retry_in *in)
{
    unsigned share = in->active * RETRY_BUDGET_PERCENT / 100;

    return in->repeating < (share > RETRY_BUDGET_FLOOR ? share : RETRY_BUDGET_FLOOR);
}

enum retry_verdict retry_decide(const struct retry_in *in)
{
    if (in->answered || !in->replayable || in->attempts >= RETRY_ATTEMPTS_MAX)
        return RETRY_NO;
    if (!in->sent) {
        if (in->reused)
            return RETRY_FRESH;
        return in->attempts < in->backends ? RETRY_OTHER : RETRY_NO;
    }
    /* The backend may have acted on it: only what may happen twice, once, and never after a time-out, which
     * says that the backend is slow, not that it is gone (RFC 9110 9.2.2). */
    if (!in->idempotent || in->timed_out || in->repeated || !within_budget(in))
        return RETRY_NO;
    return in->reused ? RETRY_FRESH : RETRY_OTHER;
}
