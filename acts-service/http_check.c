#include "acts-service/http_check.h"

enum { FIELDS_MAX = 100 };

static bool is_token(const char *s) /* RFC 9110 section 5.6.2 */
{
    static const char marks[] = "!#$%&'*+-.^_`|~";

    if (*s == '\0')
        return false;
    for (; *s != '\0'; s++) {
        bool alnum =
            (*s >= '0' && *s <= '9') || (*s >= 'A' && *s <= 'Z') || (*s >= 'a' && *s <= 'z');

        if (!alnum && strchr(marks, *s) == NULL)
            return false;
    }
    return true;
}

static bool is_visible(struct sv s) /* no blank, no control byte */
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c <= ' ' || c == 0x7F)
            return false;
    }
    return true;
}

static bool has_control(const char *s)
{
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;

        if ((c < ' ' && c != '\t') || c == 0x7F)
            return true;
    }
    return false;
}

void http_check_field(struct http_check *c, const char *name, const char *value)
{
    struct sv n = sv_of(name);
    uint64_t length;

    c->fields++;
    if (!is_token(name) || has_control(value))
        c->bad = true;
    if (sv_ieq(n, "host")) {
        c->hosts++;
        if (!is_visible(sv_of(value)) || strpbrk(value, "/@,") != NULL)
            c->bad = true;
    } else if (sv_ieq(n, "content-length")) {
        if (!str_to_u64(sv_of(value), 0, UINT64_MAX / 2, &length, NULL))
            c->bad = true;
    } else if (sv_ieq(n, "transfer-encoding")) {
        if (!sv_ieq(sv_of(value), "chunked"))
            c->bad = true;
    }
}

int http_check_status(const struct http_check *c, int major, int minor)
{
    if (major != 1)
        return 505;
    if (c->fields > FIELDS_MAX)
        return 431;
    if (c->bad || c->hosts > 1 || (c->hosts == 0 && minor >= 1)) /* RFC 9112 section 3.2 */
        return 400;
    return 0;
}

bool http_check_target(const char *target, struct sv *ret_path, struct sv *ret_query)
{
    struct sv t = sv_of(target);
    const char *mark;

    if (t.n == 0 || !is_visible(t))
        return false;
    if (*t.p != '/') {
        const char *root;

        if (t.n < 7 || !sv_ieq((struct sv){t.p, 7}, "http://"))
            return false;
        t = sv_of(t.p + 7);
        root = strpbrk(t.p, "/?");
        if (root == t.p || (root != NULL && *root == '?'))
            return false;
        t = root != NULL ? sv_of(root) : sv_of("/");
    }
    mark = memchr(t.p, '?', t.n);
    *ret_path = (struct sv){t.p, mark != NULL ? (size_t)(mark - t.p) : t.n};
    *ret_query = mark != NULL ? sv_of(mark + 1) : (struct sv){t.p + t.n, 0};
    return true;
}
