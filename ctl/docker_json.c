#include "ctl/docker_json.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/str.h"

static void json_freep(json_t **j)
{
    json_decref(*j);
}

/* A string member, or NULL. */
static const char *str_of(const json_t *obj, const char *key)
{
    return json_string_value(json_object_get(obj, key));
}

static bool load(const char *p, size_t n, const char *what, json_t **ret, struct err *e)
{
    char text[JSON_ERROR_TEXT_LENGTH];
    json_error_t je;
    json_t *root = json_loadb(p, n, JSON_REJECT_DUPLICATES, &je);

    if (root == NULL)
        return err_set(e, "the engine's %s is no JSON: %s", what,
                       str_quote(sv_of(je.text), text, sizeof(text)));
    *ret = root;
    return true;
}

static bool load_object(const char *p, size_t n, const char *what, json_t **ret, struct err *e)
{
    if (!load(p, n, what, ret, e))
        return false;
    if (json_is_object(*ret))
        return true;
    json_decref(*ret);
    *ret = NULL;
    return err_set(e, "the engine's %s is no JSON object", what);
}

/* ---- version ---- */

/* "1.41": the part after "1."; other majors are none of ours. */
static bool api_minor(const char *s, uint64_t *ret)
{
    return s != NULL && sv_starts(sv_of(s), "1.") && str_to_u64(sv_of(s + 2), 0, 9999, ret, NULL);
}

bool docker_parse_version(const char *p, size_t n, struct docker_version *ret, struct err *e)
{
    AUTO(json_freep) json_t *root = NULL;
    const char *api, *min, *engine;
    uint64_t newest, oldest = 0;

    if (!load_object(p, n, "answer to /version", &root, e))
        return false;
    api = str_of(root, "ApiVersion");
    min = str_of(root, "MinAPIVersion");
    engine = str_of(root, "Version");
    if (!api_minor(api, &newest) || (min != NULL && !api_minor(min, &oldest)))
        return err_set(e, "the engine's answer to /version names no API version that we know");
    if (newest < DOCKER_API_OLDEST)
        return err_set(e, "the engine's API 1.%u is too old, 1.%d is needed: update the engine",
                       (unsigned)newest, DOCKER_API_OLDEST);
    if (oldest > DOCKER_API_NEWEST)
        return err_set(e, "the engine wants API 1.%u or newer, we speak 1.%d at most: update lbctl",
                       (unsigned)oldest, DOCKER_API_NEWEST);
    if (newest > DOCKER_API_NEWEST)
        newest = DOCKER_API_NEWEST;
    snprintf(ret->api, sizeof(ret->api), "1.%u", (unsigned)newest);
    str_quote(sv_of(engine != NULL ? engine : "?"), ret->engine, sizeof(ret->engine));
    return true;
}

/* ---- small answers ---- */

bool docker_id_ok(const char *s)
{
    size_t n = strlen(s);

    return n > 0 && n <= DOCKER_ID_MAX && strspn(s, "0123456789abcdef") == n;
}

bool docker_parse_created(const char *p, size_t n, char ret_id[DOCKER_ID_MAX + 1], struct err *e)
{
    AUTO(json_freep) json_t *root = NULL;
    const char *id;

    if (!load_object(p, n, "answer to a create", &root, e))
        return false;
    id = str_of(root, "Id");
    if (id == NULL || !docker_id_ok(id))
        return err_set(e, "the engine's answer to a create has no id");
    snprintf(ret_id, DOCKER_ID_MAX + 1, "%s", id);
    return true;
}

bool docker_parse_network(const char *p, size_t n, const char *network, bool *ret_same,
                          struct err *e)
{
    AUTO(json_freep) json_t *root = NULL;
    const char *name;

    if (!load_object(p, n, "network", &root, e))
        return false;
    name = str_of(root, "Name");
    *ret_same = name != NULL && strcmp(name, network) == 0;
    return true;
}

const char *docker_printable(struct sv s, char *buf, size_t buf_n)
{
    char raw[1024];

    if (s.n > sizeof(raw))
        s.n = sizeof(raw);
    while (s.n > 0 && (s.p[s.n - 1] == '\n' || s.p[s.n - 1] == '\r'))
        s.n--;
    for (size_t i = 0; i < s.n; i++)
        raw[i] = s.p[i] == '"' ? '\'' : s.p[i]; /* it will stand between double quotes in the log */
    return str_quote((struct sv){raw, s.n}, buf, buf_n);
}

const char *docker_message(const char *p, size_t n, char *buf, size_t buf_n)
{
    AUTO(json_freep) json_t *root = json_loadb(p, n, 0, NULL);
    const char *text = str_of(root, "message");

    return docker_printable(text != NULL ? sv_of(text) : (struct sv){p, n}, buf, buf_n);
}

/* ---- instances ---- */

static enum rt_state state_of(const char *word)
{
    static const struct {
        const char *word;
        enum rt_state state;
    } rows[] = {
        {"created", RT_CREATED},       {"running", RT_RUNNING}, {"paused", RT_PAUSED},
        {"restarting", RT_RESTARTING}, {"exited", RT_EXITED},   {"dead", RT_DEAD},
        {"removing", RT_REMOVING},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (strcmp(word, rows[i].word) == 0)
            return rows[i].state;
    return RT_OTHER;
}

static bool is_address(const char *s)
{
    struct in6_addr any;

    return s != NULL && (inet_pton(AF_INET, s, &any) == 1 || inet_pton(AF_INET6, s, &any) == 1);
}

/* From NetworkSettings.Networks of a list row or an inspect answer. A container that does not run
 * may show a stale address: ask only for those that do. */
static const char *address_of(const json_t *settings, const char *network)
{
    const json_t *ep = json_object_get(json_object_get(settings, "Networks"), network);
    const char *v4 = str_of(ep, "IPAddress"), *v6 = str_of(ep, "GlobalIPv6Address");

    if (is_address(v4))
        return v4;
    return is_address(v6) ? v6 : "";
}

static bool has_process(enum rt_state s)
{
    return s == RT_RUNNING || s == RT_PAUSED;
}

bool docker_parse_address(const char *p, size_t n, const char *network, char *ret, size_t ret_n,
                          struct err *e)
{
    AUTO(json_freep) json_t *root = NULL;
    const char *status, *address = "";

    if (!load_object(p, n, "answer to an inspect", &root, e))
        return false;
    status = str_of(json_object_get(root, "State"), "Status");
    if (status == NULL)
        return err_set(e, "the engine's answer to an inspect has no State.Status");
    if (has_process(state_of(status)))
        address = address_of(json_object_get(root, "NetworkSettings"), network);
    snprintf(ret, ret_n, "%s", address);
    return true;
}

/* The list names exit codes only in its text for people: "Exited (137) 2 minutes ago". */
static int exit_code_of(const char *text)
{
    static const char prefix[] = "Exited (";
    struct sv digits;
    uint64_t code = 0;

    if (text == NULL || !sv_starts(sv_of(text), prefix))
        return 0;
    digits =
        (struct sv){text + sizeof(prefix) - 1, strspn(text + sizeof(prefix) - 1, "0123456789")};
    return str_to_u64(digits, 0, 255, &code, NULL) ? (int)code : 0;
}

static bool word_ok(const char *s)
{
    size_t n = s != NULL ? strlen(s) : 0;

    return n > 0 && n <= 64 &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == n;
}

static bool label_word(const json_t *labels, const char *key, const char **ret, struct err *e)
{
    const char *s = str_of(labels, key);

    if (!word_ok(s))
        return err_set(e, "label %s is missing or ill-formed", key);
    *ret = s;
    return true;
}

static bool label_uint(const json_t *labels, const char *key, uint64_t max, uint64_t *ret,
                       struct err *e)
{
    const char *s = str_of(labels, key);

    if (s == NULL || !str_to_u64(sv_of(s), 0, max, ret, NULL))
        return err_set(e, "label %s is missing or no number up to %llu", key,
                       (unsigned long long)max);
    return true;
}

static bool parse_labels(const json_t *labels, struct rt_instance *ret, struct err *e)
{
    uint64_t slot, port;

    if (!label_word(labels, DOCKER_LABEL_SERVICE, &ret->service, e) ||
        !label_word(labels, DOCKER_LABEL_TOKEN, &ret->token, e) ||
        !label_word(labels, DOCKER_LABEL_CONFHASH, &ret->conf_hash, e) ||
        !label_uint(labels, DOCKER_LABEL_SLOT, UINT16_MAX, &slot, e) ||
        !label_uint(labels, DOCKER_LABEL_GENERATION, UINT64_MAX, &ret->generation, e) ||
        !label_uint(labels, DOCKER_LABEL_PORT, UINT16_MAX, &port, e))
        return false;
    ret->slot = (unsigned)slot;
    ret->host_port = (uint16_t)port;
    return true;
}

static bool parse_row(const json_t *row, const char *network, struct rt_instance *ret,
                      struct err *e)
{
    const char *name = json_string_value(json_array_get(json_object_get(row, "Names"), 0));
    const char *state = str_of(row, "State");

    ret->id = str_of(row, "Id");
    if (ret->id == NULL || !docker_id_ok(ret->id))
        return err_set(e, "a container has no id");
    if (state == NULL)
        return err_set(e, "container %.12s has no state", ret->id);
    ret->state = state_of(state);
    /* One that is being removed has lost its name already. */
    ret->name = name == NULL ? "" : name + (name[0] == '/' ? 1 : 0);
    ret->address =
        has_process(ret->state) ? address_of(json_object_get(row, "NetworkSettings"), network) : "";
    ret->exit_code = exit_code_of(str_of(row, "Status"));
    if (!parse_labels(json_object_get(row, "Labels"), ret, e))
        return err_wrap(e, "container %.12s", ret->id);
    return true;
}

bool docker_parse_list(const char *p, size_t n, const char *project, const char *network,
                       struct docker_list *ret, struct err *e)
{
    AUTO(json_freep) json_t *root = NULL;
    struct docker_list l = {0};

    if (!load(p, n, "list of containers", &root, e))
        return false;
    if (!json_is_array(root))
        return err_set(e, "the engine's list of containers is no JSON array");
    l.v = mem_array(json_array_size(root) + 1, sizeof(*l.v));
    for (size_t i = 0; i < json_array_size(root); i++) {
        const json_t *row = json_array_get(root, i);
        const char *whose = str_of(json_object_get(row, "Labels"), DOCKER_LABEL_PROJECT);
        struct err why;

        if (whose == NULL || strcmp(whose, project) != 0)
            continue;
        l.v[l.n] = (struct rt_instance){0};
        if (parse_row(row, network, &l.v[l.n], &why))
            l.n++;
        else if (l.skipped++ == 0)
            l.first = why;
    }
    l.root = MOVE(root);
    *ret = l;
    return true;
}

void docker_list_fini(struct docker_list *l)
{
    mem_free(l->v);
    json_decref(l->root);
    *l = (struct docker_list){0};
}
