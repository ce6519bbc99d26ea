#include "test/unit/unit.h"

#include <pthread.h>

#include "common/base/macros.h"
#include "lb/core/pick.h"

static bool by_mask(void *arg, unsigned i)
{
    return (*(const unsigned *)arg & BIT(i)) != 0;
}

static const struct {
    const char *name;
    unsigned n, usable;
    const char *want; /* of nine picks from cursor 0 */
} rows[] = {
    {"three", 3, 7, "012012012"},
    {"one", 1, 1, "000000000"},
    {"one that is held is taken all the same", 1, 0, "000000000"},
    {"the middle one is held", 3, 5, "020202020"},
    {"none is usable: the cursor's choice", 3, 0, "000000000"},
    {"only the last", 3, 4, "222222222"},
};

static void test_order(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        _Atomic uint64_t cursor = 0;
        unsigned mask = rows[i].usable;
        char got[10] = {0};

        for (size_t k = 0; k < 9; k++)
            got[k] = (char)('0' + pick_round_robin.choose(&cursor, rows[i].n, by_mask, &mask));
        ROW_EQ_STR(rows[i].name, got, rows[i].want);
    }
}

enum { THREADS = 4, PICKS = 30000, N = 3 };

struct share {
    _Atomic uint64_t *cursor;
    unsigned counts[N];
};

static void *pick_many(void *arg)
{
    struct share *s = arg;
    unsigned all = 7;

    for (unsigned i = 0; i < PICKS; i++)
        s->counts[pick_round_robin.choose(s->cursor, N, by_mask, &all)]++;
    return NULL;
}

static void test_exact_over_threads(void **state UNUSED)
{
    _Atomic uint64_t cursor = 0;
    pthread_t t[THREADS];
    struct share s[THREADS] = {0};

    for (unsigned i = 0; i < THREADS; i++) {
        s[i].cursor = &cursor;
        assert_int_equal(pthread_create(&t[i], NULL, pick_many, &s[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    for (unsigned b = 0; b < N; b++) {
        unsigned sum = 0;

        for (unsigned i = 0; i < THREADS; i++)
            sum += s[i].counts[b];
        assert_int_equal(sum, THREADS * PICKS / N);
    }
}

static void test_hold(void **state UNUSED)
{
    static const struct {
        unsigned fails;
        uint64_t want;
    } holds[] = {{0, 200}, {1, 200}, {2, 400}, {3, 800}, {6, 5000}, {1000000, 5000}};

    for (size_t i = 0; i < ARRAY_LEN(holds); i++)
        assert_int_equal(pick_hold_ms(holds[i].fails), holds[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_exact_over_threads),
        cmocka_unit_test(test_hold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
