#ifndef LBCTL_CTL_LBCTL_SHOW_H
#define LBCTL_CTL_LBCTL_SHOW_H

#include <jansson.h>

#include "common/base/buf.h"

/* The status document (docs/status.md) as text for people, at most 100 columns for usual names.
 * Pure. Whatever the document lacks is shown as "-"; foreign bytes are quoted. */
void show_status(const json_t *doc, struct buf *out);
void show_plan(const json_t *plan, struct buf *out);   /* PLAN of proto.def */
void show_event(const json_t *event, struct buf *out); /* a decision of the ledger as a line */
/* "350ms", "12s", "3m12s", "2h05m", "3d04h": two units at most. */
const char *show_age(uint64_t ms, char *buf, size_t n);

#endif
