#ifndef LBCTL_LB_CORE_HTTP_CHAR_H
#define LBCTL_LB_CORE_HTTP_CHAR_H

#include <stdbool.h>
#include <stdint.h>

/* Classes of bytes in HTTP heads. */
enum {
    HTTP_TCHAR = 1, /* of a token, RFC 9110 5.6.2 */
    HTTP_VALUE = 2, /* of a field value: VCHAR, obs-text, SP, HTAB; RFC 9110 5.5 */
    HTTP_TARGET =
        4, /* of a request target: VCHAR but '#', which no target form has; RFC 9112 3.2 */
    HTTP_HOSTC =
        8, /* of Host: unreserved, pct-encoded, sub-delims without the comma, [:]; RFC 3986 3.2.2 */
};
extern const uint8_t http_char_class[256];

static inline bool http_is(char c, unsigned classes)
{
    return (http_char_class[(unsigned char)c] & classes) != 0;
}

#endif
