#include "ctl/docker_events.h"

#include <jansson.h>
#include <string.h>

#include "common/base/str.h"

void docker_events_init(struct docker_events *s, const char *project, docker_event_fn *fn,
                        void *arg)
{
    *s = (struct docker_events){.project = project, .fn = fn, .arg = arg};
    buf_init(&s->in, DOCKER_EVENT_MAX);
}

void docker_events_fini(struct docker_events *s)
{
    buf_fini(&s->in);
}

void docker_events_restart(struct docker_events *s)
{
    buf_clear(&s->in);
    s->depth = 0;
    s->string = s->escape = false;
}

/* The events that change what an instance is; health checks, execs and the like are noise. */
static const char *action_of(const char *word)
{
    static const char *const known[] = {"create",  "start",   "die",  "oom",    "pause",
                                        "unpause", "destroy", "stop", "rename", "kill"};

    for (size_t i = 0; word != NULL && i < ARRAY_LEN(known); i++)
        if (strcmp(word, known[i]) == 0)
            return known[i];
    return NULL;
}

static const char *member(const json_t *obj, const char *key)
{
    const char *s = json_string_value(json_object_get(obj, key));

    return s != NULL ? s : "";
}

/* false: not for us. */
static bool event_of(const struct docker_events *s, const json_t *root, struct docker_event *ret)
{
    const json_t *actor = json_object_get(root, "Actor");
    const json_t *labels = json_object_get(actor, "Attributes");
    uint64_t slot;

    ret->action = action_of(member(root, "Action"));
    ret->id = member(actor, "ID");
    ret->service = member(labels, DOCKER_LABEL_SERVICE);
    if (strcmp(member(root, "Type"), "container") != 0 || ret->action == NULL)
        return false;
    if (strcmp(member(labels, DOCKER_LABEL_PROJECT), s->project) != 0)
        return false;
    if (!docker_id_ok(ret->id) || ret->service[0] == '\0')
        return false;
    if (!str_to_u64(sv_of(member(labels, DOCKER_LABEL_SLOT)), 0, UINT16_MAX, &slot, NULL))
        return false;
    ret->slot = (unsigned)slot;
    return true;
}

static bool object_end(struct docker_events *s, struct err *e)
{
    json_error_t je;
    json_t *root = json_loadb(s->in.data, s->in.len, JSON_REJECT_DUPLICATES, &je);
    struct docker_event ev;
    json_int_t ns;

    if (root == NULL)
        return err_set(e, "an event is no JSON: %s", je.text);
    ns = json_integer_value(json_object_get(root, "timeNano"));
    if (ns > 0 && (uint64_t)ns > s->last_ns)
        s->last_ns = (uint64_t)ns;
    if (event_of(s, root, &ev))
        s->fn(s->arg, &ev);
    else
        s->ignored++;
    json_decref(root);
    buf_clear(&s->in);
    return true;
}

/* How this byte moves us between the braces. */
static void track(struct docker_events *s, char c)
{
    if (s->escape)
        s->escape = false;
    else if (s->string && c == '\\')
        s->escape = true;
    else if (c == '"')
        s->string = !s->string;
    else if (!s->string && c == '{')
        s->depth++;
    else if (!s->string && c == '}')
        s->depth--;
}

bool docker_events_feed(struct docker_events *s, const char *p, size_t n, struct err *e)
{
    size_t from = 0;

    for (size_t i = 0; i < n; i++) {
        if (s->depth == 0) {
            if (strchr(" \t\r\n", p[i]) != NULL && p[i] != '\0')
                continue;
            if (p[i] != '{')
                return err_set(e, "the event stream has something else than objects in it");
            from = i;
        }
        track(s, p[i]);
        if (s->depth > 0)
            continue;
        if (!buf_add(&s->in, p + from, i + 1 - from))
            return err_set(e, "an event is longer than %d bytes", DOCKER_EVENT_MAX);
        if (!object_end(s, e))
            return false;
    }
    if (s->depth > 0 && !buf_add(&s->in, p + from, n - from))
        return err_set(e, "an event is longer than %d bytes", DOCKER_EVENT_MAX);
    return true;
}
