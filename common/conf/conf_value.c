#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/conf/conf-internal.h"

bool conf_is_scalar(struct conf_reader *r, const struct conf_row *row, const struct ynode *n)
{
    if (n->kind == YN_SCALAR)
        return true;
    return CONF_BAD(r, n, "'%s' must be a single value, not %s", row->key, ytree_kind_name(n));
}

void conf_set_str(char **dst, struct sv s)
{
    mem_free(*dst);
    *dst = mem_strndup(s.p, s.n);
}

bool conf_read_STR(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                   void *dst)
{
    if (!conf_is_scalar(r, row, n))
        return false;
    if (n->text.n < row->min || (row->max > 0 && n->text.n > row->max))
        return CONF_BAD(r, n, "'%s' must have %llu to %llu characters", row->key,
                        (unsigned long long)row->min, (unsigned long long)row->max);
    conf_set_str(dst, n->text);
    return true;
}

bool conf_read_NAME(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                    void *dst)
{
    char q[64];

    if (!conf_is_scalar(r, row, n))
        return false;
    if (!conf_name_ok(n->text))
        return CONF_BAD(
            r, n, "%s '%s': use 1 to 40 of a-z, 0-9, '-' and '_', beginning with a letter or digit",
            row->key, str_quote(n->text, q, sizeof(q)));
    conf_set_str(dst, n->text);
    return true;
}

bool conf_read_PATH(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                    void *dst)
{
    if (!conf_is_scalar(r, row, n))
        return false;
    if (n->text.n < 2 || n->text.n > 90 || n->text.p[0] != '/')
        return CONF_BAD(r, n, "'%s' must be an absolute path of at most 90 characters", row->key);
    conf_set_str(dst, n->text);
    return true;
}

bool conf_read_ACCESS_LOG(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                          void *dst)
{
    if (n->kind == YN_SCALAR && (sv_eq(n->text, "off") || sv_eq(n->text, "stderr"))) {
        conf_set_str(dst, n->text);
        return true;
    }
    if (n->kind == YN_SCALAR && (n->text.n == 0 || n->text.p[0] != '/'))
        return CONF_BAD(r, n, "'%s' must be off, stderr or an absolute path", row->key);
    return conf_read_PATH(r, row, n, dst);
}

bool conf_read_ENGINE(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                      void *dst)
{
    if (!conf_is_scalar(r, row, n))
        return false;
    if (!sv_starts(n->text, "unix:///") && !sv_starts(n->text, "http://"))
        return CONF_BAD(r, n, "'%s' must be unix:///PATH or http://ADDRESS:PORT", row->key);
    conf_set_str(dst, n->text);
    return true;
}

bool conf_read_UINT(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                    void *dst)
{
    struct err e;
    uint64_t v;

    if (!conf_is_scalar(r, row, n))
        return false;
    if (!str_to_u64(n->text, row->min, row->max, &v, &e))
        return CONF_BAD(r, n, "'%s': %s", row->key, e.msg);
    *(unsigned *)dst = (unsigned)v;
    return true;
}

bool conf_read_PORT(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                    void *dst)
{
    unsigned v;

    if (!conf_read_UINT(r, row, n, &v))
        return false;
    *(uint16_t *)dst = (uint16_t)v;
    return true;
}

bool conf_read_BOOL(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                    void *dst)
{
    char q[64];

    if (!conf_is_scalar(r, row, n))
        return false;
    if (!sv_eq(n->text, "true") && !sv_eq(n->text, "false"))
        return CONF_BAD(r, n, "'%s' must be true or false, not '%s'", row->key,
                        str_quote(n->text, q, sizeof(q)));
    *(bool *)dst = sv_eq(n->text, "true");
    return true;
}

bool conf_read_TCP(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                   void *dst)
{
    bool tcp;

    if (!conf_read_BOOL(r, row, n, &tcp))
        return false;
    *(enum conf_health_kind *)dst = tcp ? CONF_HEALTH_TCP : CONF_HEALTH_NONE;
    return true;
}

typedef bool parse_fn(struct sv s, uint64_t *ret, struct err *e);

static bool read_number(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                        parse_fn *parse, const char *unit, uint64_t *dst)
{
    struct err e;
    uint64_t v;

    if (!conf_is_scalar(r, row, n))
        return false;
    if (!parse(n->text, &v, &e))
        return CONF_BAD(r, n, "'%s': %s", row->key, e.msg);
    if (v < row->min)
        return CONF_BAD(r, n, "'%s' is too small: use at least %llu %s", row->key,
                        (unsigned long long)row->min, unit);
    if (row->max > 0 && v > row->max)
        return CONF_BAD(r, n, "'%s' is too large: use at most %llu %s", row->key,
                        (unsigned long long)row->max, unit);
    *dst = v;
    return true;
}

bool conf_read_DURATION(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                        void *dst)
{
    return read_number(r, row, n, str_to_duration_ms, "milliseconds", dst);
}

bool conf_read_SIZE(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                    void *dst)
{
    return read_number(r, row, n, str_to_size, "bytes", dst);
}

bool conf_read_MILLI(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                     void *dst)
{
    return read_number(r, row, n, str_to_milli, "thousandths", dst);
}

bool conf_read_word(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                    const char *const *words, size_t words_n, unsigned *ret)
{
    char q[64], all[128] = "";

    if (!conf_is_scalar(r, row, n))
        return false;
    for (size_t i = 0; i < words_n; i++) {
        size_t used = strlen(all);

        if (sv_eq(n->text, words[i])) {
            *ret = (unsigned)i;
            return true;
        }
        snprintf(all + used, sizeof(all) - used, "%s%s", i > 0 ? ", " : "", words[i]);
    }
    return CONF_BAD(r, n, "'%s' is '%s'; use one of: %s", row->key,
                    str_quote(n->text, q, sizeof(q)), all);
}

/* One of some words, in the order of the type's values. */
#define WORD_READER(NAME, type, ...)                                                               \
    bool conf_read_##NAME(struct conf_reader *r, const struct conf_row *row,                       \
                          const struct ynode *n, void *dst)                                        \
    {                                                                                              \
        static const char *const words[] = {__VA_ARGS__};                                          \
        unsigned v;                                                                                \
                                                                                                   \
        if (!conf_read_word(r, row, n, words, ARRAY_LEN(words), &v))                               \
            return false;                                                                          \
        *(type *)dst = (type)v;                                                                    \
        return true;                                                                               \
    }

WORD_READER(LOG_FORMAT, enum log_format, "text", "json")
WORD_READER(LOG_LEVEL, enum log_level, "error", "warn", "info", "debug")
WORD_READER(CONNECT, enum conf_connect, "published", "direct")
WORD_READER(PORT_TAKEN, enum conf_port_taken, "wait", "move")
WORD_READER(RUNTIME, enum conf_runtime, "auto", "docker", "process")
WORD_READER(ROLLOUT, enum conf_rollout, "auto", "start-first", "stop-first")
WORD_READER(PULL_POLICY, enum conf_pull_policy, "missing", "never")
WORD_READER(MANUAL_STOP, enum conf_manual_stop, "replace", "hold")

bool conf_read_REPLACE_AFTER(struct conf_reader *r, const struct conf_row *row,
                             const struct ynode *n, void *dst)
{
    if (n->kind == YN_SCALAR && sv_eq(n->text, "never")) {
        *(unsigned *)dst = CONF_NEVER;
        return true;
    }
    return conf_read_UINT(r, row, n, dst);
}

bool conf_read_SEND_PROXY(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                          void *dst)
{
    static const char *const words[] = {"off", "v1", "v2"};

    return conf_read_word(r, row, n, words, ARRAY_LEN(words), dst);
}

bool conf_read_SIGNAL(struct conf_reader *r, const struct conf_row *row, const struct ynode *n,
                      void *dst)
{
    bool ok;

    if (!conf_is_scalar(r, row, n))
        return false;
    ok = n->text.n >= 5 && n->text.n <= 16 && sv_starts(n->text, "SIG");
    for (size_t i = 3; ok && i < n->text.n; i++)
        ok = strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-", n->text.p[i]) != NULL;
    if (!ok)
        return CONF_BAD(r, n, "'%s' must be a signal's name, such as SIGTERM or SIGINT", row->key);
    conf_set_str(dst, n->text);
    return true;
}
