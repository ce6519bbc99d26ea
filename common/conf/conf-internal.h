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

/* Fill c from the tree. Files that it names (env_file) are read, so that it is whole. Wrong parts
 * are reported and left at their defaults, so that one run finds all errors. */
void conf_read(struct conf_reader *r, const struct ynode *root, struct conf *c);
/* Puts the lines of the service's env_files into its environment; n: where the key stands. */
void conf_read_env_files(struct conf_reader *r, const struct ynode *n, struct conf_service *s);
void conf_check(struct conf_reader *r, const struct conf *c);

bool conf_name_ok(struct sv s);
/* Do the keys of a balance section fit together? */
bool conf_balance_ok(struct conf_reader *r, const struct ynode *n, const struct conf_balance *b);
/* The pairs of a mapping with their values in one canonical form, but for the key `except` (NULL:
 * none) and x- keys. */
void conf_write_pairs(const struct ynode *map, const char *except, struct conf_pairs *ret);

/* ---- rows of conf.def ---- */

struct conf_row;
/* Reads a node into the member at dst. false after conf_bad(); the member keeps its default then.
 */
typedef bool conf_read_fn(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                          void *dst);

struct conf_row {
    unsigned section;
    const char *key;
    conf_read_fn *read;
    size_t offset;
    uint64_t min, max;
    const char *absent; /* default, as written in the file */
};

/* The readers of conf.def's kinds; those of whole sections are in conf_read.c, single values in
 * conf_value.c, addresses and lists in conf_list.c. */
#define CONF(section, type, key, kind, member, min, max, absent, help)                             \
    extern conf_read_fn conf_read_##kind; /* once a row: the same declaration again is fine */
#include "common/conf/conf.def"
#undef CONF

/* Shared by the readers. */
#define CONF_BAD(r, n, ...) conf_bad((r), (n)->line, (n)->column, __VA_ARGS__)
bool conf_is_scalar(struct conf_reader *r, const struct conf_row *row, const struct ynode *n);
void conf_set_str(char **dst, struct sv s);
/* One word of a fixed set, as its number. */
bool conf_read_word(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                    const char *const *words, size_t words_n, unsigned *ret);
typedef bool conf_item_fn(struct conf_reader *r, const struct conf_row *row,
                          const struct ynode *item);
/* A list of scalars, or one scalar; ok() judges each. */
bool conf_read_items(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                     conf_item_fn *ok, struct conf_strs *dst);

void conf_strs_fini(struct conf_strs *s);
void conf_pairs_fini(struct conf_pairs *p);

/* Routes (conf_route.c) and their checks against each other. */
void conf_routes_fini(struct conf_routes *routes);
void conf_check_routes(struct conf_reader *r, const struct conf *c, size_t service);
/* The keys of a section of conf.def, into base (conf_read.c). */
enum conf_section {
    SECTION_TOP,
    SECTION_SERVICE,
    SECTION_HEALTH,
    SECTION_SCALE,
    SECTION_BALANCE,
    SECTION_LIMITS,
    SECTION_ROUTE,
    SECTION_EDITS,
    SECTION_REDIRECT,
    SECTION_RESPOND,
};
void conf_read_section(struct conf_reader *r, enum conf_section s, const struct ynode *n,
                       void *base);

#endif
