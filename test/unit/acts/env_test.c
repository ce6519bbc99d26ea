#include "test/unit/unit.h"

#include "acts-service/env.h"
#include "common/base/macros.h"

#define GOOD "ACTS_DB_HOST=db", "ACTS_DB_USER=app"

static const struct {
    const char *name;
    char *list[6];
    const char *why; /* NULL: valid */
} rows[] = {
    {"the least", {GOOD}, NULL},
    {"others are not ours", {GOOD, "ACT_X=1", "ACTSX=1", "PATH=/"}, NULL},
    {"no host", {"ACTS_DB_USER=app"}, "ACTS_DB_HOST is not set"},
    {"no user", {"ACTS_DB_HOST=db"}, "ACTS_DB_USER is not set"},
    {"port text", {GOOD, "ACTS_PORT=http"}, "ACTS_PORT"},
    {"port empty", {GOOD, "ACTS_PORT="}, "ACTS_PORT"},
    {"port too large", {GOOD, "ACTS_PORT=65536"}, "ACTS_PORT"},
    {"PORT is bad", {GOOD, "PORT=http"}, "ACTS_PORT"},
    {"pool 0", {GOOD, "ACTS_DB_POOL=0"}, "ACTS_DB_POOL"},
    {"pool 65", {GOOD, "ACTS_DB_POOL=65"}, "ACTS_DB_POOL"},
    {"bind to a name", {GOOD, "ACTS_BIND=localhost"}, "ACTS_BIND"},
    {"bind to IPv6", {GOOD, "ACTS_BIND=::1"}, NULL},
    {"body with unit", {GOOD, "ACTS_MAX_BODY=1m"}, NULL},
    {"body too small", {GOOD, "ACTS_MAX_BODY=12"}, "ACTS_MAX_BODY"},
    {"sslmode", {GOOD, "ACTS_DB_SSLMODE=on"}, "ACTS_DB_SSLMODE"},
    {"log level", {GOOD, "ACTS_LOG_LEVEL=loud"}, "ACTS_LOG_LEVEL"},
    {"log format", {GOOD, "ACTS_LOG_FORMAT=xml"}, "ACTS_LOG_FORMAT"},
    {"two passwords", {GOOD, "ACTS_DB_PASSWORD=x", "ACTS_DB_PASSWORD_FILE=/dev/null"}, "not both"},
    {"no password file", {GOOD, "ACTS_DB_PASSWORD_FILE=/nonexistent/x"}, "/nonexistent/x"},
    {"password file is no file", {GOOD, "ACTS_DB_PASSWORD_FILE=/dev/null"}, "/dev/null"},
};

static void values_are_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err e = {""};
        struct env v;
        bool ok = env_read("ACTS", rows[i].list, &v, &e);

        if (ok != (rows[i].why == NULL))
            fail_msg("row '%s': %s", rows[i].name, ok ? "accepted" : e.msg);
        if (ok)
            env_fini(&v);
        else
            ROW_HAS_STR(rows[i].name, e.msg, rows[i].why);
    }
}

static void port_without_prefix(void **state)
{
    char *alone[] = {GOOD, "PORT=8003", NULL}, *both[] = {GOOD, "ACTS_PORT=81", "PORT=8003", NULL};
    struct env v;

    (void)state;
    assert_true(env_read("ACTS", alone, &v, NULL));
    assert_int_equal(v.port, 8003);
    env_fini(&v);
    assert_true(env_read("ACTS", both, &v, NULL));
    assert_int_equal(v.port, 81);
    env_fini(&v);
}

static void defaults_are_documented_ones(void **state)
{
    char *list[] = {GOOD, NULL};
    struct env v;

    (void)state;
    assert_true(env_read("ACTS", list, &v, NULL));
    assert_int_equal(v.port, 80);
    assert_string_equal(v.bind, "0.0.0.0");
    assert_string_equal(v.db_name, "app");
    assert_int_equal(v.max_body, 16 << 20);
    assert_string_equal(v.users_url, "");
    env_fini(&v);
}

static void unknown_names_get_a_hint(void **state)
{
    char *list[] = {"ACTS_DB_HOTS=db", NULL}, *good[] = {GOOD, "HOME=/", NULL};
    struct err e = {""};

    (void)state;
    assert_false(env_all_known("ACTS", list, &e));
    ROW_HAS_STR("hint", e.msg, "did you mean ACTS_DB_HOST");
    assert_true(env_all_known("ACTS", good, &e));
}

static void variables_of_one_program_are_unknown_to_the_other(void **state)
{
    char *acts[] = {GOOD, "ACTS_USERS_URL=http://users", NULL};
    char *users[] = {"USERS_DB_HOST=db", "USERS_DB_USER=app", "USERS_USERS_URL=http://users", NULL};
    struct err e = {""};
    struct env v;

    (void)state;
    assert_true(env_all_known("ACTS", acts, &e));
    assert_false(env_all_known("USERS", users, &e));
    ROW_HAS_STR("users", e.msg, "USERS_USERS_URL is not known");
    assert_true(env_read("USERS", users, &v, &e));
    assert_string_equal(v.users_url, "");
    assert_string_equal(v.db_host, "db");
    env_fini(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_checked),
        cmocka_unit_test(port_without_prefix),
        cmocka_unit_test(defaults_are_documented_ones),
        cmocka_unit_test(unknown_names_get_a_hint),
        cmocka_unit_test(variables_of_one_program_are_unknown_to_the_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
