#include "acts-service/check.h"

#include "acts-service/utf8.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool check_id(struct sv s, struct sv *ret)
{
    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (!is_digit(s.p[i]))
            return false;
    }
    while (s.n > 1 && *s.p == '0') {
        s.p++;
        s.n--;
    }
    *ret = s;
    return true;
}

/* Fields of the timestamp: where their digits stand. */
enum { TS_DAY, TS_MONTH, TS_YEAR, TS_SECOND, TS_MINUTE, TS_HOUR, TS_FIELDS };
static const char ts_shape[] = "00-00-0000:00-00-00"; /* 0: a digit */
static const struct {
    unsigned at, n;
} ts_field[TS_FIELDS] = {{0, 2}, {3, 2}, {6, 4}, {11, 2}, {14, 2}, {17, 2}};

static int days_in_month(int month, int year)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && leap ? 1 : 0);
}

bool check_ts(struct sv s, int64_t *ret)
{
    int f[TS_FIELDS];

    if (s.n != CHECK_TS_LEN)
        return false;
    for (size_t i = 0; i < CHECK_TS_LEN; i++) {
        if (ts_shape[i] == '0' ? !is_digit(s.p[i]) : s.p[i] != ts_shape[i])
            return false;
    }
    for (size_t i = 0; i < TS_FIELDS; i++) {
        f[i] = 0;
        for (size_t k = 0; k < ts_field[i].n; k++)
            f[i] = f[i] * 10 + (s.p[ts_field[i].at + k] - '0');
    }
    if (f[TS_YEAR] < 1 || f[TS_MONTH] < 1 || f[TS_MONTH] > 12 || f[TS_DAY] < 1 ||
        f[TS_DAY] > days_in_month(f[TS_MONTH], f[TS_YEAR]) || f[TS_SECOND] > 59 ||
        f[TS_MINUTE] > 59 || f[TS_HOUR] > 23)
        return false;
    *ret = (int64_t)f[TS_YEAR] * 10000000000 + (int64_t)f[TS_MONTH] * 100000000 +
           (int64_t)f[TS_DAY] * 1000000 + (int64_t)f[TS_HOUR] * 10000 +
           (int64_t)f[TS_MINUTE] * 100 + (int64_t)f[TS_SECOND];
    return true;
}

void check_ts_text(int64_t key, char buf[CHECK_TS_LEN + 1])
{
    static const int order[] = {TS_SECOND, TS_MINUTE, TS_HOUR, TS_DAY, TS_MONTH, TS_YEAR};

    memcpy(buf, ts_shape, CHECK_TS_LEN + 1);
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        for (unsigned k = ts_field[order[i]].n; k > 0; k--) {
            buf[ts_field[order[i]].at + k - 1] = (char)('0' + key % 10);
            key /= 10;
        }
    }
}

/* Pictures are most of what acts reads: without branches the compiler makes vectors of it. */
static unsigned is_base64(unsigned char c)
{
    return (unsigned)((unsigned char)(c - 'A') < 26) | (unsigned)((unsigned char)(c - 'a') < 26) |
           (unsigned)((unsigned char)(c - '0') < 10) | (unsigned)(c == '+') | (unsigned)(c == '/');
}

static size_t drop_line_ends(char *p, size_t n)
{
    size_t out = 0;

    if (n == 0 || (memchr(p, '\n', n) == NULL && memchr(p, '\r', n) == NULL))
        return n;
    for (size_t i = 0; i < n; i++) {
        if (p[i] != '\r' && p[i] != '\n')
            p[out++] = p[i];
    }
    return out;
}

bool check_base64(char *p, size_t *n)
{
    size_t out = drop_line_ends(p, *n), body;
    unsigned good = 1;

    *n = out;
    if (out == 0 || out % 4 != 0)
        return false;
    body = out - (p[out - 1] != '=' ? 0 : p[out - 2] != '=' ? 1 : 2);
    for (size_t i = 0; i < body; i++)
        good &= is_base64((unsigned char)p[i]);
    return good != 0;
}

bool check_text(struct sv s)
{
    return utf8_valid(s) && (s.n == 0 || memchr(s.p, '\0', s.n) == NULL);
}

static int hex(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool check_percent(struct sv s, char *out, size_t *ret_n)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        int high, low;

        if (s.p[i] != '%') {
            out[n++] = s.p[i];
            continue;
        }
        if (s.n - i < 3)
            return false;
        high = hex(s.p[i + 1]);
        low = hex(s.p[i + 2]);
        if (high < 0 || low < 0)
            return false;
        out[n++] = (char)(high << 4 | low);
        i += 2;
    }
    *ret_n = n;
    return true;
}

bool check_sha1(struct sv s)
{
    enum { DIGITS = 40 };

    if (s.n != DIGITS)
        return false;
    for (size_t i = 0; i < DIGITS; i++) {
        if (hex(s.p[i]) < 0)
            return false;
    }
    return true;
}
