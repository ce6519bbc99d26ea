#ifndef LBCTL_LB_TABLE_INTERNAL_H
#define LBCTL_LB_TABLE_INTERNAL_H

#include "lb/table.h"

/* Parts of table_new(): routes with what they do to messages (table_route.c), and the pages of own
 * answers (table_page.c). Strings of the specs live as long as the table. */

/* The next route of service `index`, from a checked ROUTE body; t->routes and t->parts have room
 * for it. */
bool table_add_route(struct table *t, unsigned index, const json_t *spec, struct err *e) MUST_CHECK;
void table_free_routes(struct table *t);

/* From a checked SERVICE body. Files that cannot be read are told to the log: our own words stand
 * in for them. */
void table_read_pages(struct table_service *ts, const json_t *spec);
void table_free_pages(struct table_service *ts);

#endif
