#ifndef ACTS_SCHEMA_H
#define ACTS_SCHEMA_H

#include <stdbool.h>

#include "acts-service/db.h"
#include "common/ev/loop.h"

/* Brings the database's schema to this program's version: looked at each time the side lane
 * connects (so a database that was made anew is noticed), migrated in one transaction under an
 * advisory lock, so that ten containers may start at once. Each version tells the least program
 * that it `needs`: one that only adds lets older containers go on while they are being replaced; a
 * program that is older than that does not serve, and says so. */
struct schema;

/* `version` is the number that the row of stmt_version must reach: (newest version, what it needs);
 * `changed(arg, ready)` tells the news. */
struct schema *schema_new(struct loop *l, struct db *db, unsigned stmt_version,
                          unsigned stmt_migrate, int64_t version,
                          void (*changed)(void *arg, bool ready), void *arg);
void schema_free(struct schema *s);
void schema_check(struct schema *s); /* look again: a table was missing */
bool schema_is_ready(const struct schema *s);

#endif
