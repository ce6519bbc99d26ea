#include "lb/core/retry.h"

static unsigned more_of(unsigned a, unsigned b)
{
    return a > b ? a : b;
}

/* The budget keeps a failing service from being hit twice by everything. It always has room for
 * what one of the backends may have had in flight, so that the death of one is covered however few
 * there are. A backend that hung before it was taken out and killed had more than its share, all of
 * it perhaps; it fails nobody again. */
static bool within_budget(const struct retry_in *in)
{
    unsigned share = in->active * RETRY_BUDGET_PERCENT / 100;
    unsigned of_one = in->backends > 1 ? in->active / in->backends + 1 : 0;

    if (in->departed)
        return true;
    return in->repeating < more_of(more_of(share, of_one), RETRY_BUDGET_FLOOR);
}

/* A pooled connection that died may have died of age, or with its backend: where there is another
 * backend it is the safer choice, because a port forwarder takes new connections for a dead one
 * too. */
static enum retry_verdict elsewhere(const struct retry_in *in)
{
    return in->reused && in->backends < 2 ? RETRY_FRESH : RETRY_OTHER;
}

enum retry_verdict retry_decide(const struct retry_in *in)
{
    if (in->answered || !in->replayable || in->attempts >= RETRY_ATTEMPTS_MAX)
        return RETRY_NO;
    if (!in->sent) {
        return in->reused || in->attempts < in->backends ? elsewhere(in) : RETRY_NO;
    }
    /* The backend may have acted on it: only what may happen twice, once, and never after a
     * time-out, which says that the backend is slow, not that it is gone (RFC 9110 9.2.2). */
    if (!in->idempotent || in->timed_out || in->repeated || !within_budget(in))
        return RETRY_NO;
    return elsewhere(in);
}
