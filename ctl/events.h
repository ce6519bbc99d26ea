#ifndef LBCTL_CTL_EVENTS_H
#define LBCTL_CTL_EVENTS_H

#include "ctl/model.h"

/* Answers of the ledger for lbctl: what is there, or what comes (the answer waits for it, at most
 * wait_ms and with at most EVENTS_WAIT_MAX others). And why a service or slot is as it is. */
enum { EVENTS_WAIT_MAX = 16, EVENTS_LIMIT = 1000, EVENTS_DEFAULT = 50 };

struct events;

struct events *events_new(struct ctl *c);
void events_free(struct events *ev); /* who still waits gets no answer */
void events_wake(struct events *ev); /* the ledger has grown; NULL is fine */
chan_handler_fn events_on_get;       /* arg: the struct ctl */
chan_handler_fn events_on_why;       /* arg: the struct ctl */

#endif
