#include "acts-service/env.h"

#include <arpa/inet.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/str.h"

enum { PASSWORD_MAX = 4096 };
enum kind { KIND_TEXT, KIND_UINT, KIND_SIZE };

static const struct env_row {
    const char *name, *def;
    enum kind kind;
    size_t at;
    uint64_t min, max;
    const char *only, *help;
} rows[] = {
#define ENV(name, kind, member, def, min, max, only, help)                                         \
    {#name, def, KIND_##kind, offsetof(struct env, member), min, max, only, help},
#include "acts-service/env.def"
#undef ENV
};

/* Does the program with this prefix have the variable? */
static bool applies(const struct env_row *r, const char *prefix)
{
    return r->only == NULL || strcmp(r->only, prefix) == 0;
}

static const struct env_row *find(const char *prefix, struct sv name)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (applies(&rows[i], prefix) && sv_eq(name, rows[i].name))
            return &rows[i];
    }
    return NULL;
}

/* Is it "PREFIX_NAME=value"? */
static bool is_ours(const char *entry, const char *prefix, struct sv *name, const char **value)
{
    size_t n = strlen(prefix);
    const char *eq = strchr(entry, '=');

    if (eq == NULL || strncmp(entry, prefix, n) != 0 || entry[n] != '_')
        return false;
    *name = (struct sv){entry + n + 1, (size_t)(eq - entry) - n - 1};
    *value = eq + 1;
    return true;
}

static bool unknown(const char *prefix, struct sv name, struct err *e)
{
    const char *names[ARRAY_LEN(rows)], *like;
    char quoted[80], *copy = mem_strndup(name.p, name.n);
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (applies(&rows[i], prefix))
            names[n++] = rows[i].name;
    }
    like = str_suggest(copy, names, n);
    mem_free(copy);
    (void)str_quote(name, quoted, sizeof(quoted));
    if (like == NULL)
        return err_set(e, "%s_%s is not known; --help lists all variables", prefix, quoted);
    return err_set(e, "%s_%s is not known; did you mean %s_%s?", prefix, quoted, prefix, like);
}

static bool set(struct env *v, const struct env_row *r, const char *value, struct err *e)
{
    void *at = (char *)v + r->at;

    switch (r->kind) {
    case KIND_TEXT:
        mem_free(*(char **)at);
        *(char **)at = mem_strdup(value);
        return true;
    case KIND_UINT:
        return str_to_u64(sv_of(value), r->min, r->max, at, e) ||
               err_wrap(e, "%s_%s", v->prefix, r->name);
    case KIND_SIZE:
        if (!str_to_size(sv_of(value), at, e))
            return err_wrap(e, "%s_%s", v->prefix, r->name);
        if (*(uint64_t *)at < r->min || *(uint64_t *)at > r->max)
            return err_set(e, "%s_%s must be between %llu and %llu bytes", v->prefix, r->name,
                           (unsigned long long)r->min, (unsigned long long)r->max);
        return true;
    }
    return false;
}

/* PORT, which whoever starts us as a plain process sets, is the port's default. */
static bool set_defaults(struct env *v, char *const *list, struct err *e)
{
    static const char port[] = "PORT=";

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!set(v, &rows[i], rows[i].def, e))
            return false;
    }
    for (; *list != NULL; list++)
        if (strncmp(*list, port, strlen(port)) == 0)
            return set(v, find(v->prefix, sv_of("PORT")), *list + strlen(port), e);
    return true;
}

static bool read_all(struct env *v, char *const *list, struct err *e)
{
    if (!set_defaults(v, list, e))
        return false;
    for (; *list != NULL; list++) {
        const struct env_row *r;
        const char *value;
        struct sv name;

        if (!is_ours(*list, v->prefix, &name, &value))
            continue;
        r = find(v->prefix, name);
        if (r != NULL && !set(v, r, value, e))
            return false;
    }
    return true;
}

static bool read_password(struct env *v, struct err *e)
{
    char *text;
    size_t n;

    if (*v->db_password_file == '\0')
        return true;
    if (*v->db_password != '\0')
        return err_set(e, "set %s_DB_PASSWORD or %s_DB_PASSWORD_FILE, not both", v->prefix,
                       v->prefix);
    if (!file_read(v->db_password_file, PASSWORD_MAX, &text, &n, e))
        return err_wrap(e, "%s_DB_PASSWORD_FILE", v->prefix);
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
        text[--n] = '\0';
    mem_free(v->db_password);
    v->db_password = text;
    if (n == 0 || strlen(text) != n)
        return err_set(e, "%s_DB_PASSWORD_FILE: '%s' is empty or not text", v->prefix,
                       v->db_password_file);
    return true;
}

static bool is_sslmode(const char *s)
{
    static const char *const modes[] = {"disable", "allow",     "prefer",
                                        "require", "verify-ca", "verify-full"};

    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        if (strcmp(s, modes[i]) == 0)
            return true;
    }
    return false;
}

static bool check(struct env *v, struct err *e)
{
    unsigned char raw[sizeof(struct in6_addr)];

    if (*v->db_host == '\0')
        return err_set(e, "%s_DB_HOST is not set: where is the database?", v->prefix);
    if (*v->db_user == '\0')
        return err_set(e, "%s_DB_USER is not set", v->prefix);
    if (*v->db_name == '\0') {
        mem_free(v->db_name);
        v->db_name = mem_strdup(v->db_user);
    }
    if (inet_pton(AF_INET, v->bind, raw) != 1 && inet_pton(AF_INET6, v->bind, raw) != 1)
        return err_set(e, "%s_BIND: '%s' is not an IP address", v->prefix, v->bind);
    if (!is_sslmode(v->db_sslmode))
        return err_set(e,
                       "%s_DB_SSLMODE: '%s' is none of disable, allow, prefer, require, verify-ca, "
                       "verify-full",
                       v->prefix, v->db_sslmode);
    if (!log_level_from_name(v->log_level, &v->level))
        return err_set(e, "%s_LOG_LEVEL: '%s' is none of error, warn, info, debug", v->prefix,
                       v->log_level);
    if (strcmp(v->log_format, "text") != 0 && strcmp(v->log_format, "json") != 0)
        return err_set(e, "%s_LOG_FORMAT: '%s' is neither text nor json", v->prefix, v->log_format);
    v->format = strcmp(v->log_format, "json") == 0 ? LOG_FMT_JSON : LOG_FMT_TEXT;
    return true;
}

bool env_read(const char *prefix, char *const *environ_list, struct env *ret, struct err *e)
{
    struct env v = {.prefix = mem_strdup(prefix)};

    if (!read_all(&v, environ_list, e) || !read_password(&v, e) || !check(&v, e)) {
        env_fini(&v);
        return false;
    }
    *ret = v;
    return true;
}

bool env_all_known(const char *prefix, char *const *environ_list, struct err *e)
{
    for (; *environ_list != NULL; environ_list++) {
        const char *value;
        struct sv name;

        if (is_ours(*environ_list, prefix, &name, &value) && find(prefix, name) == NULL)
            return unknown(prefix, name, e);
    }
    return true;
}

void env_fini(struct env *v)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].kind == KIND_TEXT)
            mem_free(*(char **)(void *)((char *)v + rows[i].at));
    }
    mem_free(v->prefix);
    *v = (struct env){0};
}

void env_help(const char *prefix, FILE *out)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (applies(&rows[i], prefix))
            (void)fprintf(out, "  %s_%-18s %s%s%s%s\n", prefix, rows[i].name, rows[i].help,
                          *rows[i].def != '\0' ? " [" : "", rows[i].def,
                          *rows[i].def != '\0' ? "]" : "");
    }
}
