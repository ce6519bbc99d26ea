#ifndef LBCTL_LB_CORE_PROXY_OUT_H
#define LBCTL_LB_CORE_PROXY_OUT_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/cidr.h"

/* The PROXY protocol's header, versions 1 and 2 (HAProxy's doc/proxy-protocol.txt), with which we
 * tell a backend whose connection we pass on. Pure. */
enum { PROXY_OUT_MAX = 108 };

struct proxy_out {
    struct cidr_addr from, to; /* the client, and where it connected to */
    uint16_t from_port, to_port;
};

/* Write it to buf (PROXY_OUT_MAX bytes); returns its length. Addresses of unlike families go as
 * IPv6. version: 1 or 2. */
size_t proxy_out_write(unsigned version, const struct proxy_out *p, char *buf);

#endif
