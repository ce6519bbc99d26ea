#include "test/unit/unit.h"

#include "ctl/docker_engine.h"

static void test_where(void **state)
{
    static const struct {
        const char *name, *text, *socket, *host;
        unsigned port;
        const char *error; /* NULL: good */
    } rows[] = {
        {"socket", "unix:///var/run/docker.sock", "/var/run/docker.sock", "", 0, NULL},
        {"http", "http://127.0.0.1:2375", "", "127.0.0.1", 2375, NULL},
        {"slash at the end", "http://127.0.0.1:2375/", "", "127.0.0.1", 2375, NULL},
        {"tcp", "tcp://proxy:2375", "", "proxy", 2375, NULL},
        {"IPv6", "http://[::1]:2375", "", "::1", 2375, NULL},
        {"relative path", "unix://x.sock", NULL, NULL, 0, "no engine address"},
        {"no scheme", "/var/run/docker.sock", NULL, NULL, 0, "no engine address"},
        {"https", "https://h:1", NULL, NULL, 0, "no engine address"},
        {"no port", "http://h", NULL, NULL, 0, "no engine address"},
        {"no host", "http://:1", NULL, NULL, 0, "no engine address"},
        {"port 0", "http://h:0", NULL, NULL, 0, "port in"},
        {"port too large", "http://h:65536", NULL, NULL, 0, "port in"},
        {"path after the port", "http://h:1/x", NULL, NULL, 0, "port in"},
        {"empty", "", NULL, NULL, 0, "no engine address"},
        {"long path",
         "unix:///"
         "23456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"
         "123456789"
         "0123456789",
         NULL, NULL, 0, "too long"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct docker_where w;
        struct err e = {""};
        bool ok = docker_where_parse(rows[i].text, &w, &e);

        ROW_EQ_U64(rows[i].name, ok, rows[i].error == NULL);
        if (!ok) {
            ROW_HAS_STR(rows[i].name, e.msg, rows[i].error);
            continue;
        }
        ROW_EQ_STR(rows[i].name, w.socket, rows[i].socket);
        ROW_EQ_STR(rows[i].name, w.host, rows[i].host);
        ROW_EQ_U64(rows[i].name, w.port, rows[i].port);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_where)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
