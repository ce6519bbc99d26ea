#ifndef LBCTL_CTL_RELOAD_H
#define LBCTL_CTL_RELOAD_H

#include "ctl/model.h"

/* A changed configuration file. ctld takes it over as it takes over the world after a crash: this
 * ctl ends, one with the new configuration begins in the same process and adopts every instance;
 * the plan then rolls those of another form, and what is no longer configured is drained and
 * removed. A file with errors changes nothing. */
struct reload {
    struct conf *next; /* NULL: cannot be taken, see body */
    json_t *body;      /* what it would do: PLAN in proto.def */
};

/* Reads the file and compares. Both are the caller's. */
struct reload reload_read(struct ctl *c);
/* Takes r->next over, soon. Nothing happens when there is none, or nothing differs. */
void reload_take(struct ctl *c, struct reload *r);
void reload_fini(struct reload *r);

#endif
