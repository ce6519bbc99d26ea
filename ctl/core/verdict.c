#include "ctl/core/verdict.h"

const char *verdict_name(enum verdict v)
{
    static const char *const names[] = {
        [VERDICT_OK] = "ok", [VERDICT_DEGRADED] = "degraded", [VERDICT_DOWN] = "down"};

    return names[v];
}

enum verdict verdict_service(unsigned wish, unsigned ready, bool needed)
{
    if (ready >= wish)
        return VERDICT_OK;
    return ready == 0 && needed ? VERDICT_DOWN : VERDICT_DEGRADED;
}

enum verdict verdict_worse(enum verdict a, enum verdict b)
{
    return a > b ? a : b;
}
