#ifndef LBCTL_CONF_DIFF_H
#define LBCTL_CONF_DIFF_H

#include "common/conf/conf.h"

/* What a changed file would do. Pure. Values are compared as they are written (quotes, layout and
 * the order of keys do not count); whether instances must be made anew is told by
 * conf_service_hash(). */
enum conf_change {
    CONF_SAME,
    CONF_ADDED,
    CONF_REMOVED,
    CONF_UPDATED,  /* in place: no instance is touched */
    CONF_RECREATED /* instances are made of something else now */
};

struct conf_change_row {
    const char *name; /* of the service; owned by one of the two configurations */
    enum conf_change change;
    struct conf_strs keys; /* that differ, sorted as in the new file, then those that are gone */
};

struct conf_diff {
    struct conf_change_row *rows; /* the new file's services, then those that are gone */
    size_t n;
    struct conf_strs top; /* keys at the top of the file that differ */
};

const char *
conf_change_name(enum conf_change c); /* unchanged, added, removed, updated, recreated */
void conf_diff(const struct conf *was, const struct conf *is, struct conf_diff *ret);
void conf_diff_fini(struct conf_diff *d);
bool conf_diff_is_empty(const struct conf_diff *d);

#endif
