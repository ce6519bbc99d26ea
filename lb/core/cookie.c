#include "lb/core/cookie.h"

static struct sv trim(struct sv s)
{
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

/* What stands before the first c; *rest: what is behind it. */
static struct sv cut(struct sv *rest, char c, bool *ret_found)
{
    const char *at = rest->n > 0 ? memchr(rest->p, c, rest->n) : NULL;
    struct sv head = *rest;

    *ret_found = at != NULL;
    if (at == NULL) {
        rest->p += rest->n;
        rest->n = 0;
        return head;
    }
    head.n = (size_t)(at - rest->p);
    rest->n -= head.n + 1;
    rest->p = at + 1;
    return head;
}

bool cookie_next(struct sv *rest, struct sv *ret_name, struct sv *ret_value)
{
    bool found;

    while (rest->n > 0) {
        struct sv value = cut(rest, ';', &found), name = cut(&value, '=', &found);

        name = trim(name);
        value = trim(value);
        if (!found || name.n == 0)
            continue;
        if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"') {
            value.p++;
            value.n -= 2;
        }
        *ret_name = name;
        *ret_value = value;
        return true;
    }
    return false;
}
