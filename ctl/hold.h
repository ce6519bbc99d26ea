#ifndef LBCTL_CTL_HOLD_H
#define LBCTL_CTL_HOLD_H

#include <jansson.h>

#include "ctl/model.h"

/* The operator's hand on a slot or a whole service: out of rotation, drained, not replaced; the
 * container is left as it is, or stopped and left, until lbctl release. Kept by ctl/store.c. The
 * same for containers that were stopped by hand where the service says `manual_stop: hold`. */
enum { HOLD_BY_HAND_MS = 5000 }; /* from a stop by hand to its end, beyond the grace period */

/* What the slot is to be held for now: its own hold, or its service's. */
void hold_fill(struct place *p, struct slot_env *env);
bool hold_is_on(const struct place *p);

chan_handler_fn hold_on_set; /* lbctl hold, lbctl release; arg: the struct ctl */

/* The engine's stream tells of a stop or kill that is not ours. */
void hold_hint_by_hand(struct place *p);
/* The current instance is seen to be over, gone, or on its way there: by somebody's hand? Then it
 * is held. */
void hold_judge_end(struct place *p);

json_t *hold_pack(const struct hold *h);
void hold_load(struct hold *h, const json_t *o);

#endif
