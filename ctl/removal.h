#ifndef LBCTL_CTL_REMOVAL_H
#define LBCTL_CTL_REMOVAL_H

#include <stddef.h>
#include <stdint.h>

#include "ctl/model.h"

/* The removal list: instances that no slot holds any more. Each is drained and stopped if it may
 * still run, then removed; tried again, ever more slowly, until the engine no longer has it. */
enum { REMOVALS_MAX = 4096 };

struct removals;

enum removal_kind {
    REMOVAL_OVER,     /* does not run: remove it */
    REMOVAL_GRACEFUL, /* out of rotation, stop with its grace, remove */
};

struct removals *removals_new(struct ctl *c);
void removals_free(struct removals *r); /* the runtime is closed already */
/* service: its name for the engine's label, known here or not. Adding one twice changes nothing. */
void removal_add(struct removals *r, enum removal_kind kind, const char *id, const char *service,
                 const char *token, const char *why);
bool removal_has(const struct removals *r, const char *id);
/* A list that was asked for at that tick shows these; what is not among them is gone. */
void removals_seen(struct removals *r, const struct rt_instance *v, size_t n, uint64_t asked);

#endif
