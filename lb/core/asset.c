#include "lb/core/asset.h"

#include <string.h>

#include "lb/core/http_date.h"

static const struct {
    const char *ending, *type;
} types[] = {
#define TYPE(ending, type) {ending, type},
#include "lb/core/asset_type.def"
#undef TYPE
};

const char *asset_type(const char *name)
{
    const char *slash = strrchr(name, '/'), *dot = strrchr(name, '.');

    for (size_t i = 0; dot != NULL && (slash == NULL || dot > slash) && i < ARRAY_LEN(types); i++) {
        if (sv_ieq(sv_of(dot + 1), types[i].ending))
            return types[i].type;
    }
    return "application/octet-stream";
}

/* ---- paths ---- */

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One byte of a name, decoded; `at` moves behind it. -1: not three bytes of an encoding. */
static int next_byte(struct sv s, size_t *at)
{
    int high, low;

    if (s.p[*at] != '%')
        return (unsigned char)s.p[(*at)++];
    if (s.n - *at < 3)
        return -1;
    high = hex(s.p[*at + 1]);
    low = hex(s.p[*at + 2]);
    *at += 3;
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static bool in_names(int c)
{
    return c > 0x1f && c != 0x7f && c != '/' && c != '\\';
}

enum asset_path asset_path(struct sv rest, char *buf, size_t n, bool *ret_folder)
{
    size_t at = 0, len = 0;
    bool empty = true; /* the segment that we are in */

    while (at < rest.n) {
        int c;

        if (rest.p[at] == '/') {
            at++;
            if (empty && len > 0)
                return ASSET_PATH_NONE;
            if (len > 0)
                buf[len++] = '/';
            empty = true;
            if (at < rest.n && rest.p[at] == '/')
                return ASSET_PATH_NONE;
        } else {
            c = next_byte(rest, &at);
            if (c < 0)
                return ASSET_PATH_BAD;
            if (!in_names(c) || (empty && c == '.'))
                return ASSET_PATH_NONE;
            buf[len++] = (char)c;
            empty = false;
        }
        if (len + 2 >= n)
            return ASSET_PATH_LONG;
    }
    *ret_folder = empty && rest.n > 0;
    if (len > 0 && buf[len - 1] == '/')
        len--;
    if (len == 0)
        buf[len++] = '.';
    buf[len] = '\0';
    return ASSET_PATH_OK;
}

/* ---- preconditions ---- */

static const char *skip_blanks(const char *p)
{
    return p + strspn(p, " \t");
}

/* Is the tag in a list such as `"a", W/"b"`, or is the list "*"? Strong comparison passes weak ones
 * over. RFC 9110 8.8.3.2 */
static bool tag_in(const char *list, const char *etag, bool strong)
{
    size_t n = strlen(etag);
    const char *p = skip_blanks(list);

    if (*p == '*')
        return true;
    while (*p != '\0') {
        bool weak = p[0] == 'W' && p[1] == '/';
        const char *end;

        p += weak ? 2 : 0;
        end = *p == '"' ? strchr(p + 1, '"') : NULL;
        if (end == NULL)
            return false;
        if (!(weak && strong) && (size_t)(end + 1 - p) == n && memcmp(p, etag, n) == 0)
            return true;
        p = skip_blanks(end + 1);
        if (*p == ',')
            p = skip_blanks(p + 1);
    }
    return false;
}

/* RFC 9110 13.1.5: a date stands for a file only if it is exactly its date. */
static bool range_holds(const char *if_range, const struct asset_file *f)
{
    int64_t date;

    if (if_range == NULL)
        return true;
    if (*if_range == '"' || *if_range == 'W')
        return tag_in(if_range, f->etag, true);
    return http_date_parse(sv_of(if_range), &date) && date == f->modified_s;
}

enum range { RANGE_NONE, RANGE_ONE, RANGE_OUTSIDE };

static bool digits(const char **p, uint64_t *ret)
{
    size_t n = strspn(*p, "0123456789");
    struct err e;
    bool ok = n > 0;

    /* A position beyond all numbers is beyond every file too. */
    if (ok && !str_to_u64((struct sv){*p, n}, 0, UINT64_MAX, ret, &e))
        *ret = UINT64_MAX;
    *p += n;
    return ok;
}

/* "bytes=0-99", "bytes=100-", "bytes=-100" */
static enum range parse_range(const char *value, uint64_t size, uint64_t *ret_first,
                              uint64_t *ret_n)
{
    uint64_t first = 0, last = UINT64_MAX;
    const char *p = value;
    bool from, to;

    if (p == NULL || strncmp(p, "bytes=", 6) != 0)
        return RANGE_NONE;
    p = skip_blanks(p + 6);
    from = digits(&p, &first);
    if (*p++ != '-')
        return RANGE_NONE;
    to = digits(&p, &last);
    if (*skip_blanks(p) != '\0' || (!from && !to) || (from && to && last < first))
        return RANGE_NONE;
    if (!from) { /* the last so many */
        if (last == 0 || size == 0)
            return RANGE_OUTSIDE;
        first = last < size ? size - last : 0;
        last = size - 1;
    }
    if (first >= size)
        return RANGE_OUTSIDE;
    *ret_first = first;
    *ret_n = (last < size ? last + 1 : size) - first;
    return RANGE_ONE;
}

static bool fails(const struct asset_file *f, const struct asset_ask *a)
{
    int64_t date;

    if (a->if_match != NULL)
        return !tag_in(a->if_match, f->etag, true);
    return a->if_unmodified_since != NULL &&
           http_date_parse(sv_of(a->if_unmodified_since), &date) && f->modified_s > date;
}

static bool is_known(const struct asset_file *f, const struct asset_ask *a)
{
    int64_t date;

    if (a->if_none_match != NULL)
        return tag_in(a->if_none_match, f->etag, false);
    return a->if_modified_since != NULL && http_date_parse(sv_of(a->if_modified_since), &date) &&
           f->modified_s <= date;
}

struct asset_answer asset_decide(const struct asset_file *f, const struct asset_ask *a)
{
    struct asset_answer r = {.status = 200, .n = f->size};

    if (fails(f, a))
        return (struct asset_answer){.status = 412};
    if (is_known(f, a))
        return (struct asset_answer){.status = 304};
    if (a->head || !range_holds(a->if_range, f)) /* RFC 9110 14.2: of GET only */
        return r;
    switch (parse_range(a->range, f->size, &r.first, &r.n)) {
    case RANGE_ONE:
        r.status = 206;
        break;
    case RANGE_OUTSIDE:
        return (struct asset_answer){.status = 416};
    default:
        break;
    }
    return r;
}
