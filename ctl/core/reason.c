#include "ctl/core/reason.h"

static const struct {
    const char *code, *meaning, *next;
} rows[REASON_COUNT] = {
#define REASON(sym, code, meaning, next) {code, meaning, next},
#include "ctl/core/reason.def"
#undef REASON
};

const char *reason_code(enum reason r)
{
    return rows[r].code;
}

const char *reason_meaning(enum reason r)
{
    return rows[r].meaning;
}

const char *reason_next(enum reason r)
{
    return rows[r].next;
}
