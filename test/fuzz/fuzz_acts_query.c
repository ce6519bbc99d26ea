/* Ranges: whatever the query says, the question to the database is bounded, and the answer follows
 * the contract for every number of acts. */
#include "test/fuzz/fuzz.h"

#include "acts-service/range.h"
#include "common/base/macros.h"

static void with(const struct range *r, const struct range_ask *q, int64_t n)
{
    int64_t told = n < q->probe ? n : q->probe; /* the database counts up to probe */
    int status = range_status(r, true, told);
    bool gives = told >= q->min_n && told <= q->max_n;

    MUST(status == 200 || status == 204 || status == 400 || status == 413);
    MUST(status != 200 || gives);
    if (r->bad)
        MUST(status == 400);
    else if (n == 0)
        MUST(status == 204);
    else if (r->whole)
        MUST(status == (n > RANGE_MAX ? 413 : 200));
    else if (r->start < 1 || r->start > r->end || r->end > (uint64_t)n)
        MUST(status == 400);
    else
        MUST(status == (r->end - r->start + 1 > RANGE_MAX ? 413 : 200));
    if (status == 200 && !r->whole)
        MUST(q->offset == (int64_t)r->start - 1 && q->limit == (int64_t)(r->end - r->start) + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int64_t counts[] = {0, 1, 2, 3, 99, 100, 101, 102, 150, 1000, 100000, INT64_MAX};
    struct range r = range_parse((struct sv){(const char *)data, size});
    struct range_ask q = range_ask(&r);

    MUST(q.probe >= 0 && q.offset >= 0 && q.limit >= 0 && q.limit <= RANGE_MAX);
    MUST(range_status(&r, false, 0) == 204);
    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        with(&r, &q, counts[i]);
    return 0;
}
