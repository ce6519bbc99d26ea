#include "common/base/cidr.h"

#include <arpa/inet.h>
#include <string.h>

enum { V4_BITS = 96 };
static const uint8_t v4_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

struct cidr_addr cidr_addr_v4(const uint8_t b[4])
{
    struct cidr_addr a;

    memcpy(a.b, v4_mapped, sizeof(v4_mapped));
    memcpy(a.b + sizeof(v4_mapped), b, 4);
    return a;
}

bool cidr_addr_is_v4(const struct cidr_addr *a)
{
    return memcmp(a->b, v4_mapped, sizeof(v4_mapped)) == 0;
}

bool cidr_addr_parse(struct sv text, struct cidr_addr *ret)
{
    char z[INET6_ADDRSTRLEN];
    uint8_t v4[4];

    if (text.n == 0 || text.n >= sizeof(z) || memchr(text.p, '\0', text.n) != NULL)
        return false;
    memcpy(z, text.p, text.n);
    z[text.n] = '\0';
    if (inet_pton(AF_INET, z, v4) == 1) {
        *ret = cidr_addr_v4(v4);
        return true;
    }
    return inet_pton(AF_INET6, z, ret->b) == 1;
}

size_t cidr_addr_format(const struct cidr_addr *a, char *buf, size_t n)
{
    bool v4 = cidr_addr_is_v4(a);

    if (inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? a->b + sizeof(v4_mapped) : a->b, buf,
                  (socklen_t)n) == NULL)
        return 0;
    return strlen(buf);
}

static bool bit(const struct cidr_addr *a, unsigned i)
{
    return (a->b[i / 8] >> (7 - i % 8) & 1) != 0;
}

bool cidr_parse(struct sv text, struct cidr *ret, struct err *e)
{
    const char *slash = text.n > 0 ? memchr(text.p, '/', text.n) : NULL;
    struct sv addr = {text.p, slash != NULL ? (size_t)(slash - text.p) : text.n};
    uint64_t bits = 128, most = 128;
    struct cidr c;
    char q[64];

    str_quote(text, q, sizeof(q));
    if (!cidr_addr_parse(addr, &c.net))
        return err_set(e, "'%s' is no network; write ADDRESS/BITS, such as 10.0.0.0/8", q);
    if (memchr(addr.p, ':', addr.n) == NULL)
        most = 32;
    if (slash != NULL) {
        struct sv tail = {slash + 1, text.n - addr.n - 1};

        if (!str_to_u64(tail, 0, most, &bits, NULL))
            return err_set(e, "'%s': the bits behind / must be 0 to %u", q, (unsigned)most);
        bits += most == 32 ? V4_BITS : 0;
    }
    for (unsigned i = (unsigned)bits; i < 128; i++) {
        if (bit(&c.net, i))
            return err_set(e, "'%s' has an address behind its network; clear those bits", q);
    }
    c.bits = (uint8_t)bits;
    *ret = c;
    return true;
}

bool cidr_list_add(struct cidr_list *l, struct sv text, struct err *e)
{
    if (sv_eq(text, "loopback"))
        return cidr_list_add(l, sv_of("127.0.0.0/8"), e) && cidr_list_add(l, sv_of("::1"), e);
    if (l->n == CIDR_LIST_MAX)
        return err_set(e, "more than %d networks", CIDR_LIST_MAX);
    if (!cidr_parse(text, &l->v[l->n], e))
        return false;
    l->n++;
    return true;
}

static bool has(const struct cidr *c, const struct cidr_addr *a)
{
    unsigned whole = c->bits / 8, rest = c->bits % 8;

    return memcmp(c->net.b, a->b, whole) == 0 &&
           (rest == 0 || (c->net.b[whole] ^ a->b[whole]) >> (8 - rest) == 0);
}

bool cidr_list_has(const struct cidr_list *l, const struct cidr_addr *a)
{
    for (size_t i = 0; i < l->n; i++) {
        if (has(&l->v[i], a))
            return true;
    }
    return false;
}
