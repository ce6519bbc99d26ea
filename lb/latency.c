#include "lb/latency.h"

#include <stdatomic.h>
#include <string.h>

#include "common/base/mem.h"
#include "lb/core/histo.h"

enum { WINDOW_MS = 60000 };

struct counts {
    uint64_t n[HISTO_BUCKETS];
};

struct shard {
    _Atomic uint64_t n[HISTO_BUCKETS];
    char pad[64];
};

struct latency {
    struct shard *shards; /* one for each worker */
    unsigned workers;
    /* main thread */
    uint64_t turned_ms;       /* when `young` was taken */
    struct counts old, young; /* sums at the beginnings of the last window and of this one */
};

struct latency *latency_new(unsigned workers)
{
    struct latency *l = mem_zalloc(sizeof(*l));

    l->workers = workers;
    l->shards = mem_array(workers, sizeof(*l->shards));
    return l;
}

void latency_free(struct latency *l)
{
    if (l == NULL)
        return;
    mem_free(l->shards);
    mem_free(l);
}

void latency_add(struct latency *l, unsigned worker, uint64_t us)
{
    _Atomic uint64_t *n = &l->shards[worker].n[histo_index(us)];

    atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

struct latency_quantiles latency_read(struct latency *l, uint64_t now_ms)
{
    struct counts sum = {{0}}, recent;

    for (unsigned w = 0; w < l->workers; w++) {
        for (unsigned i = 0; i < HISTO_BUCKETS; i++)
            sum.n[i] += atomic_load_explicit(&l->shards[w].n[i], memory_order_relaxed);
    }
    if (l->turned_ms == 0) {
        l->turned_ms = now_ms; /* both windows begin with the service: at nothing */
    } else if (now_ms - l->turned_ms >= WINDOW_MS) {
        l->old = now_ms - l->turned_ms >= 2 * (uint64_t)WINDOW_MS ? sum : l->young;
        l->young = sum;
        l->turned_ms = now_ms;
    }
    for (unsigned i = 0; i < HISTO_BUCKETS; i++)
        recent.n[i] = sum.n[i] - l->old.n[i];
    return (struct latency_quantiles){histo_quantile(recent.n, 500), histo_quantile(recent.n, 990)};
}
