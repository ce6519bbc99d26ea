/* Cookie fields: pairs lie in the field, in order, and there is an end of them. */
#include "test/fuzz/fuzz.h"

#include <string.h>

#include "lb/core/cookie.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sv rest = {(const char *)data, size}, name, value;
    const char *at = rest.p, *end = rest.p + size;

    while (cookie_next(&rest, &name, &value)) {
        MUST(name.n > 0 && name.p >= at && value.p >= name.p + name.n);
        MUST(value.p + value.n <= end && rest.p + rest.n == end && rest.p > at);
        MUST(memchr(name.p, ';', name.n) == NULL && memchr(name.p, '=', name.n) == NULL);
        MUST(value.n == 0 || memchr(value.p, ';', value.n) == NULL);
        at = rest.p;
    }
    MUST(rest.n == 0);
    return 0;
}
