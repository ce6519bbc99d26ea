#include "ctl/core/feed.h"

#include <stdio.h>
#include <string.h>

struct feed_step feed_report(struct feed *f, const char *boot, uint64_t total)
{
    struct feed_step step = {0, false};

    if (f->boot[0] == '\0')
        step.gap = total > 0; /* what an unknown past counted belongs to no interval of ours */
    else if (strncmp(f->boot, boot, sizeof f->boot - 1) != 0)
        step = (struct feed_step){total, true}; /* the old life's last moments are unknown */
    else if (total < f->seen)
        step = (struct feed_step){total, true}; /* the service left the table and came back */
    else
        step.added = total - f->seen;
    (void)snprintf(f->boot, sizeof f->boot, "%s", boot);
    f->seen = total;
    return step;
}
