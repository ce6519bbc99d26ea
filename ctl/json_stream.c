#include "ctl/json_stream.h"

#include <string.h>

#include "common/base/str.h"

void json_stream_init(struct json_stream *s, const char *what, size_t object_max)
{
    *s = (struct json_stream){.what = what};
    buf_init(&s->in, object_max);
}

void json_stream_fini(struct json_stream *s)
{
    buf_fini(&s->in);
}

void json_stream_restart(struct json_stream *s)
{
    buf_clear(&s->in);
    s->depth = 0;
    s->string = s->escape = false;
}

bool json_stream_is_cut(const struct json_stream *s)
{
    return s->depth > 0;
}

static bool object_end(struct json_stream *s, json_stream_fn *fn, void *arg, struct err *e)
{
    json_error_t je;
    json_t *root = json_loadb(s->in.data, s->in.len, JSON_REJECT_DUPLICATES, &je);
    char text[JSON_ERROR_TEXT_LENGTH];

    if (root == NULL)
        return err_set(e, "an object of the %s stream is no JSON: %s", s->what,
                       str_quote(sv_of(je.text), text, sizeof(text)));
    fn(arg, root);
    json_decref(root);
    buf_clear(&s->in);
    return true;
}

/* How this byte moves us between the braces. */
static void track(struct json_stream *s, char c)
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

static bool keep(struct json_stream *s, const char *p, size_t n, struct err *e)
{
    return buf_add(&s->in, p, n) ||
           err_set(e, "an object of the %s stream is longer than %zu bytes", s->what, s->in.max);
}

bool json_stream_feed(struct json_stream *s, const char *p, size_t n, json_stream_fn *fn, void *arg,
                      struct err *e)
{
    size_t from = 0;

    for (size_t i = 0; i < n; i++) {
        if (s->depth == 0) {
            if (strchr(" \t\r\n", p[i]) != NULL && p[i] != '\0')
                continue;
            if (p[i] != '{')
                return err_set(e, "the %s stream has something else than objects in it", s->what);
            from = i;
        }
        track(s, p[i]);
        if (s->depth > 0)
            continue;
        if (!keep(s, p + from, i + 1 - from, e) || !object_end(s, fn, arg, e))
            return false;
    }
    return s->depth == 0 || keep(s, p + from, n - from, e);
}
