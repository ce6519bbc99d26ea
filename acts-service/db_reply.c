#include <libpq-fe.h>

#include "acts-service/db.h"

size_t db_rows(const struct db_reply *r)
{
    return r->n;
}

bool db_is_null(const struct db_reply *r, size_t row, unsigned col)
{
    return PQgetisnull(r->res, (int)(r->first + row), (int)col) != 0;
}

struct sv db_str(const struct db_reply *r, size_t row, unsigned col)
{
    row += r->first;
    return (struct sv){PQgetvalue(r->res, (int)row, (int)col),
                       (size_t)PQgetlength(r->res, (int)row, (int)col)};
}

int64_t db_int(const struct db_reply *r, size_t row, unsigned col)
{
    struct sv s = db_str(r, row, col);
    bool minus = s.n > 0 && *s.p == '-';
    uint64_t v = 0;

    if (minus) {
        s.p++;
        s.n--;
    }
    if (!str_to_u64(s, 0, INT64_MAX, &v, NULL))
        return 0;
    return minus ? -(int64_t)v : (int64_t)v;
}
