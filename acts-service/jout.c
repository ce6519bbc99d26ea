#include "acts-service/jout.h"

#include <event2/util.h>
#include <stdlib.h>

void jout_bytes(struct evbuffer *b, struct sv s)
{
    if (evbuffer_add(b, s.p, s.n) != 0)
        abort(); /* out of memory; see mem.h */
}

void jout_raw(struct evbuffer *b, const char *s)
{
    jout_bytes(b, sv_of(s));
}

static void escape(struct evbuffer *b, unsigned char c)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *at = c == '\0' ? NULL : strchr(from, c);
    char text[8];

    if (at != NULL)
        (void)evutil_snprintf(text, sizeof(text), "\\%c", to[at - from]);
    else
        (void)evutil_snprintf(text, sizeof(text), "\\u%04x", c);
    jout_raw(b, text);
}

void jout_string(struct evbuffer *b, struct sv s)
{
    size_t from = 0;

    jout_raw(b, "\"");
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        jout_bytes(b, (struct sv){s.p + from, i - from});
        escape(b, c);
        from = i + 1;
    }
    jout_bytes(b, (struct sv){s.p + from, s.n - from});
    jout_raw(b, "\"");
}
