#ifndef LBCTL_LB_XCHG_WAIT_H
#define LBCTL_LB_XCHG_WAIT_H

/* Exchanges that wait for a place at a backend of their service, or for a backend (docs/limits.md).
 * Each worker has its own, in its part of the service's queue; who has waited longest over all
 * workers goes first. Own thread. */
struct service;
struct worker;

/* Let go whose turn it is, as far as there is room. */
void xchg_wait_run(struct worker *w, struct service *s);
/* The worker uses another table: who cannot hope any more is answered, and who can goes. */
void xchg_wait_sweep(struct worker *w, struct service *s);

#endif
