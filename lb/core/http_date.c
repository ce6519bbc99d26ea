#include "lb/core/http_date.h"

#include <stdio.h>

enum { DAY_S = 86400 };

static const int64_t last_s = INT64_C(253402300799); /* 31 Dec 9999 23:59:59 */
static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

/* Days from 1 Jan 1970 to a date of the Gregorian calendar, whose year begins in March here: so the
 * leap day is its last. */
static int64_t days_of(int64_t year, unsigned month, unsigned day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + (int64_t)day - 1;

    return 365 * y + y / 4 - y / 100 + y / 400 + of_year - 719468;
}

static unsigned days_in(int64_t year, unsigned month)
{
    int64_t next = month == 12 ? days_of(year + 1, 1, 1) : days_of(year, month + 1, 1);

    return (unsigned)(next - days_of(year, month, 1));
}

void http_date_format(int64_t at_s, char ret[HTTP_DATE_SIZE])
{
    int64_t s = at_s < 0 ? 0 : at_s > last_s ? last_s : at_s;
    int64_t day = s / DAY_S, year = 1970 + day / 366;
    unsigned month = 1, rest = (unsigned)(s % DAY_S);

    while (days_of(year + 1, 1, 1) <= day)
        year++;
    while (month < 12 && days_of(year, month + 1, 1) <= day)
        month++;
    (void)snprintf(ret, HTTP_DATE_SIZE, "%s, %02u %s %04u %02u:%02u:%02u GMT", days[(day + 4) % 7],
                   (unsigned)(day - days_of(year, month, 1) + 1) % 100, months[month - 1],
                   (unsigned)year % 10000, rest / 3600 % 24, rest / 60 % 60, rest % 60);
}

static bool number(const char *p, unsigned digits, unsigned *ret)
{
    *ret = 0;
    for (unsigned i = 0; i < digits; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        *ret = *ret * 10 + (unsigned)(p[i] - '0');
    }
    return true;
}

static unsigned find(const char (*names)[4], unsigned n, const char *p)
{
    unsigned i = 0;

    while (i < n && memcmp(names[i], p, 3) != 0)
        i++;
    return i;
}

/* Where the punctuation stands in "Sun, 06 Nov 1994 08:49:37 GMT". */
static bool shaped(const char *p)
{
    static const char form[HTTP_DATE_SIZE] = "___, __ ___ ____ __:__:__ GMT";

    for (unsigned i = 0; i < HTTP_DATE_SIZE - 1; i++) {
        if (form[i] != '_' && form[i] != p[i])
            return false;
    }
    return true;
}

bool http_date_parse(struct sv text, int64_t *ret_s)
{
    unsigned day, month, year, h, m, s;

    if (text.n != HTTP_DATE_SIZE - 1 || !shaped(text.p) || find(days, 7, text.p) == 7)
        return false;
    month = find(months, 12, text.p + 8) + 1;
    if (month > 12 || !number(text.p + 5, 2, &day) || !number(text.p + 12, 4, &year) ||
        !number(text.p + 17, 2, &h) || !number(text.p + 20, 2, &m) || !number(text.p + 23, 2, &s))
        return false;
    if (year < 1970 || day < 1 || day > days_in(year, month) || h > 23 || m > 59 || s > 60)
        return false;
    *ret_s = days_of(year, month, day) * DAY_S + (int64_t)(h * 3600 + m * 60 + s);
    return true;
}
