#include "ctl/core/adopt.h"

static bool candidate(const struct adopt_item *i)
{
    if (i->claimed || !i->known_place || !i->slot_free)
        return false;
    return i->state == ADOPT_IS_RUNNING || (i->state == ADOPT_IS_CREATED && i->same_conf);
}

static bool better(const struct adopt_item *a, const struct adopt_item *b)
{
    if (a->ready != b->ready)
        return a->ready;
    if (a->state != b->state)
        return a->state == ADOPT_IS_RUNNING;
    return a->generation > b->generation;
}

static bool is_best(const struct adopt_item *v, size_t n, size_t i)
{
    for (size_t j = 0; j < n; j++) {
        if (j == i || v[j].service != v[i].service || v[j].slot != v[i].slot || !candidate(&v[j]))
            continue;
        if (better(&v[j], &v[i]) || (!better(&v[i], &v[j]) && j < i))
            return false;
    }
    return true;
}

void adopt_judge(const struct adopt_item *v, size_t n, enum adopt_verdict *ret)
{
    for (size_t i = 0; i < n; i++) {
        if (v[i].claimed)
            ret[i] = ADOPT_KNOWN;
        else if (v[i].state == ADOPT_IS_REMOVING)
            ret[i] = ADOPT_WAIT;
        else if (!v[i].known_place)
            ret[i] = v[i].state == ADOPT_IS_RUNNING ? ADOPT_EVICT : ADOPT_REMOVE;
        else
            ret[i] = candidate(&v[i]) && is_best(v, n, i) ? ADOPT_TAKE : ADOPT_REMOVE;
    }
}
