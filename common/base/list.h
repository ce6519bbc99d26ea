#ifndef LBCTL_BASE_LIST_H
#define LBCTL_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/macros.h"

/* Intrusive doubly linked ring; an unlinked node points to itself. */
struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}
static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}
static inline void list_add_between(struct list *n, struct list *prev, struct list *next)
{
    n->prev = prev;
    n->next = next;
    prev->next = n;
    next->prev = n;
}
static inline void list_push_front(struct list *head, struct list *n)
{
    list_add_between(n, head, head->next);
}
static inline void list_push_back(struct list *head, struct list *n)
{
    list_add_between(n, head->prev, head);
}
static inline void list_unlink(struct list *n) /* idempotent */
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    list_init(n);
}
#define LIST_ENTRY_OF(node, type, member) CONTAINER_OF(node, type, member)
/* The loop body may unlink (and free) the current node. */
#define LIST_EACH(pos, head)                                                                       \
    for (struct list *pos = (head)->next, *pos##_next = pos->next; pos != (head);                  \
         pos = pos##_next, pos##_next = pos->next)

#endif
