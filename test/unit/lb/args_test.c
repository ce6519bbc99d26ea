#include "test/unit/unit.h"

#include "common/base/macros.h"
#include "lb/args.h"
#include "lb/listen.h"

static const struct {
    const char *name;
    const char *argv[8];
    const char *want; /* of the error; NULL: none */
    enum args_verb verb;
    unsigned listen_n, workers;
} rows[] = {
    {"nothing", {"lbd"}, NULL, ARGS_RUN, 0, 0},
    {"help", {"lbd", "--help"}, NULL, ARGS_HELP, 0, 0},
    {"version", {"lbd", "-V"}, NULL, ARGS_VERSION, 0, 0},
    {"all",
     {"lbd", "-c", "f", "--listen", "127.0.0.1:80", "--listen=[::]:81", "--workers=4"},
     NULL,
     ARGS_RUN,
     2,
     4},
    {"unknown", {"lbd", "--frob"}, "unknown option", ARGS_RUN, 0, 0},
    {"missing argument", {"lbd", "-c"}, "missing argument", ARGS_RUN, 0, 0},
    {"stray word", {"lbd", "x"}, "unexpected argument 'x'", ARGS_RUN, 0, 0},
    {"bad number", {"lbd", "--workers", "1x"}, "--workers", ARGS_RUN, 0, 0},
    {"too many workers", {"lbd", "--workers", "257"}, "--workers", ARGS_RUN, 0, 0},
    {"bad address", {"lbd", "--listen", "80"}, "ADDRESS:PORT", ARGS_RUN, 0, 0},
};

static void test_args(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct args a = {.verb = ARGS_RUN};
        struct err e = {""};
        int argc = 0;
        bool ok;

        while (argc < 8 && rows[i].argv[argc] != NULL)
            argc++;
        ok = args_parse(argc, (char *const *)(uintptr_t)rows[i].argv, &a, &e);
        ROW_EQ_U64(rows[i].name, ok, rows[i].want == NULL);
        if (!ok) {
            ROW_HAS_STR(rows[i].name, e.msg, rows[i].want);
            continue;
        }
        ROW_EQ_U64(rows[i].name, a.verb, rows[i].verb);
        ROW_EQ_U64(rows[i].name, a.listen_n, rows[i].listen_n);
        ROW_EQ_U64(rows[i].name, a.workers, rows[i].workers);
    }
}

static const struct {
    const char *text;
    const char *want; /* as printed again; NULL: refused */
} addresses[] = {
    {"127.0.0.1:80", "127.0.0.1:80"},
    {"[::1]:8080", "[::1]:8080"},
    {"::1:80", "[::1]:80"},
    {"0.0.0.0:65535", "0.0.0.0:65535"},
    {"127.0.0.1:80 proxy", "127.0.0.1:80 proxy"},
    {"[::1]:80 proxy", "[::1]:80 proxy"},
    {"127.0.0.1:80 proxy ", NULL},
    {"127.0.0.1:80proxy", NULL},
    {" proxy", NULL},
    {"127.0.0.1:0", NULL},
    {"127.0.0.1:65536", NULL},
    {"127.0.0.1", NULL},
    {":80", NULL},
    {"localhost:80", NULL},
    {"127.0.0.1:+80", NULL},
    {"", NULL},
};

static void test_addresses(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        struct conf_addr a;
        struct err e;
        char text[80];
        bool ok = listen_parse(addresses[i].text, &a, &e);

        ROW_EQ_U64(addresses[i].text, ok, addresses[i].want != NULL);
        if (ok) {
            listen_format(&a, text, sizeof(text));
            ROW_EQ_STR(addresses[i].text, text, addresses[i].want);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_args),
                                       cmocka_unit_test(test_addresses)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
