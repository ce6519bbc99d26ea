#include <string.h>

#include "ctl/docker_json.h"

enum { ANY = 0 };

/* First match wins. The engine's statuses are coarse (a taken port is a 500), so its words count
 * too; they are those of 20.10 to 28 and of Docker Desktop. */
static const struct verdict {
    enum docker_verb verb;
    int status;       /* ANY: every refusal */
    const char *says; /* in any case; NULL: whatever it says */
    enum rt_result result;
} verdicts[] = {
    {DOCKER_CREATE, 404, "no such image", RT_NO_IMAGE},
    {DOCKER_CREATE, 409, NULL, RT_CONFLICT},
    {DOCKER_START, 304, NULL, RT_OK}, /* runs already */
    {DOCKER_START, ANY, "port is already allocated", RT_PORT_BUSY},
    {DOCKER_START, ANY, "address already in use", RT_PORT_BUSY},
    {DOCKER_START, ANY, "ports are not available", RT_PORT_BUSY},
    {DOCKER_START, ANY, "eaddrinuse", RT_PORT_BUSY},
    {DOCKER_START, 404, "no such container", RT_GONE},
    {DOCKER_START, 409, "marked for removal", RT_GONE},
    {DOCKER_INSPECT, 404, "no such container", RT_GONE},
    {DOCKER_STOP, 304, NULL, RT_OK}, /* does not run */
    {DOCKER_STOP, 404, "no such container", RT_GONE},
    {DOCKER_KILL, 404, "no such container", RT_GONE},
    {DOCKER_KILL, 409, "is not running", RT_OK},
    {DOCKER_REMOVE, 404, "no such container", RT_GONE},
    {DOCKER_WAIT, 404, "no such container", RT_OK}, /* the removal we waited for */
    {DOCKER_NETWORK_GET, 404, NULL, RT_GONE},
    {DOCKER_NETWORK_CREATE, 409, "already exists", RT_OK},     /* somebody was faster */
    {DOCKER_CONNECT, ANY, "already exists in network", RT_OK}, /* connected by a former try */
    {DOCKER_CONNECT, 404, "no such container", RT_GONE},
    {DOCKER_IMAGE_GET, 404, NULL, RT_NO_IMAGE},
};

const char *docker_verb_name(enum docker_verb v)
{
    static const char *const names[] = {
        [DOCKER_LIST] = "list",
        [DOCKER_CREATE] = "create",
        [DOCKER_START] = "start",
        [DOCKER_INSPECT] = "inspect",
        [DOCKER_STOP] = "stop",
        [DOCKER_KILL] = "kill",
        [DOCKER_REMOVE] = "remove",
        [DOCKER_WAIT] = "wait for removal of",
        [DOCKER_NETWORK_GET] = "look at network",
        [DOCKER_NETWORK_CREATE] = "make network",
        [DOCKER_CONNECT] = "connect",
        [DOCKER_IMAGE_GET] = "look at image",
    };

    return (unsigned)v < ARRAY_LEN(names) ? names[v] : "?";
}

enum rt_result docker_judge(enum docker_verb verb, int status, const char *message)
{
    if (status >= 200 && status <= 299)
        return RT_OK;
    for (size_t i = 0; i < ARRAY_LEN(verdicts); i++) {
        const struct verdict *v = &verdicts[i];

        if (v->verb == verb && (v->status == status || (v->status == ANY && status >= 400)) &&
            (v->says == NULL || strcasestr(message, v->says) != NULL))
            return v->result;
    }
    /* A gateway between us and the engine speaks; what the engine did is not known. */
    if (status == 502 || status == 503 || status == 504)
        return RT_UNKNOWN;
    return status >= 400 && status <= 599 ? RT_REFUSED : RT_UNKNOWN;
}

bool docker_lacks_network(int status, const char *message)
{
    return status == 404 && strcasestr(message, "network") != NULL &&
           strcasestr(message, "not found") != NULL;
}

bool docker_removes_already(int status, const char *message)
{
    return status == 409 && strcasestr(message, "already in progress") != NULL;
}
