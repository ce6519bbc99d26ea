#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/conf/conf-internal.h"

static const struct conf_row rows[] = {
#define CONF(section, type, key, kind, member, min, max, absent, help)                             \
    {SECTION_##section, key, conf_read_##kind, offsetof(struct type, member), min, max, absent},
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

static void *member(const struct conf_row *row, void *base)
{
    return (char *)base + row->offset;
}

/* ---- sections ---- */

static bool unknown_key(struct conf_reader *r, enum conf_section s, const struct ynode *key)
{
    AUTO(mem_freep) char *word = mem_strndup(key->text.p, key->text.n);
    const char *names[ARRAY_LEN(rows)], *near;
    size_t n = 0;
    char q[64];

    str_quote(key->text, q, sizeof(q));
    for (size_t i = 0; s == SECTION_SERVICE && i < ARRAY_LEN(foreign); i++) {
        if (strcmp(word, foreign[i].key) == 0)
            return CONF_BAD(r, key, "'%s' is not supported: %s", q, foreign[i].remedy);
    }
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].section == s)
            names[n++] = rows[i].key;
    }
    near = str_suggest(word, names, n);
    if (near != NULL)
        return CONF_BAD(r, key, "unknown key '%s'; did you mean '%s'?", q, near);
    return CONF_BAD(r, key, "unknown key '%s'; man 5 lbctl.yaml lists the keys", q);
}

static const struct conf_row *find_row(enum conf_section s, struct sv key)
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

static void set_defaults(struct conf_reader *r, enum conf_section s, const struct ynode *at,
                         void *base)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct ynode n = scalar(rows[i].absent, at);

        if (rows[i].section == s && rows[i].absent[0] != '\0')
            (void)rows[i].read(r, &rows[i], &n, member(&rows[i], base));
    }
}

void conf_read_section(struct conf_reader *r, enum conf_section s, const struct ynode *n,
                       void *base)
{
    set_defaults(r, s, n, base);
    if (n->kind != YN_MAP) {
        CONF_BAD(r, n, "here must be keys with values, not %s", ytree_kind_name(n));
        return;
    }
    for (size_t i = 0; i < n->n; i++) {
        const struct ypair *p = &n->pairs[i];
        const struct conf_row *row = find_row(s, p->key->text);

        if (row != NULL && ytree_is_null(p->value))
            CONF_BAD(r, p->key, "'%s' has no value; give one or remove the key", row->key);
        else if (row != NULL)
            (void)row->read(r, row, p->value, member(row, base));
        else if (!sv_starts(p->key->text, "x-"))
            unknown_key(r, s, p->key);
    }
}

void conf_read(struct conf_reader *r, const struct ynode *root, struct conf *c)
{
    conf_read_section(r, SECTION_TOP, root, c);
    conf_write_pairs(root, "services", &c->written);
    if (c->services_n == 0 && r->errs->n == 0)
        CONF_BAD(r, root, "no services; name at least one under 'services:'");
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

static void need_something(struct conf_reader *r, const struct conf_service *s)
{
    char q[64];

    if (s->image == NULL && conf_service_has_instances(s) && s->command.n == 0 &&
        s->entrypoint.n == 0)
        conf_bad(
            r, s->line, 3,
            "service '%s' has no image; add 'image: NAME:TAG' (or 'static: /DIR' for files, or "
            "'backends: [ADDRESS:PORT]' for servers that others run)",
            str_quote(sv_of(s->name), q, sizeof(q)));
}

bool conf_read_SERVICES(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                        void *dst)
{
    struct conf *c = CONTAINER_OF((struct conf_service **)dst, struct conf, services);

    if (n->kind != YN_MAP)
        return CONF_BAD(r, n, "'services' must be a mapping of names to services, not %s",
                        ytree_kind_name(n));
    if (n->n > row->max)
        return CONF_BAD(r, n, "more than %llu services", (unsigned long long)row->max);
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
        set_defaults(r, SECTION_LIMITS, p->key, &s->limits);
        if (!conf_name_ok(p->key->text))
            CONF_BAD(
                r, p->key,
                "service name '%s': use 1 to 40 of a-z, 0-9, '-' and '_', beginning with a letter "
                "or digit",
                str_quote(p->key->text, q, sizeof(q)));
        conf_read_section(r, SECTION_SERVICE, p->value, s);
        s->health.proxy_header = s->send_proxy != 0;
        conf_write_pairs(p->value, NULL, &s->written);
        conf_read_env_files(r, p->value, s);
        need_something(r, s);
    }
    return true;
}

bool conf_read_HEALTH(struct conf_reader *r, const struct conf_row *row UNUSED,
                      const struct ynode *n, void *dst)
{
    struct conf_health *h = dst;

    if (n->kind == YN_SCALAR && sv_eq(n->text, "none"))
        return true;
    conf_read_section(r, SECTION_HEALTH, n, h);
    if (n->kind != YN_MAP)
        return false;
    if (h->path != NULL && h->kind == CONF_HEALTH_TCP)
        return CONF_BAD(r, n, "health has both 'path' and 'tcp: true'; keep one");
    if (h->host != NULL && h->kind == CONF_HEALTH_TCP)
        return CONF_BAD(r, n, "health has both 'host' and 'tcp: true'; 'host' goes with 'path'");
    if (h->body != NULL && h->kind == CONF_HEALTH_TCP)
        return CONF_BAD(r, n, "health has both 'body' and 'tcp: true'; 'body' goes with 'path'");
    if (h->replace_after != 0 && h->replace_after < h->fall)
        return CONF_BAD(r, n, "health: replace_after %u is below fall %u", h->replace_after,
                        h->fall);
    if (h->path == NULL && h->kind != CONF_HEALTH_TCP)
        return CONF_BAD(r, n,
                        "health needs 'path: /PATH' or 'tcp: true' (or write 'health: none')");
    if (h->path != NULL)
        h->kind = CONF_HEALTH_HTTP;
    return true;
}

bool conf_read_SCALE(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                     void *dst)
{
    static const struct conf_row number = {.key = "scale", .min = 1, .max = CONF_REPLICAS_MAX};
    struct conf_scale *s = dst;

    if (n->kind == YN_SCALAR) {
        if (!conf_read_UINT(r, &number, n, &s->min))
            return false;
        s->max = s->min;
        s->every_ms = 0;
        return true;
    }
    (void)row;
    conf_read_section(r, SECTION_SCALE, n, s);
    if (s->max < s->min)
        return CONF_BAD(r, n, "scale: max %u is below min %u", s->max, s->min);
    if (s->max == s->min) /* nothing to decide */
        s->every_ms = 0;
    return true;
}

bool conf_read_BALANCE(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                       void *dst)
{
    struct conf_balance *b = dst;

    b->is_set = true;
    if (n->kind == YN_SCALAR)
        return conf_read_POLICY(r, row, n, &b->policy);
    conf_read_section(r, SECTION_BALANCE, n, b);
    return n->kind == YN_MAP && conf_balance_ok(r, n, b);
}

bool conf_read_LIMITS(struct conf_reader *r, const struct conf_row *row UNUSED,
                      const struct ynode *n, void *dst)
{
    struct conf_limits *l = dst;

    l->is_set = true;
    conf_read_section(r, SECTION_LIMITS, n, l);
    if (l->burst > 0 && l->rate == 0)
        return CONF_BAD(r, n, "limits: 'burst' without 'rate'; add 'rate: N' or remove it");
    if (l->queue > 0 && l->per_instance == 0 && l->in_flight == 0)
        return CONF_BAD(r, n,
                        "limits: 'queue' without a limit to wait for; add 'per_instance: N' or "
                        "'in_flight: N', or remove it");
    return n->kind == YN_MAP;
}
