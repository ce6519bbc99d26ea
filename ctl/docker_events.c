#include "ctl/docker_events.h"

#include <jansson.h>
#include <string.h>

#include "common/base/str.h"

void docker_events_init(struct docker_events *s, const char *project, docker_event_fn *fn,
                        void *arg)
{
    *s = (struct docker_events){.project = project, .fn = fn, .arg = arg};
    json_stream_init(&s->in, "event", DOCKER_EVENT_MAX);
}

void docker_events_fini(struct docker_events *s)
{
    json_stream_fini(&s->in);
}

void docker_events_restart(struct docker_events *s)
{
    json_stream_restart(&s->in);
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

static void on_object(void *arg, const json_t *root) /* json_stream_fn */
{
    struct docker_events *s = arg;
    json_int_t ns = json_integer_value(json_object_get(root, "timeNano"));
    struct docker_event ev;

    if (ns > 0 && (uint64_t)ns > s->last_ns)
        s->last_ns = (uint64_t)ns;
    if (event_of(s, root, &ev))
        s->fn(s->arg, &ev);
    else
        s->ignored++;
}

bool docker_events_feed(struct docker_events *s, const char *p, size_t n, struct err *e)
{
    return json_stream_feed(&s->in, p, n, on_object, s, e);
}
