#include "test/unit/unit.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/macros.h"
#include "common/base/mem.h"
#include "lb/sticky.h"

static const unsigned char key[STICKY_KEY] = "0123456789abcdef0123456789abcde";

static void test_token(void **state UNUSED)
{
    static const char *const names[][2] = {{"a", "bc"}, {"ab", "c"}, {"a", "b"}, {"b", "bc"}};
    unsigned char other[STICKY_KEY] = {0};
    char tokens[ARRAY_LEN(names) + 1][STICKY_TOKEN];

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        sticky_token(key, names[i][0], names[i][1], tokens[i]);
    sticky_token(other, "a", "bc", tokens[ARRAY_LEN(names)]);
    for (size_t i = 0; i < ARRAY_LEN(tokens); i++) {
        for (size_t k = 0; k < ARRAY_LEN(tokens); k++)
            assert_int_equal(sticky_is(tokens[i], (struct sv){tokens[k], STICKY_TOKEN}), i == k);
    }
}

static void test_tampered(void **state UNUSED)
{
    char token[STICKY_TOKEN], value[STICKY_TOKEN + 1];

    sticky_token(key, "a", "b", token);
    for (size_t i = 0; i < STICKY_TOKEN; i++) {
        memcpy(value, token, STICKY_TOKEN);
        value[i] ^= 1;
        assert_false(sticky_is(token, (struct sv){value, STICKY_TOKEN}));
    }
    memcpy(value, token, STICKY_TOKEN);
    value[STICKY_TOKEN] = 'x';
    assert_false(sticky_is(token, (struct sv){value, STICKY_TOKEN + 1}));
    assert_false(sticky_is(token, (struct sv){value, STICKY_TOKEN - 1}));
    assert_false(sticky_is(token, (struct sv){NULL, 0}));
}

static void test_key(void **state UNUSED)
{
    unsigned char one[STICKY_KEY], two[STICKY_KEY];
    char dir[] = "/tmp/lbctl-sticky-XXXXXX", *path;
    struct stat st;
    struct err e;

    assert_non_null(mkdtemp(dir));
    path = mem_printf("%s/sticky.key", dir);
    assert_true(sticky_key(path, one, &e));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true(sticky_key(path, two, &e));
    assert_memory_equal(one, two, STICKY_KEY);
    assert_true(file_write_atomic(path, "abc\n", 4, 0600, &e));
    assert_false(sticky_key(path, two, &e)); /* a key all the same */
    ROW_HAS_STR("broken", e.msg, "not a key of 64 hexadecimal digits; remove the file");
    assert_memory_not_equal(one, two, STICKY_KEY);
    unlink(path);
    assert_true(sticky_key(path, two, &e));
    assert_memory_not_equal(one, two, STICKY_KEY);
    unlink(path);
    rmdir(dir);
    assert_false(sticky_key(path, one, &e));
    assert_memory_not_equal(one, two, STICKY_KEY);
    mem_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_token),
        cmocka_unit_test(test_tampered),
        cmocka_unit_test(test_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
