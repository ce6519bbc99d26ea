#ifndef LBCTL_EV_MAILBOX_H
#define LBCTL_EV_MAILBOX_H

#include <stdbool.h>

#include "common/base/err.h"
#include "common/ev/loop.h"

/* Letters to the owner of a loop, from any thread. One short lock around the list, an eventfd to
 * wake. `open` runs on the owner's thread, in posting order, and disposes of the letter. After
 * mailbox_free() unopened letters get drop() if they have one. */
struct letter {
    struct letter *next;
    void (*open)(struct letter *self, void *owner);
    void (*drop)(struct letter *self);
};
struct mailbox;

bool mailbox_new(struct loop *l, void *owner, struct mailbox **ret, struct err *e) MUST_CHECK;
void mailbox_free(struct mailbox *mb); /* owner's thread, nobody posts any more */
void mailbox_post(struct mailbox *mb,
                  struct letter *l); /* any thread; the mailbox takes the letter */

#endif
