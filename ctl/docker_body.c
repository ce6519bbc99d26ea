#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/str.h"
#include "ctl/docker_json.h"

/* Builds what we send. json_object_set_new() and its kin take NULL for an error and say so; `ok`
 * gathers that, so that a string that is no UTF-8 fails the whole and not a part of it. */
struct body {
    json_t *root;
    bool ok;
};

static void body_fini(struct body *b)
{
    json_decref(b->root);
}

static void put(struct body *b, json_t *obj, const char *key, json_t *value)
{
    if (json_object_set_new(obj, key, value) < 0)
        b->ok = false;
}

static void put_str(struct body *b, json_t *obj, const char *key, const char *s)
{
    put(b, obj, key, json_string(s));
}

static void put_uint(struct body *b, json_t *obj, const char *key, uint64_t v)
{
    put(b, obj, key, json_integer((json_int_t)(v > INT64_MAX ? INT64_MAX : v)));
}

/* A new member object or array, borrowed. */
static json_t *put_obj(struct body *b, json_t *obj, const char *key)
{
    put(b, obj, key, json_object());
    return json_object_get(obj, key);
}

static json_t *put_arr(struct body *b, json_t *obj, const char *key)
{
    put(b, obj, key, json_array());
    return json_object_get(obj, key);
}

static void add(struct body *b, json_t *arr, json_t *value)
{
    if (json_array_append_new(arr, value) < 0)
        b->ok = false;
}

static void put_strs(struct body *b, json_t *obj, const char *key, const struct conf_strs *v)
{
    json_t *arr;

    if (v->n == 0)
        return;
    arr = put_arr(b, obj, key);
    for (size_t i = 0; i < v->n; i++)
        add(b, arr, json_string(v->v[i]));
}

static int on_json_dump(const char *p, size_t n, void *arg) /* json_dump_callback_t */
{
    return buf_add(arg, p, n) ? 0 : -1;
}

static bool body_write(const struct body *b, const char *what, struct buf *ret, struct err *e)
{
    if (!b->ok)
        return err_set(e, "%s: a text in it is no UTF-8, or memory is out", what);
    if (json_dump_callback(b->root, on_json_dump, ret, JSON_COMPACT) < 0)
        return err_set(e, "%s: the request would be longer than %d bytes", what, DOCKER_BODY_MAX);
    return true;
}

void docker_name(const struct rt_spec *spec, char *buf, size_t n)
{
    snprintf(buf, n, "%s-%s-%u-%llu", spec->project, spec->service->name, spec->slot,
             (unsigned long long)spec->generation);
}

static void put_label_uint(struct body *b, json_t *labels, const char *key, uint64_t v)
{
    char digits[24];

    snprintf(digits, sizeof(digits), "%llu", (unsigned long long)v);
    put_str(b, labels, key, digits);
}

static void put_labels(struct body *b, const struct rt_spec *spec)
{
    const struct conf_pairs *own = &spec->service->labels;
    json_t *labels = put_obj(b, b->root, "Labels");

    for (size_t i = 0; i < own->n; i++)
        put_str(b, labels, own->v[i].key, own->v[i].value);
    /* After the service's own: ours cannot be overridden. */
    put_str(b, labels, DOCKER_LABEL_PROJECT, spec->project);
    put_str(b, labels, DOCKER_LABEL_SERVICE, spec->service->name);
    put_str(b, labels, DOCKER_LABEL_TOKEN, spec->token);
    put_str(b, labels, DOCKER_LABEL_CONFHASH, spec->conf_hash);
    put_label_uint(b, labels, DOCKER_LABEL_SLOT, spec->slot);
    put_label_uint(b, labels, DOCKER_LABEL_GENERATION, spec->generation);
    put_label_uint(b, labels, DOCKER_LABEL_PORT, spec->host_port);
}

static void put_environment(struct body *b, const struct conf_pairs *env)
{
    json_t *arr;

    if (env->n == 0)
        return;
    arr = put_arr(b, b->root, "Env");
    for (size_t i = 0; i < env->n; i++) {
        AUTO(mem_freep)
        char *line =
            mem_printf("%s=%s", env->v[i].key, env->v[i].value != NULL ? env->v[i].value : "");

        add(b, arr, json_string(line));
    }
}

static void put_ports(struct body *b, json_t *host, const struct rt_spec *spec)
{
    const struct conf_service *s = spec->service;
    char inside[16], outside[8];
    json_t *bindings, *one;

    if (s->port == 0)
        return;
    snprintf(inside, sizeof(inside), "%u/tcp", s->port);
    put_obj(b, put_obj(b, b->root, "ExposedPorts"), inside);
    if (spec->host_port == 0)
        return;
    snprintf(outside, sizeof(outside), "%u", spec->host_port);
    bindings = put_arr(b, put_obj(b, host, "PortBindings"), inside);
    one = json_object();
    put_str(b, one, "HostIp", s->publish != NULL ? s->publish : "127.0.0.1");
    put_str(b, one, "HostPort", outside);
    add(b, bindings, one);
}

/* SOURCE:TARGET[:ro|:rw]. A host path becomes a mount, whose source the engine wants to exist; a
 * name the engine's own notation for named volumes, which it makes when missing. */
static void add_volume(struct body *b, json_t *host, const char *text)
{
    const char *colon = strchr(text, ':'), *second = colon != NULL ? strchr(colon + 1, ':') : NULL;
    json_t *binds = json_object_get(host, "Binds"), *mounts = json_object_get(host, "Mounts"), *m;
    size_t target_n;

    if (text[0] != '/' || colon == NULL) {
        add(b, binds != NULL ? binds : put_arr(b, host, "Binds"), json_string(text));
        return;
    }
    target_n = second != NULL ? (size_t)(second - colon - 1) : strlen(colon + 1);
    m = json_object();
    put_str(b, m, "Type", "bind");
    put(b, m, "Source", json_stringn(text, (size_t)(colon - text)));
    put(b, m, "Target", json_stringn(colon + 1, target_n));
    put(b, m, "ReadOnly", json_boolean(second != NULL && strcmp(second + 1, "ro") == 0));
    add(b, mounts != NULL ? mounts : put_arr(b, host, "Mounts"), m);
}

static void put_tmpfs(struct body *b, json_t *host, const struct conf_strs *v)
{
    json_t *obj;

    if (v->n == 0)
        return;
    obj = put_obj(b, host, "Tmpfs");
    for (size_t i = 0; i < v->n; i++) { /* "/path[:options]" */
        const char *colon = strchr(v->v[i], ':');
        AUTO(mem_freep)
        char *path =
            mem_strndup(v->v[i], colon != NULL ? (size_t)(colon - v->v[i]) : strlen(v->v[i]));

        put_str(b, obj, path, colon != NULL ? colon + 1 : "");
    }
}

static void put_limits(struct body *b, json_t *host, const struct conf_service *s)
{
    if (s->mem_limit > 0)
        put_uint(b, host, "Memory", s->mem_limit);
    if (s->cpus_milli > 0 && s->cpus_milli <= UINT64_MAX / 1000000)
        put_uint(b, host, "NanoCpus", s->cpus_milli * 1000000);
    if (s->shm_size > 0)
        put_uint(b, host, "ShmSize", s->shm_size);
    put_uint(b, host, "PidsLimit", s->pids_limit > 0 ? s->pids_limit : DOCKER_PIDS_DEFAULT);
    if (s->read_only)
        put(b, host, "ReadonlyRootfs", json_true());
    if (s->init)
        put(b, host, "Init", json_true());
}

static void put_host(struct body *b, const struct rt_spec *spec)
{
    const struct conf_service *s = spec->service;
    json_t *host = put_obj(b, b->root, "HostConfig"), *log;
    char digits[24];

    put_str(b, host, "NetworkMode", spec->network);
    put_str(b, put_obj(b, host, "RestartPolicy"), "Name", "no");
    add(b, put_arr(b, host, "SecurityOpt"), json_string("no-new-privileges"));
    log = put_obj(b, host, "LogConfig");
    put_str(b, log, "Type", "json-file");
    log = put_obj(b, log, "Config");
    (void)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)s->log_max_size);
    put_str(b, log, "max-size", digits);
    (void)snprintf(digits, sizeof(digits), "%u", s->log_max_files);
    put_str(b, log, "max-file", digits);
    put_strs(b, host, "CapAdd", &s->cap_add);
    put_strs(b, host, "CapDrop", &s->cap_drop);
    put_ports(b, host, spec);
    put_limits(b, host, s);
    put_tmpfs(b, host, &s->tmpfs);
    for (size_t i = 0; i < s->volumes.n; i++)
        add_volume(b, host, s->volumes.v[i]);
    for (size_t i = 0; i < s->secrets.n; i++) {
        AUTO(mem_freep)
        char *text =
            mem_printf("%s:/run/secrets/%s:ro", s->secrets.v[i].value, s->secrets.v[i].key);

        add_volume(b, host, text);
    }
}

bool docker_create_body(const struct rt_spec *spec, struct buf *ret, struct err *e)
{
    AUTO(body_fini) struct body b = {json_object(), true};
    const struct conf_service *s = spec->service;
    json_t *ep;

    put_str(&b, b.root, "Image", s->image);
    put_strs(&b, b.root, "Entrypoint", &s->entrypoint);
    put_strs(&b, b.root, "Cmd", &s->command);
    if (s->user != NULL)
        put_str(&b, b.root, "User", s->user);
    if (s->stop_signal != NULL)
        put_str(&b, b.root, "StopSignal", s->stop_signal);
    put_uint(&b, b.root, "StopTimeout",
             s->stop_grace_ms / 1000 + (s->stop_grace_ms % 1000 > 0 ? 1 : 0));
    put_environment(&b, &s->environment);
    put_labels(&b, spec);
    put_host(&b, spec);
    ep = put_obj(&b, put_obj(&b, b.root, "NetworkingConfig"), "EndpointsConfig");
    ep = put_obj(&b, ep, spec->network);
    add(&b, put_arr(&b, ep, "Aliases"), json_string(s->name));
    return body_write(&b, "create", ret, e);
}

bool docker_connect_body(const char *id, const char *alias, struct buf *ret, struct err *e)
{
    AUTO(body_fini) struct body b = {json_object(), true};

    put_str(&b, b.root, "Container", id);
    add(&b, put_arr(&b, put_obj(&b, b.root, "EndpointConfig"), "Aliases"), json_string(alias));
    return body_write(&b, "connect", ret, e);
}

bool docker_network_body(const char *network, const char *project, struct buf *ret, struct err *e)
{
    AUTO(body_fini) struct body b = {json_object(), true};

    put_str(&b, b.root, "Name", network);
    put_str(&b, b.root, "Driver", "bridge");
    put(&b, b.root, "CheckDuplicate",
        json_true()); /* engines before API 1.44 make a second one otherwise */
    put_str(&b, put_obj(&b, b.root, "Labels"), DOCKER_LABEL_PROJECT, project);
    return body_write(&b, "network", ret, e);
}

void docker_encode(struct buf *out, const char *s, size_t n)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";

    for (size_t i = 0; i < n; i++) {
        if (s[i] != '\0' && strchr(plain, s[i]) != NULL)
            buf_add(out, &s[i], 1);
        else
            buf_printf(out, "%%%02X", (unsigned)(unsigned char)s[i]);
    }
}

bool docker_filters(const char *project, bool events, struct buf *ret, struct err *e)
{
    AUTO(body_fini) struct body b = {json_object(), true};
    AUTO(mem_freep) char *label = mem_printf("%s=%s", DOCKER_LABEL_PROJECT, project);
    AUTO(buf_fini) struct buf text;

    buf_init(&text, DOCKER_BODY_MAX);
    add(&b, put_arr(&b, b.root, "label"), json_string(label));
    if (events)
        add(&b, put_arr(&b, b.root, "type"), json_string("container"));
    if (!body_write(&b, "filters", &text, e))
        return false;
    docker_encode(ret, text.data, text.len);
    return !ret->over || err_set(e, "filters: too long");
}
