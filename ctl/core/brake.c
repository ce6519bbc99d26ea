#include "ctl/core/brake.h"

#include <stdio.h>
#include <string.h>

static bool enter(struct brake *b, enum brake_state to, uint64_t now_ms)
{
    bool changed = b->state != to;

    if (changed)
        b->since_ms = now_ms;
    b->state = to;
    return changed;
}

static bool release(struct brake *b, uint64_t now_ms)
{
    bool changed = enter(b, BRAKE_OFF, now_ms);

    b->back_ms = b->next_ms = 0;
    b->failed = 0;
    return changed;
}

static bool update_dependency(struct brake *b, const struct brake_in *in)
{
    if (in->culprit != NULL) {
        b->back_ms = 0;
        (void)snprintf(b->culprit, sizeof b->culprit, "%s", in->culprit);
        return false;
    }
    if (b->back_ms == 0)
        b->back_ms = in->now_ms;
    return in->now_ms - b->back_ms >= BRAKE_SETTLE_MS && release(b, in->now_ms);
}

bool brake_update(struct brake *b, const struct brake_in *in)
{
    if (in->bad == 0)
        b->bad_ms = 0;
    else if (b->bad_ms == 0)
        b->bad_ms = in->now_ms;
    if (in->bad * 2 <= in->wish) {
        b->mass_ms = 0;
        return release(b, in->now_ms);
    }
    if (b->mass_ms == 0)
        b->mass_ms = in->now_ms;
    if (b->state == BRAKE_DEPENDENCY)
        return update_dependency(b, in);
    if (in->culprit != NULL) {
        (void)snprintf(b->culprit, sizeof b->culprit, "%s", in->culprit);
        b->back_ms = 0;
        return enter(b, BRAKE_DEPENDENCY, in->now_ms);
    }
    if (b->state == BRAKE_OFF && b->failed > 0 && in->wish > 1)
        return enter(b, BRAKE_MASS, in->now_ms);
    return false;
}

void brake_failed(struct brake *b, uint64_t now_ms)
{
    uint64_t pause = BRAKE_PAUSE_MS;

    if (b->mass_ms == 0 || now_ms < b->next_ms)
        return; /* one that fails over and over must not hold up the others */
    for (unsigned i = 0; i < b->failed && pause < BRAKE_PAUSE_MAX_MS; i++)
        pause *= 2;
    b->failed++;
    b->next_ms = now_ms + (pause < BRAKE_PAUSE_MAX_MS ? pause : BRAKE_PAUSE_MAX_MS);
}

/* The dependencies have not been asked since it began. */
static bool is_asking(const struct brake *b, const struct brake_in *in)
{
    return b->bad_ms != 0 && in->deps_unknown && in->now_ms - b->bad_ms < BRAKE_ASK_MS;
}

unsigned brake_limit(const struct brake *b, const struct brake_in *in, unsigned normal)
{
    if (b->state == BRAKE_DEPENDENCY || in->culprit != NULL || is_asking(b, in))
        return 0;
    if (b->state == BRAKE_MASS)
        return in->now_ms >= b->next_ms ? 1 : 0;
    return normal;
}

uint64_t brake_wake_ms(const struct brake *b)
{
    if (b->state == BRAKE_DEPENDENCY)
        return b->back_ms != 0 ? b->back_ms + BRAKE_SETTLE_MS : 0;
    if (b->state == BRAKE_MASS)
        return b->next_ms;
    return b->bad_ms != 0 ? b->bad_ms + BRAKE_ASK_MS : 0;
}
