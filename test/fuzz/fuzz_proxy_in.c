/* The PROXY protocol's header: the same end however it is cut, nothing is read behind it, and an
 * address that was read can be written and read again. */
#include "test/fuzz/fuzz.h"

#include <string.h>

#include "lb/core/proxy_in.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data;
    struct proxy_in whole, cut;
    struct cidr_addr again;
    size_t len = 0, cut_len = 0, n = 0, text_n;
    enum http_result end = proxy_in_parse(p, size, &whole, &len), r = HTTP_MORE;
    char text[46];

    for (; n <= size && r == HTTP_MORE; n++) {
        char *exact = malloc(n + 1); /* so that a sanitizer sees a byte too many */

        if (exact == NULL)
            return 0;
        memcpy(exact, p, n);
        exact = realloc(exact, n > 0 ? n : 1);
        MUST(exact != NULL);
        r = proxy_in_parse(exact, n, &cut, &cut_len);
        free(exact);
    }
    MUST(r == end);
    if (end != HTTP_DONE)
        return 0;
    MUST(len == cut_len && len == n - 1 && len <= size && len <= PROXY_IN_MAX);
    MUST(whole.has_client == cut.has_client && whole.port == cut.port);
    MUST(memcmp(&whole.client, &cut.client, sizeof(cut.client)) == 0);
    text_n = cidr_addr_format(&whole.client, text, sizeof(text));
    MUST(text_n > 0 && cidr_addr_parse((struct sv){text, text_n}, &again));
    MUST(memcmp(&whole.client, &again, sizeof(again)) == 0);
    return 0;
}
