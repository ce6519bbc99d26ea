#include "test/unit/unit.h"

#include "common/base/file.h"
#include "common/base/macros.h"
#include "common/base/mem.h"

/* The manual pages name every command and every key that the tables have. */
static void expect_word(const char *text, const char *page, const char *word)
{
    size_t n = strlen(word);

    for (const char *p = text; (p = strstr(p, ".It Ic ")) != NULL; p++)
        for (const char *w = p + strlen(".It Ic "); *w != '\n' && *w != '\0'; w++)
            if (w[-1] == ' ' && strncmp(w, word, n) == 0 && strchr(" \n", w[n]) != NULL)
                return;
    fail_msg("docs/man/%s: nothing about '%s'", page, word);
}

static char *load(const char *page)
{
    char path[512], *text = NULL;
    size_t n;
    struct err e;

    (void)snprintf(path, sizeof path, "%s/docs/man/%s", LBCTL_SOURCE_DIR, page);
    if (!file_read(path, 1 << 20, &text, &n, &e))
        fail_msg("%s", e.msg);
    return text;
}

static void test_commands(void **state)
{
    static const char *const names[] = {
#define CMD(sym, name, args, least, most, handler, help) name,
#include "ctl/lbctl/cmd.def"
#undef CMD
    };
    char *text = load("lbctl.1");

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        expect_word(text, "lbctl.1", names[i]);
    mem_free(text);
}

static void test_keys(void **state)
{
    static const char *const keys[] = {
#define CONF(section, type, key, kind, member, min, max, absent, help) key,
#include "common/conf/conf.def"
#undef CONF
    };
    char *text = load("lbctl.yaml.5");

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        expect_word(text, "lbctl.yaml.5", keys[i]);
    mem_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_commands),
                                       cmocka_unit_test(test_keys)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
