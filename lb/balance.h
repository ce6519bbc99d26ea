#ifndef LBCTL_LB_BALANCE_H
#define LBCTL_LB_BALANCE_H

#include <jansson.h>
#include <stdbool.h>

#include "common/base/err.h"
#include "lb/core/pick.h"

/* A service's choice of backends, as its table says it (proto.def: BALANCE). Constant. */
struct backend;

enum balance_key { BALANCE_BY_ADDRESS, BALANCE_BY_HEADER, BALANCE_BY_COOKIE };

struct balance {
    enum balance_key key; /* of the policy hash */
    const char *key_name; /* of the header or cookie; lies in the table's body, as the next three */
    const char *sticky;   /* the cookie that keeps a client at its backend; NULL: none */
    const char *sticky_path, *sticky_same_site;
    bool sticky_secure;
    struct pick_plan plan; /* its arrays are the ones below */
    uint16_t *weights, *order;
    uint32_t *ids;
    uint64_t *since_ms;
};

/* From a checked SERVICE body and its backends, in their order. Whatever the result,
 * balance_fini(). */
bool balance_build(struct balance *b, const json_t *service, struct backend *const *backends,
                   unsigned n, struct err *e) MUST_CHECK;
void balance_fini(struct balance *b);

#endif
