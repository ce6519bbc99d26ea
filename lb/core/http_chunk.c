#include "lb/core/http_chunk.h"

#include "lb/core/http_char.h"

enum {
    CH_SIZE,    /* hex digits */
    CH_EXT,     /* from ';' to CR */
    CH_SIZE_LF, /* LF of the size line */
    CH_DATA,
    CH_DATA_CR,
    CH_DATA_LF,
    CH_TRAILER, /* at the beginning of a trailer line */
    CH_TRAILER_NAME,
    CH_TRAILER_VALUE,
    CH_TRAILER_LF,
    CH_LAST_LF, /* LF of the empty line that ends the message */
    CH_DONE,
};

/* 15 digits are an exabyte, and no sum of two such numbers overflows. */
enum { DIGITS_MAX = 15 };

void http_chunk_init(struct http_chunk *c)
{
    *c = (struct http_chunk){.state = CH_SIZE};
}

static int hex_value(char ch)
{
    if (ch >= '0' && ch <= '9')
        return ch - '0';
    if ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'f')
        return (ch | 0x20) - 'a' + 10;
    return -1;
}

static enum http_fault step_size(struct http_chunk *c, char ch)
{
    int v = hex_value(ch);

    if (v >= 0) {
        if (c->digits++ == DIGITS_MAX)
            return HTTP_FAULT_CHUNK_SIZE;
        c->left = c->left << 4 | (unsigned)v;
        return HTTP_FAULT_NONE;
    }
    /* No sign, no 0x, no blank before ';' or CR: RFC 9112 7.1 has none of them. */
    if (c->digits == 0 || (ch != ';' && ch != '\r'))
        return HTTP_FAULT_CHUNK_SIZE;
    c->line = 0;
    c->state = ch == ';' ? CH_EXT : CH_SIZE_LF;
    return HTTP_FAULT_NONE;
}

static void keep_trailer(struct http_chunk *c, char ch)
{
    if (c->trailer != NULL)
        c->trailer[c->trailer_n++] = ch;
}

/* Does a trailer section begin that is to be kept, without room for it? */
static bool lacks_room(const struct http_chunk *c, char ch)
{
    return c->state == CH_TRAILER && c->keep && c->trailer == NULL && ch != '\r';
}

static enum http_fault step_trailer(struct http_chunk *c, char ch)
{
    if (++c->line > HTTP_TRAILER_MAX)
        return HTTP_FAULT_TRAILER;
    switch (c->state) {
    case CH_TRAILER:
        if (ch == '\r') {
            c->state = CH_LAST_LF;
            return HTTP_FAULT_NONE;
        }
        c->state = CH_TRAILER_NAME;
        keep_trailer(c, ch);
        return http_is(ch, HTTP_TCHAR) ? HTTP_FAULT_NONE : HTTP_FAULT_TRAILER;
    case CH_TRAILER_NAME:
        keep_trailer(c, ch);
        if (ch == ':')
            c->state = CH_TRAILER_VALUE;
        else if (!http_is(ch, HTTP_TCHAR))
            return HTTP_FAULT_TRAILER;
        return HTTP_FAULT_NONE;
    default:
        keep_trailer(c, ch);
        if (ch == '\r')
            c->state = CH_TRAILER_LF;
        else if (!http_is(ch, HTTP_VALUE))
            return HTTP_FAULT_TRAILER;
        return HTTP_FAULT_NONE;
    }
}

static enum http_fault expect(struct http_chunk *c, char ch, char want, unsigned next,
                              enum http_fault otherwise)
{
    if (ch != want)
        return otherwise;
    c->state = (uint8_t)next;
    return HTTP_FAULT_NONE;
}

/* One byte that is no chunk data. */
static enum http_fault step(struct http_chunk *c, char ch)
{
    switch (c->state) {
    case CH_SIZE:
        return step_size(c, ch);
    case CH_EXT: /* RFC 9112 7.1.1 */
        if (ch == '\r')
            c->state = CH_SIZE_LF;
        else if (!http_is(ch, HTTP_VALUE) || ++c->line > HTTP_CHUNK_EXT_MAX)
            return HTTP_FAULT_CHUNK_EXT;
        return HTTP_FAULT_NONE;
    case CH_SIZE_LF:
        c->digits = 0;
        c->line = 0;
        return expect(c, ch, '\n', c->left > 0 ? CH_DATA : CH_TRAILER, HTTP_FAULT_CHUNK_SIZE);
    case CH_DATA_CR:
        return expect(c, ch, '\r', CH_DATA_LF, HTTP_FAULT_CHUNK_END);
    case CH_DATA_LF:
        return expect(c, ch, '\n', CH_SIZE, HTTP_FAULT_CHUNK_END);
    case CH_TRAILER_LF:
        keep_trailer(c, ch);
        return expect(c, ch, '\n', CH_TRAILER, HTTP_FAULT_TRAILER);
    case CH_LAST_LF:
        return expect(c, ch, '\n', CH_DONE, HTTP_FAULT_TRAILER);
    default:
        return step_trailer(c, ch);
    }
}

enum http_result http_chunk_next(struct http_chunk *c, const char *src, size_t n, size_t *ret_used,
                                 size_t *ret_data)
{
    size_t i = 0;

    *ret_data = 0;
    while (i < n && c->state != CH_DATA && c->state != CH_DONE && !lacks_room(c, src[i])) {
        c->fault = step(c, src[i]);
        if (c->fault != HTTP_FAULT_NONE) {
            *ret_used = i;
            return HTTP_BAD;
        }
        i++;
    }
    *ret_used = i;
    if (c->state == CH_DONE)
        return HTTP_DONE;
    if (c->state == CH_DATA)
        *ret_data = c->left < n - i ? (size_t)c->left : n - i;
    return HTTP_MORE;
}

void http_chunk_eat(struct http_chunk *c, size_t n)
{
    c->left -= n;
    if (c->left == 0)
        c->state = CH_DATA_CR;
}

size_t http_chunk_line(char buf[HTTP_CHUNK_LINE_MAX], size_t n)
{
    static const char hex[] = "0123456789abcdef";
    unsigned digits = 1;

    while (digits < 16 && n >> (digits * 4) != 0)
        digits++;
    for (unsigned i = 0; i < digits; i++)
        buf[i] = hex[n >> ((digits - 1 - i) * 4) & 15];
    buf[digits] = '\r';
    buf[digits + 1] = '\n';
    return digits + 2;
}
