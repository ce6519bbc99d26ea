#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/conf/conf-internal.h"

/* Files of NAME=VALUE lines, as Compose has them: blank lines and lines that begin with '#' are
 * nothing; a value is what stands behind the '=', without a pair of quotes around it; no variables
 * are put in. */
enum { ENV_FILE_MAX = 1 << 20 };

struct env_file {
    struct conf_reader *r;
    const struct ynode *key; /* 'env_file' */
    const char *path;
    struct conf_pairs *into;
    size_t own; /* the first `own` pairs are the service's: not overridden */
};

static void env_set(struct env_file *f, struct sv name, struct sv value)
{
    struct conf_pairs *p = f->into;

    for (size_t i = 0; i < p->n; i++) {
        if (!sv_eq(name, p->v[i].key))
            continue;
        if (i >= f->own) {
            mem_free(p->v[i].value);
            p->v[i].value = mem_strndup(value.p, value.n);
        }
        return;
    }
    p->v = mem_grow(p->v, p->n + 1, sizeof(*p->v));
    p->v[p->n++] = (struct conf_pair){mem_strndup(name.p, name.n), mem_strndup(value.p, value.n)};
}

static struct sv trimmed(struct sv s)
{
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
        s.p++, s.n--;
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t' || s.p[s.n - 1] == '\r'))
        s.n--;
    return s;
}

static struct sv unquoted(struct sv s)
{
    if (s.n >= 2 && (s.p[0] == '"' || s.p[0] == '\'') && s.p[s.n - 1] == s.p[0])
        return (struct sv){s.p + 1, s.n - 2};
    return s;
}

static bool env_line(struct env_file *f, struct sv line, unsigned number)
{
    const char *eq;
    struct sv name;

    line = trimmed(line);
    if (line.n == 0 || line.p[0] == '#')
        return true;
    eq = memchr(line.p, '=', line.n);
    name = trimmed((struct sv){line.p, eq != NULL ? (size_t)(eq - line.p) : 0});
    if (name.n == 0 || memchr(line.p, '\0', line.n) != NULL)
        return CONF_BAD(f->r, f->key, "env_file: %s:%u is no NAME=VALUE line", f->path, number);
    if (f->into->n - f->own >= CONF_LIST_MAX)
        return CONF_BAD(f->r, f->key, "env_file: %s:%u: more than %d variables", f->path, number,
                        CONF_LIST_MAX);
    env_set(f, name, unquoted(trimmed((struct sv){eq + 1, line.n - (size_t)(eq + 1 - line.p)})));
    return true;
}

static bool env_read(struct env_file *f)
{
    AUTO(mem_freep) char *text = NULL;
    unsigned number = 0;
    struct err e;
    size_t n = 0;

    if (!file_read(f->path, ENV_FILE_MAX, &text, &n, &e))
        return CONF_BAD(f->r, f->key, "env_file: %s", e.msg);
    for (const char *p = text, *end = text + n; p < end;) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        const char *stop = nl != NULL ? nl : end;

        if (!env_line(f, (struct sv){p, (size_t)(stop - p)}, ++number))
            return false;
        p = nl != NULL ? nl + 1 : end;
    }
    return true;
}

static const struct ynode *key_of(const struct ynode *service)
{
    for (size_t i = 0; service->kind == YN_MAP && i < service->n; i++)
        if (sv_eq(service->pairs[i].key->text, "env_file"))
            return service->pairs[i].key;
    return service;
}

void conf_read_env_files(struct conf_reader *r, const struct ynode *n, struct conf_service *s)
{
    const char *slash = strrchr(r->file, '/');
    struct env_file f = {
        .r = r, .key = key_of(n), .into = &s->environment, .own = s->environment.n};
    bool ok = true;

    for (size_t i = 0; i < s->env_file.n && ok; i++) {
        const char *name = s->env_file.v[i];
        AUTO(mem_freep)
        char *path = name[0] == '/' || slash == NULL
                         ? mem_strdup(name)
                         : mem_printf("%.*s/%s", (int)(slash - r->file), r->file, name);

        f.path = path;
        ok = env_read(&f);
    }
}
