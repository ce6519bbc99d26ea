#ifndef LBCTL_CONF_INTERNAL_H
#define LBCTL_CONF_INTERNAL_H

#include "common/conf/conf.h"
#include "common/conf/ytree.h"

/* Shared by conf.c (life), conf_read.c (from nodes to values) and conf_check.c (do the values fit
 * together). */

struct conf_reader {
    const char *file;
    struct conf_errors *errs;
};

/* Add an error FILE:LINE:COLUMN: text. Always false. */
bool conf_bad(struct conf_reader *r, unsigned line, unsigned column, const char *fmt, ...)
    PRINTF(4, 5);

/* Fill c from the tree. Wrong parts are reported and left at their defaults, so that one run finds
 * all errors. */
void conf_read(struct conf_reader *r, const struct ynode *root, struct conf *c);
void conf_check(struct conf_reader *r, const struct conf *c);

bool conf_name_ok(struct sv s);

#endif
