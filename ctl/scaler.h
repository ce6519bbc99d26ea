#ifndef LBCTL_CTL_SCALER_H
#define LBCTL_CTL_SCALER_H

#include <stdbool.h>
#include <stdint.h>

#include "ctl/model.h"

/* Wishes: the interval autoscaler's and the operator's. */
struct scaler;

struct scaler *scaler_new(struct ctl *c);
void scaler_free(struct scaler *sc);

void scaler_take(struct scaler *sc, struct service *s, const char *boot, uint64_t counted,
                 uint64_t first_ms);
void scaler_adopted(struct scaler *sc); /* the first list came: wishes that nobody remembers are
                                           read from reality */
bool scaler_is_auto(const struct service *s);
const char *scaler_mode(const struct service *s);
/* for_ms: after that the autoscaler takes over again; 0: never. */
bool scaler_pin(struct scaler *sc, struct service *s, unsigned replicas, uint64_t for_ms,
                struct err *e) MUST_CHECK;
void scaler_release(struct scaler *sc, struct service *s);
/* Counts to zero, clock unarmed, back to the minimum; takes lbd's latest numbers in first, then
 * calls done, which frees arg. When ctld ends before that, arg is freed (mem_free) and done not
 * called. */
typedef void scaler_done_fn(void *arg);
void scaler_reset(struct scaler *sc, struct service *s, scaler_done_fn *done, void *arg);

#endif
