#ifndef LBCTL_CTL_STORE_H
#define LBCTL_CTL_STORE_H

#include "ctl/model.h"

/* ctld's own small memory, STATE_DIR/ctl.json: wishes, interval clocks with their counts, slot
 * generations, the last table generation. Its loss harms nothing: instances are known by their
 * labels. */
enum { STORE_DELAY_MS = 1000, STORE_LAZY_MS = 10000, STORE_MAX = 4 << 20 };

struct store;

struct store *store_new(struct ctl *c, const char *state_dir);
void store_free(struct store *st); /* saves what is unsaved */
void store_load(struct store *st); /* into the model; a missing or damaged file is no error */
void store_soon(struct store *st); /* something changed: saved within STORE_DELAY_MS */
/* Only counts changed: what lbd counts meanwhile is found again by the saved feed, so there is no
 * hurry. */
void store_lazily(struct store *st);
void store_now(struct store *st);         /* a decision was taken: saved at the end of this turn */
void store_forget(const char *state_dir); /* for a project without instances, while no ctld runs */

#endif
