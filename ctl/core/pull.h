#ifndef LBCTL_CTL_CORE_PULL_H
#define LBCTL_CTL_CORE_PULL_H

#include <stdbool.h>
#include <stdint.h>

#include "ctl/core/reason.h"

/* The pull of one image, for all slots that want it: one at a time, tried again with the back-off
 * of failed starts. Between tries the slots only wait; then they ask the engine for a container
 * first, for somebody may have put the image there. Pure. */
enum { PULL_SAID_MAX = 384 };

enum pull_state {
    PULL_NONE,
    PULL_RUNS,
    PULL_FAILED, /* until retry_ms nothing is tried */
    PULL_DONE,   /* it went well; a container of the image has still to be made */
};

struct pull {
    enum pull_state state;
    uint64_t since_ms; /* it runs */
    uint64_t retry_ms;
    unsigned fails;            /* in a row */
    char said[PULL_SAID_MAX];  /* the engine's last word on the running one; "": none */
    char error[PULL_SAID_MAX]; /* of the last one that failed */
};

/* The engine lacks the image: true when a pull is to begin now. */
bool pull_want(struct pull *p, uint64_t now_ms);
void pull_said(struct pull *p, const char *line);
void pull_ended(struct pull *p, const char *error, uint64_t now_ms); /* error NULL: well */
/* May those that want the image not try now? Then why. */
bool pull_blocks(const struct pull *p, uint64_t now_ms, enum reason *ret_why);
/* For people: what is the matter with it. began_wall_ms: since_ms on the wall clock. */
void pull_text(const struct pull *p, const char *image, uint64_t began_wall_ms, char *buf,
               unsigned n);

#endif
