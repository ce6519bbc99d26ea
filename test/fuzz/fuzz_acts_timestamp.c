/* Timestamps: what is accepted is a moment of the C library's calendar, comes back as it was sent,
 * and orders like the time. */
#include "test/fuzz/fuzz.h"

#include <string.h>
#include <time.h>

#include "acts-service/check.h"

static int digits(const char *p, size_t n)
{
    int v = 0;

    for (size_t i = 0; i < n; i++)
        v = v * 10 + (p[i] - '0');
    return v;
}

static time_t moment(const char *p)
{
    struct tm t = {.tm_mday = digits(p, 2),
                   .tm_mon = digits(p + 3, 2) - 1,
                   .tm_year = digits(p + 6, 4) - 1900,
                   .tm_sec = digits(p + 11, 2),
                   .tm_min = digits(p + 14, 2),
                   .tm_hour = digits(p + 17, 2)};
    struct tm asked = t;
    time_t at = timegm(&t); /* carries what is too large: such a date was none */

    MUST(t.tm_mday == asked.tm_mday && t.tm_mon == asked.tm_mon && t.tm_year == asked.tm_year);
    MUST(t.tm_hour == asked.tm_hour && t.tm_min == asked.tm_min && t.tm_sec == asked.tm_sec);
    return at;
}

static bool judge(const char *p, size_t n, int64_t *ret_key, time_t *ret_at)
{
    char text[CHECK_TS_LEN + 1];

    if (!check_ts((struct sv){p, n}, ret_key))
        return false;
    check_ts_text(*ret_key, text);
    MUST(n == CHECK_TS_LEN && memcmp(text, p, n) == 0);
    *ret_at = moment(p);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data;
    size_t half = size / 2;
    int64_t key, a, b;
    time_t at, at_a, at_b;

    (void)judge(p, size, &key, &at);
    if (judge(p, half, &a, &at_a) && judge(p + half, size - half, &b, &at_b))
        MUST((a < b) == (at_a < at_b) && (a == b) == (at_a == at_b));
    return 0;
}
