#include "lb/core/proxy_out.h"

#include <stdio.h>
#include <string.h>

#include "common/base/macros.h"

enum { V2_HEAD = 16, V4_AT = 12 };

static const char v2_start[] = "\r\n\r\n\0\r\nQUIT\n";

static size_t write_v1(const struct proxy_out *p, bool v4, char *buf)
{
    const struct cidr_addr *addresses[] = {&p->from, &p->to};
    char text[2][64];
    int n;

    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        /* In an IPv6 header an IPv4 address is the one that maps it. */
        size_t at = cidr_addr_is_v4(addresses[i]) && !v4 ? 7 : 0;

        memcpy(text[i], "::ffff:", 7);
        (void)cidr_addr_format(addresses[i], text[i] + at, sizeof(text[i]) - at);
    }
    n = snprintf(buf, PROXY_OUT_MAX, "PROXY %s %s %s %u %u\r\n", v4 ? "TCP4" : "TCP6", text[0],
                 text[1], p->from_port, p->to_port);
    return (size_t)n;
}

static void put_u16(char *at, unsigned v)
{
    at[0] = (char)(v >> 8 & 0xff);
    at[1] = (char)(v & 0xff);
}

static size_t write_v2(const struct proxy_out *p, bool v4, char *buf)
{
    size_t n = v4 ? 4 : 16, from = v4 ? V4_AT : 0;
    char *at = buf + V2_HEAD;

    memcpy(buf, v2_start, sizeof(v2_start) - 1);
    buf[12] = 0x21;             /* version 2, PROXY */
    buf[13] = v4 ? 0x11 : 0x21; /* TCP over IPv4, IPv6 */
    put_u16(buf + 14, (unsigned)(2 * n + 4));
    memcpy(at, p->from.b + from, n);
    memcpy(at + n, p->to.b + from, n);
    put_u16(at + 2 * n, p->from_port);
    put_u16(at + 2 * n + 2, p->to_port);
    return V2_HEAD + 2 * n + 4;
}

size_t proxy_out_write(unsigned version, const struct proxy_out *p, char *buf)
{
    bool v4 = cidr_addr_is_v4(&p->from) && cidr_addr_is_v4(&p->to);

    return version == 1 ? write_v1(p, v4, buf) : write_v2(p, v4, buf);
}
