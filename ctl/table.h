#ifndef LBCTL_CTL_TABLE_H
#define LBCTL_CTL_TABLE_H

#include <jansson.h>
#include <stdbool.h>

#include "ctl/model.h"

/* The table for lbd: services with a route and their ready instances in slot order, without a
 * generation. The caller owns it. */
json_t *table_build(const struct ctl *c);
bool table_has(const json_t *table, const char *service, const char *token);
void table_mark_listed(struct ctl *c); /* every instance in it now may get requests */

#endif
