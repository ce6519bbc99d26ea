#include "common/conf/conf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/conf/conf-internal.h"

bool conf_bad(struct conf_reader *r, unsigned line, unsigned column, const char *fmt, ...)
{
    struct err e;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(e.msg, sizeof(e.msg), fmt, ap);
    va_end(ap);
    if (r->errs->n == CONF_ERRORS_MAX)
        return false;
    return err_set(&r->errs->v[r->errs->n++], "%s:%u:%u: %s", r->file, line, column, e.msg);
}

bool conf_parse(const char *name, const char *text, size_t n, struct conf **ret,
                struct conf_errors *errs)
{
    AUTO(conf_freep) struct conf *c = mem_zalloc(sizeof(*c));
    AUTO(ytree_freep) struct ytree *doc = NULL;
    struct conf_reader r = {name, errs};

    errs->n = 0;
    if (!ytree_parse(name, text, n, &doc, &errs->v[0])) {
        errs->n = 1;
        return false;
    }
    c->path = mem_strdup(name);
    conf_read(&r, ytree_root(doc), c);
    if (errs->n == 0) /* values that are there do not fit together only when all are there */
        conf_check(&r, c);
    if (errs->n > 0)
        return false;
    *ret = MOVE(c);
    return true;
}

bool conf_load(const char *path, struct conf **ret, struct conf_errors *errs)
{
    AUTO(mem_freep) char *text = NULL;
    size_t n;

    errs->n = 0;
    if (!file_read(path, CONF_FILE_MAX, &text, &n, &errs->v[0])) {
        errs->n = 1;
        return false;
    }
    return conf_parse(path, text, n, ret, errs);
}

void conf_strs_fini(struct conf_strs *s)
{
    for (size_t i = 0; i < s->n; i++)
        mem_free(s->v[i]);
    mem_free(s->v);
}

void conf_pairs_fini(struct conf_pairs *p)
{
    for (size_t i = 0; i < p->n; i++) {
        mem_free(p->v[i].key);
        mem_free(p->v[i].value);
    }
    mem_free(p->v);
}

static void service_fini(struct conf_service *s)
{
    char *const owned[] = {s->name,
                           s->image,
                           s->user,
                           s->stop_signal,
                           s->publish,
                           s->health.path,
                           s->health.body,
                           s->health.host,
                           s->static_dir,
                           s->balance.hash_name,
                           s->balance.sticky,
                           s->balance.sticky_path,
                           s->maintenance_page};
    struct conf_strs *const lists[] = {&s->entrypoint, &s->command,     &s->volumes, &s->depends_on,
                                       &s->tmpfs,      &s->networks,    &s->cap_add, &s->cap_drop,
                                       &s->env_file,   &s->scale.ignore};

    for (size_t i = 0; i < ARRAY_LEN(owned); i++)
        mem_free(owned[i]);
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        conf_strs_fini(lists[i]);
    conf_routes_fini(&s->routes);
    for (size_t i = 0; i < s->error_pages.n; i++)
        mem_free(s->error_pages.v[i].file);
    mem_free(s->error_pages.v);
    conf_pairs_fini(&s->environment);
    conf_pairs_fini(&s->labels);
    conf_pairs_fini(&s->secrets);
    mem_free(s->backends.v);
    conf_pairs_fini(&s->written);
}

void conf_free(struct conf *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->services_n; i++)
        service_fini(&c->services[i]);
    mem_free(c->services);
    conf_pairs_fini(&c->written);
    mem_free(c->path);
    mem_free(c->project);
    mem_free(c->run_dir);
    mem_free(c->state_dir);
    mem_free(c->docker);
    mem_free(c->network);
    mem_free(c->access_log);
    mem_free(c);
}

void conf_freep(struct conf **c)
{
    conf_free(*c);
}

const struct conf_service *conf_service_find(const struct conf *c, const char *name)
{
    for (size_t i = 0; i < c->services_n; i++) {
        if (strcmp(c->services[i].name, name) == 0)
            return &c->services[i];
    }
    return NULL;
}

/* FNV-1a, 64 bits: an identity, not a secret. Each part ends with a byte that no text contains, so
 * that parts cannot flow into each other. */
static void hash_bytes(uint64_t *h, const void *p, size_t n)
{
    const unsigned char *b = p;

    for (size_t i = 0; i <= n; i++) {
        *h ^= i < n ? b[i] : 0xff;
        *h *= UINT64_C(0x100000001b3);
    }
}

static void hash_str(uint64_t *h, const char *s)
{
    hash_bytes(h, s != NULL ? s : "", s != NULL ? strlen(s) : 0);
}

static void hash_u64(uint64_t *h, uint64_t v)
{
    hash_bytes(h, &v, sizeof(v));
}

static void hash_strs(uint64_t *h, const struct conf_strs *s)
{
    hash_u64(h, s->n);
    for (size_t i = 0; i < s->n; i++)
        hash_str(h, s->v[i]);
}

static void hash_pairs(uint64_t *h, const struct conf_pairs *p)
{
    hash_u64(h, p->n);
    for (size_t i = 0; i < p->n; i++) {
        hash_str(h, p->v[i].key);
        hash_str(h, p->v[i].value);
    }
}

/* Keys that came later: what does not use them keeps its hash, and its instances. */
static void hash_more(uint64_t *h, const struct conf_service *s)
{
    const struct conf_strs *const lists[] = {&s->networks, &s->cap_add, &s->cap_drop};

    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        if (lists[i]->n == 0)
            continue;
        hash_u64(h, i);
        hash_strs(h, lists[i]);
    }
    if (s->secrets.n > 0)
        hash_pairs(h, &s->secrets);
    if (s->log_max_size != CONF_LOG_MAX_SIZE || s->log_max_files != CONF_LOG_MAX_FILES) {
        hash_u64(h, s->log_max_size);
        hash_u64(h, s->log_max_files);
    }
}

void conf_service_hash(const struct conf_service *s, char ret[17])
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    const uint64_t numbers[] = {s->mem_limit, s->cpus_milli, s->pids_limit, s->shm_size,
                                s->read_only, s->init,       s->port,       s->host_port_first};

    hash_str(&h, s->image);
    hash_str(&h, s->user);
    hash_str(&h, s->stop_signal);
    hash_str(&h, s->publish);
    hash_strs(&h, &s->entrypoint);
    hash_strs(&h, &s->command);
    hash_strs(&h, &s->volumes);
    hash_strs(&h, &s->tmpfs);
    hash_pairs(&h, &s->environment);
    hash_pairs(&h, &s->labels);
    hash_more(&h, s);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        hash_u64(&h, numbers[i]);
    snprintf(ret, 17, "%016llx", (unsigned long long)h);
}

static bool is_written(const char *volume)
{
    size_t n = strlen(volume);

    return n < 3 || strcmp(volume + n - 3, ":ro") != 0;
}

bool conf_service_has_instances(const struct conf_service *s)
{
    return s->static_dir == NULL && s->backends.n == 0;
}

bool conf_service_may_surge(const struct conf_service *s)
{
    if (s->rollout != CONF_ROLLOUT_AUTO)
        return s->rollout == CONF_ROLLOUT_START_FIRST;
    for (size_t i = 0; i < s->volumes.n; i++)
        if (is_written(s->volumes.v[i]))
            return false;
    return s->routes.n > 0 && conf_service_has_instances(s);
}

bool conf_status_ok(const struct conf_statuses *s, int status)
{
    for (size_t i = 0; i < s->n; i++)
        if (status >= s->v[i].first && status <= s->v[i].last)
            return true;
    return s->n == 0 && status == 200;
}
