#ifndef LBCTL_LB_CORE_PROXY_IN_H
#define LBCTL_LB_CORE_PROXY_IN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cidr.h"
#include "lb/core/http_head.h"

/* The PROXY protocol's header, versions 1 and 2 (HAProxy's doc/proxy-protocol.txt), with which a
 * proxy in front tells whose connection it passes on. Pure; strict. */
enum { PROXY_IN_MAX = 4096 }; /* a version 2 header with its TLVs; longer ones are refused */

struct proxy_in {
    bool has_client; /* false: the proxy speaks for itself (a health check), or does not know */
    struct cidr_addr client;
    uint16_t port;
};

/* Look at the first n bytes of a connection. HTTP_DONE: *ret is filled and the header has *ret_len
 * bytes. Call again with more bytes after HTTP_MORE. */
enum http_result proxy_in_parse(const char *p, size_t n, struct proxy_in *ret, size_t *ret_len);

#endif
