#include "lb/core/route.h"

bool route_prefix_clean(struct sv text, struct sv *ret)
{
    if (text.n == 0 || text.p[0] != '/' || memchr(text.p, '?', text.n) != NULL)
        return false;
    while (text.n > 0 && text.p[text.n - 1] == '/')
        text.n--;
    *ret = text;
    return true;
}

void route_sort(struct route *r, size_t n)
{
    for (size_t i = 1; i < n; i++) { /* stable, and the lists are short */
        struct route x = r[i];
        size_t k = i;

        for (; k > 0 && r[k - 1].prefix.n < x.prefix.n; k--)
            r[k] = r[k - 1];
        r[k] = x;
    }
}

const struct route *route_find(const struct route *r, size_t n, struct sv path)
{
    for (size_t i = 0; i < n; i++) {
        size_t len = r[i].prefix.n;

        if (path.n < len || memcmp(path.p, r[i].prefix.p, len) != 0)
            continue;
        if (path.n == len || path.p[len] == '/')
            return &r[i];
    }
    return NULL;
}
