#include "lb/core/proxy_in.h"

#include <string.h>

enum { V1_MAX = 107, V2_HEAD = 16, V2_TCP4 = 0x11, V2_TCP6 = 0x21 };

static const char v1_start[] = "PROXY ";
static const char v2_start[] = "\r\n\r\n\0\r\nQUIT\n";
enum { V1_START = sizeof(v1_start) - 1, V2_START = sizeof(v2_start) - 1 };

/* ---- version 1: a line of text ---- */

/* The next word; words are divided by one blank each. */
static bool word(struct sv *rest, struct sv *ret)
{
    const char *end = rest->n > 0 ? memchr(rest->p, ' ', rest->n) : NULL;

    *ret = (struct sv){rest->p, end != NULL ? (size_t)(end - rest->p) : rest->n};
    rest->p += ret->n + (end != NULL);
    rest->n -= ret->n + (end != NULL);
    return ret->n > 0;
}

static bool port_of(struct sv s, uint16_t *ret)
{
    uint64_t v;

    if ((s.n > 1 && s.p[0] == '0') || !str_to_u64(s, 0, 65535, &v, NULL))
        return false;
    *ret = (uint16_t)v;
    return true;
}

static bool address_of(struct sv s, bool v6, struct cidr_addr *ret)
{
    return (memchr(s.p, ':', s.n) != NULL) == v6 && cidr_addr_parse(s, ret);
}

static bool read_line(struct sv line, struct proxy_in *ret)
{
    struct sv family, from, to, from_port, to_port;
    struct cidr_addr ignored;
    uint16_t port;
    bool v6;

    if (!word(&line, &family))
        return false;
    if (sv_eq(family, "UNKNOWN"))
        return true; /* what follows is to be ignored */
    v6 = sv_eq(family, "TCP6");
    if (!v6 && !sv_eq(family, "TCP4"))
        return false;
    if (!word(&line, &from) || !word(&line, &to) || !word(&line, &from_port))
        return false;
    to_port = line;
    if (!address_of(from, v6, &ret->client) || !address_of(to, v6, &ignored) ||
        !port_of(from_port, &ret->port) || !port_of(to_port, &port))
        return false;
    ret->has_client = true;
    return true;
}

static enum http_result parse_v1(const char *p, size_t n, struct proxy_in *ret, size_t *ret_len)
{
    const char *lf = memchr(p, '\n', n < V1_MAX ? n : V1_MAX);
    size_t len;

    if (lf == NULL)
        return n < V1_MAX ? HTTP_MORE : HTTP_BAD;
    len = (size_t)(lf - p) + 1;
    if (lf[-1] != '\r' || !read_line((struct sv){p + V1_START, len - (size_t)V1_START - 2}, ret))
        return HTTP_BAD;
    *ret_len = len;
    return HTTP_DONE;
}

/* ---- version 2: binary ---- */

static uint16_t u16(const char *p)
{
    return (uint16_t)((unsigned char)p[0] << 8 | (unsigned char)p[1]);
}

static bool read_addresses(unsigned char family, const char *p, size_t n, struct proxy_in *ret)
{
    uint8_t v4[4];

    switch (family) {
    case V2_TCP4:
        if (n < 12)
            return false;
        memcpy(v4, p, sizeof(v4));
        ret->client = cidr_addr_v4(v4);
        ret->port = u16(p + 8);
        ret->has_client = true;
        return true;
    case V2_TCP6:
        if (n < 36)
            return false;
        memcpy(ret->client.b, p, sizeof(ret->client.b));
        ret->port = u16(p + 32);
        ret->has_client = true;
        return true;
    default:
        return true; /* another family (UNSPEC, UDP, UNIX): the addresses are to be ignored */
    }
}

static enum http_result parse_v2(const char *p, size_t n, struct proxy_in *ret, size_t *ret_len)
{
    size_t len;

    if (n < V2_HEAD)
        return HTTP_MORE;
    len = u16(p + 14);
    if (p[12] != 0x20 && p[12] != 0x21) /* version 2; LOCAL, PROXY */
        return HTTP_BAD;
    if (len > (size_t)PROXY_IN_MAX - V2_HEAD)
        return HTTP_BAD;
    if (n < V2_HEAD + len)
        return HTTP_MORE;
    if (p[12] == 0x21 && !read_addresses((unsigned char)p[13], p + V2_HEAD, len, ret))
        return HTTP_BAD;
    *ret_len = V2_HEAD + len;
    return HTTP_DONE;
}

static bool starts(const char *p, size_t n, const char *with, size_t with_n)
{
    return memcmp(p, with, n < with_n ? n : with_n) == 0;
}

enum http_result proxy_in_parse(const char *p, size_t n, struct proxy_in *ret, size_t *ret_len)
{
    memset(ret, 0, sizeof(*ret));
    if (n == 0)
        return HTTP_MORE;
    if (starts(p, n, v1_start, V1_START))
        return n <= V1_START ? HTTP_MORE : parse_v1(p, n, ret, ret_len);
    if (starts(p, n, v2_start, V2_START))
        return parse_v2(p, n, ret, ret_len);
    return HTTP_BAD;
}
