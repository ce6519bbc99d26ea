#include "acts-service/range.h"

#include "acts-service/check.h"

/* Far more acts than a category can hold, and far from overflow in the database's 64 bits. */
static const uint64_t bound_max = 1000000000000000000;
enum { NUMBER_MAX = 512 }; /* raw bytes of one bound, percent-encoding and leading zeros included */

static bool parse_bound(struct sv raw, uint64_t *ret)
{
    char text[NUMBER_MAX];
    size_t n;

    return raw.n <= sizeof(text) && check_percent(raw, text, &n) &&
           str_to_u64((struct sv){text, n}, 0, bound_max, ret, NULL);
}

struct range range_parse(struct sv query)
{
    struct range r = {.whole = true};
    bool have_start = false, have_end = false;

    while (query.n > 0) {
        const char *amp = memchr(query.p, '&', query.n);
        struct sv pair = {query.p, amp != NULL ? (size_t)(amp - query.p) : query.n};
        bool is_start = sv_starts(pair, "start=") || sv_eq(pair, "start");
        bool is_end = sv_starts(pair, "end=") || sv_eq(pair, "end");
        size_t skip = is_start ? strlen("start=") : strlen("end=");

        query.p += pair.n + (amp != NULL);
        query.n -= pair.n + (amp != NULL);
        if (!is_start && !is_end)
            continue;
        r.whole = false;
        if (is_start ? have_start : have_end)
            r.bad = true;
        if (is_start)
            have_start = true;
        else
            have_end = true;
        if (pair.n < skip ||
            !parse_bound((struct sv){pair.p + skip, pair.n - skip}, is_start ? &r.start : &r.end))
            r.bad = true;
    }
    if (have_start != have_end)
        r.bad = true;
    return r;
}

struct range_ask range_ask(const struct range *r)
{
    if (r->whole)
        return (struct range_ask){
            .probe = RANGE_MAX + 1, .limit = RANGE_MAX, .min_n = 1, .max_n = RANGE_MAX};
    if (r->bad || r->start < 1 || r->start > r->end)
        return (struct range_ask){.probe = 1, .min_n = 1, .max_n = 0}; /* only: is it empty? */
    if (r->end - r->start >= RANGE_MAX) /* 400 or 413, and no acts in either case */
        return (struct range_ask){.probe = (int64_t)r->end, .min_n = 1, .max_n = 0};
    return (struct range_ask){.probe = (int64_t)r->end,
                              .offset = (int64_t)r->start - 1,
                              .limit = (int64_t)(r->end - r->start + 1),
                              .min_n = (int64_t)r->end,
                              .max_n = (int64_t)r->end};
}

int range_status(const struct range *r, bool exists, int64_t n)
{
    if (!exists)
        return 204;
    if (r->bad)
        return 400;
    if (n == 0)
        return 204;
    if (r->whole)
        return n > RANGE_MAX ? 413 : 200;
    if (r->start < 1 || r->start > r->end || (int64_t)r->end > n)
        return 400;
    return r->end - r->start >= RANGE_MAX ? 413 : 200;
}
