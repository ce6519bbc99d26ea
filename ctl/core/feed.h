#ifndef LBCTL_CTL_CORE_FEED_H
#define LBCTL_CTL_CORE_FEED_H

#include <stdbool.h>
#include <stdint.h>

/* Differences of a counter that only grows while its owner lives: nothing lost, nothing counted
 * twice, over restarts of lbd (its boot word changes, the counter begins at zero) and of ctld (this
 * struct is saved). Pure. */
enum { FEED_BOOT_MAX = 65 };

struct feed {
    char boot[FEED_BOOT_MAX]; /* "": nothing seen yet */
    uint64_t seen;
};

struct feed_step {
    uint64_t added;
    bool gap; /* something before this report may have gone unseen: grounds to grow, never to shrink
               */
};

struct feed_step feed_report(struct feed *f, const char *boot, uint64_t total);

#endif
