#include "acts-service/jout.h"

#include <event2/util.h>

void jout_bytes(struct jout *o, struct sv s)
{
    if (!o->failed && evbuffer_add(o->b, s.p, s.n) != 0)
        o->failed = true;
}

void jout_clear(struct jout *o)
{
    (void)evbuffer_drain(o->b, evbuffer_get_length(o->b));
    o->failed = false;
}

void jout_raw(struct jout *o, const char *s)
{
    jout_bytes(o, sv_of(s));
}

static void escape(struct jout *o, unsigned char c)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *at = c == '\0' ? NULL : strchr(from, c);
    char text[8];

    if (at != NULL)
        (void)evutil_snprintf(text, sizeof(text), "\\%c", to[at - from]);
    else
        (void)evutil_snprintf(text, sizeof(text), "\\u%04x", c);
    jout_raw(o, text);
}

void jout_string(struct jout *o, struct sv s)
{
    size_t from = 0;

    jout_raw(o, "\"");
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        jout_bytes(o, (struct sv){s.p + from, i - from});
        escape(o, c);
        from = i + 1;
    }
    jout_bytes(o, (struct sv){s.p + from, s.n - from});
    jout_raw(o, "\"");
}
