#include "lb/core/http_trailer.h"

#include <strings.h>

bool http_trailer_may_pass(struct sv name)
{
    /* A minus at the end: all names that begin so. */
    static const char *const held[] = {"age",
                                       "authorization",
                                       "cache-control",
                                       "connection",
                                       "content-",
                                       "cookie",
                                       "date",
                                       "expect",
                                       "expires",
                                       "forwarded",
                                       "host",
                                       "if-",
                                       "keep-alive",
                                       "location",
                                       "max-forwards",
                                       "pragma",
                                       "proxy-",
                                       "range",
                                       "retry-after",
                                       "set-cookie",
                                       "te",
                                       "trailer",
                                       "transfer-encoding",
                                       "upgrade",
                                       "vary",
                                       "via",
                                       "www-authenticate",
                                       "x-forwarded-",
                                       "x-request-id"};

    for (size_t i = 0; i < ARRAY_LEN(held); i++) {
        size_t n = strlen(held[i]);
        bool prefix = held[i][n - 1] == '-';

        if ((prefix ? name.n >= n : name.n == n) && strncasecmp(name.p, held[i], n) == 0)
            return false;
    }
    return true;
}

size_t http_trailer_filter(char *p, size_t n)
{
    size_t left = 0;

    for (size_t at = 0; at < n;) {
        const char *colon = memchr(p + at, ':', n - at), *lf = memchr(p + at, '\n', n - at);
        size_t line = lf != NULL ? (size_t)(lf - (p + at)) + 1 : n - at;

        if (colon != NULL && lf != NULL && colon < lf &&
            http_trailer_may_pass((struct sv){p + at, (size_t)(colon - (p + at))})) {
            memmove(p + left, p + at, line);
            left += line;
        }
        at += line;
    }
    return left;
}
