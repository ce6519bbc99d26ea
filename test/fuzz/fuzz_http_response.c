/* Answer heads: the cut does not matter, and what the client gets reads as what the backend said.
 * The first byte chooses the client's version and whether it asked with HEAD. */
#include "test/fuzz/fuzz.h"

#include "lb/core/http_edit.h"

static void check_edit(const struct http_head *h, const char *p, unsigned minor, bool to_head)
{
    static char out[3 * HTTP_HEAD_MAX];
    struct http_out o = {.p = out, .cap = sizeof(out)};
    enum http_framing framing = http_edit_framing(h, minor);
    struct http_head again;

    http_edit_response(&o, h, p, minor, framing, framing == HTTP_UNTIL_CLOSE, NULL);
    MUST(!o.over);
    if (o.n > HTTP_HEAD_MAX || h->fields_n + 3u > HTTP_FIELDS_MAX)
        return;
    http_response_init(&again, to_head);
    MUST(http_head_parse(&again, out, o.n) == HTTP_DONE);
    MUST(again.len == o.n && again.status == h->status);
    MUST(again.framing == framing);
    if (framing == HTTP_LENGTH)
        MUST(again.length == h->length);
    MUST(minor > 0 || again.framing != HTTP_CHUNKED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data + 1;
    struct http_head whole, cut;
    enum http_result a, b = HTTP_MORE;
    bool to_head;

    if (size < 2)
        return 0;
    size--;
    to_head = (data[0] & 2) != 0;
    http_response_init(&whole, to_head);
    a = http_head_parse(&whole, p, size);
    http_response_init(&cut, to_head);
    for (size_t n = 1 + data[0] % 7; b == HTTP_MORE && n < size; n += 1 + data[0] % 7)
        b = http_head_parse(&cut, p, n);
    if (b == HTTP_MORE)
        b = http_head_parse(&cut, p, size);
    MUST(a == b);
    if (a == HTTP_BAD)
        MUST(whole.fault == cut.fault);
    if (a == HTTP_DONE) {
        MUST(whole.len <= size && whole.len == cut.len && whole.status >= 100 &&
             whole.status <= 999);
        check_edit(&whole, p, data[0] & 1, to_head);
    }
    return 0;
}
