#ifndef LBCTL_LB_SAVED_H
#define LBCTL_LB_SAVED_H

#include <jansson.h>
#include <stdbool.h>

#include "common/base/err.h"
#include "common/conf/conf.h"

/* What table.json holds: {"listen": ["0.0.0.0:80"], "table": {...}}. */
struct saved {
    json_t *table; /* a checked TABLE body; the caller owns it */
    struct conf_addr listen[CONF_LISTEN_MAX];
    size_t listen_n;
};

/* Read and check it. No such file: true, and ret->table is NULL. */
bool saved_load(const char *path, struct saved *ret, struct err *e) MUST_CHECK;

#endif
