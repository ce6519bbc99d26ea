#include "common/wire/chan-internal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"

enum { ACCEPT_PAUSE_MS = 100 }; /* out of descriptors: look again after this long */

static bool allowed(struct chan_hub *h, int fd)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
        return false;
    if (h->c.allow != NULL)
        return h->c.allow(cred.uid, cred.gid, cred.pid, h->c.arg);
    return cred.uid == 0 || cred.uid == geteuid();
}

static void on_accept_again(void *arg) /* timer */
{
    struct chan_hub *h = arg;

    event_add(h->listen_ev, NULL);
}

static void on_acceptable(evutil_socket_t lfd, short what UNUSED, void *arg) /* event_callback_fn */
{
    struct chan_hub *h = arg;
    int fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            event_del(h->listen_ev);
            timer_in(&h->accept_again, ACCEPT_PAUSE_MS);
        }
        return;
    }
    if (h->accepted_n >= CHAN_PEERS_MAX || !allowed(h, fd)) {
        log_warn("channel refused", "reason=\"%s\"",
                 h->accepted_n >= CHAN_PEERS_MAX ? "too many channels"
                                                 : "this user may not speak to us");
        close(fd);
        return;
    }
    chan_new(h, fd, NULL);
}

static bool unix_address(const char *path, struct sockaddr_un *ret, struct err *e)
{
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(ret->sun_path))
        return err_set(e, "socket path '%s' is longer than %zu bytes", path,
                       sizeof(ret->sun_path) - 1);
    memcpy(ret->sun_path, path, strlen(path) + 1);
    return true;
}

/* A connected socket, or -1 with errno. */
static int connect_to(const struct sockaddr_un *sa)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0) {
        int saved = errno;

        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static bool link_open(struct link *lk, struct err *e)
{
    struct sockaddr_un sa;
    int fd;

    if (!unix_address(lk->path, &sa, e))
        return false;
    fd = connect_to(&sa);
    if (fd < 0)
        return err_sys(e, "connect to '%s'", lk->path);
    chan_begin_hello(chan_new(lk->hub, fd, lk));
    return true;
}

static void on_link_retry(void *arg) /* timer */
{
    struct link *lk = arg;

    if (!link_open(lk, NULL))
        chan_link_retry_later(lk);
}

void chan_link_retry_later(struct link *lk)
{
    timer_in(&lk->retry, lk->backoff_ms);
    lk->backoff_ms =
        lk->backoff_ms * 2 < CHAN_BACKOFF_MAX_MS ? lk->backoff_ms * 2 : CHAN_BACKOFF_MAX_MS;
}

static struct link *link_new(struct chan_hub *h, const char *path, bool once)
{
    struct link *lk = mem_zalloc(sizeof(*lk));

    *lk = (struct link){
        .hub = h, .path = mem_strdup(path), .once = once, .backoff_ms = CHAN_BACKOFF_MIN_MS};
    timer_init(&lk->retry, h->loop, on_link_retry, lk);
    list_push_back(&h->links, &lk->node);
    return lk;
}

bool chan_hub_connect(struct chan_hub *h, const char *path, struct err *e)
{
    struct sockaddr_un sa;

    if (!unix_address(path, &sa, e))
        return false;
    on_link_retry(link_new(h, path, false));
    return true;
}

bool chan_hub_connect_once(struct chan_hub *h, const char *path, struct err *e)
{
    return link_open(link_new(h, path, true), e);
}

bool chan_hub_listen(struct chan_hub *h, const char *path, mode_t mode, struct err *e)
{
    struct sockaddr_un sa;
    struct stat st;
    mode_t old;
    int fd, rc;

    if (!unix_address(path, &sa, e))
        return false;
    fd = connect_to(&sa);
    if (fd >= 0) {
        close(fd);
        return err_set(e, "another process listens on '%s': stop it first", path);
    }
    if (errno == ECONNREFUSED && unlink(path) < 0) /* left behind by a killed process */
        return err_sys(e, "remove the old socket '%s'", path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_sys(e, "make a socket");
    old = umask(0777 & ~mode);
    rc = bind(fd, (const struct sockaddr *)&sa, sizeof(sa));
    umask(old);
    if (rc < 0 || listen(fd, 64) < 0) {
        err_sys(e, "listen on '%s'", path);
        close(fd);
        return false;
    }
    h->listen_fd = fd;
    h->listen_path = mem_strdup(path);
    if (stat(path, &st) == 0) {
        h->listen_dev = st.st_dev;
        h->listen_ino = st.st_ino;
    }
    timer_init(&h->accept_again, h->loop, on_accept_again, h);
    h->listen_ev = event_new(loop_base(h->loop), fd, EV_READ | EV_PERSIST, on_acceptable, h);
    if (h->listen_ev == NULL || event_add(h->listen_ev, NULL) < 0)
        return err_set(e, "cannot watch '%s'", path);
    return true;
}

bool chan_hub_new(struct loop *l, const struct chan_config *c, struct chan_hub **ret, struct err *e)
{
    struct chan_hub *h;

    if (c->role == PROTO_ANY)
        return err_set(e, "a channel hub needs a role");
    h = mem_zalloc(sizeof(*h));
    *h = (struct chan_hub){.loop = l, .c = *c, .next_id = 1, .listen_fd = -1};
    list_init(&h->chans);
    list_init(&h->links);
    *ret = h;
    return true;
}

static void unlisten(struct chan_hub *h)
{
    struct stat st;

    if (h->listen_ev != NULL)
        event_free(h->listen_ev);
    timer_fini(&h->accept_again);
    close(h->listen_fd);
    /* Not a successor's socket of the same name. */
    if (stat(h->listen_path, &st) == 0 && st.st_dev == h->listen_dev && st.st_ino == h->listen_ino)
        unlink(h->listen_path);
    mem_free(h->listen_path);
}

void chan_hub_free(struct chan_hub *h)
{
    if (h == NULL)
        return;
    LIST_EACH(n, &h->links)
    {
        struct link *lk = LIST_ENTRY_OF(n, struct link, node);

        lk->once = true; /* closing must not reconnect */
    }
    while (!list_empty(&h->chans)) {
        struct chan *ch = LIST_ENTRY_OF(h->chans.next, struct chan, node);

        chan_close(ch, "this process ends");
        list_unlink(&ch->later.node);
        chan_free(ch);
    }
    while (!list_empty(&h->links)) {
        struct link *lk = LIST_ENTRY_OF(h->links.next, struct link, node);

        list_unlink(&lk->node);
        timer_fini(&lk->retry);
        mem_free(lk->path);
        mem_free(lk);
    }
    if (h->listen_fd >= 0)
        unlisten(h);
    mem_free(h);
}

struct chan *chan_find(struct chan_hub *h, uint64_t id)
{
    LIST_EACH(n, &h->chans)
    {
        struct chan *ch = LIST_ENTRY_OF(n, struct chan, node);

        if (ch->id == id && ch->state != CHAN_CLOSED)
            return ch;
    }
    return NULL;
}

struct chan *chan_first(struct chan_hub *h, enum proto_role peer_role)
{
    LIST_EACH(n, &h->chans)
    {
        struct chan *ch = LIST_ENTRY_OF(n, struct chan, node);

        if (ch->state == CHAN_OPEN && ch->fail_why == NULL && ch->peer_role == peer_role)
            return ch;
    }
    return NULL;
}
