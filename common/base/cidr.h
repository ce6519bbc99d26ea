#ifndef LBCTL_BASE_CIDR_H
#define LBCTL_BASE_CIDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/str.h"

/* Networks of addresses. An IPv4 address is kept as the IPv6 address that maps it (RFC
 * 4291 2.5.5.2), so that a client of either kind of socket is the same client. */
enum { CIDR_LIST_MAX = 64 };

struct cidr_addr {
    uint8_t b[16];
};
struct cidr {
    struct cidr_addr net;
    uint8_t bits; /* of 128 that count */
};
struct cidr_list {
    struct cidr v[CIDR_LIST_MAX];
    size_t n;
};

/* "192.0.2.1" or "2001:db8::1" */
bool cidr_addr_parse(struct sv text, struct cidr_addr *ret);
struct cidr_addr cidr_addr_v4(const uint8_t b[4]);
bool cidr_addr_is_v4(const struct cidr_addr *a);
/* The shortest text; an IPv4 address as such. buf: at least 46 bytes. Returns its length. */
size_t cidr_addr_format(const struct cidr_addr *a, char *buf, size_t n);

/* "10.0.0.0/8", "2001:db8::/32", or an address alone. */
bool cidr_parse(struct sv text, struct cidr *ret, struct err *e) MUST_CHECK;
/* Add a network, or by the word "loopback" 127.0.0.0/8 and ::1. */
bool cidr_list_add(struct cidr_list *l, struct sv text, struct err *e) MUST_CHECK;
bool cidr_list_has(const struct cidr_list *l, const struct cidr_addr *a);

#endif
