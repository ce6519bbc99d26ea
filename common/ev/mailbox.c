#include "common/ev/mailbox.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/mem.h"

struct mailbox {
    pthread_mutex_t lock; /* guards first and last */
    struct letter *first, **last;
    int fd;
    struct event *ev;
    void *owner;
};

/* Takes all letters at once, so that the lock is held for four instructions. */
static struct letter *take_all(struct mailbox *mb)
{
    struct letter *l;

    pthread_mutex_lock(&mb->lock);
    l = mb->first;
    mb->first = NULL;
    mb->last = &mb->first;
    pthread_mutex_unlock(&mb->lock);
    return l;
}

static void on_mail(evutil_socket_t fd, short what UNUSED, void *arg) /* event_callback_fn */
{
    struct mailbox *mb = arg;
    void *owner = mb->owner;
    struct letter *l;
    uint64_t n;

    /* The count is of no interest; reading it clears the wake-up before the letters are taken. */
    if (read(fd, &n, sizeof(n)) < 0)
        n = 0;
    for (l = take_all(mb); l != NULL;) {
        struct letter *next = l->next;

        l->open(l, owner);
        l = next;
    }
}

bool mailbox_new(struct loop *l, void *owner, struct mailbox **ret, struct err *e)
{
    struct mailbox *mb = mem_zalloc(sizeof(*mb));

    mb->owner = owner;
    mb->last = &mb->first;
    pthread_mutex_init(&mb->lock, NULL);
    mb->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (mb->fd < 0) {
        err_sys(e, "make an eventfd");
        mailbox_free(mb);
        return false;
    }
    mb->ev = event_new(loop_base(l), mb->fd, EV_READ | EV_PERSIST, on_mail, mb);
    if (mb->ev == NULL || event_add(mb->ev, NULL) < 0) {
        mailbox_free(mb);
        return err_set(e, "cannot watch a mailbox");
    }
    *ret = mb;
    return true;
}

void mailbox_free(struct mailbox *mb)
{
    if (mb == NULL)
        return;
    for (struct letter *l = take_all(mb); l != NULL;) {
        struct letter *next = l->next;

        if (l->drop != NULL)
            l->drop(l);
        l = next;
    }
    if (mb->ev != NULL)
        event_free(mb->ev);
    if (mb->fd >= 0)
        close(mb->fd);
    pthread_mutex_destroy(&mb->lock);
    mem_free(mb);
}

void mailbox_post(struct mailbox *mb, struct letter *l)
{
    uint64_t one = 1;
    bool first;

    l->next = NULL;
    pthread_mutex_lock(&mb->lock);
    first = mb->first == NULL;
    *mb->last = l;
    mb->last = &l->next;
    pthread_mutex_unlock(&mb->lock);
    /* Only the letter that finds the box empty wakes the owner. An eventfd of count 1 cannot
     * overflow. */
    if (first && write(mb->fd, &one, sizeof(one)) < 0)
        return;
}
