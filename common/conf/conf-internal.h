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
extern conf_read_fn conf_read_LISTEN, conf_read_UINT, conf_read_NAME, conf_read_ENGINE,
    conf_read_PATH, conf_read_LOG_FORMAT, conf_read_LOG_LEVEL, conf_read_SERVICES, conf_read_STR,
    conf_read_WORDS, conf_read_PAIRS, conf_read_VOLUMES, conf_read_STRS, conf_read_SIGNAL,
    conf_read_DURATION, conf_read_SIZE, conf_read_MILLI, conf_read_BOOL, conf_read_ROUTES,
    conf_read_PORT, conf_read_PORT_RANGE, conf_read_ADDRESS, conf_read_CONNECT,
    conf_read_MANUAL_STOP, conf_read_HEALTH, conf_read_SCALE, conf_read_ACCESS_LOG, conf_read_CIDRS,
    conf_read_HTTP_PATH, conf_read_TCP, conf_read_ROLLOUT, conf_read_SECRETS, conf_read_BACKENDS,
    conf_read_BALANCE, conf_read_POLICY, conf_read_HASH_KEY;

/* Shared by the readers. */
#define CONF_BAD(r, n, ...) conf_bad((r), (n)->line, (n)->column, __VA_ARGS__)
bool conf_is_scalar(struct conf_reader *r, const struct conf_row *row, const struct ynode *n);
void conf_set_str(char **dst, struct sv s);
/* One word of a fixed set, as its number. */
bool conf_read_word(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                    const char *const *words, size_t words_n, unsigned *ret);

#endif
