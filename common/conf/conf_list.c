#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/conf/conf-internal.h"

/* ---- addresses ---- */

static bool ip_ok(const char *text)
{
    unsigned char raw[16];

    return inet_pton(AF_INET, text, raw) == 1 || inet_pton(AF_INET6, text, raw) == 1;
}

bool conf_read_ADDRESS(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                       void *dst)
{
    AUTO(mem_freep) char *text = NULL;

    if (!conf_is_scalar(r, row, n))
        return false;
    text = mem_strndup(n->text.p, n->text.n);
    if (!ip_ok(text))
        return CONF_BAD(r, n, "'%s' must be an IPv4 or IPv6 address, such as 127.0.0.1", row->key);
    conf_set_str(dst, n->text);
    return true;
}

bool conf_read_CIDRS(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                     void *dst)
{
    const struct ynode *one[] = {n};
    const struct ynode *const *items =
        n->kind == YN_LIST ? (const struct ynode *const *)n->items : one;
    size_t items_n = n->kind == YN_LIST ? n->n : 1;
    struct cidr_list *l = dst;
    struct err e;

    l->n = 0;
    for (size_t i = 0; i < items_n; i++) {
        if (items[i]->kind != YN_SCALAR)
            return CONF_BAD(r, items[i], "an item of '%s' must be a single value", row->key);
        if (!cidr_list_add(l, items[i]->text, &e))
            return CONF_BAD(r, items[i], "'%s': %s", row->key, e.msg);
    }
    return true;
}

/* PORT, ADDRESS:PORT or [IPV6]:PORT. */
static bool parse_address(struct sv s, struct conf_addr *ret)
{
    const char *colon = s.n > 0 ? memrchr(s.p, ':', s.n) : NULL;
    struct sv host = sv_of("0.0.0.0"), port = s;
    uint64_t v;

    if (colon != NULL) {
        host = (struct sv){s.p, (size_t)(colon - s.p)};
        port = (struct sv){colon + 1, s.n - host.n - 1};
        if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
            host = (struct sv){host.p + 1, host.n - 2};
        else if (memchr(host.p, ':', host.n) != NULL)
            return false;
    }
    if (host.n >= sizeof(ret->host) || !str_to_u64(port, 1, 65535, &v, NULL))
        return false;
    memcpy(ret->host, host.p, host.n);
    ret->host[host.n] = '\0';
    ret->port = (uint16_t)v;
    return ip_ok(ret->host);
}

/* PORT, ADDRESS:PORT or [IPV6]:PORT, perhaps with the word proxy behind it. */
static bool parse_listen(struct sv s, struct conf_addr *ret)
{
    static const char proxy[] = " proxy";
    bool with = s.n > sizeof(proxy) - 1 &&
                memcmp(s.p + s.n - (sizeof(proxy) - 1), proxy, sizeof(proxy) - 1) == 0;

    if (with)
        s.n -= sizeof(proxy) - 1;
    ret->proxy = with;
    return parse_address(s, ret);
}

bool conf_read_LISTEN(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                      void *dst)
{
    struct conf *c = CONTAINER_OF((struct conf_addr(*)[CONF_LISTEN_MAX])dst, struct conf, listen);
    const struct ynode *one[] = {n};
    const struct ynode *const *items =
        n->kind == YN_LIST ? (const struct ynode *const *)n->items : one;
    size_t items_n = n->kind == YN_LIST ? n->n : 1;

    if (items_n < row->min || items_n > row->max)
        return CONF_BAD(r, n, "'listen' needs 1 to %llu addresses", (unsigned long long)row->max);
    c->listen_n = 0;
    for (size_t i = 0; i < items_n; i++) {
        char q[80];

        if (items[i]->kind != YN_SCALAR || !parse_listen(items[i]->text, &c->listen[i]))
            return CONF_BAD(
                r, items[i],
                "'%s' is no address to listen on; write PORT, ADDRESS:PORT or [IPV6]:PORT",
                str_quote(items[i]->text, q, sizeof(q)));
        c->listen_n++;
    }
    return true;
}

bool conf_read_PORT_RANGE(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                          void *dst)
{
    struct conf_service *s = CONTAINER_OF((uint16_t *)dst, struct conf_service, host_port_first);
    const char *dash;
    struct sv first, last;
    uint64_t a, b;
    char q[64];

    if (!conf_is_scalar(r, row, n))
        return false;
    dash = n->text.n > 0 ? memchr(n->text.p, '-', n->text.n) : NULL;
    first = (struct sv){n->text.p, dash != NULL ? (size_t)(dash - n->text.p) : n->text.n};
    last = dash != NULL ? (struct sv){dash + 1, n->text.n - first.n - 1} : first;
    if (!str_to_u64(first, row->min, row->max, &a, NULL) ||
        !str_to_u64(last, row->min, row->max, &b, NULL) || b < a)
        return CONF_BAD(r, n, "'%s' is '%s'; write FIRST-LAST within %llu-%llu, such as 8000-8009",
                        row->key, str_quote(n->text, q, sizeof(q)), (unsigned long long)row->min,
                        (unsigned long long)row->max);
    s->host_port_first = (uint16_t)a;
    s->host_port_last = (uint16_t)b;
    return true;
}

/* ---- lists ---- */

static void strs_add(struct conf_strs *s, struct sv v)
{
    s->v = mem_grow(s->v, s->n + 1, sizeof(*s->v));
    s->v[s->n++] = mem_strndup(v.p, v.n);
}

static bool any_item(struct conf_reader *r UNUSED, const struct conf_row *row UNUSED,
                     const struct ynode *item UNUSED)
{
    return true;
}

bool conf_read_items(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                     conf_item_fn *ok, struct conf_strs *dst)
{
    if (n->kind == YN_SCALAR) {
        if (!ok(r, row, n))
            return false;
        strs_add(dst, n->text);
        return true;
    }
    if (n->kind != YN_LIST)
        return CONF_BAD(r, n, "'%s' must be a list, not %s", row->key, ytree_kind_name(n));
    if (n->n > row->max)
        return CONF_BAD(r, n, "'%s' has more than %llu items", row->key,
                        (unsigned long long)row->max);
    for (size_t i = 0; i < n->n; i++) {
        const struct ynode *item = n->items[i];

        if (item->kind != YN_SCALAR || ytree_is_null(item))
            return CONF_BAD(r, item, "an item of '%s' must be a single value", row->key);
        if (!ok(r, row, item))
            return false;
        strs_add(dst, item->text);
    }
    return true;
}

bool conf_read_STRS(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                    void *dst)
{
    return conf_read_items(r, row, n, any_item, dst);
}

bool conf_read_WORDS(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                     void *dst)
{
    struct sv rest = n->text;

    if (n->kind != YN_SCALAR)
        return conf_read_items(r, row, n, any_item, dst);
    if (memchr(rest.p, '"', rest.n) != NULL || memchr(rest.p, '\'', rest.n) != NULL ||
        memchr(rest.p, '\\', rest.n) != NULL)
        return CONF_BAD(r, n,
                        "'%s' has quotes in it; write it as a list: [\"program\", \"argument\"]",
                        row->key);
    while (rest.n > 0) {
        struct sv word = {rest.p, 0};

        while (word.n < rest.n && rest.p[word.n] != ' ')
            word.n++;
        if (word.n > 0)
            strs_add(dst, word);
        rest.p += word.n < rest.n ? word.n + 1 : word.n;
        rest.n -= word.n < rest.n ? word.n + 1 : word.n;
    }
    return true;
}

static bool volume_item(struct conf_reader *r, const struct conf_row *row UNUSED,
                        const struct ynode *item)
{
    struct sv t = item->text, source, target, mode;
    const char *colon = t.n > 0 ? memchr(t.p, ':', t.n) : NULL, *second;
    char q[128];
    bool ok;

    source = (struct sv){t.p, colon != NULL ? (size_t)(colon - t.p) : t.n};
    target = colon != NULL ? (struct sv){colon + 1, t.n - source.n - 1} : (struct sv){t.p, 0};
    second = target.n > 0 ? memchr(target.p, ':', target.n) : NULL;
    mode = sv_of("rw");
    if (second != NULL) {
        mode = (struct sv){second + 1, target.n - (size_t)(second - target.p) - 1};
        target.n = (size_t)(second - target.p);
    }
    ok = source.n > 0 && target.n > 1 && target.p[0] == '/' &&
         (sv_eq(mode, "ro") || sv_eq(mode, "rw"));
    for (size_t i = 0; ok && source.p[0] != '/' && i < source.n;
         i++) /* the engine's rule for volume names */
        ok = strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-",
                    source.p[i]) != NULL &&
             (i > 0 || strchr("_.-", source.p[i]) == NULL);
    return ok ||
           CONF_BAD(r, item,
                    "volume '%s': write NAME:/PATH or /HOST/PATH:/PATH, with :ro for read-only",
                    str_quote(t, q, sizeof(q)));
}

bool conf_read_VOLUMES(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                       void *dst)
{
    return conf_read_items(r, row, n, volume_item, dst);
}

bool conf_read_HTTP_PATH(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                         void *dst)
{
    bool ok;

    if (!conf_is_scalar(r, row, n))
        return false;
    ok = n->text.n >= 1 && n->text.n <= 1024 && n->text.p[0] == '/';
    for (size_t i = 0; ok && i < n->text.n; i++)
        ok = n->text.p[i] > ' ' && n->text.p[i] < 0x7f && n->text.p[i] != '#';
    if (!ok)
        return CONF_BAD(r, n, "'%s' must be a path that begins with '/', without blanks", row->key);
    conf_set_str(dst, n->text);
    return true;
}

bool conf_read_HOST_FIELD(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                          void *dst)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:_[]";
    bool ok;

    if (!conf_is_scalar(r, row, n))
        return false;
    ok = n->text.n >= 1 && n->text.n <= 255;
    for (size_t i = 0; ok && i < n->text.n; i++)
        ok = n->text.p[i] != '\0' && strchr(plain, n->text.p[i]) != NULL;
    if (!ok)
        return CONF_BAD(r, n, "'%s' must be a host name or address, with :PORT if need be",
                        row->key);
    conf_set_str(dst, n->text);
    return true;
}

static bool pair_add(struct conf_reader *r, const struct conf_row *row, const struct ynode *at,
                     struct sv key, struct sv value, struct conf_pairs *dst)
{
    char q[64];

    if (key.n == 0 || memchr(key.p, '=', key.n) != NULL)
        return CONF_BAD(r, at, "'%s' has a bad name '%s'", row->key, str_quote(key, q, sizeof(q)));
    if (dst->n >= row->max)
        return CONF_BAD(r, at, "'%s' has more than %llu entries", row->key,
                        (unsigned long long)row->max);
    for (size_t i = 0; i < dst->n; i++) {
        if (sv_eq(key, dst->v[i].key))
            return CONF_BAD(r, at, "'%s' stands here a second time; remove one",
                            str_quote(key, q, sizeof(q)));
    }
    dst->v = mem_grow(dst->v, dst->n + 1, sizeof(*dst->v));
    dst->v[dst->n++] = (struct conf_pair){mem_strndup(key.p, key.n), mem_strndup(value.p, value.n)};
    return true;
}

bool conf_read_PAIRS(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                     void *dst)
{
    bool ok = true;

    if (n->kind == YN_SCALAR)
        return CONF_BAD(r, n, "'%s' must be a mapping, or a list of NAME=VALUE", row->key);
    for (size_t i = 0; i < n->n; i++) {
        const struct ynode *item = n->kind == YN_MAP ? n->pairs[i].value : n->items[i];
        const char *eq;

        if (item->kind != YN_SCALAR) {
            ok = CONF_BAD(r, item, "a value of '%s' must be a single value, not %s", row->key,
                          ytree_kind_name(item));
        } else if (n->kind == YN_MAP && ytree_is_null(item)) {
            ok = CONF_BAD(r, n->pairs[i].key,
                          "a value of '%s' is missing; write \"\" for an empty one", row->key);
        } else if (n->kind == YN_MAP) {
            ok = pair_add(r, row, n->pairs[i].key, n->pairs[i].key->text, item->text, dst) && ok;
        } else if ((eq = item->text.n > 0 ? memchr(item->text.p, '=', item->text.n) : NULL) ==
                   NULL) {
            ok = CONF_BAD(r, item, "an item of '%s' must be NAME=VALUE", row->key);
        } else {
            size_t key_n = (size_t)(eq - item->text.p);

            ok = pair_add(r, row, item, (struct sv){item->text.p, key_n},
                          (struct sv){eq + 1, item->text.n - key_n - 1}, dst) &&
                 ok;
        }
    }
    return ok;
}

bool conf_read_SECRETS(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                       void *dst)
{
    struct conf_pairs *secrets = dst;
    size_t first = secrets->n;
    char q[64];

    if (n->kind != YN_MAP)
        return CONF_BAD(r, n, "'%s' must be a mapping of names to files: { NAME: /HOST/FILE }",
                        row->key);
    if (!conf_read_PAIRS(r, row, n, dst))
        return false;
    for (size_t i = first; i < secrets->n; i++) {
        const struct conf_pair *p = &secrets->v[i];

        if (strchr(p->key, '/') != NULL || p->key[0] == '.' || p->value[0] != '/')
            return CONF_BAD(r, n, "secret '%s': write NAME: /HOST/FILE, a name without '/'",
                            str_quote(sv_of(p->key), q, sizeof(q)));
    }
    return true;
}

/* ADDRESS:PORT, perhaps with the words weight N behind it. */
static bool parse_backend(struct sv s, struct conf_backend *ret)
{
    static const char word[] = " weight ";
    const char *at = s.n > 0 ? memmem(s.p, s.n, word, sizeof(word) - 1) : NULL;
    struct sv address = {s.p, at != NULL ? (size_t)(at - s.p) : s.n};
    uint64_t weight = 1;

    if (at != NULL &&
        !str_to_u64((struct sv){at + sizeof(word) - 1, s.n - address.n - (sizeof(word) - 1)}, 1,
                    CONF_WEIGHT_MAX, &weight, NULL))
        return false;
    *ret = (struct conf_backend){.weight = (unsigned)weight};
    return memchr(address.p, ':', address.n) != NULL && parse_address(address, &ret->at);
}

static bool backend_again(const struct conf_backends *b, const struct conf_addr *at)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->v[i].at.port == at->port && strcmp(b->v[i].at.host, at->host) == 0)
            return true;
    return false;
}

bool conf_read_BACKENDS(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                        void *dst)
{
    struct conf_backends *b = dst;

    if (n->kind != YN_LIST || n->n == 0 || n->n > row->max)
        return CONF_BAD(r, n, "'%s' must be a list of 1 to %llu addresses", row->key,
                        (unsigned long long)row->max);
    b->v = mem_array(n->n, sizeof(*b->v));
    for (size_t i = 0; i < n->n; i++) {
        struct conf_backend one;
        char q[80];

        if (n->items[i]->kind != YN_SCALAR || !parse_backend(n->items[i]->text, &one))
            return CONF_BAD(r, n->items[i],
                            "'%s' is no backend; write ADDRESS:PORT or [IPV6]:PORT (an address, no "
                            "name), perhaps with 'weight N' behind it",
                            n->items[i]->kind == YN_SCALAR
                                ? str_quote(n->items[i]->text, q, sizeof(q))
                                : "this");
        if (backend_again(b, &one.at))
            return CONF_BAD(r, n->items[i], "'%s' stands here a second time; remove one",
                            str_quote(n->items[i]->text, q, sizeof(q)));
        b->v[b->n++] = one;
    }
    return true;
}

static bool statuses_add(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                         struct conf_statuses *s)
{
    const char *dash =
        n->kind == YN_SCALAR && n->text.n > 0 ? memchr(n->text.p, '-', n->text.n) : NULL;
    struct sv first = {n->text.p, dash != NULL ? (size_t)(dash - n->text.p) : n->text.n};
    struct sv last = dash != NULL ? (struct sv){dash + 1, n->text.n - first.n - 1} : first;
    uint64_t a = 0, b = 0;

    if (n->kind != YN_SCALAR || s->n == CONF_STATUSES_MAX ||
        !str_to_u64(first, row->min, row->max, &a, NULL) ||
        !str_to_u64(last, row->min, row->max, &b, NULL) || b < a)
        return CONF_BAD(
            r, n,
            "'%s': write a status such as 204, a range such as 200-299, or a list of at "
            "most %d of them",
            row->key, CONF_STATUSES_MAX);
    s->v[s->n].first = (uint16_t)a;
    s->v[s->n++].last = (uint16_t)b;
    return true;
}

bool conf_read_STATUSES(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                        void *dst)
{
    struct conf_statuses *s = dst;

    s->n = 0;
    if (n->kind != YN_LIST)
        return statuses_add(r, row, n, s);
    for (size_t i = 0; i < n->n; i++)
        if (!statuses_add(r, row, n->items[i], s))
            return false;
    return n->n > 0 || CONF_BAD(r, n, "'%s' is empty; name at least one status", row->key);
}
