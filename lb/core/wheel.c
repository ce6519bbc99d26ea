#include "lb/core/wheel.h"

enum { WORDS = WHEEL_SLOTS / 64 };

void wheel_init(struct wheel *w, uint64_t now_ms)
{
    w->tick = now_ms / WHEEL_TICK_MS;
    for (unsigned i = 0; i < WORDS; i++)
        w->used[i] = 0;
    for (unsigned i = 0; i < WHEEL_SLOTS; i++)
        list_init(&w->slots[i]);
}

void wheel_node_init(struct wheel_node *n)
{
    list_init(&n->node);
    n->at_ms = 0;
}

void wheel_set(struct wheel *w, struct wheel_node *n, uint64_t at_ms)
{
    uint64_t tick = at_ms / WHEEL_TICK_MS + 1; /* rounded up: never early */
    unsigned slot;

    if (tick < w->tick)
        tick = w->tick;
    if (tick > w->tick + WHEEL_SLOTS - 1) /* beyond the horizon: looked at again there */
        tick = w->tick + WHEEL_SLOTS - 1;
    slot = (unsigned)(tick % WHEEL_SLOTS);
    list_unlink(&n->node);
    list_push_back(&w->slots[slot], &n->node);
    w->used[slot / 64] |= UINT64_C(1) << (slot % 64);
    n->at_ms = at_ms > 0 ? at_ms : 1;
}

void wheel_clear(struct wheel *w, struct wheel_node *n)
{
    (void)w; /* an emptied slot stays marked until its turn: one useless look at most */
    list_unlink(&n->node);
    n->at_ms = 0;
}

/* Ticks from w->tick to the first marked slot; WHEEL_SLOTS: none. */
static unsigned distance(const struct wheel *w)
{
    unsigned from = (unsigned)(w->tick % WHEEL_SLOTS);

    for (unsigned i = 0; i <= WORDS; i++) {
        unsigned word = (from / 64 + i) % WORDS;
        uint64_t bits = w->used[word];

        if (i == 0)
            bits &= ~UINT64_C(0) << (from % 64);
        else if (i == WORDS)
            bits &= ~(~UINT64_C(0) << (from % 64));
        if (bits != 0) {
            unsigned slot = word * 64 + (unsigned)__builtin_ctzll(bits);

            return (slot + WHEEL_SLOTS - from) % WHEEL_SLOTS;
        }
    }
    return WHEEL_SLOTS;
}

struct wheel_node *wheel_pop(struct wheel *w, uint64_t now_ms)
{
    uint64_t now_tick = now_ms / WHEEL_TICK_MS;

    for (;;) {
        unsigned d = distance(w), slot;

        if (d == WHEEL_SLOTS || w->tick + d > now_tick) {
            if (w->tick < now_tick)
                w->tick = now_tick;
            return NULL;
        }
        w->tick += d;
        slot = (unsigned)(w->tick % WHEEL_SLOTS);
        while (!list_empty(&w->slots[slot])) {
            struct wheel_node *n = LIST_ENTRY_OF(w->slots[slot].next, struct wheel_node, node);

            if (n->at_ms <= now_ms) {
                list_unlink(&n->node);
                n->at_ms = 0;
                return n;
            }
            /* It was beyond the horizon; its deadline's slot, or the new horizon's, is never this
             * one. */
            wheel_set(w, n, n->at_ms);
        }
        w->used[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
        w->tick++;
    }
}

uint64_t wheel_next_ms(const struct wheel *w)
{
    unsigned d = distance(w);

    return d == WHEEL_SLOTS ? 0 : (w->tick + d) * WHEEL_TICK_MS;
}
