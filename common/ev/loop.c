#include "common/ev/loop.h"

#include <signal.h>

#include "common/base/clock.h"
#include "common/base/mem.h"

enum { LOOP_SIGNALS_MAX = 8 };

struct loop_signal {
    struct event *ev;
    void (*fn)(void *arg, int signo);
    void *arg;
};

struct loop {
    struct event_base *base;
    struct event *later_ev; /* made active when `later` gets its first item */
    struct list later;
    struct loop_signal signals[LOOP_SIGNALS_MAX];
    size_t signals_n;
};

static void run_later(struct loop *l)
{
    struct list batch;

    /* Items posted while the batch runs belong to the next turn. */
    list_init(&batch);
    while (!list_empty(&l->later)) {
        struct list *n = l->later.next;

        list_unlink(n);
        list_push_back(&batch, n);
    }
    while (!list_empty(&batch)) {
        struct loop_later *item = LIST_ENTRY_OF(batch.next, struct loop_later, node);

        list_unlink(&item->node);
        item->fn(item);
    }
}

static void on_later(evutil_socket_t fd UNUSED, short what UNUSED,
                     void *arg) /* event_callback_fn */
{
    run_later(arg);
}

static bool new_loop(bool precise, struct loop **ret, struct err *e)
{
    struct event_config *cfg = event_config_new();
    struct loop *l;

    if (cfg == NULL)
        return err_set(e, "no memory for an event loop");
    event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
    if (precise)
        event_config_set_flag(cfg, EVENT_BASE_FLAG_PRECISE_TIMER);
    /* Edge-triggered events and end-of-file beside data: epoll, which every Linux has. */
    event_config_require_features(cfg, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE);
    l = mem_zalloc(sizeof(*l));
    list_init(&l->later);
    l->base = event_base_new_with_config(cfg);
    event_config_free(cfg);
    if (l->base != NULL)
        l->later_ev = event_new(l->base, -1, 0, on_later, l);
    if (l->later_ev == NULL) {
        loop_free(l);
        return err_set(e, "cannot make an event loop: out of descriptors or memory");
    }
    *ret = l;
    return true;
}

bool loop_new(struct loop **ret, struct err *e)
{
    return new_loop(true, ret, e);
}

bool loop_new_coarse(struct loop **ret, struct err *e)
{
    return new_loop(false, ret, e);
}

void loop_free(struct loop *l)
{
    if (l == NULL)
        return;
    while (!list_empty(&l->later))
        run_later(l);
    for (size_t i = 0; i < l->signals_n; i++)
        event_free(l->signals[i].ev);
    if (l->later_ev != NULL)
        event_free(l->later_ev);
    if (l->base != NULL)
        event_base_free(l->base);
    mem_free(l);
}

struct event_base *loop_base(struct loop *l)
{
    return l->base;
}

bool loop_run(struct loop *l, struct err *e)
{
    if (event_base_loop(l->base, EVLOOP_NO_EXIT_ON_EMPTY) < 0)
        return err_set(e, "the event loop failed");
    return true;
}

void loop_stop(struct loop *l)
{
    event_base_loopbreak(l->base);
}

uint64_t loop_now_ms(struct loop *l UNUSED)
{
    return clock_mono_ms();
}

void loop_later(struct loop *l, struct loop_later *item, void (*fn)(struct loop_later *self))
{
    if (item->node.next == NULL)
        list_init(&item->node);
    item->fn = fn;
    if (!list_empty(&item->node)) /* posted already */
        return;
    list_push_back(&l->later, &item->node);
    event_active(l->later_ev, EV_TIMEOUT, 0);
}

static void timer_arm(struct timer *t)
{
    uint64_t now = clock_mono_ms(), ms = t->at_ms > now ? t->at_ms - now : 0;
    struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};

    event_add(t->ev, &tv);
}

static void on_timer(evutil_socket_t fd UNUSED, short what UNUSED,
                     void *arg) /* event_callback_fn */
{
    struct timer *t = arg;

    if (clock_mono_ms() < t->at_ms) { /* the loop's cached time runs behind: never early */
        timer_arm(t);
        return;
    }
    t->set = false;
    t->fn(t->arg);
}

bool timer_try_init(struct timer *t, struct loop *l, void (*fn)(void *arg), void *arg)
{
    *t = (struct timer){.loop = l, .fn = fn, .arg = arg};
    t->ev = evtimer_new(l->base, on_timer, t);
    return t->ev != NULL;
}

void timer_init(struct timer *t, struct loop *l, void (*fn)(void *arg), void *arg)
{
    if (!timer_try_init(t, l, fn, arg))
        abort(); /* out of memory; see mem.h */
}

void timer_at(struct timer *t, uint64_t at_ms)
{
    t->at_ms = at_ms;
    t->set = true;
    timer_arm(t);
}

void timer_in(struct timer *t, uint64_t ms)
{
    timer_at(t, clock_mono_ms() + ms);
}

void timer_clear(struct timer *t)
{
    if (t->set) {
        event_del(t->ev);
        t->set = false;
    }
}

void timer_fini(struct timer *t)
{
    if (t->ev != NULL)
        event_free(t->ev);
    *t = (struct timer){0};
}

static void on_signal(evutil_socket_t signo, short what UNUSED, void *arg) /* event_callback_fn */
{
    struct loop_signal *s = arg;

    s->fn(s->arg, (int)signo);
}

bool loop_on_signal(struct loop *l, int signo, void (*fn)(void *arg, int signo), void *arg,
                    struct err *e)
{
    struct loop_signal *s;

    if (l->signals_n == LOOP_SIGNALS_MAX)
        return err_set(e, "too many signals on one loop");
    s = &l->signals[l->signals_n];
    *s = (struct loop_signal){.fn = fn, .arg = arg};
    s->ev = evsignal_new(l->base, signo, on_signal, s);
    if (s->ev == NULL || event_add(s->ev, NULL) < 0) {
        if (s->ev != NULL)
            event_free(s->ev);
        return err_set(e, "cannot watch signal %d", signo);
    }
    l->signals_n++;
    return true;
}

void loop_ignore_sigpipe(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    sigaction(SIGPIPE, &ignore, NULL);
}

void loop_block_signals(void)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
}
