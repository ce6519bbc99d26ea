#include "test/unit/unit.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/mem.h"

static char dir[] = "/tmp/lbctl-file-XXXXXX";

static int make_dir(void **state UNUSED)
{
    return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state UNUSED)
{
    char *cmd = mem_printf("rm -rf '%s'", dir);
    int rc = system(cmd);

    mem_free(cmd);
    return rc;
}

static void test_write_and_read(void **state UNUSED)
{
    char *path = mem_printf("%s/a", dir), *text = NULL;
    struct stat st;
    struct err e;
    size_t n;

    assert_true(file_write_atomic(path, "one", 3, 0600, &e));
    assert_true(file_write_atomic(path, "second", 6, 0600, &e));
    assert_true(file_read(path, 6, &text, &n, &e));
    assert_int_equal(n, 6);
    assert_string_equal(text, "second");
    mem_free(text);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    text = NULL;
    assert_false(file_read(path, 5, &text, &n, &e)); /* one byte too large */
    assert_non_null(strstr(e.msg, "larger than 5 bytes"));
    assert_null(text);
    mem_free(path);
}

static void test_not_a_file(void **state UNUSED)
{
    char *text = NULL;
    struct err e;
    size_t n;

    assert_false(file_read(dir, 10, &text, &n, &e));
    assert_non_null(strstr(e.msg, "not a regular file"));
    assert_false(file_read("/nonexistent/x", 10, &text, &n, &e));
    assert_non_null(strstr(e.msg, "No such file"));
}

static void test_mkdir_p(void **state UNUSED)
{
    char *path = mem_printf("%s/x/y/z", dir), *file = mem_printf("%s/a", dir);
    struct err e;

    assert_true(file_mkdir_p(path, 0755, &e));
    assert_true(file_mkdir_p(path, 0755, &e));
    assert_int_equal(access(path, X_OK), 0);
    assert_false(file_mkdir_p(file, 0755, &e)); /* test_write_and_read made a file of that name */
    assert_non_null(strstr(e.msg, "not a directory"));
    mem_free(path);
    mem_free(file);
}

static void test_lock_is_exclusive_and_names_the_holder(void **state UNUSED)
{
    char *path = mem_printf("%s/lock", dir), pid[32];
    struct err e;
    int fd = -1, again = -1, status;

    assert_true(file_lock(path, &fd, &e));
    snprintf(pid, sizeof(pid), "pid %ld", (long)getpid());
    assert_false(file_lock(path, &again, &e));
    assert_non_null(strstr(e.msg, pid));
    close(fd);
    /* The lock ends with its process, however that ends. */
    if (fork() == 0) {
        _exit(file_lock(path, &fd, &e) ? 0 : 1);
    }
    assert_true(wait(&status) > 0);
    assert_int_equal(status, 0);
    assert_true(file_lock(path, &fd, &e));
    close(fd);
    mem_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_and_read),
        cmocka_unit_test(test_not_a_file),
        cmocka_unit_test(test_mkdir_p),
        cmocka_unit_test(test_lock_is_exclusive_and_names_the_holder),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
