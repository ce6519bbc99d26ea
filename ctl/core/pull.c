#include "ctl/core/pull.h"

#include <stdio.h>

#include "common/base/clock.h"
#include "ctl/core/slot.h"

static void fail(struct pull *p, const char *error, uint64_t now_ms)
{
    p->state = PULL_FAILED;
    p->retry_ms = now_ms + slot_backoff_ms(p->fails);
    p->fails++;
    (void)snprintf(p->error, sizeof p->error, "%s", error);
}

bool pull_want(struct pull *p, uint64_t now_ms)
{
    switch (p->state) {
    case PULL_RUNS:
        return false;
    case PULL_DONE:
        fail(p, "the engine has pulled it and says that it has no such image all the same", now_ms);
        return false;
    case PULL_FAILED:
        if (now_ms < p->retry_ms)
            return false;
        break;
    case PULL_NONE:
        break;
    }
    p->state = PULL_RUNS;
    p->since_ms = now_ms;
    p->said[0] = '\0';
    return true;
}

void pull_said(struct pull *p, const char *line)
{
    (void)snprintf(p->said, sizeof p->said, "%s", line);
}

void pull_ended(struct pull *p, const char *error, uint64_t now_ms)
{
    if (error != NULL)
        fail(p, error, now_ms);
    else
        p->state = PULL_DONE;
}

bool pull_blocks(const struct pull *p, uint64_t now_ms, enum reason *ret_why)
{
    if (p->state == PULL_RUNS)
        *ret_why = REASON_PULLING;
    else if (p->state == PULL_FAILED && now_ms < p->retry_ms)
        *ret_why = REASON_PULL_FAILED;
    else
        return false;
    return true;
}

void pull_text(const struct pull *p, const char *image, uint64_t began_wall_ms, char *buf,
               unsigned n)
{
    char at[40];

    if (p->state != PULL_RUNS)
        (void)snprintf(buf, n, "%s", p->error);
    else if (p->said[0] == '\0' && p->fails > 0)
        (void)snprintf(buf, n, "pulls %.80s since %s, try %u; the last one: %s", image,
                       clock_rfc3339(began_wall_ms, at, sizeof at), p->fails + 1, p->error);
    else
        (void)snprintf(buf, n, "pulls %.80s since %s: %s", image,
                       clock_rfc3339(began_wall_ms, at, sizeof at),
                       p->said[0] != '\0' ? p->said : "the engine has said nothing yet");
}
