/* Chunked bodies: slices do not matter, nothing is read behind the end, and the payload survives
 * re-framing. */
#include "test/fuzz/fuzz.h"

#include <string.h>

#include "lb/core/http_chunk.h"
#include "lb/core/http_trailer.h"

enum { OUT_MAX = 1 << 16 };

struct run {
    enum http_result end;
    enum http_fault fault;
    size_t used, n, trailer_n;
    char trailer[HTTP_TRAILER_ROOM];
    char out[OUT_MAX];
};

static void decode(struct run *r, const char *p, size_t size, size_t slice)
{
    struct http_chunk c;

    http_chunk_init(&c);
    c.keep = true;
    c.trailer = r->trailer;
    r->used = r->n = 0;
    r->end = HTTP_MORE;
    while (r->end == HTTP_MORE && r->used < size) {
        size_t have = size - r->used < slice ? size - r->used : slice, used, data;

        r->end = http_chunk_next(&c, p + r->used, have, &used, &data);
        MUST(used <= have && data <= have - used && (data == 0 || r->end == HTTP_MORE));
        MUST(used + data > 0 || r->end != HTTP_MORE);
        r->used += used;
        memcpy(r->out + r->n, p + r->used, data);
        r->n += data;
        r->used += data;
        if (data > 0)
            http_chunk_eat(&c, data);
    }
    r->fault = c.fault;
    r->trailer_n = c.trailer_n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct run whole, cut, again;
    static char framed[OUT_MAX + 64];
    size_t n = 0;

    if (size > OUT_MAX)
        return 0;
    decode(&whole, (const char *)data, size, SIZE_MAX);
    decode(&cut, (const char *)data, size, 1 + size % 5);
    MUST(whole.end == cut.end && whole.fault == cut.fault && whole.n == cut.n);
    MUST(memcmp(whole.out, cut.out, whole.n) == 0);
    if (whole.end != HTTP_DONE)
        return 0;
    MUST(whole.used == cut.used);
    MUST(whole.trailer_n == cut.trailer_n);
    MUST(memcmp(whole.trailer, cut.trailer, whole.trailer_n) == 0);
    cut.trailer_n = http_trailer_filter(cut.trailer, cut.trailer_n);
    MUST(http_trailer_filter(cut.trailer, cut.trailer_n) == cut.trailer_n);
    if (whole.n > 0) {
        n = http_chunk_line(framed, whole.n);
        memcpy(framed + n, whole.out, whole.n);
        n += whole.n;
        memcpy(framed + n, "\r\n", 2);
        n += 2;
    }
    memcpy(framed + n, "0\r\n\r\n", 5);
    decode(&again, framed, n + 5, SIZE_MAX);
    MUST(again.end == HTTP_DONE && again.used == n + 5 && again.n == whole.n);
    MUST(memcmp(again.out, whole.out, whole.n) == 0);
    return 0;
}
