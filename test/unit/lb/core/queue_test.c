#include "test/unit/unit.h"

#include <pthread.h>

#include "common/base/macros.h"
#include "lb/core/limit.h"
#include "lb/core/queue.h"

enum { PARTS = 3, NODES = 6 };

struct bed {
    struct queue q;
    struct queue_part parts[PARTS];
    struct queue_node nodes[NODES];
};

static void setup(struct bed *b)
{
    queue_init(&b->q, b->parts, PARTS);
    for (size_t i = 0; i < NODES; i++)
        queue_node_init(&b->nodes[i]);
}

/* A script of what happens; after each step: whose turn it is, and which node is the part's first.
 */
enum what { JOIN, LEAVE };
static const struct {
    const char *name;
    enum what what;
    unsigned part, node;
    bool ok;
    unsigned next; /* part */
    int first;     /* node of that part, or -1 */
    unsigned n;
} steps[] = {
    {"the first", JOIN, 1, 0, true, 1, 0, 1},
    {"another part", JOIN, 0, 1, true, 1, 0, 2},
    {"behind the first", JOIN, 1, 2, true, 1, 0, 3},
    {"a third part", JOIN, 2, 3, true, 1, 0, 4},
    {"one too many", JOIN, 2, 4, false, 1, 0, 4},
    {"the first goes: the other part's turn", LEAVE, 1, 0, true, 0, 1, 3},
    {"room again", JOIN, 0, 4, true, 0, 1, 4},
    {"in the middle", LEAVE, 1, 2, true, 0, 1, 3},
    {"twice is once", LEAVE, 1, 2, true, 0, 1, 3},
    {"next", LEAVE, 0, 1, true, 2, 3, 2},
    {"who comes again keeps the place", JOIN, 1, 0, true, 1, 0, 3},
    {"and is ahead of younger ones in a part", JOIN, 0, 1, true, 1, 0, 4},
    {"after it the other", LEAVE, 1, 0, true, 0, 1, 3},
    {"then the third", LEAVE, 0, 1, true, 2, 3, 2},
    {"then the last", LEAVE, 2, 3, true, 0, 4, 1},
    {"nobody", LEAVE, 0, 4, true, QUEUE_NONE, -1, 0},
};

static void test_order(void **state UNUSED)
{
    static struct bed b;

    setup(&b);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        struct queue_node *n = &b.nodes[steps[i].node];
        bool ok = true;

        if (steps[i].what == JOIN)
            ok = queue_join(&b.q, steps[i].part, n, 4);
        else
            queue_leave(&b.q, steps[i].part, n);
        ROW_EQ_U64(steps[i].name, ok, steps[i].ok);
        ROW_EQ_U64(steps[i].name, queue_next_part(&b.q), steps[i].next);
        ROW_EQ_U64(steps[i].name, b.q.n, steps[i].n);
        if (steps[i].first >= 0)
            ROW_EQ_U64(steps[i].name, queue_first(&b.q, steps[i].next) == &b.nodes[steps[i].first],
                       true);
    }
}

/* Threads that take and give places, and queue where there are none: the limit holds at every
 * moment, and nobody is left behind. Each thread has at most one node, as if it were a worker with
 * one connection; a place is handed on by looking again. */
enum { THREADS = 4, TURNS = 20000, PLACES = 2 };

struct shared {
    struct queue q;
    struct queue_part parts[THREADS];
    atomic_uint taken, over, done;
};

static void *turns(void *arg)
{
    struct shared *s = arg;
    static atomic_uint ids;
    unsigned me = atomic_fetch_add(&ids, 1);
    struct queue_node n;

    for (unsigned i = 0; i < TURNS; i++) {
        queue_node_init(&n);
        if (atomic_load(&s->q.n) > 0 || !limit_take(&s->taken, PLACES)) {
            if (!queue_join(&s->q, me, &n, THREADS))
                atomic_fetch_add(&s->over, 1);
            /* Bounded: others always give their places back. */
            while (queue_next_part(&s->q) != me || !limit_take(&s->taken, PLACES))
                sched_yield();
            queue_leave(&s->q, me, &n);
        }
        if (atomic_load(&s->taken) > PLACES)
            atomic_fetch_add(&s->over, 1);
        limit_give(&s->taken);
    }
    atomic_fetch_add(&s->done, 1);
    return NULL;
}

static void test_threads(void **state UNUSED)
{
    static struct shared s;
    pthread_t t[THREADS];

    queue_init(&s.q, s.parts, THREADS);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, turns, &s), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    assert_int_equal(s.over, 0);
    assert_int_equal(s.done, THREADS);
    assert_int_equal(s.taken, 0);
    assert_int_equal(s.q.n, 0);
    assert_int_equal(queue_next_part(&s.q), QUEUE_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
