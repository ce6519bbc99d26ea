#include "lb/core/route.h"

#include <strings.h>

bool route_prefix_clean(struct sv text, struct sv *ret)
{
    if (text.n == 0 || text.p[0] != '/' || memchr(text.p, '?', text.n) != NULL)
        return false;
    while (text.n > 0 && text.p[text.n - 1] == '/')
        text.n--;
    *ret = text;
    return true;
}

bool route_same(const struct route *a, const struct route *b)
{
    return a->host.n == b->host.n && strncasecmp(a->host.p, b->host.p, a->host.n) == 0 &&
           a->prefix.n == b->prefix.n && memcmp(a->prefix.p, b->prefix.p, a->prefix.n) == 0;
}

static bool is_wildcard(struct sv host)
{
    return host.n > 0 && host.p[0] == '*';
}

static unsigned host_rank(struct sv host)
{
    if (host.n == 0)
        return 0;
    return is_wildcard(host) ? 1 : 2;
}

static bool comes_before(const struct route *a, const struct route *b)
{
    unsigned ra = host_rank(a->host), rb = host_rank(b->host);

    if (ra != rb)
        return ra > rb;
    if (ra == 1 && a->host.n != b->host.n)
        return a->host.n > b->host.n;
    return a->prefix.n > b->prefix.n;
}

void route_sort(struct route *r, size_t n)
{
    for (size_t i = 1; i < n; i++) { /* stable, and the lists are short */
        struct route x = r[i];
        size_t k = i;

        for (; k > 0 && comes_before(&x, &r[k - 1]); k--)
            r[k] = r[k - 1];
        r[k] = x;
    }
}

struct sv route_host(struct sv host)
{
    size_t n = host.n;

    while (n > 0 && host.p[n - 1] >= '0' && host.p[n - 1] <= '9')
        n--;
    if (n > 0 && host.p[n - 1] == ':')
        host.n = n - 1;
    if (host.n > 1 && host.p[host.n - 1] == '.')
        host.n--;
    return host;
}

static bool host_fits(struct sv want, struct sv host)
{
    if (want.n == 0)
        return true;
    if (is_wildcard(want)) { /* ".example.org" at the end, and something before it */
        want = (struct sv){want.p + 1, want.n - 1};
        if (host.n <= want.n)
            return false;
        host = (struct sv){host.p + host.n - want.n, want.n};
    }
    return host.n == want.n && strncasecmp(host.p, want.p, want.n) == 0; /* RFC 9110 4.2.3 */
}

const struct route *route_find(const struct route *r, size_t n, struct sv host, struct sv path)
{
    for (size_t i = 0; i < n; i++) {
        size_t len = r[i].prefix.n;

        if (path.n < len || memcmp(path.p, r[i].prefix.p, len) != 0)
            continue;
        if ((path.n == len || path.p[len] == '/') && host_fits(r[i].host, host))
            return &r[i];
    }
    return NULL;
}

static bool is_slash(char c)
{
    return c == '/' || c == '\\'; /* to a browser they are the same */
}

void route_location(struct http_out *o, const struct route *r, struct sv path, struct sv query)
{
    struct sv to = r->redirect.to;
    struct sv rest = {path.p + r->prefix.n, path.n - r->prefix.n};
    bool has_query = memchr(to.p, '?', to.n) != NULL;

    if (r->redirect.keep_path && !has_query && rest.n > 0) {
        while (to.n > 0 && to.p[to.n - 1] == '/')
            to.n--;
        http_out_add(o, to.p, to.n);
        if (to.n == 0) { /* "//" at the beginning of a Location would name another host */
            while (rest.n > 0 && is_slash(rest.p[0]))
                rest = (struct sv){rest.p + 1, rest.n - 1};
            http_out_adds(o, "/");
        }
        http_out_add(o, rest.p, rest.n);
    } else {
        http_out_add(o, to.p, to.n);
    }
    if (query.n > 0) {
        http_out_adds(o, has_query ? "&" : "?");
        http_out_add(o, query.p, query.n);
    }
}
