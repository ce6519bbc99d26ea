#include "lb/core/eject.h"

enum { FIRST_MS = 2000, LAST_MS = 30000, COUNT_MAX = 4095 };

/* 32 bits of the time of the first bad one, 12 all, 12 bad, 8 run. */
struct answers {
    uint32_t since_ms;
    unsigned all, bad, run;
};

static struct answers unpack(uint64_t v)
{
    return (struct answers){(uint32_t)(v >> 32), (unsigned)(v >> 20 & COUNT_MAX),
                            (unsigned)(v >> 8 & COUNT_MAX), (unsigned)(v & 255)};
}

static uint64_t pack(const struct answers *a)
{
    return (uint64_t)a->since_ms << 32 | (uint64_t)a->all << 20 | (uint64_t)a->bad << 8 | a->run;
}

unsigned eject_max(unsigned n)
{
    return n / 2;
}

bool eject_is_bad(unsigned status)
{
    return status == 500 || (status >= 502 && status <= 504);
}

uint64_t eject_note(uint64_t known, bool bad, unsigned run, uint64_t now_ms, bool *ret_eject)
{
    struct answers a = unpack(known);

    *ret_eject = false;
    if (known == 0 || (uint32_t)now_ms - a.since_ms > EJECT_WINDOW_MS) {
        if (!bad)
            return 0;
        a = (struct answers){.since_ms = (uint32_t)now_ms};
    }
    if (a.all == COUNT_MAX) {
        a.all /= 2;
        a.bad /= 2;
    }
    a.all++;
    a.bad += bad;
    a.run = bad ? a.run + 1 : 0;
    if (a.run < run)
        return pack(&a);
    if (a.bad * 2 < a.all) { /* it is the share of good ones that decides now */
        a.run = run - 1;
        return pack(&a);
    }
    *ret_eject = true;
    return 0;
}

uint64_t eject_ms(unsigned times)
{
    uint64_t ms = FIRST_MS;

    while (times-- > 1 && ms < LAST_MS)
        ms *= 2;
    return ms < LAST_MS ? ms : LAST_MS;
}
