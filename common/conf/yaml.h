#ifndef LBCTL_CONF_YAML_H
#define LBCTL_CONF_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "common/base/str.h"

/* A YAML document as a tree whose nodes know where they stand. libyaml parses; this is the only
 * file that includes it. Nodes belong to the document. Aliases share a node, so a document never
 * grows by them; readers bound their own depth. */
struct yaml_doc;
enum yaml_kind { YN_SCALAR, YN_LIST, YN_MAP };

struct yaml_node {
    enum yaml_kind kind;
    unsigned line, column; /* from 1 */
    struct sv text;        /* scalar */
    bool quoted;           /* scalar: written in quotes, so never a number, a boolean or nothing */
    size_t n;              /* items, or pairs */
    struct yaml_pair *pairs;
    struct yaml_node **items;
};
struct yaml_pair {
    struct yaml_node *key; /* always a scalar; no key twice */
    struct yaml_node *value;
};

/* Parses one document. Errors read NAME:LINE:COLUMN: what. An empty text is an error. */
bool yaml_parse(const char *name, const char *text, size_t n, struct yaml_doc **ret,
                struct err *e) MUST_CHECK;
struct yaml_node *yaml_root(struct yaml_doc *d);
void yaml_free(struct yaml_doc *d);
void yaml_freep(struct yaml_doc **d);

bool yaml_is_null(const struct yaml_node *n); /* "", ~, null */
const char *yaml_kind_name(const struct yaml_node *n);

#endif
