#include "ctl/reload.h"

#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/conf/conf_diff.h"
#include "ctl/ctl.h"
#include "ctl/ledger.h"

/* Where instances, sockets and memory are: another project, so to speak. */
static const char *const identity[] = {"project", "network", "docker",
                                       "runtime", "run_dir", "state_dir"};
/* What ctld itself reads of the top of the file; the rest is lbd's, which reads it when it starts.
 */
static const char *const own[] = {"log_format", "log_level", "pull_timeout"};

static bool is_one_of(const char *key, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(key, names[i]) == 0)
            return true;
    return false;
}

static json_t *build_keys(const struct conf_strs *keys)
{
    json_t *a = json_array();

    for (size_t i = 0; i < keys->n; i++)
        (void)json_array_append_new(a, json_string(keys->v[i]));
    return a;
}

static unsigned count_instances(const struct service *s)
{
    unsigned n = 0;

    for (unsigned i = 0; s != NULL && i < s->places_n; i++)
        n += s->places[i].s.cur.phase != INST_NONE;
    return n;
}

static json_t *build_rows(struct ctl *c, const struct conf *next, const struct conf_diff *d)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < d->n; i++) {
        const struct conf_service *cs = conf_service_find(next, d->rows[i].name);
        unsigned n = count_instances(model_service(c, d->rows[i].name));

        if (d->rows[i].change == CONF_ADDED && cs != NULL)
            n = cs->static_dir != NULL ? 0 : cs->scale.min;
        (void)json_array_append_new(
            rows, json_pack("{s:s, s:s, s:o, s:i, s:b}", "name", d->rows[i].name, "change",
                            conf_change_name(d->rows[i].change), "keys",
                            build_keys(&d->rows[i].keys), "instances", (int)n, "surge",
                            d->rows[i].change == CONF_RECREATED && conf_service_may_surge(cs)));
    }
    return rows;
}

/* Keys at the top of the file: those that forbid it go to errors, lbd's are told. */
static void judge_top(const struct conf_diff *d, json_t *errors, json_t *lbd)
{
    for (size_t i = 0; i < d->top.n; i++) {
        const char *key = d->top.v[i];

        if (is_one_of(key, identity, ARRAY_LEN(identity)))
            (void)json_array_append_new(
                errors, json_sprintf("'%s' cannot change while instances run: end ctld, remove "
                                     "them with ctld --remove-instances and the old file, then "
                                     "start ctld with the new one",
                                     key));
        else if (!is_one_of(key, own, ARRAY_LEN(own)))
            (void)json_array_append_new(lbd, json_string(key));
    }
}

static void load(const char *path, struct conf **ret, json_t *errors)
{
    struct conf_errors *errs = mem_zalloc(sizeof(*errs));
    char q[2 * sizeof errs->v[0].msg];

    if (!conf_load(path, ret, errs))
        for (size_t i = 0; i < errs->n; i++)
            (void)json_array_append_new(errors,
                                        json_string(str_quote(sv_of(errs->v[i].msg), q, sizeof q)));
    mem_free(errs);
}

struct reload reload_read(struct ctl *c)
{
    struct reload r = {0};
    json_t *errors = json_array(), *lbd = json_array(), *rows = NULL;
    struct conf_diff d;
    bool changes = false;

    load(c->conf->path, &r.next, errors);
    if (r.next != NULL) {
        conf_diff(c->conf, r.next, &d);
        judge_top(&d, errors, lbd);
        rows = build_rows(c, r.next, &d);
        changes = !conf_diff_is_empty(&d);
        conf_diff_fini(&d);
    }
    r.body = json_pack("{s:s, s:b, s:i, s:o, s:o, s:o}", "file", c->conf->path, "changes", changes,
                       "loads", (int)c->loads + 1, "errors", errors, "lbd", lbd, "services",
                       rows != NULL ? rows : json_array());
    if (json_array_size(errors) > 0) {
        conf_free(r.next);
        r.next = NULL;
    }
    return r;
}

static void tell(struct ctl *c, const json_t *body)
{
    const json_t *row;
    size_t i;

    json_array_foreach(json_object_get(body, "services"), i, row)
    {
        const char *change = proto_str(row, "change", "");
        AUTO(mem_freep) char *keys = json_dumps(json_object_get(row, "keys"), JSON_COMPACT);

        if (strcmp(change, "unchanged") == 0)
            continue;
        ledger_note(c->ledger,
                    &(struct ledger_entry){LEDGER_OPERATOR, REASON_RELOADED,
                                           proto_str(row, "name", ""), -1, json_deep_copy(row)},
                    "the changed file: %s", change);
        log_info("configuration changed", "service=%s change=%s keys=%s instances=%u",
                 proto_str(row, "name", ""), change, keys != NULL ? keys : "[]",
                 (unsigned)proto_uint(row, "instances", 0));
    }
    json_array_foreach(json_object_get(body, "lbd"), i, row)
    {
        log_warn("configuration needs a restart of lbd", "key=%s", json_string_value(row));
    }
}

static void tell_refused(struct ctl *c, const json_t *body)
{
    const json_t *errors = json_object_get(body, "errors"), *error;
    char q[LEDGER_TEXT_MAX];
    size_t i;

    if (json_array_size(errors) == 0)
        return;
    ledger_note(c->ledger,
                &(struct ledger_entry){LEDGER_OPERATOR, REASON_RELOAD_REFUSED, NULL, -1, NULL},
                "the changed file is not taken over: %s",
                str_quote(sv_of(json_string_value(json_array_get(errors, 0))), q, sizeof q));
    json_array_foreach(errors, i, error)
    {
        log_error("configuration not taken", "reason=\"%s\"", json_string_value(error));
    }
}

void reload_take(struct ctl *c, struct reload *r)
{
    tell_refused(c, r->body);
    if (r->next == NULL || !proto_bool(r->body, "changes", false))
        return;
    tell(c, r->body);
    c->on_next(c->next_arg, r->next);
    r->next = NULL;
}

void reload_fini(struct reload *r)
{
    conf_free(r->next);
    json_decref(r->body);
    *r = (struct reload){0};
}

void ctl_reload(struct ctl *c)
{
    struct reload r = reload_read(c);

    if (r.next != NULL && !proto_bool(r.body, "changes", false))
        log_info("configuration is the same", "file=%s", c->conf->path);
    if (c->on_next != NULL)
        reload_take(c, &r);
    reload_fini(&r);
}
