#include "lb/worker.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/listener.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "lb/alog.h"
#include "lb/front.h"
#include "lb/link.h"
#include "lb/sock.h"
#include "lb/upstream.h"
#include "lb/xchg.h"
#include "lb/xchg_wait.h"

enum {
    READY_PER_TURN = 32,
    KEEP_CLIENTS = 1024,
    KEEP_UPSTREAMS = 512,
    KEEP_XCHGS = 512,
    KEEP_SMALL = 512,
    KEEP_LARGE = 64,
    KEEP_HUGE = 16,
    HUGE_MAX = 128, /* 32 MiB for each worker, however many clients read slowly */
    RELISTEN_MS = 100,
};

uint64_t worker_now(struct worker *w)
{
    (void)w;
    return clock_mono_ms();
}

uint64_t worker_now_us(struct worker *w)
{
    struct timespec ts;

    (void)w;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* ---- deadlines ---- */

static void arm_wheel(struct worker *w)
{
    uint64_t at = wheel_next_ms(&w->wheel);

    if (at != 0 && (!w->wheel_timer.set || at < w->wheel_timer.at_ms))
        timer_at(&w->wheel_timer, at);
}

static void on_wheel_timer(void *arg) /* timer; worker */
{
    struct worker *w = arg;
    uint64_t now = worker_now(w);
    struct wheel_node *n;

    /* One a turn: a crowd whose time is up together must not keep the others waiting. */
    n = wheel_pop(&w->wheel, now);
    if (n == NULL) {
        arm_wheel(w);
        return;
    }
    timer_in(&w->wheel_timer, 0); /* first: while it is set, nobody looks for the next deadline */
    sock_clock_up(CONTAINER_OF(n, struct sock, clock), now);
}

void worker_clock(struct worker *w, struct wheel_node *n, uint64_t at_ms)
{
    wheel_set(&w->wheel, n, at_ms);
    if (!w->wheel_timer.set || at_ms + 2 * (uint64_t)WHEEL_TICK_MS < w->wheel_timer.at_ms)
        arm_wheel(w);
}

/* ---- memory ---- */

void *worker_buffer_take(struct worker *w, size_t size)
{
    void *p;

    if (size != WORKER_HUGE)
        return slab_take(size == WORKER_SMALL ? &w->small : &w->large);
    if (w->huge_n == HUGE_MAX)
        return NULL;
    p = slab_take(&w->huge);
    w->huge_n += p != NULL;
    return p;
}

void worker_buffer_give(struct worker *w, void *p, size_t size)
{
    w->huge_n -= size == WORKER_HUGE;
    slab_give(size == WORKER_SMALL ? &w->small : size == WORKER_LARGE ? &w->large : &w->huge, p);
}

static void on_bury(struct loop_later *item) /* end of turn; worker */
{
    struct worker *w = CONTAINER_OF(item, struct worker, bury);

    LIST_EACH(n, &w->grave)
    {
        struct grave *g = LIST_ENTRY_OF(n, struct grave, node);

        list_unlink(n);
        g->free(w, g);
    }
}

void worker_bury(struct worker *w, struct grave *g,
                 void (*free_fn)(struct worker *w, struct grave *g))
{
    g->free = free_fn;
    list_push_back(&w->grave, &g->node);
    loop_later(w->loop, &w->bury, on_bury);
}

static void arm_ready(struct worker *w)
{
    static const struct timeval at_once = {0, 0};

    event_add(&w->ready_ev,
              &at_once); /* a timer: the kernel's events of the next turn come first */
}

static bool any_ready(const struct worker *w)
{
    return !list_empty(&w->ready) || !list_empty(&w->leaving);
}

static void move_first(struct list *from, struct list *to, unsigned most)
{
    for (; most > 0 && !list_empty(from); most--) {
        struct list *n = from->next;

        list_unlink(n);
        list_push_back(to, n);
    }
}

static void on_ready(evutil_socket_t fd UNUSED, short what UNUSED,
                     void *arg) /* event_callback_fn; worker */
{
    struct worker *w = arg;
    struct list batch; /* what is put back meanwhile is for the next turn */

    list_init(&batch);
    move_first(&w->ready, &batch, READY_PER_TURN);
    /* One a turn: a crowd that leaves together must not keep the others waiting. */
    move_first(&w->leaving, &batch, 1);
    while (!list_empty(&batch)) {
        struct again *a = LIST_ENTRY_OF(batch.next, struct again, node);

        list_unlink(&a->node);
        a->run(a);
    }
    if (any_ready(w))
        arm_ready(w);
}

/* true: it is the first, and on_ready() has to be called. */
static bool put_back(struct worker *w, struct list *to, struct again *a,
                     void (*run)(struct again *a))
{
    bool first = !any_ready(w);

    a->run = run;
    if (!list_empty(&a->node))
        return false;
    list_push_back(to, &a->node);
    return first;
}

void worker_again(struct worker *w, struct again *a, void (*run)(struct again *a))
{
    if (put_back(w, &w->ready, a, run))
        arm_ready(w);
}

void worker_soon(struct worker *w, struct again *a, void (*run)(struct again *a))
{
    if (put_back(w, &w->ready, a, run))
        event_active(&w->ready_ev, EV_TIMEOUT, 0);
}

void worker_last(struct worker *w, struct again *a, void (*run)(struct again *a))
{
    if (put_back(w, &w->leaving, a, run))
        event_active(&w->ready_ev, EV_TIMEOUT, 0);
}

/* ---- the table ---- */

static struct pool *pool_of(struct worker *w, struct backend *b)
{
    struct pool **slot = &b->cells[w->id].pool;

    if (*slot == NULL)
        *slot = pool_new(w, b);
    return *slot;
}

static void set_tokens(const struct worker *w, struct wservice *ws)
{
    const struct table_service *ts = ws->ts;

    if (ts->balance.sticky == NULL)
        return;
    ws->tokens = mem_array(ts->backends_n + 1, sizeof(*ws->tokens));
    for (unsigned k = 0; k < ts->backends_n; k++)
        sticky_token(w->shared->sticky_key, ts->service->name, ts->backends[k]->instance,
                     ws->tokens[k]);
}

static struct wtable *wtable_new(struct worker *w, struct table *t)
{
    struct wtable *wt = mem_zalloc(sizeof(*wt));

    wt->refs = 1;
    wt->table = table_ref(t);
    wt->services = mem_array(t->services_n + 1, sizeof(*wt->services));
    for (unsigned i = 0; i < t->services_n; i++) {
        struct wservice *ws = &wt->services[i];

        ws->ts = &t->services[i];
        ws->pools = mem_array(ws->ts->backends_n + 1, sizeof(struct pool *));
        for (unsigned k = 0; k < ws->ts->backends_n; k++) {
            ws->pools[k] = pool_ref(pool_of(w, ws->ts->backends[k]));
            pool_configure(ws->pools[k], ws->ts);
        }
        set_tokens(w, ws);
    }
    return wt;
}

void wtable_unref(struct worker *w, struct wtable *t)
{
    if (t == NULL || --t->refs > 0)
        return;
    for (unsigned i = 0; i < t->table->services_n; i++) {
        struct wservice *ws = &t->services[i];

        for (unsigned k = 0; k < ws->ts->backends_n; k++)
            pool_unref(ws->pools[k]);
        mem_free(ws->pools);
        mem_free(ws->tokens);
    }
    mem_free(t->services);
    table_unref(t->table);
    mem_free(t);
    (void)w;
}

static void each_pool(const struct wtable *t, void (*fn)(struct pool *p))
{
    for (unsigned i = 0; t != NULL && i < t->table->services_n; i++) {
        for (unsigned k = 0; k < t->services[i].ts->backends_n; k++)
            fn(t->services[i].pools[k]);
    }
}

/* Backends of the old table that the new one does not have leave; the order of the calls does the
 * set arithmetic. */
static void adopt(struct worker *w, struct table *t)
{
    struct wtable *old = w->table;

    w->table = wtable_new(w, t);
    each_pool(old, pool_set_departed);
    each_pool(w->table, pool_set_present);
    each_pool(old, pool_drop_idle_if_departed);
    for (unsigned i = 0; old != NULL && i < old->table->services_n; i++)
        xchg_wait_sweep(w, old->services[i].ts->service);
    wtable_unref(w, old);
}

static unsigned purge(const struct wservice *ws)
{
    unsigned n = 0;

    for (unsigned k = 0; k < ws->ts->backends_n; k++)
        n += pool_drop_idle(ws->pools[k]);
    return n;
}

unsigned worker_purge_idle(struct worker *w)
{
    unsigned n = purge(&w->site);

    for (unsigned i = 0; w->table != NULL && i < w->table->table->services_n; i++)
        n += purge(&w->table->services[i]);
    return n;
}

static void open_purge(struct letter *l, void *owner) /* letter; worker */
{
    (void)worker_purge_idle(owner);
    mem_free(l);
}

static void drop_purge(struct letter *l) /* letter */
{
    mem_free(l);
}

void worker_send_purge(struct worker *w)
{
    struct letter *l = mem_zalloc(sizeof(*l));

    l->open = open_purge;
    l->drop = drop_purge;
    mailbox_post(w->mailbox, l);
}

static void on_waits(struct again *a) /* next turn; worker */
{
    struct worker *w = CONTAINER_OF(a, struct worker, waits);

    for (unsigned i = 0; w->table != NULL && i < w->table->table->services_n; i++)
        xchg_wait_run(w, w->table->services[i].ts->service);
}

void worker_look_at_waits(struct worker *w)
{
    worker_again(w, &w->waits, on_waits);
}

static void open_ring(struct letter *l, void *owner UNUSED) /* letter; worker */
{
    struct worker *w = CONTAINER_OF(l, struct worker, ring);

    atomic_store(&w->rung, false); /* first: who rings from here on is heard */
    on_waits(&w->waits);
}

void worker_ring(struct worker *w)
{
    if (atomic_load(&w->rung) || atomic_exchange(&w->rung, true))
        return;
    w->ring.open = open_ring;
    mailbox_post(w->mailbox, &w->ring);
}

struct table_letter {
    struct letter letter;
    struct table *table;
    uint64_t push;
};

static void open_table(struct letter *l, void *owner) /* letter; worker */
{
    struct table_letter *tl = CONTAINER_OF(l, struct table_letter, letter);
    struct worker *w = owner;

    adopt(w, tl->table);
    link_post_adopted(w->shared->link, tl->push);
    table_unref(tl->table);
    mem_free(tl);
}

static void drop_table(struct letter *l) /* letter */
{
    struct table_letter *tl = CONTAINER_OF(l, struct table_letter, letter);

    table_unref(tl->table);
    mem_free(tl);
}

void worker_send_table(struct worker *w, struct table *t, uint64_t push)
{
    struct table_letter *tl = mem_zalloc(sizeof(*tl));

    tl->letter.open = open_table;
    tl->letter.drop = drop_table;
    tl->table = table_ref(t);
    tl->push = push;
    mailbox_post(w->mailbox, &tl->letter);
}

/* ---- listening and stopping ---- */

static void listeners_close(struct worker *w)
{
    for (unsigned i = 0; i < w->listeners_n; i++) {
        event_del(&w->listeners[i].ev);
        close(w->listeners[i].fd);
    }
    w->listeners_n = 0;
    timer_clear(&w->relisten);
}

static void on_relisten(void *arg) /* timer; worker */
{
    struct worker *w = arg;

    w->paused = false;
    for (unsigned i = 0; i < w->listeners_n; i++)
        event_add(&w->listeners[i].ev, NULL);
}

void worker_pause(struct worker *w)
{
    if (w->paused)
        return;
    w->paused = true;
    for (unsigned i = 0; i < w->listeners_n; i++)
        event_del(&w->listeners[i].ev);
    timer_in(&w->relisten, RELISTEN_MS);
}

static void finish_if_empty(struct worker *w)
{
    if (w->stopping && list_empty(&w->client_list))
        loop_stop(w->loop);
}

void worker_client_gone(struct worker *w)
{
    finish_if_empty(w);
}

struct stop_letter {
    struct letter letter;
    bool now;
};

static void open_stop(struct letter *l, void *owner) /* letter; worker */
{
    struct stop_letter *sl = CONTAINER_OF(l, struct stop_letter, letter);
    struct worker *w = owner;

    if (!w->stopping)
        front_accept_last(w);
    w->stopping = true;
    listeners_close(w);
    front_stop_all(w, sl->now);
    finish_if_empty(w);
    mem_free(sl);
}

static void drop_stop(struct letter *l) /* letter */
{
    mem_free(CONTAINER_OF(l, struct stop_letter, letter));
}

void worker_send_stop(struct worker *w, bool now)
{
    struct stop_letter *sl = mem_zalloc(sizeof(*sl));

    sl->letter.open = open_stop;
    sl->letter.drop = drop_stop;
    sl->now = now;
    mailbox_post(w->mailbox, &sl->letter);
}

/* ---- life ---- */

const char *worker_date(struct worker *w)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME_COARSE, &ts);
    if (ts.tv_sec != w->date_s) {
        struct tm tm;

        w->date_s = ts.tv_sec;
        gmtime_r(&ts.tv_sec, &tm);
        strftime(w->date, sizeof(w->date), "%a, %d %b %Y %H:%M:%S GMT",
                 &tm); /* the C locale; never set */
    }
    return w->date;
}

const char *worker_stamp(struct worker *w)
{
    uint64_t now = clock_wall_ms(), second = now / 1000;

    if (now == w->stamp_ms)
        return w->stamp;
    if (second != w->stamp_ms / 1000) {
        clock_rfc3339(now, w->stamp, sizeof(w->stamp));
    } else { /* within the second only the digits behind the point move: "....:SS.mmmZ" */
        unsigned ms = (unsigned)(now % 1000);

        w->stamp[20] = (char)('0' + ms / 100);
        w->stamp[21] = (char)('0' + ms / 10 % 10);
        w->stamp[22] = (char)('0' + ms % 10);
    }
    w->stamp_ms = now;
    return w->stamp;
}

void worker_free(struct worker *w)
{
    listeners_close(w);
    mem_free(w->listeners);
    each_pool(w->table, pool_set_departed);
    each_pool(w->table, pool_drop_idle_if_departed);
    wtable_unref(w, w->table);
    if (w->site.pools != NULL) {
        pool_set_departed(w->site.pools[0]);
        pool_drop_idle_if_departed(w->site.pools[0]);
        pool_unref(w->site.pools[0]);
        mem_free(w->site.pools);
        mem_free((void *)(uintptr_t)w->site.ts);
    }
    mailbox_free(w->mailbox);
    alog_feed_close(w->alog);
    timer_fini(&w->wheel_timer);
    timer_fini(&w->relisten);
    event_del(&w->ready_ev);
    loop_free(w->loop); /* runs what is left for the end of the turn: the graves */
    slab_fini(&w->clients);
    slab_fini(&w->upstreams);
    slab_fini(&w->xchgs);
    slab_fini(&w->small);
    slab_fini(&w->large);
    slab_fini(&w->huge);
    mem_free(w->scratch);
    if (w->diag >= 0)
        close(w->diag);
    mem_free(w);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct err e;
    char name[16];

    loop_block_signals();
    snprintf(name, sizeof(name), "lbd-w%u", w->id);
    pthread_setname_np(pthread_self(), name);
    if (!loop_run(w->loop, &e))
        log_error("worker failed", "worker=%u reason=\"%s\"", w->id, e.msg);
    link_post_stopped(w->shared->link);
    return NULL;
}

static bool setup_loop(struct worker *w, struct err *e)
{
    if (!loop_new_coarse(&w->loop, e) || !mailbox_new(w->loop, w, &w->mailbox, e))
        return false;
    timer_init(&w->wheel_timer, w->loop, on_wheel_timer, w);
    timer_init(&w->relisten, w->loop, on_relisten, w);
    evtimer_assign(&w->ready_ev, loop_base(w->loop), on_ready, w);
    return true;
}

static void setup_site(struct worker *w)
{
    struct table_service *ts = mem_zalloc(sizeof(*ts));

    ts->service = w->shared->site->service;
    ts->backends = &w->shared->site;
    ts->backends_n = 1;
    ts->balance.plan.n = 1;
    ts->connect_ms = 1000;
    ts->response_ms = ts->stall_ms = 10000;
    ts->keep_idle_ms = 4000;
    ts->keep_requests = 1000;
    w->site.ts = ts;
    w->site.pools = mem_array(1, sizeof(struct pool *));
    w->site.pools[0] = pool_ref(pool_of(w, w->shared->site));
    pool_configure(w->site.pools[0], ts);
}

bool worker_start(struct shared *sh, unsigned id, const int *fds, unsigned fds_n,
                  struct table *first, struct worker **ret, struct err *e)
{
    struct worker *w = mem_zalloc(sizeof(*w));
    int err;

    w->id = id;
    w->shared = sh;
    if (getrandom(&w->random, sizeof(w->random), 0) < 0)
        w->random = clock_wall_ms() << 8 | id; /* ids need to differ, not to be secret */
    w->diag = listener_open(e);
    if (w->diag < 0 && id == 0)
        log_warn("owners of ports are not checked", "reason=\"%s\"", e->msg);
    w->scratch = mem_zalloc(WORKER_SCRATCH);
    wheel_init(&w->wheel, clock_mono_ms());
    slab_init(&w->clients, front_client_size(), KEEP_CLIENTS);
    slab_init(&w->upstreams, upstream_size(), KEEP_UPSTREAMS);
    slab_init(&w->xchgs, xchg_size(), KEEP_XCHGS);
    slab_init(&w->small, WORKER_SMALL, KEEP_SMALL);
    slab_init(&w->large, WORKER_LARGE, KEEP_LARGE);
    slab_init(&w->huge, WORKER_HUGE, KEEP_HUGE);
    list_init(&w->client_list);
    list_init(&w->ready);
    list_init(&w->leaving);
    list_init(&w->waits.node);
    list_init(&w->grave);
    if (!setup_loop(w, e))
        return false;
    setup_site(w);
    if (sh->alog != NULL)
        w->alog = alog_feed_open(sh->alog, id, w->loop);
    if (first != NULL)
        adopt(w, first);
    w->listeners = mem_array(fds_n + 1, sizeof(*w->listeners));
    for (unsigned i = 0; i < fds_n; i++) {
        struct listener *l = &w->listeners[w->listeners_n++];

        l->w = w;
        l->fd = fds[i];
        l->proxy = sh->proxy_in[i];
        event_assign(&l->ev, loop_base(w->loop), l->fd, EV_READ | EV_PERSIST, front_on_listener, l);
        event_add(&l->ev, NULL);
    }
    sh->all[id] = w;
    err = pthread_create(&w->thread, NULL, worker_main, w);
    if (err != 0) {
        errno = err;
        return err_sys(e, "start worker %u", id);
    }
    *ret = w;
    return true;
}

void worker_join(struct worker *w)
{
    pthread_join(w->thread, NULL);
}
