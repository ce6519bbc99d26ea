#include <string.h>

#include "common/base/splitmix.h"
#include "lb/xchg-internal.h"

static void make(struct xchg *x)
{
    static const char hex[] = "0123456789abcdef";

    for (unsigned half = 0; half < 2; half++) {
        uint64_t v = splitmix_next(&x->w->random);

        for (unsigned i = 0; i < 16; i++, v >>= 4)
            x->id[x->id_n++] = hex[v & 15];
    }
}

static bool is_fine(struct sv s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= 0x20 || s.p[i] >= 0x7f)
            return false;
    }
    return s.n > 0 && s.n <= XCHG_ID_MAX;
}

void xchg_id_set(struct xchg *x)
{
    const struct http_head *h = &x->req;

    x->id_n = 0;
    if (!x->w->shared->request_id)
        return;
    for (unsigned i = 0; x->c->trusted && i < h->fields_n; i++) {
        struct sv v = http_sv(xchg_request_buf(x), h->fields[i].value);

        if (h->fields[i].id == HTTP_F_X_REQUEST_ID && is_fine(v)) {
            memcpy(x->id, v.p, v.n);
            x->id_n = (uint8_t)v.n;
            return;
        }
    }
    make(x);
}
