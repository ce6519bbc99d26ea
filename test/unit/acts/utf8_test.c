#include "test/unit/unit.h"

#include "acts-service/utf8.h"

static const struct {
    const char *name, *text;
    size_t want; /* length of the first character */
} rows[] = {
    {"empty", "", 0},
    {"ASCII", "ab", 1},
    {"two bytes", "\xc3\xa4", 2},
    {"three bytes", "\xe0\xb2\x95", 3},
    {"four bytes", "\xf0\x9f\x90\x98", 4},
    {"largest", "\xf4\x8f\xbf\xbf", 4},
    {"too large", "\xf4\x90\x80\x80", 0},
    {"far too large", "\xf5\x80\x80\x80", 0},
    {"a lone continuation", "\x80", 0},
    {"overlong of two", "\xc0\xaf", 0},
    {"overlong of two, last", "\xc1\xbf", 0},
    {"overlong of three", "\xe0\x9f\xbf", 0},
    {"overlong of four", "\xf0\x8f\xbf\xbf", 0},
    {"surrogate", "\xed\xa0\x80", 0},
    {"before the surrogates", "\xed\x9f\xbf", 3},
    {"after the surrogates", "\xee\x80\x80", 3},
    {"cut after one", "\xe0", 0},
    {"cut after two", "\xe0\xb2", 0},
    {"second byte wrong", "\xc3(", 0},
    {"third byte wrong", "\xe0\xb2(", 0},
    {"Latin-1", "\xe4hnlich", 0},
};

static void characters_are_measured(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ROW_EQ_U64(rows[i].name, utf8_len(sv_of(rows[i].text)), rows[i].want);
        ROW_EQ_U64(rows[i].name, utf8_valid(sv_of(rows[i].text)), rows[i].want > 0 || i == 0);
    }
}

static void every_character_survives(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        char out[4];
        size_t n;

        if (c >= 0xD800 && c <= 0xDFFF)
            continue;
        n = utf8_put(out, c);
        if (utf8_len((struct sv){out, n}) != n)
            fail_msg("U+%04X", c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters_are_measured),
        cmocka_unit_test(every_character_survives),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
