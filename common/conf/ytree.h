#ifndef LBCTL_CONF_YTREE_H
#define LBCTL_CONF_YTREE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "common/base/str.h"

/* A YAML document as a tree whose nodes know where they stand. libyaml parses; this is the only
 * file that includes it. Nodes belong to the document. Aliases share a node, so a document never
 * grows by them; readers bound their own depth. */
struct ytree;
enum ynode_kind { YN_SCALAR, YN_LIST, YN_MAP };

struct ynode {
    enum ynode_kind kind;
    unsigned line, column; /* from 1 */
    struct sv text;        /* scalar */
    bool quoted;           /* scalar: written in quotes, so never a number, a boolean or nothing */
    size_t n;              /* items, or pairs */
    struct ypair *pairs;
    struct ynode **items;
};
struct ypair {
    struct ynode *key; /* always a scalar; no key twice */
    struct ynode *value;
};

/* Parses one document. Errors read NAME:LINE:COLUMN: what. An empty text is an error. */
bool ytree_parse(const char *name, const char *text, size_t n, struct ytree **ret,
                 struct err *e) MUST_CHECK;
struct ynode *ytree_root(struct ytree *d);
void ytree_free(struct ytree *d);
void ytree_freep(struct ytree **d);

bool ytree_is_null(const struct ynode *n); /* "", ~, null */
const char *ytree_kind_name(const struct ynode *n);

#endif
