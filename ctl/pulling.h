#ifndef LBCTL_CTL_PULLING_H
#define LBCTL_CTL_PULLING_H

#include "ctl/model.h"

/* Images that the engine does not have: one pull for each, however many slots and services wait for
 * it. Nothing but slots that want this image waits. */
struct pulling;

struct pulling *pulling_new(struct ctl *c);
void pulling_free(struct pulling *pg); /* the runtime is closed already */
/* Are the service's missing images pulled? */
bool pulling_is_on(const struct service *s);
void pulling_want(struct pulling *pg, struct service *s);  /* the engine lacks its image */
void pulling_there(struct pulling *pg, struct service *s); /* a container was made of it */
/* The place must not try for want of its image: env says so. The text is ours, until the next
 * call. */
void pulling_fill(struct pulling *pg, const struct place *p, struct slot_env *env);
/* May instances make way for a new form? Not before its image is known to be there: asks for that,
 * and pulls it. */
bool pulling_may_roll(struct pulling *pg, struct service *s);
uint64_t pulling_wake_ms(const struct pulling *pg); /* 0: not needed */
/* Its pull goes on failing: the words of the last failure, or NULL. */
const char *pulling_failing(const struct pulling *pg, const struct service *s, unsigned fails);

#endif
