#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/conf/conf-internal.h"

enum section { SECTION_TOP, SECTION_SERVICE, SECTION_HEALTH, SECTION_SCALE };

struct row;
/* Reads a node into the member at dst. false after conf_bad(); the member keeps its default then.
 */
typedef bool read_fn(struct conf_reader *r, const struct row *row, const struct ynode *n,
                     void *dst);

struct row {
    enum section section;
    const char *key;
    read_fn *read;
    size_t offset;
    uint64_t min, max;
    const char *absent; /* default, as written in the file */
};

static read_fn read_LISTEN, read_UINT, read_NAME, read_ENGINE, read_PATH, read_LOG_FORMAT,
    read_LOG_LEVEL, read_SERVICES, read_STR, read_WORDS, read_PAIRS, read_VOLUMES, read_STRS,
    read_SIGNAL, read_DURATION, read_SIZE, read_MILLI, read_BOOL, read_ROUTES, read_PORT,
    read_PORT_RANGE, read_ADDRESS, read_CONNECT, read_HEALTH, read_SCALE, read_HTTP_PATH, read_TCP;

static const struct row rows[] = {
#define CONF(section, type, key, kind, member, min, max, absent, help)                             \
    {SECTION_##section, key, read_##kind, offsetof(struct type, member), min, max, absent},
#include "common/conf/conf.def"
#undef CONF
};

static const struct {
    const char *key, *remedy;
} foreign[] = {
#define FOREIGN(key, remedy) {key, remedy},
#include "common/conf/conf.def"
#undef FOREIGN
};

#define BAD(r, n, ...) conf_bad((r), (n)->line, (n)->column, __VA_ARGS__)

static void *member(const struct row *row, void *base)
{
    return (char *)base + row->offset;
}

/* ---- sections ---- */

static bool unknown_key(struct conf_reader *r, enum section s, const struct ynode *key)
{
    AUTO(mem_freep) char *word = mem_strndup(key->text.p, key->text.n);
    const char *names[ARRAY_LEN(rows)], *near;
    size_t n = 0;
    char q[64];

    str_quote(key->text, q, sizeof(q));
    for (size_t i = 0; s == SECTION_SERVICE && i < ARRAY_LEN(foreign); i++) {
        if (strcmp(word, foreign[i].key) == 0)
            return BAD(r, key, "'%s' is not supported: %s", q, foreign[i].remedy);
    }
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].section == s)
            names[n++] = rows[i].key;
    }
    near = str_suggest(word, names, n);
    if (near != NULL)
        return BAD(r, key, "unknown key '%s'; did you mean '%s'?", q, near);
    return BAD(r, key, "unknown key '%s'; man 5 lbctl.yaml lists the keys", q);
}

static const struct row *find_row(enum section s, struct sv key)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].section == s && sv_eq(key, rows[i].key))
            return &rows[i];
    }
    return NULL;
}

/* A scalar node as the file would have it, for defaults and shorthands. */
static struct ynode scalar(const char *text, const struct ynode *at)
{
    return (struct ynode){
        .kind = YN_SCALAR, .line = at->line, .column = at->column, .text = sv_of(text)};
}

static void set_defaults(struct conf_reader *r, enum section s, const struct ynode *at, void *base)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct ynode n = scalar(rows[i].absent, at);

        if (rows[i].section == s && rows[i].absent[0] != '\0')
            (void)rows[i].read(r, &rows[i], &n, member(&rows[i], base));
    }
}

static void read_section(struct conf_reader *r, enum section s, const struct ynode *n, void *base)
{
    set_defaults(r, s, n, base);
    if (n->kind != YN_MAP) {
        BAD(r, n, "here must be keys with values, not %s", ytree_kind_name(n));
        return;
    }
    for (size_t i = 0; i < n->n; i++) {
        const struct ypair *p = &n->pairs[i];
        const struct row *row = find_row(s, p->key->text);

        if (row != NULL && ytree_is_null(p->value))
            BAD(r, p->key, "'%s' has no value; give one or remove the key", row->key);
        else if (row != NULL)
            (void)row->read(r, row, p->value, member(row, base));
        else if (!sv_starts(p->key->text, "x-"))
            unknown_key(r, s, p->key);
    }
}

void conf_read(struct conf_reader *r, const struct ynode *root, struct conf *c)
{
    read_section(r, SECTION_TOP, root, c);
    if (c->services_n == 0 && r->errs->n == 0)
        BAD(r, root, "no services; name at least one under 'services:'");
    if (c->network == NULL)
        c->network = mem_strdup(c->project);
}

bool conf_name_ok(struct sv s)
{
    bool ok = s.n >= 1 && s.n <= 40;

    for (size_t i = 0; ok && i < s.n; i++) {
        char ch = s.p[i];

        ok = (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') ||
             (i > 0 && (ch == '-' || ch == '_'));
    }
    return ok;
}

static bool read_SERVICES(struct conf_reader *r, const struct row *row, const struct ynode *n,
                          void *dst)
{
    struct conf *c = CONTAINER_OF((struct conf_service **)dst, struct conf, services);

    if (n->kind != YN_MAP)
        return BAD(r, n, "'services' must be a mapping of names to services, not %s",
                   ytree_kind_name(n));
    if (n->n > row->max)
        return BAD(r, n, "more than %llu services", (unsigned long long)row->max);
    c->services = mem_array(n->n, sizeof(*c->services));
    for (size_t i = 0; i < n->n; i++) {
        const struct ypair *p = &n->pairs[i];
        struct conf_service *s = &c->services[c->services_n];
        char q[64];

        if (sv_starts(p->key->text, "x-"))
            continue;
        c->services_n++;
        s->name = mem_strndup(p->key->text.p, p->key->text.n);
        s->line = p->key->line;
        s->scale.min = s->scale.max = 1;
        if (!conf_name_ok(p->key->text))
            BAD(r, p->key,
                "service name '%s': use 1 to 40 of a-z, 0-9, '-' and '_', beginning with a letter "
                "or digit",
                str_quote(p->key->text, q, sizeof(q)));
        read_section(r, SECTION_SERVICE, p->value, s);
        if (s->image == NULL)
            conf_bad(r, p->key->line, p->key->column,
                     "service '%s' has no image; add 'image: NAME:TAG'",
                     str_quote(p->key->text, q, sizeof(q)));
    }
    return true;
}

static bool read_HEALTH(struct conf_reader *r, const struct row *row UNUSED, const struct ynode *n,
                        void *dst)
{
    struct conf_health *h = dst;

    if (n->kind == YN_SCALAR && sv_eq(n->text, "none"))
        return true;
    read_section(r, SECTION_HEALTH, n, h);
    if (n->kind != YN_MAP)
        return false;
    if (h->path != NULL && h->kind == CONF_HEALTH_TCP)
        return BAD(r, n, "health has both 'path' and 'tcp: true'; keep one");
    if (h->path == NULL && h->kind != CONF_HEALTH_TCP)
        return BAD(r, n, "health needs 'path: /PATH' or 'tcp: true' (or write 'health: none')");
    if (h->path != NULL)
        h->kind = CONF_HEALTH_HTTP;
    return true;
}

static bool read_SCALE(struct conf_reader *r, const struct row *row, const struct ynode *n,
                       void *dst)
{
    static const struct row number = {.key = "scale", .min = 1, .max = CONF_REPLICAS_MAX};
    struct conf_scale *s = dst;

    if (n->kind == YN_SCALAR) {
        if (!read_UINT(r, &number, n, &s->min))
            return false;
        s->max = s->min;
        s->every_ms = 0;
        return true;
    }
    (void)row;
    read_section(r, SECTION_SCALE, n, s);
    if (s->max < s->min)
        return BAD(r, n, "scale: max %u is below min %u", s->max, s->min);
    if (s->max == s->min) /* nothing to decide */
        s->every_ms = 0;
    return true;
}

/* ---- single values ---- */

static bool is_scalar(struct conf_reader *r, const struct row *row, const struct ynode *n)
{
    if (n->kind == YN_SCALAR)
        return true;
    return BAD(r, n, "'%s' must be a single value, not %s", row->key, ytree_kind_name(n));
}

static void set_str(char **dst, struct sv s)
{
    mem_free(*dst);
    *dst = mem_strndup(s.p, s.n);
}

static bool read_STR(struct conf_reader *r, const struct row *row, const struct ynode *n, void *dst)
{
    if (!is_scalar(r, row, n))
        return false;
    if (n->text.n < row->min || (row->max > 0 && n->text.n > row->max))
        return BAD(r, n, "'%s' must have %llu to %llu characters", row->key,
                   (unsigned long long)row->min, (unsigned long long)row->max);
    set_str(dst, n->text);
    return true;
}

static bool read_NAME(struct conf_reader *r, const struct row *row, const struct ynode *n,
                      void *dst)
{
    char q[64];

    if (!is_scalar(r, row, n))
        return false;
    if (!conf_name_ok(n->text))
        return BAD(
            r, n, "%s '%s': use 1 to 40 of a-z, 0-9, '-' and '_', beginning with a letter or digit",
            row->key, str_quote(n->text, q, sizeof(q)));
    set_str(dst, n->text);
    return true;
}

static bool read_PATH(struct conf_reader *r, const struct row *row, const struct ynode *n,
                      void *dst)
{
    if (!is_scalar(r, row, n))
        return false;
    if (n->text.n < 2 || n->text.n > 90 || n->text.p[0] != '/')
        return BAD(r, n, "'%s' must be an absolute path of at most 90 characters", row->key);
    set_str(dst, n->text);
    return true;
}

static bool read_ENGINE(struct conf_reader *r, const struct row *row, const struct ynode *n,
                        void *dst)
{
    if (!is_scalar(r, row, n))
        return false;
    if (!sv_starts(n->text, "unix:///") && !sv_starts(n->text, "http://"))
        return BAD(r, n, "'%s' must be unix:///PATH or http://ADDRESS:PORT", row->key);
    set_str(dst, n->text);
    return true;
}

static bool read_UINT(struct conf_reader *r, const struct row *row, const struct ynode *n,
                      void *dst)
{
    struct err e;
    uint64_t v;

    if (!is_scalar(r, row, n))
        return false;
    if (!str_to_u64(n->text, row->min, row->max, &v, &e))
        return BAD(r, n, "'%s': %s", row->key, e.msg);
    *(unsigned *)dst = (unsigned)v;
    return true;
}

static bool read_PORT(struct conf_reader *r, const struct row *row, const struct ynode *n,
                      void *dst)
{
    unsigned v;

    if (!read_UINT(r, row, n, &v))
        return false;
    *(uint16_t *)dst = (uint16_t)v;
    return true;
}

static bool read_BOOL(struct conf_reader *r, const struct row *row, const struct ynode *n,
                      void *dst)
{
    char q[64];

    if (!is_scalar(r, row, n))
        return false;
    if (!sv_eq(n->text, "true") && !sv_eq(n->text, "false"))
        return BAD(r, n, "'%s' must be true or false, not '%s'", row->key,
                   str_quote(n->text, q, sizeof(q)));
    *(bool *)dst = sv_eq(n->text, "true");
    return true;
}

static bool read_TCP(struct conf_reader *r, const struct row *row, const struct ynode *n, void *dst)
{
    bool tcp;

    if (!read_BOOL(r, row, n, &tcp))
        return false;
    *(enum conf_health_kind *)dst = tcp ? CONF_HEALTH_TCP : CONF_HEALTH_NONE;
    return true;
}

typedef bool parse_fn(struct sv s, uint64_t *ret, struct err *e);

static bool read_number(struct conf_reader *r, const struct row *row, const struct ynode *n,
                        parse_fn *parse, const char *unit, uint64_t *dst)
{
    struct err e;
    uint64_t v;

    if (!is_scalar(r, row, n))
        return false;
    if (!parse(n->text, &v, &e))
        return BAD(r, n, "'%s': %s", row->key, e.msg);
    if (v < row->min)
        return BAD(r, n, "'%s' is too small: use at least %llu %s", row->key,
                   (unsigned long long)row->min, unit);
    if (row->max > 0 && v > row->max)
        return BAD(r, n, "'%s' is too large: use at most %llu %s", row->key,
                   (unsigned long long)row->max, unit);
    *dst = v;
    return true;
}

static bool read_DURATION(struct conf_reader *r, const struct row *row, const struct ynode *n,
                          void *dst)
{
    return read_number(r, row, n, str_to_duration_ms, "milliseconds", dst);
}

static bool read_SIZE(struct conf_reader *r, const struct row *row, const struct ynode *n,
                      void *dst)
{
    return read_number(r, row, n, str_to_size, "bytes", dst);
}

static bool read_MILLI(struct conf_reader *r, const struct row *row, const struct ynode *n,
                       void *dst)
{
    return read_number(r, row, n, str_to_milli, "thousandths", dst);
}

/* One word of a fixed set, as its number. */
static bool read_word(struct conf_reader *r, const struct row *row, const struct ynode *n,
                      const char *const *words, size_t words_n, unsigned *ret)
{
    char q[64], all[128] = "";

    if (!is_scalar(r, row, n))
        return false;
    for (size_t i = 0; i < words_n; i++) {
        size_t used = strlen(all);

        if (sv_eq(n->text, words[i])) {
            *ret = (unsigned)i;
            return true;
        }
        snprintf(all + used, sizeof(all) - used, "%s%s", i > 0 ? ", " : "", words[i]);
    }
    return BAD(r, n, "'%s' is '%s'; use one of: %s", row->key, str_quote(n->text, q, sizeof(q)),
               all);
}

static bool read_LOG_FORMAT(struct conf_reader *r, const struct row *row, const struct ynode *n,
                            void *dst)
{
    static const char *const words[] = {"text", "json"};
    unsigned v;

    if (!read_word(r, row, n, words, ARRAY_LEN(words), &v))
        return false;
    *(enum log_format *)dst = (enum log_format)v;
    return true;
}

static bool read_LOG_LEVEL(struct conf_reader *r, const struct row *row, const struct ynode *n,
                           void *dst)
{
    static const char *const words[] = {"error", "warn", "info", "debug"};
    unsigned v;

    if (!read_word(r, row, n, words, ARRAY_LEN(words), &v))
        return false;
    *(enum log_level *)dst = (enum log_level)v;
    return true;
}

static bool read_CONNECT(struct conf_reader *r, const struct row *row, const struct ynode *n,
                         void *dst)
{
    static const char *const words[] = {"published", "direct"};
    unsigned v;

    if (!read_word(r, row, n, words, ARRAY_LEN(words), &v))
        return false;
    *(enum conf_connect *)dst = (enum conf_connect)v;
    return true;
}

static bool read_SIGNAL(struct conf_reader *r, const struct row *row, const struct ynode *n,
                        void *dst)
{
    bool ok;

    if (!is_scalar(r, row, n))
        return false;
    ok = n->text.n >= 5 && n->text.n <= 16 && sv_starts(n->text, "SIG");
    for (size_t i = 3; ok && i < n->text.n; i++)
        ok = strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-", n->text.p[i]) != NULL;
    if (!ok)
        return BAD(r, n, "'%s' must be a signal's name, such as SIGTERM or SIGINT", row->key);
    set_str(dst, n->text);
    return true;
}

/* ---- addresses ---- */

static bool ip_ok(const char *text)
{
    unsigned char raw[16];

    return inet_pton(AF_INET, text, raw) == 1 || inet_pton(AF_INET6, text, raw) == 1;
}

static bool read_ADDRESS(struct conf_reader *r, const struct row *row, const struct ynode *n,
                         void *dst)
{
    AUTO(mem_freep) char *text = NULL;

    if (!is_scalar(r, row, n))
        return false;
    text = mem_strndup(n->text.p, n->text.n);
    if (!ip_ok(text))
        return BAD(r, n, "'%s' must be an IPv4 or IPv6 address, such as 127.0.0.1", row->key);
    set_str(dst, n->text);
    return true;
}

/* PORT, ADDRESS:PORT or [IPV6]:PORT. */
static bool parse_listen(struct sv s, struct conf_addr *ret)
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

static bool read_LISTEN(struct conf_reader *r, const struct row *row, const struct ynode *n,
                        void *dst)
{
    struct conf *c = CONTAINER_OF((struct conf_addr(*)[CONF_LISTEN_MAX])dst, struct conf, listen);
    const struct ynode *one[] = {n};
    const struct ynode *const *items =
        n->kind == YN_LIST ? (const struct ynode *const *)n->items : one;
    size_t items_n = n->kind == YN_LIST ? n->n : 1;

    if (items_n < row->min || items_n > row->max)
        return BAD(r, n, "'listen' needs 1 to %llu addresses", (unsigned long long)row->max);
    c->listen_n = 0;
    for (size_t i = 0; i < items_n; i++) {
        char q[80];

        if (items[i]->kind != YN_SCALAR || !parse_listen(items[i]->text, &c->listen[i]))
            return BAD(r, items[i],
                       "'%s' is no address to listen on; write PORT, ADDRESS:PORT or [IPV6]:PORT",
                       str_quote(items[i]->text, q, sizeof(q)));
        c->listen_n++;
    }
    return true;
}

static bool read_PORT_RANGE(struct conf_reader *r, const struct row *row, const struct ynode *n,
                            void *dst)
{
    struct conf_service *s = CONTAINER_OF((uint16_t *)dst, struct conf_service, host_port_first);
    const char *dash;
    struct sv first, last;
    uint64_t a, b;
    char q[64];

    if (!is_scalar(r, row, n))
        return false;
    dash = n->text.n > 0 ? memchr(n->text.p, '-', n->text.n) : NULL;
    first = (struct sv){n->text.p, dash != NULL ? (size_t)(dash - n->text.p) : n->text.n};
    last = dash != NULL ? (struct sv){dash + 1, n->text.n - first.n - 1} : first;
    if (!str_to_u64(first, row->min, row->max, &a, NULL) ||
        !str_to_u64(last, row->min, row->max, &b, NULL) || b < a)
        return BAD(r, n, "'%s' is '%s'; write FIRST-LAST within %llu-%llu, such as 8000-8009",
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

typedef bool item_fn(struct conf_reader *r, const struct row *row, const struct ynode *item);

static bool any_item(struct conf_reader *r UNUSED, const struct row *row UNUSED,
                     const struct ynode *item UNUSED)
{
    return true;
}

/* A list of scalars, or one scalar. */
static bool read_list(struct conf_reader *r, const struct row *row, const struct ynode *n,
                      item_fn *ok, struct conf_strs *dst)
{
    if (n->kind == YN_SCALAR) {
        if (!ok(r, row, n))
            return false;
        strs_add(dst, n->text);
        return true;
    }
    if (n->kind != YN_LIST)
        return BAD(r, n, "'%s' must be a list, not %s", row->key, ytree_kind_name(n));
    if (n->n > row->max)
        return BAD(r, n, "'%s' has more than %llu items", row->key, (unsigned long long)row->max);
    for (size_t i = 0; i < n->n; i++) {
        const struct ynode *item = n->items[i];

        if (item->kind != YN_SCALAR || ytree_is_null(item))
            return BAD(r, item, "an item of '%s' must be a single value", row->key);
        if (!ok(r, row, item))
            return false;
        strs_add(dst, item->text);
    }
    return true;
}

static bool read_STRS(struct conf_reader *r, const struct row *row, const struct ynode *n,
                      void *dst)
{
    return read_list(r, row, n, any_item, dst);
}

static bool read_WORDS(struct conf_reader *r, const struct row *row, const struct ynode *n,
                       void *dst)
{
    struct sv rest = n->text;

    if (n->kind != YN_SCALAR)
        return read_list(r, row, n, any_item, dst);
    if (memchr(rest.p, '"', rest.n) != NULL || memchr(rest.p, '\'', rest.n) != NULL ||
        memchr(rest.p, '\\', rest.n) != NULL)
        return BAD(r, n, "'%s' has quotes in it; write it as a list: [\"program\", \"argument\"]",
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

static bool volume_item(struct conf_reader *r, const struct row *row UNUSED,
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
           BAD(r, item, "volume '%s': write NAME:/PATH or /HOST/PATH:/PATH, with :ro for read-only",
               str_quote(t, q, sizeof(q)));
}

static bool read_VOLUMES(struct conf_reader *r, const struct row *row, const struct ynode *n,
                         void *dst)
{
    return read_list(r, row, n, volume_item, dst);
}

/* A path prefix as it stands in a request: no query, no blank, nothing to decode, segments not
 * empty. */
static bool route_item(struct conf_reader *r, const struct row *row, const struct ynode *item)
{
    struct sv t = item->text;
    bool ok = t.n >= 1 && t.n <= 1024 && t.p[0] == '/' && (t.n == 1 || t.p[t.n - 1] != '/');
    char q[128];

    for (size_t i = 0; ok && i < t.n; i++) {
        unsigned char ch = (unsigned char)t.p[i];

        ok = ch > ' ' && ch < 0x7f && ch != '?' && ch != '#' && ch != '%' &&
             !(i > 0 && ch == '/' && t.p[i - 1] == '/');
    }
    return ok || BAD(r, item,
                     "'%s' is '%s'; write a path prefix such as /api/v1: beginning with '/', no "
                     "'/' at the end, "
                     "no '?', '#', '%%' or blank",
                     row->key, str_quote(t, q, sizeof(q)));
}

static bool read_ROUTES(struct conf_reader *r, const struct row *row, const struct ynode *n,
                        void *dst)
{
    return read_list(r, row, n, route_item, dst);
}

static bool read_HTTP_PATH(struct conf_reader *r, const struct row *row, const struct ynode *n,
                           void *dst)
{
    bool ok;

    if (!is_scalar(r, row, n))
        return false;
    ok = n->text.n >= 1 && n->text.n <= 1024 && n->text.p[0] == '/';
    for (size_t i = 0; ok && i < n->text.n; i++)
        ok = n->text.p[i] > ' ' && n->text.p[i] < 0x7f && n->text.p[i] != '#';
    if (!ok)
        return BAD(r, n, "'%s' must be a path that begins with '/', without blanks", row->key);
    set_str(dst, n->text);
    return true;
}

static bool pair_add(struct conf_reader *r, const struct row *row, const struct ynode *at,
                     struct sv key, struct sv value, struct conf_pairs *dst)
{
    char q[64];

    if (key.n == 0 || memchr(key.p, '=', key.n) != NULL)
        return BAD(r, at, "'%s' has a bad name '%s'", row->key, str_quote(key, q, sizeof(q)));
    if (dst->n >= row->max)
        return BAD(r, at, "'%s' has more than %llu entries", row->key,
                   (unsigned long long)row->max);
    for (size_t i = 0; i < dst->n; i++) {
        if (sv_eq(key, dst->v[i].key))
            return BAD(r, at, "'%s' stands here a second time; remove one",
                       str_quote(key, q, sizeof(q)));
    }
    dst->v = mem_grow(dst->v, dst->n + 1, sizeof(*dst->v));
    dst->v[dst->n++] = (struct conf_pair){mem_strndup(key.p, key.n), mem_strndup(value.p, value.n)};
    return true;
}

static bool read_PAIRS(struct conf_reader *r, const struct row *row, const struct ynode *n,
                       void *dst)
{
    bool ok = true;

    if (n->kind == YN_SCALAR)
        return BAD(r, n, "'%s' must be a mapping, or a list of NAME=VALUE", row->key);
    for (size_t i = 0; i < n->n; i++) {
        const struct ynode *item = n->kind == YN_MAP ? n->pairs[i].value : n->items[i];
        const char *eq;

        if (item->kind != YN_SCALAR) {
            ok = BAD(r, item, "a value of '%s' must be a single value, not %s", row->key,
                     ytree_kind_name(item));
        } else if (n->kind == YN_MAP && ytree_is_null(item)) {
            ok = BAD(r, n->pairs[i].key, "a value of '%s' is missing; write \"\" for an empty one",
                     row->key);
        } else if (n->kind == YN_MAP) {
            ok = pair_add(r, row, n->pairs[i].key, n->pairs[i].key->text, item->text, dst) && ok;
        } else if ((eq = item->text.n > 0 ? memchr(item->text.p, '=', item->text.n) : NULL) ==
                   NULL) {
            ok = BAD(r, item, "an item of '%s' must be NAME=VALUE", row->key);
        } else {
            size_t key_n = (size_t)(eq - item->text.p);

            ok = pair_add(r, row, item, (struct sv){item->text.p, key_n},
                          (struct sv){eq + 1, item->text.n - key_n - 1}, dst) &&
                 ok;
        }
    }
    return ok;
}
