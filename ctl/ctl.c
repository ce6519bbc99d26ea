#include "ctl/ctl.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "ctl/act.h"
#include "ctl/cli.h"
#include "ctl/events.h"
#include "ctl/hold.h"
#include "ctl/ledger.h"
#include "ctl/lblink.h"
#include "ctl/model.h"
#include "ctl/observe.h"
#include "ctl/probing.h"
#include "ctl/pulling.h"
#include "ctl/removal.h"
#include "ctl/scaler.h"
#include "ctl/store.h"
#include "ctl/tenancy.h"

static const uint32_t CTL_MAGIC = MAGIC('c', 't', 'l', 'd');

enum { SOCKET_MODE = 0660, PATH_LEN = 512 };

/* What ctl_new() adds to the model: things nobody else needs. */
struct ctl_main {
    struct ctl c; /* first */
    int lock_fd;
    bool closing;
};

static struct ctl_main *main_of(struct ctl *c)
{
    return CONTAINER_OF(c, struct ctl_main, c);
}

static void reconcile(struct ctl *c)
{
    uint64_t at;

    act_reconcile(c->act);
    lblink_update(c->lb);
    at = act_wake_ms(c->act);
    if (at != 0)
        timer_at(&c->wake, at);
    else
        timer_clear(&c->wake);
}

static void on_ctl_later(struct loop_later *self) /* loop_later */
{
    reconcile(CONTAINER_OF(self, struct ctl, later));
}

static void on_ctl_wake(void *arg) /* timer */
{
    reconcile(CAST(arg, ctl, CTL_MAGIC));
}

void ctl_kick(struct ctl *c)
{
    if (!main_of(c)->closing)
        loop_later(c->loop, &c->later, on_ctl_later);
}

static void on_chan_open(struct chan *ch, void *arg) /* chan_config.on_open */
{
    struct ctl *c = CAST(arg, ctl, CTL_MAGIC);

    if (chan_peer_role(ch) == PROTO_LB)
        lblink_on_open(c->lb, ch);
}

static void on_chan_close(struct chan *ch, const char *why, void *arg) /* chan_config.on_close */
{
    struct ctl *c = CAST(arg, ctl, CTL_MAGIC);

    (void)why;
    if (chan_peer_role(ch) == PROTO_LB && !main_of(c)->closing)
        lblink_on_close(c->lb);
}

static void on_chan_stats(struct chan *ch, struct chan_ask ask, const json_t *body,
                          void *arg) /* chan_handler_fn */
{
    struct ctl *c = CAST(arg, ctl, CTL_MAGIC);

    (void)ch;
    (void)ask;
    lblink_on_stats(c->lb, body);
}

static void on_chan_hint(struct chan *ch, struct chan_ask ask, const json_t *body,
                         void *arg) /* chan_handler_fn */
{
    struct ctl *c = CAST(arg, ctl, CTL_MAGIC);

    (void)ch;
    (void)ask;
    lblink_on_hint(c->lb, body);
}

/* Whoever the socket file's mode lets in by its group may speak to us, besides root and our own
 * user. */
static bool on_chan_allow(uid_t uid, gid_t gid, pid_t pid, void *arg) /* chan_config.allow */
{
    (void)pid;
    (void)arg;
    return uid == 0 || uid == geteuid() || gid == getegid();
}

static bool open_hub(struct ctl *c, const char *run_dir, struct err *e)
{
    struct chan_config cc = {
        .role = PROTO_CTL,
        .build = LBCTL_VERSION,
        .arg = c,
        .on_open = on_chan_open,
        .on_close = on_chan_close,
        .allow = on_chan_allow,
    };
    char path[PATH_LEN];

    cc.handlers[MSG_EV_STATS] = on_chan_stats;
    cc.handlers[MSG_EV_BACKEND] = on_chan_hint;
    cc.handlers[MSG_STATUS_GET] = cli_on_status;
    cc.handlers[MSG_SCALE_SET] = cli_on_scale;
    cc.handlers[MSG_SERVICE_RESET] = cli_on_reset;
    cc.handlers[MSG_PLAN_GET] = cli_on_plan;
    cc.handlers[MSG_RELOAD] = cli_on_reload;
    cc.handlers[MSG_EVENTS_GET] = events_on_get;
    cc.handlers[MSG_HOLD_SET] = hold_on_set;
    cc.handlers[MSG_WHY_GET] = events_on_why;
    if (!chan_hub_new(c->loop, &cc, &c->hub, e))
        return false;
    (void)snprintf(path, sizeof path, "%s/ctl.sock", run_dir);
    if (!chan_hub_listen(c->hub, path, SOCKET_MODE, e))
        return false;
    (void)snprintf(path, sizeof path, "%s/lb.sock", run_dir);
    return chan_hub_connect(c->hub, path, e);
}

static bool lock_project(struct ctl_main *m, const char *run_dir, struct err *e)
{
    char path[PATH_LEN];

    (void)snprintf(path, sizeof path, "%s/ctld.lock", run_dir);
    if (!file_lock(path, &m->lock_fd, e))
        return err_wrap(e, "one ctld a project, and one is running");
    return true;
}

static bool open_all(struct ctl_main *m, const struct ctl_options *o, struct err *e)
{
    struct ctl *c = &m->c;

    if (!file_mkdir_p(o->run_dir, 0755, e) || !file_mkdir_p(o->state_dir, 0755, e) ||
        !lock_project(m, o->run_dir, e) || !probing_init(c, e))
        return false;
    c->ledger = ledger_new(c, o->state_dir);
    c->store = store_new(c, o->state_dir);
    store_load(c->store);
    if (!c->ops->open(c->loop, c->conf, observe_on_hint, c, &c->rt, e))
        return false;
    if (!open_hub(c, o->run_dir, e))
        return false;
    ledger_note(c->ledger, &(struct ledger_entry){LEDGER_DAEMON, REASON_CTLD_BEGAN, NULL, -1, NULL},
                "ctld %s begins with %zu services", LBCTL_VERSION, c->services_n);
    return true;
}

bool ctl_new(struct loop *l, const struct ctl_options *o, struct ctl **ret, struct err *e)
{
    struct ctl_main *m = mem_zalloc(sizeof(*m));
    struct ctl *c = &m->c;

    c->magic = CTL_MAGIC;
    c->loop = l;
    c->conf = o->conf;
    c->ops = o->runtime;
    c->loads = o->loads;
    c->on_next = o->on_next;
    c->next_arg = o->arg;
    c->began_ms = loop_now_ms(l);
    m->lock_fd = -1;
    list_init(&c->later.node);
    timer_init(&c->wake, l, on_ctl_wake, c);
    tenancy_init(c);
    model_build(c);
    c->lb = lblink_new(c);
    c->act = act_new(c);
    c->pulling = pulling_new(c);
    c->removals = removals_new(c);
    c->scaler = scaler_new(c);
    c->events = events_new(c);
    c->observer = observe_new(c);
    if (!open_all(m, o, e)) {
        ctl_free(c);
        return false;
    }
    *ret = c;
    return true;
}

void ctl_free(struct ctl *c)
{
    struct ctl_main *m;

    if (c == NULL)
        return;
    m = main_of(c);
    m->closing = true;
    if (c->hub != NULL)
        ledger_note(c->ledger,
                    &(struct ledger_entry){LEDGER_DAEMON, REASON_CTLD_ENDED, NULL, -1, NULL},
                    "ctld ends");
    lblink_stop(c->lb);
    chan_hub_free(c->hub);
    store_free(c->store);
    if (c->rt != NULL)
        c->ops->close(c->rt);
    observe_free(c->observer);
    probing_fini(c);
    tenancy_fini(c);
    scaler_free(c->scaler);
    removals_free(c->removals);
    pulling_free(c->pulling);
    act_free(c->act);
    lblink_free(c->lb);
    events_free(c->events);
    ledger_free(c->ledger);
    model_fini(c);
    timer_fini(&c->wake);
    list_unlink(&c->later.node);
    if (m->lock_fd >= 0)
        close(m->lock_fd);
    c->magic = 0;
    mem_free(m);
}
