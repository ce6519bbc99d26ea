#ifndef LBCTL_CTL_LBLINK_H
#define LBCTL_CTL_LBLINK_H

#include <stdbool.h>
#include <stdint.h>

#include "ctl/model.h"

/* The link to lbd: pushes the whole table whenever it changed, one at a time, numbered, until it is
 * acknowledged; gets drain receipts; takes counters and hints. */
enum {
    LBLINK_ACK_MS = 2000,  /* deadline of a push */
    LBLINK_RETRY_MS = 250, /* after a refused one */
    LBLINK_AWAY_MS = 2000, /* lbd does not answer: a drain waits for it this long */
    LBLINK_ADOPT_MS =
        3000, /* adopted instances get this long to answer a first probe before the first push */
};

struct lblink;

/* A drain has ended: the instance has nothing in flight any more, or the limit passed. */
typedef void lblink_drained_fn(struct ctl *c, uint64_t tag);

struct lblink *lblink_new(struct ctl *c);
void lblink_stop(struct lblink *l); /* whoever still waits is forgotten, not called */
void lblink_free(struct lblink *l);

void lblink_on_open(struct lblink *l, struct chan *ch);
void lblink_on_close(struct lblink *l);
void lblink_on_stats(struct lblink *l, const json_t *body);
void lblink_on_hint(struct lblink *l, const json_t *body);

void lblink_update(struct lblink *l); /* pushes if the table is another one now */
/* Waits until lbd has confirmed a table without this instance and, if limit_ms > 0, that it has
 * nothing in flight. */
void lblink_drain(struct lblink *l, const char *service, const char *token, uint64_t limit_ms,
                  lblink_drained_fn *done, uint64_t tag);
/* Asks lbd for its counters now; done runs when they have been taken in, ok false: none came (at
 * once, from within, when lbd is away). */
typedef void lblink_fresh_fn(struct ctl *c, bool ok, uint64_t tag);
void lblink_fresh(struct lblink *l, lblink_fresh_fn *done, uint64_t tag);
bool lblink_had(const struct lblink *l, const char *service,
                const char *token); /* lbd's counters name it */

struct lblink_info {
    bool connected;
    uint64_t since_ms, generation, connections;
    long pid;
    char build[65];
};
const struct lblink_info *lblink_info(const struct lblink *l);
uint64_t lblink_generation(const struct lblink *l); /* highest one used */
void lblink_set_generation(struct lblink *l, uint64_t g);

#endif
