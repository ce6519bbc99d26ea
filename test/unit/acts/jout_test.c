#include "test/unit/unit.h"

#include "acts-service/jout.h"
#include "common/base/macros.h"

static const struct {
    const char *text;
    size_t n;
    const char *want;
} rows[] = {
    {"", 0, "\"\""},
    {"plain", 5, "\"plain\""},
    {"\"\\", 2, "\"\\\"\\\\\""},
    {"\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\""},
    {"a\x01z\x1f", 4, "\"a\\u0001z\\u001f\""},
    {"a\0b", 3, "\"a\\u0000b\""},
    {"/\x7f", 2, "\"/\x7f\""},
    {"\xf0\x9f\x90\x98", 4, "\"\xf0\x9f\x90\x98\""},
};

static void strings_are_escaped(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct evbuffer *b = evbuffer_new();
        struct jout o = {.b = b};
        size_t n = strlen(rows[i].want);

        jout_string(&o, (struct sv){rows[i].text, rows[i].n});
        ROW_EQ_U64(rows[i].want, evbuffer_get_length(b), n);
        if (memcmp(evbuffer_pullup(b, -1), rows[i].want, n) != 0)
            fail_msg("row '%s'", rows[i].want);
        evbuffer_free(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(strings_are_escaped)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
