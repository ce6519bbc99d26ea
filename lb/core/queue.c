#include "lb/core/queue.h"

#include "common/base/macros.h"

void queue_init(struct queue *q, struct queue_part *parts, unsigned n)
{
    atomic_init(&q->numbers, 0);
    atomic_init(&q->n, 0);
    q->parts = parts;
    q->parts_n = n;
    for (unsigned i = 0; i < n; i++) {
        list_init(&parts[i].waiting);
        atomic_init(&parts[i].first, 0);
    }
}

void queue_node_init(struct queue_node *n)
{
    list_init(&n->node);
    n->number = 0;
}

struct queue_node *queue_first(struct queue *q, unsigned part)
{
    struct list *l = &q->parts[part].waiting;

    return list_empty(l) ? NULL : LIST_ENTRY_OF(l->next, struct queue_node, node);
}

static void show_first(struct queue *q, unsigned part)
{
    const struct queue_node *n = queue_first(q, part);

    atomic_store(&q->parts[part].first, n != NULL ? n->number : 0);
}

bool queue_join(struct queue *q, unsigned part, struct queue_node *n, unsigned max)
{
    struct list *at = q->parts[part].waiting.prev;

    if (atomic_fetch_add(&q->n, 1) >= max) {
        atomic_fetch_sub(&q->n, 1);
        return false;
    }
    if (n->number == 0)
        n->number = atomic_fetch_add(&q->numbers, 1) + 1;
    while (at != &q->parts[part].waiting &&
           LIST_ENTRY_OF(at, struct queue_node, node)->number > n->number)
        at = at->prev;
    list_add_between(&n->node, at, at->next);
    show_first(q, part);
    return true;
}

bool queue_has(const struct queue_node *n)
{
    return !list_empty(&n->node);
}

void queue_leave(struct queue *q, unsigned part, struct queue_node *n)
{
    if (!queue_has(n))
        return;
    list_unlink(&n->node);
    show_first(q, part);
    atomic_fetch_sub(&q->n, 1);
}

unsigned queue_next_part(struct queue *q)
{
    uint64_t least = UINT64_MAX;
    unsigned next = QUEUE_NONE;

    for (unsigned i = 0; i < q->parts_n; i++) {
        uint64_t first = atomic_load(&q->parts[i].first);

        if (first != 0 && first < least) {
            least = first;
            next = i;
        }
    }
    return next;
}
