#include "test/unit/unit.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/mem.h"

static void test_grows_to_its_maximum_and_no_further(void **state UNUSED)
{
    struct buf b;

    buf_init(&b, 1000);
    for (int i = 0; i < 100; i++)
        assert_true(buf_add(&b, "0123456789", 10));
    assert_int_equal(b.len, 1000);
    assert_false(buf_add(&b, "x", 1));
    assert_true(b.over);
    assert_int_equal(b.len, 1000); /* a refused append changes nothing */
    assert_false(buf_add(&b, "", 0));
    buf_clear(&b);
    assert_true(buf_adds(&b, "again"));
    assert_string_equal(b.data, "again");
    buf_fini(&b);
}

static void test_printf_drop_take(void **state UNUSED)
{
    struct buf b;
    char *s;

    buf_init(&b, 64);
    assert_true(buf_printf(&b, "%s-%d", "abc", 7));
    buf_drop_front(&b, 2);
    assert_string_equal(b.data, "c-7");
    buf_drop_front(&b, 99);
    assert_int_equal(b.len, 0);
    assert_false(buf_printf(&b, "%65s", "too long"));
    buf_clear(&b);
    assert_true(buf_adds(&b, "mine"));
    s = buf_take(&b);
    assert_string_equal(s, "mine");
    assert_int_equal(b.len, 0);
    mem_free(s);
    s = buf_take(&b);
    assert_string_equal(s, "");
    mem_free(s);
}

static void test_errors_are_wrapped_and_bounded(void **state UNUSED)
{
    char big[2000];
    struct err e;

    assert_false(err_set(&e, "cause %d", 1));
    assert_false(err_wrap(&e, "in %s", "place"));
    assert_string_equal(e.msg, "in place: cause 1");
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    assert_false(err_wrap(&e, "%s", big));
    assert_int_equal(strlen(e.msg), sizeof(e.msg) - 1);
    assert_false(err_set(NULL, "nobody listens"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grows_to_its_maximum_and_no_further),
        cmocka_unit_test(test_printf_drop_take),
        cmocka_unit_test(test_errors_are_wrapped_and_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
