#ifndef LBCTL_EV_LOOP_H
#define LBCTL_EV_LOOP_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/list.h"

/* One thread, one loop. The base is created with EVENT_BASE_FLAG_NOLOCK: nothing of it may be
 * touched from another thread (send a letter, see mailbox.h). Monotonic precise timers. */
struct loop;

bool loop_new(struct loop **ret, struct err *e) MUST_CHECK;
/* The same for a loop that turns at every request: timers are exact to some milliseconds only,
 * which saves a system call (timerfd_settime) in each turn. */
bool loop_new_coarse(struct loop **ret, struct err *e) MUST_CHECK;
void loop_free(struct loop *l);
struct event_base *loop_base(struct loop *l);
bool loop_run(struct loop *l, struct err *e) MUST_CHECK; /* until loop_stop() */
void loop_stop(struct loop *l);                          /* from the loop's own thread */
uint64_t loop_now_ms(struct loop *l);                    /* clock_mono_ms() */

/* End-of-turn list: fn(obj) is called after all callbacks of this turn have returned, so that
 * nobody frees what a caller further up still holds. `node` lies in the object; posting it twice is
 * harmless. */
struct loop_later {
    struct list node;
    void (*fn)(struct loop_later *self);
};
void loop_later(struct loop *l, struct loop_later *item, void (*fn)(struct loop_later *self));

/* A one-shot timer with an absolute monotonic deadline, embedded in its owner. Setting it again
 * moves it. Never early; a deadline in the past fires in the next turn. */
struct timer {
    struct event *ev;
    struct loop *loop;
    void (*fn)(void *arg);
    void *arg;
    uint64_t at_ms;
    bool set;
};
void timer_init(struct timer *t, struct loop *l, void (*fn)(void *arg), void *arg);
/* The same for whoever can do without: false when memory is out (timer_fini() is then harmless). */
bool timer_try_init(struct timer *t, struct loop *l, void (*fn)(void *arg), void *arg) MUST_CHECK;
void timer_at(struct timer *t, uint64_t at_ms);
void timer_in(struct timer *t, uint64_t ms);
void timer_clear(struct timer *t);
void timer_fini(struct timer *t);

/* Signals as events on this loop; fn(arg, signo). Only the main thread's loop takes signals. */
bool loop_on_signal(struct loop *l, int signo, void (*fn)(void *arg, int signo), void *arg,
                    struct err *e) MUST_CHECK;

/* Call loop_ignore_sigpipe() once in main, and loop_block_signals() first thing in every other
 * thread, so that signals reach the main thread only. */
void loop_ignore_sigpipe(void);
void loop_block_signals(void);

#endif
