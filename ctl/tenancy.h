#ifndef LBCTL_CTL_TENANCY_H
#define LBCTL_CTL_TENANCY_H

#include "ctl/model.h"

/* Whose is the host port of an instance? The engine opens it when the instance starts and closes it
 * with its end; whoever listens there afterwards is a stranger, however well it answers. So the
 * listening socket is noted while the engine says that the instance runs, every good probe is worth
 * something only while that socket is still there, and lbd gets it with the table and asks before
 * it sends anything on a new connection.
 *
 * Nothing is noted, and nothing checked, where the kernel does not tell, where the runtime does not
 * keep the port open itself, and where no socket listens (the engine forwards in the kernel). */
void tenancy_init(struct ctl *c);
void tenancy_fini(struct ctl *c);
/* The engine has just said that the current instance runs. */
void tenancy_note(struct place *p);
/* A list is about to be asked for: look at all ports. One that the list then says runs has had its
 * port at that moment: tenancy_confirm(). */
void tenancy_look(struct ctl *c);
void tenancy_confirm(struct place *p);
/* Somebody else has the port of the current instance. */
bool tenancy_lost(const struct place *p);

#endif
