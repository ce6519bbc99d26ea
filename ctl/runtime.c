#include "ctl/runtime.h"

const char *rt_state_name(enum rt_state s)
{
    static const char *const names[] = {
        [RT_CREATED] = "created",       [RT_RUNNING] = "running", [RT_PAUSED] = "paused",
        [RT_RESTARTING] = "restarting", [RT_EXITED] = "exited",   [RT_DEAD] = "dead",
        [RT_REMOVING] = "removing",     [RT_OTHER] = "other",
    };

    return (unsigned)s < ARRAY_LEN(names) ? names[s] : "?";
}

const char *rt_result_name(enum rt_result r)
{
    static const char *const names[] = {
        [RT_OK] = "ok",
        [RT_REFUSED] = "refused",
        [RT_GONE] = "gone",
        [RT_NO_IMAGE] = "no-image",
        [RT_PORT_BUSY] = "port-busy",
        [RT_CONFLICT] = "conflict",
        [RT_UNKNOWN] = "unknown",
    };

    return (unsigned)r < ARRAY_LEN(names) ? names[r] : "?";
}
