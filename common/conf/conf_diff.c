#include "common/conf/conf_diff.h"

#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/conf/conf-internal.h"

/* ---- the canonical form ---- */

enum { WRITTEN_MAX = 2 * CONF_FILE_MAX, WRITTEN_DEPTH = 16 };

static void write_text(struct buf *b, struct sv text)
{
    (void)buf_printf(b, "%zu:", text.n); /* by length: no text can look like another node */
    (void)buf_add(b, text.p, text.n);
}

static void write_node(struct buf *b, const struct ynode *n, unsigned depth)
{
    /* No key of ours goes that deep, and aliases must not make more of it than is in the file: the
     * reader refuses such a value, whatever is written here. */
    if (depth > WRITTEN_DEPTH || b->over)
        return;
    switch (n->kind) {
    case YN_SCALAR:
        write_text(b, n->text);
        break;
    case YN_LIST:
        (void)buf_adds(b, "[");
        for (size_t i = 0; i < n->n; i++)
            write_node(b, n->items[i], depth + 1);
        (void)buf_adds(b, "]");
        break;
    case YN_MAP:
        (void)buf_adds(b, "{");
        for (size_t i = 0; i < n->n; i++) {
            write_text(b, n->pairs[i].key->text);
            write_node(b, n->pairs[i].value, depth + 1);
        }
        (void)buf_adds(b, "}");
        break;
    }
}

void conf_write_pairs(const struct ynode *map, const char *except, struct conf_pairs *ret)
{
    struct buf b;

    if (map->kind != YN_MAP || map->n == 0)
        return;
    ret->v = mem_array(map->n, sizeof(*ret->v));
    for (size_t i = 0; i < map->n; i++) {
        struct sv key = map->pairs[i].key->text;

        if (sv_starts(key, "x-") || (except != NULL && sv_eq(key, except)))
            continue;
        buf_init(&b, WRITTEN_MAX);
        write_node(&b, map->pairs[i].value, 0);
        ret->v[ret->n].key = mem_strndup(key.p, key.n);
        ret->v[ret->n].value = b.over ? mem_strdup("") : buf_take(&b);
        buf_fini(&b);
        ret->n++;
    }
}

/* ---- the difference ---- */

const char *conf_change_name(enum conf_change c)
{
    static const char *const names[] = {"unchanged", "added", "removed", "updated", "recreated"};

    return names[c];
}

static const char *value_of(const struct conf_pairs *p, const char *key)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->v[i].key, key) == 0)
            return p->v[i].value;
    return NULL;
}

static void unlike_keys(const struct conf_pairs *was, const struct conf_pairs *is,
                        struct conf_strs *ret)
{
    ret->v = mem_array(was->n + is->n + 1, sizeof(*ret->v));
    for (size_t i = 0; i < is->n; i++) {
        const char *old = value_of(was, is->v[i].key);

        if (old == NULL || strcmp(old, is->v[i].value) != 0)
            ret->v[ret->n++] = mem_strdup(is->v[i].key);
    }
    for (size_t i = 0; i < was->n; i++)
        if (value_of(is, was->v[i].key) == NULL)
            ret->v[ret->n++] = mem_strdup(was->v[i].key);
}

static bool is_same_inside(const struct conf_service *a, const struct conf_service *b)
{
    char ha[17], hb[17];

    conf_service_hash(a, ha);
    conf_service_hash(b, hb);
    return strcmp(ha, hb) == 0;
}

static void compare(const struct conf_service *was, const struct conf_service *is,
                    struct conf_change_row *ret)
{
    ret->name = is->name;
    if (was == NULL) {
        ret->change = CONF_ADDED;
        return;
    }
    unlike_keys(&was->written, &is->written, &ret->keys);
    if (!is_same_inside(was, is))
        ret->change = CONF_RECREATED;
    else
        ret->change = ret->keys.n > 0 ? CONF_UPDATED : CONF_SAME;
}

void conf_diff(const struct conf *was, const struct conf *is, struct conf_diff *ret)
{
    *ret = (struct conf_diff){
        .rows = mem_array(was->services_n + is->services_n + 1, sizeof(*ret->rows))};
    for (size_t i = 0; i < is->services_n; i++)
        compare(conf_service_find(was, is->services[i].name), &is->services[i],
                &ret->rows[ret->n++]);
    for (size_t i = 0; i < was->services_n; i++)
        if (conf_service_find(is, was->services[i].name) == NULL)
            ret->rows[ret->n++] =
                (struct conf_change_row){.name = was->services[i].name, .change = CONF_REMOVED};
    unlike_keys(&was->written, &is->written, &ret->top);
}

void conf_diff_fini(struct conf_diff *d)
{
    for (size_t i = 0; i < d->n; i++)
        conf_strs_fini(&d->rows[i].keys);
    mem_free(d->rows);
    conf_strs_fini(&d->top);
}

bool conf_diff_is_empty(const struct conf_diff *d)
{
    for (size_t i = 0; i < d->n; i++)
        if (d->rows[i].change != CONF_SAME)
            return false;
    return d->top.n == 0;
}
