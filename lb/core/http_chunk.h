#ifndef LBCTL_LB_CORE_HTTP_CHUNK_H
#define LBCTL_LB_CORE_HTTP_CHUNK_H

#include <stddef.h>
#include <stdint.h>

#include "lb/core/http_head.h"

/* Decoder of the chunked coding (RFC 9112 7.1), strict and incremental. Pure. Chunk extensions are
 * skipped, trailer fields are checked, and discarded unless the owner keeps them (RFC 9110 6.5.1).
 */
enum { HTTP_CHUNK_EXT_MAX = 4096, HTTP_TRAILER_MAX = 8192 };

/* Room for what is kept of a trailer section: its line ends do not count as HTTP_TRAILER_MAX does.
 */
enum { HTTP_TRAILER_ROOM = HTTP_TRAILER_MAX * 4 / 3 + 4 };

struct http_chunk {
    uint8_t state;
    uint8_t digits;
    uint16_t line; /* bytes of the extension, or of the trailer section */
    uint64_t left; /* data bytes of the current chunk still to come */
    /* Set by the owner: keep the trailer section. When one begins and there is no room for it yet,
     * http_chunk_next() stops before it with HTTP_MORE, until `trailer` is set or `keep` is not. */
    bool keep;
    char *trailer; /* HTTP_TRAILER_ROOM bytes, of the owner */
    uint16_t trailer_n;
    enum http_fault fault;
};

void http_chunk_init(struct http_chunk *c);

/* Decode src[0..n): *ret_used bytes are consumed. HTTP_MORE: all of them; HTTP_DONE: the message
 * ended behind the last consumed byte; HTTP_BAD: see fault. When it meets data, it stops and
 * returns the run as *ret_data bytes at src + *ret_used (0: none), which the caller consumes whole
 * or in part and tells by http_chunk_eat(). */
enum http_result http_chunk_next(struct http_chunk *c, const char *src, size_t n, size_t *ret_used,
                                 size_t *ret_data);
void http_chunk_eat(struct http_chunk *c, size_t n);

/* "1f\r\n": the line before a chunk of n > 0 bytes, at most HTTP_CHUNK_LINE_MAX; returns its
 * length. */
enum { HTTP_CHUNK_LINE_MAX = 18 };
size_t http_chunk_line(char buf[HTTP_CHUNK_LINE_MAX], size_t n);

#endif
