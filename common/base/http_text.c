#include "common/base/http_text.h"

enum { PREFIX_MAX = 1024, HOST_MAX = 253, GOAL_MAX = 2048 };

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_in(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

bool http_text_name_ok(struct sv name)
{
    for (size_t i = 0; i < name.n; i++) {
        if (!is_alnum(name.p[i]) && !is_in(name.p[i], "!#$%&'*+-.^_`|~"))
            return false;
    }
    return name.n > 0;
}

bool http_text_value_ok(struct sv value)
{
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];

        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

bool http_text_may_edit(struct sv name)
{
    static const char *const fixed[] = {
        "connection", "content-length", "expect",  "keep-alive", "proxy-connection",
        "te",         "trailer",        "upgrade", "via",        "transfer-encoding"};

    for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
        if (sv_ieq(name, fixed[i]))
            return false;
    }
    return true;
}

bool http_text_is_wildcard(struct sv host)
{
    return sv_starts(host, "*.");
}

bool http_text_host_ok(struct sv host)
{
    bool bracket = host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';

    if (bracket)
        host = (struct sv){host.p + 1, host.n - 2};
    else if (http_text_is_wildcard(host))
        host = (struct sv){host.p + 2, host.n - 2};
    if (host.n == 0 || host.n > HOST_MAX || host.p[0] == '.' || host.p[host.n - 1] == '.')
        return false;
    for (size_t i = 0; i < host.n; i++) {
        if (!is_alnum(host.p[i]) && !is_in(host.p[i], bracket ? ":." : "-._"))
            return false;
    }
    return true;
}

bool http_text_prefix_ok(struct sv path)
{
    bool ok = path.n >= 1 && path.n <= PREFIX_MAX && path.p[0] == '/' &&
              (path.n == 1 || path.p[path.n - 1] != '/');

    for (size_t i = 0; ok && i < path.n; i++) {
        unsigned char c = (unsigned char)path.p[i];

        ok = c > ' ' && c < 0x7f && !is_in((char)c, "?#%") &&
             !(i > 0 && c == '/' && path.p[i - 1] == '/');
    }
    return ok;
}

bool http_text_goal_ok(struct sv goal)
{
    if (goal.n > GOAL_MAX || sv_starts(goal, "//") ||
        (!sv_starts(goal, "/") && !sv_starts(goal, "http://") && !sv_starts(goal, "https://")))
        return false;
    for (size_t i = 0; i < goal.n; i++) {
        unsigned char c = (unsigned char)goal.p[i];

        if (c <= ' ' || c >= 0x7f || is_in((char)c, "\"#<>\\^`{|}"))
            return false;
    }
    return true;
}
