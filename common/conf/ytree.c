#include "common/conf/ytree.h"

#include <yaml.h>

#include "common/base/mem.h"

enum { YAML_NODES_MAX = 100000, YAML_PAIRS_MAX = 1000, YAML_BRACKETS_MAX = 1000 };

/* Our nodes, in the order of libyaml's (its node i is nodes[i - 1]). */
struct ytree {
    yaml_document_t raw;
    struct ynode *nodes;
    size_t n;
};

static bool err_at(struct err *e, const char *name, yaml_mark_t m, const char *what)
{
    return err_set(e, "%s:%zu:%zu: %s", name, m.line + 1, m.column + 1, what);
}

static struct ynode *node_of(struct ytree *d, int id)
{
    return &d->nodes[id - 1];
}

static bool key_is_twice(const struct ynode *map, size_t upto)
{
    struct sv k = map->pairs[upto].key->text;

    for (size_t i = 0; i < upto; i++) {
        struct sv other = map->pairs[i].key->text;

        if (other.n == k.n && memcmp(other.p, k.p, k.n) == 0)
            return true;
    }
    return false;
}

static bool take_map(struct ytree *d, const char *name, const yaml_node_t *raw, struct ynode *n,
                     struct err *e)
{
    const yaml_node_pair_t *first = raw->data.mapping.pairs.start;

    n->n = (size_t)(raw->data.mapping.pairs.top - first);
    if (n->n > YAML_PAIRS_MAX)
        return err_at(e, name, raw->start_mark, "too many keys");
    n->pairs = mem_array(n->n, sizeof(*n->pairs));
    for (size_t i = 0; i < n->n; i++) {
        const yaml_node_t *key = yaml_document_get_node(&d->raw, first[i].key);
        char q[80], what[128];

        if (key->type != YAML_SCALAR_NODE)
            return err_at(e, name, key->start_mark, "a key must be a word");
        n->pairs[i] = (struct ypair){node_of(d, first[i].key), node_of(d, first[i].value)};
        /* libyaml fills nodes in document order, so the key's own row may not be taken yet. */
        n->pairs[i].key->text =
            (struct sv){(const char *)key->data.scalar.value, key->data.scalar.length};
        if (key_is_twice(n, i)) {
            snprintf(what, sizeof(what), "key '%s' stands here a second time; remove one",
                     str_quote(n->pairs[i].key->text, q, sizeof(q)));
            return err_at(e, name, key->start_mark, what);
        }
    }
    return true;
}

static void take_list(struct ytree *d, const yaml_node_t *raw, struct ynode *n)
{
    const yaml_node_item_t *first = raw->data.sequence.items.start;

    n->n = (size_t)(raw->data.sequence.items.top - first);
    n->items = mem_array(n->n, sizeof(struct ynode *));
    for (size_t i = 0; i < n->n; i++)
        n->items[i] = node_of(d, first[i]);
}

static bool take_nodes(struct ytree *d, const char *name, struct err *e)
{
    d->n = (size_t)(d->raw.nodes.top - d->raw.nodes.start);
    d->nodes = mem_array(d->n, sizeof(*d->nodes));
    for (size_t i = 0; i < d->n; i++) {
        const yaml_node_t *raw = &d->raw.nodes.start[i];
        struct ynode *n = &d->nodes[i];

        n->line = (unsigned)raw->start_mark.line + 1;
        n->column = (unsigned)raw->start_mark.column + 1;
        if (raw->type == YAML_SCALAR_NODE) {
            n->kind = YN_SCALAR;
            n->text = (struct sv){(const char *)raw->data.scalar.value, raw->data.scalar.length};
            n->quoted = raw->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
            if (memchr(n->text.p, '\0', n->text.n) != NULL)
                return err_at(e, name, raw->start_mark, "a value must not contain NUL");
        } else if (raw->type == YAML_SEQUENCE_NODE) {
            n->kind = YN_LIST;
            take_list(d, raw, n);
        } else {
            n->kind = YN_MAP;
            if (!take_map(d, name, raw, n, e))
                return false;
        }
    }
    return true;
}

/* libyaml's own words, with the place. */
static bool err_parser(struct err *e, const char *name, const yaml_parser_t *p)
{
    char what[256];

    if (p->error == YAML_READER_ERROR)
        return err_set(e, "%s: byte %zu: %s; the file must be UTF-8 text", name, p->problem_offset,
                       p->problem != NULL ? p->problem : "unreadable");
    snprintf(what, sizeof(what), "%s%s%s", p->problem != NULL ? p->problem : "out of memory",
             p->context != NULL ? " " : "", p->context != NULL ? p->context : "");
    return err_at(e, name, p->problem_mark, what);
}

static bool only_one_document(yaml_parser_t *p, const char *name, struct err *e)
{
    yaml_document_t next;
    const yaml_node_t *root;
    bool ok;

    if (!yaml_parser_load(p, &next))
        return err_parser(e, name, p);
    root = yaml_document_get_root_node(&next);
    ok = root == NULL;
    if (!ok)
        err_at(e, name, root->start_mark, "a second document begins here; keep one");
    yaml_document_delete(&next);
    return ok;
}

static bool load(yaml_parser_t *p, const char *name, struct ytree *d, struct err *e)
{
    if (!yaml_parser_load(p, &d->raw))
        return err_parser(e, name, p);
    if (yaml_document_get_root_node(&d->raw) == NULL)
        return err_set(e, "%s:1:1: the file is empty; begin with 'services:'", name);
    if (d->raw.nodes.top - d->raw.nodes.start > YAML_NODES_MAX)
        return err_set(e, "%s:1:1: more than %d values", name, YAML_NODES_MAX);
    return take_nodes(d, name, e) && only_one_document(p, name, e);
}

/* libyaml's scanner takes quadratic time in open brackets. Counting them crudely (quotes and
 * comments too) is enough to keep that away: no honest file comes near the limit. */
static bool too_deep(const char *text, size_t n)
{
    size_t depth = 0;

    for (size_t i = 0; i < n && depth <= YAML_BRACKETS_MAX; i++) {
        if (text[i] == '[' || text[i] == '{')
            depth++;
        else if ((text[i] == ']' || text[i] == '}') && depth > 0)
            depth--;
    }
    return depth > YAML_BRACKETS_MAX;
}

bool ytree_parse(const char *name, const char *text, size_t n, struct ytree **ret, struct err *e)
{
    AUTO(ytree_freep) struct ytree *d = mem_zalloc(sizeof(*d));
    yaml_parser_t p;
    bool ok;

    if (too_deep(text, n))
        return err_set(e, "%s: more than %d brackets are open at once", name, YAML_BRACKETS_MAX);
    if (!yaml_parser_initialize(&p))
        return err_set(e, "%s: no memory to read it", name);
    yaml_parser_set_encoding(&p, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&p, (const unsigned char *)text, n);
    ok = load(&p, name, d, e);
    yaml_parser_delete(&p);
    if (ok)
        *ret = MOVE(d);
    return ok;
}

struct ynode *ytree_root(struct ytree *d)
{
    return &d->nodes[0];
}

void ytree_free(struct ytree *d)
{
    if (d == NULL)
        return;
    for (size_t i = 0; i < d->n; i++) {
        mem_free(d->nodes[i].pairs);
        mem_free(d->nodes[i].items);
    }
    mem_free(d->nodes);
    yaml_document_delete(&d->raw);
    mem_free(d);
}

void ytree_freep(struct ytree **d)
{
    ytree_free(*d);
}

bool ytree_is_null(const struct ynode *n)
{
    return n->kind == YN_SCALAR && !n->quoted &&
           (n->text.n == 0 || sv_eq(n->text, "~") || sv_ieq(n->text, "null"));
}

const char *ytree_kind_name(const struct ynode *n)
{
    return n->kind == YN_SCALAR ? "a single value" : n->kind == YN_LIST ? "a list" : "a mapping";
}
