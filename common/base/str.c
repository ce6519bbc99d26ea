#include "common/base/str.h"

#include <stdio.h>
#include <strings.h>

bool sv_eq(struct sv a, const char *b)
{
    return strlen(b) == a.n && (a.n == 0 || memcmp(a.p, b, a.n) == 0);
}

bool sv_ieq(struct sv a, const char *b)
{
    return strlen(b) == a.n && (a.n == 0 || strncasecmp(a.p, b, a.n) == 0);
}

bool sv_starts(struct sv a, const char *prefix)
{
    size_t n = strlen(prefix);

    return a.n >= n && (n == 0 || memcmp(a.p, prefix, n) == 0);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Takes the digits at the front of *s. */
static bool take_digits(struct sv *s, uint64_t *ret)
{
    uint64_t v = 0;
    size_t i = 0;

    for (; i < s->n && is_digit(s->p[i]); i++) {
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(s->p[i] - '0'), &v))
            return false;
    }
    if (i == 0)
        return false;
    s->p += i;
    s->n -= i;
    *ret = v;
    return true;
}

bool str_to_u64(struct sv s, uint64_t min, uint64_t max, uint64_t *ret, struct err *e)
{
    struct sv rest = s;
    char q[64];
    uint64_t v;

    if (!take_digits(&rest, &v) || rest.n != 0)
        return err_set(e, "'%s' is not a whole number", str_quote(s, q, sizeof(q)));
    if (v < min || v > max)
        return err_set(e, "%llu is out of range: use %llu to %llu", (unsigned long long)v,
                       (unsigned long long)min, (unsigned long long)max);
    *ret = v;
    return true;
}

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit time_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000},
};
static const struct unit size_units[] = {
    {"b", 1},       {"kb", 1 << 10}, {"k", 1 << 10}, {"mb", 1 << 20},
    {"m", 1 << 20}, {"gb", 1 << 30}, {"g", 1 << 30},
};

/* The unit that the letters at the front of *s spell, all of them. */
static const struct unit *take_unit(struct sv *s, const struct unit *units, size_t n)
{
    struct sv word = {s->p, 0};

    while (word.n < s->n && !is_digit(s->p[word.n]))
        word.n++;
    for (size_t i = 0; i < n; i++) {
        if (sv_ieq(word, units[i].name)) {
            s->p += word.n;
            s->n -= word.n;
            return &units[i];
        }
    }
    return NULL;
}

bool str_to_duration_ms(struct sv s, uint64_t *ret, struct err *e)
{
    static const char hint[] = "write it with a unit, such as 250ms, 1s, 2m, 1h, 1m30s";
    uint64_t total = 0, last = UINT64_MAX;
    struct sv rest = s;
    char q[64];

    if (sv_eq(s, "0")) {
        *ret = 0;
        return true;
    }
    do {
        const struct unit *u;
        uint64_t v;

        if (!take_digits(&rest, &v) ||
            (u = take_unit(&rest, time_units, ARRAY_LEN(time_units))) == NULL || u->factor >= last)
            return err_set(e, "'%s' is not a duration: %s", str_quote(s, q, sizeof(q)), hint);
        last = u->factor;
        if (__builtin_mul_overflow(v, u->factor, &v) || __builtin_add_overflow(total, v, &total) ||
            total > INT64_MAX / 1000000)
            return err_set(e, "'%s' is too long a duration", str_quote(s, q, sizeof(q)));
    } while (rest.n > 0);
    *ret = total;
    return true;
}

bool str_to_size(struct sv s, uint64_t *ret, struct err *e)
{
    const struct unit *u = &size_units[0];
    struct sv rest = s;
    char q[64];
    uint64_t v;

    if (!take_digits(&rest, &v) ||
        (rest.n > 0 && (u = take_unit(&rest, size_units, ARRAY_LEN(size_units))) == NULL) ||
        rest.n > 0)
        return err_set(
            e, "'%s' is not a size: write it as bytes or with a unit, such as 512k, 256m, 2g",
            str_quote(s, q, sizeof(q)));
    if (__builtin_mul_overflow(v, u->factor, &v) || v > INT64_MAX)
        return err_set(e, "'%s' is too large", str_quote(s, q, sizeof(q)));
    *ret = v;
    return true;
}

bool str_to_milli(struct sv s, uint64_t *ret, struct err *e)
{
    struct sv rest = s;
    uint64_t whole, part = 0;
    bool ok = take_digits(&rest, &whole) && whole <= 1000000;
    char q[64];

    if (ok && rest.n > 0) {
        size_t digits = rest.n - 1;

        ok = rest.p[0] == '.' && digits >= 1 && digits <= 3;
        rest.p++;
        rest.n--;
        ok = ok && take_digits(&rest, &part) && rest.n == 0;
        for (; ok && digits < 3; digits++)
            part *= 10;
    }
    if (!ok)
        return err_set(e,
                       "'%s' is not a decimal number with at most three places, such as 0.5 or 2",
                       str_quote(s, q, sizeof(q)));
    *ret = whole * 1000 + part;
    return true;
}

const char *str_duration(uint64_t ms, char *buf, size_t n)
{
    size_t used = 0;

    if (ms == 0) {
        snprintf(buf, n, "0s");
        return buf;
    }
    buf[0] = '\0';
    for (size_t i = ARRAY_LEN(time_units); i-- > 0 && used < n;) {
        uint64_t v = ms / time_units[i].factor;

        if (v == 0)
            continue;
        ms -= v * time_units[i].factor;
        used += (size_t)snprintf(buf + used, n - used, "%llu%s", (unsigned long long)v,
                                 time_units[i].name);
    }
    return buf;
}

enum { SUGGEST_MAX = 48 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Edit distance of two short words; swapping two neighbours is one edit. */
static size_t distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b), d[3][SUGGEST_MAX + 1] = {0};

    if (n > SUGGEST_MAX || m > SUGGEST_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= m; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= n; i++) { /* row i lies in d[i % 3] */
        size_t *row = d[i % 3], *above = d[(i - 1) % 3], *two_above = d[(i + 1) % 3];

        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            row[j] = least(above[j - 1] + (a[i - 1] != b[j - 1]), least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], two_above[j - 2] + 1);
        }
    }
    return d[n % 3][m];
}

const char *str_suggest(const char *word, const char *const *candidates, size_t n)
{
    const char *best = NULL;
    size_t best_d = 3;

    for (size_t i = 0; i < n; i++) {
        size_t d = distance(word, candidates[i]);

        if (d < best_d && d * 2 <= strlen(candidates[i])) {
            best_d = d;
            best = candidates[i];
        }
    }
    return best;
}

/* Writes the visible form of c to shown; returns its length, 1 or 4. */
static size_t quote_byte(unsigned char c, char shown[5])
{
    bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';

    return (size_t)snprintf(shown, 5, plain ? "%c" : "\\x%02x", c);
}

const char *str_quote(struct sv s, char *buf, size_t n)
{
    static const char cut[] = "...";
    size_t whole = 0, used = 0, room;
    char shown[5];

    if (n == 0)
        return buf;
    for (size_t i = 0; i < s.n && whole < n; i++)
        whole += quote_byte((unsigned char)s.p[i], shown);
    room = whole < n         ? n
           : n > sizeof(cut) ? n - sizeof(cut) + 1
                             : 1; /* all of it, or a part and the dots */
    for (size_t i = 0; i < s.n; i++) {
        size_t len = quote_byte((unsigned char)s.p[i], shown);

        if (used + len >= room)
            break;
        memcpy(buf + used, shown, len);
        used += len;
    }
    snprintf(buf + used, n - used, "%s", whole < n || n <= sizeof(cut) ? "" : cut);
    return buf;
}
