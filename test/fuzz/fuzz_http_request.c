/* Request heads: the cut does not matter, and what we send on is understood by a strict reader as
 * what we took. */
#include "test/fuzz/fuzz.h"

#include <string.h>

#include "lb/core/http_edit.h"

static enum http_result parse_cut(struct http_head *h, const char *p, size_t n, unsigned seed)
{
    enum http_result r = HTTP_MORE;
    size_t have = 0;

    http_request_init(h);
    while (r == HTTP_MORE && have < n) {
        seed = seed * 1103515245 + 12345;
        have += 1 + (seed >> 16) % 17;
        r = http_head_parse(h, p, have < n ? have : n);
    }
    return r;
}

static void check_edit(const struct http_head *h, const char *p)
{
    static char out[3 * HTTP_HEAD_MAX];
    struct http_out o = {.p = out, .cap = sizeof(out)};
    struct http_peer peer = {.address = {"10.0.0.9", 8}, .trusted = true, .forwarded = true};
    struct http_head again;
    struct sv a, b;

    http_edit_request(&o, h, p, &peer, (struct sv){"b:1", 3}, NULL);
    MUST(!o.over);
    if (o.n > HTTP_HEAD_MAX || h->fields_n + 6u > HTTP_FIELDS_MAX)
        return; /* our own additions may pass our own limits */
    http_request_init(&again);
    MUST(http_head_parse(&again, out, o.n) == HTTP_DONE);
    MUST(again.len == o.n);
    MUST(again.framing == h->framing && again.has_length == h->has_length);
    MUST(again.length == h->length && again.minor == 1);
    a = http_sv(p, h->method_span);
    b = http_sv(out, again.method_span);
    MUST(a.n == b.n && memcmp(a.p, b.p, a.n) == 0);
    a = http_sv(p, h->path);
    b = http_sv(out, again.path);
    MUST(a.n == 0 ? b.n == 1 : a.n == b.n && memcmp(a.p, b.p, a.n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data;
    struct http_head whole, cut;
    enum http_result a, b;

    if (size == 0)
        return 0;
    http_request_init(&whole);
    a = http_head_parse(&whole, p, size);
    b = parse_cut(&cut, p, size, (unsigned)size);
    MUST(a == b);
    if (a == HTTP_BAD)
        MUST(whole.fault == cut.fault && http_fault_status(whole.fault) >= 400);
    if (a != HTTP_DONE)
        return 0;
    MUST(whole.len <= size && whole.len == cut.len && whole.framing == cut.framing);
    MUST(whole.fields_n == cut.fields_n && whole.length == cut.length);
    check_edit(&whole, p);
    return 0;
}
