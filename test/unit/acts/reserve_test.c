#include "test/unit/unit.h"

#include <event2/buffer.h>
#include <event2/event.h>

#include "acts-service/reserve.h"
#include "common/base/macros.h"

static bool out; /* the heap gives nothing */

void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n)
{
    return out ? NULL : __real_realloc(p, n);
}

static int setup(void **state UNUSED)
{
    out = false;
    return 0;
}

static void nothing_is_used_while_there_is_memory(void **state UNUSED)
{
    struct evbuffer *b = evbuffer_new();

    assert_non_null(b);
    assert_int_equal(reserve_used(), 0);
    evbuffer_free(b);
}

static void contents_survive_both_ways(void **state UNUSED)
{
    struct evbuffer *b = evbuffer_new();
    char text[600];

    memset(text, 'x', sizeof(text));
    assert_int_equal(evbuffer_add(b, text, sizeof(text)), 0);
    out = true; /* a piece from the heap, grown into the reserve, and a second one in it */
    assert_int_equal(evbuffer_expand(b, 5000), 0);
    assert_int_equal(evbuffer_add(b, text, sizeof(text)), 0);
    assert_non_null(evbuffer_pullup(b, -1));
    assert_true(reserve_used() > 0);
    out = false;
    assert_int_equal(evbuffer_expand(b, 200000), 0);
    assert_int_equal(evbuffer_get_length(b), 2 * sizeof(text));
    assert_memory_equal(evbuffer_pullup(b, -1), text, sizeof(text));
    assert_memory_equal(evbuffer_pullup(b, -1) + sizeof(text), text, sizeof(text));
    evbuffer_free(b);
    assert_int_equal(reserve_used(), 0);
}

static void what_is_too_large_fails(void **state UNUSED)
{
    struct evbuffer *b = evbuffer_new();

    out = true;
    assert_int_equal(evbuffer_expand(b, 1 << 20), -1);
    out = false;
    evbuffer_free(b);
    assert_int_equal(reserve_used(), 0);
}

static void low_at_half_empty_at_the_end_whole_again(void **state UNUSED)
{
    struct evbuffer *all[4096];
    size_t n = 0, low = 0;

    out = true;
    while (n < ARRAY_LEN(all) && (all[n] = evbuffer_new()) != NULL) {
        n++;
        if (low == 0 && reserve_is_low())
            low = n;
    }
    assert_in_range(n, 1000, 2000);
    assert_in_range(low, n / 3, n * 2 / 3);
    for (size_t i = 0; i < n; i++)
        evbuffer_free(all[i]);
    assert_false(reserve_is_low());
    assert_int_equal(reserve_used(), 0);
    all[0] = evbuffer_new(); /* a block for the second time */
    assert_non_null(all[0]);
    evbuffer_free(all[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_is_used_while_there_is_memory, setup),
        cmocka_unit_test_setup(contents_survive_both_ways, setup),
        cmocka_unit_test_setup(what_is_too_large_fails, setup),
        cmocka_unit_test_setup(low_at_half_empty_at_the_end_whole_again, setup),
    };

    reserve_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
