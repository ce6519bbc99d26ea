#include "acts-service/jscan.h"

#include "acts-service/utf8.h"

enum { ST_VALUE, ST_FIRST_VALUE, ST_FIRST_KEY, ST_KEY, ST_AFTER, ST_DONE, ST_BROKEN };

static enum jtok fail(struct jscan *j, const char *why)
{
    j->state = ST_BROKEN;
    j->why = why;
    return JT_ERROR;
}

void jscan_init(struct jscan *j, char *p, size_t n)
{
    *j = (struct jscan){.p = p, .end = p + n, .state = ST_VALUE};
}

static void skip_blank(struct jscan *j)
{
    while (j->p < j->end && (*j->p == ' ' || *j->p == '\t' || *j->p == '\n' || *j->p == '\r'))
        j->p++;
}

static bool in_object(const struct jscan *j)
{
    return j->depth > 0 && (j->objects >> (j->depth - 1) & 1) != 0;
}

static void value_done(struct jscan *j)
{
    j->state = j->depth == 0 ? ST_DONE : ST_AFTER;
}

static bool read_hex4(struct jscan *j, uint32_t *ret)
{
    uint32_t v = 0;

    if (j->end - j->p < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        char c = *j->p++;

        v <<= 4;
        if (c >= '0' && c <= '9')
            v |= (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            v |= (uint32_t)(c - 'a' + 10);
        else if (c >= 'A' && c <= 'F')
            v |= (uint32_t)(c - 'A' + 10);
        else
            return false;
    }
    *ret = v;
    return true;
}

/* After "\u". The decoded form is never longer than the escape, so it fits in place. */
static bool read_unicode(struct jscan *j, char **out)
{
    uint32_t c, low;

    if (!read_hex4(j, &c) || (c >= 0xDC00 && c <= 0xDFFF))
        return false;
    if (c >= 0xD800 && c <= 0xDBFF) { /* the second half must follow at once */
        if (j->end - j->p < 2 || j->p[0] != '\\' || j->p[1] != 'u')
            return false;
        j->p += 2;
        if (!read_hex4(j, &low) || low < 0xDC00 || low > 0xDFFF)
            return false;
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    }
    *out += utf8_put(*out, c);
    return true;
}

static bool read_escape(struct jscan *j, char **out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *at;
    char c;

    if (j->p == j->end)
        return false;
    c = *j->p++;
    if (c == 'u')
        return read_unicode(j, out);
    at = c == '\0' ? NULL : strchr(from, c);
    if (at == NULL)
        return false;
    *(*out)++ = to[at - from];
    return true;
}

/* How many bytes from here on surely need no look: no quote, backslash, control byte, and ASCII. In
 * words of eight; a word with anything else in it ends the run. */
static size_t plain_run(const char *p, size_t n)
{
    const uint64_t ones = UINT64_MAX / 0xFF, high = ones * 0x80;
    size_t i = 0;

    for (; n - i >= sizeof(uint64_t); i += sizeof(uint64_t)) {
        uint64_t w, quote, slash;

        memcpy(&w, p + i, sizeof(w));
        quote = w ^ (ones * '"');
        slash = w ^ (ones * '\\');
        if (((w | (w - ones * ' ') | (quote - ones) | (slash - ones)) & high) != 0)
            break;
    }
    return i;
}

/* At the opening quote. */
static bool read_string(struct jscan *j)
{
    char *start = ++j->p, *out = start;

    while (j->p < j->end) {
        size_t run = plain_run(j->p, (size_t)(j->end - j->p));
        unsigned char c;

        if (run > 0) {
            if (out != j->p)
                memmove(out, j->p, run);
            out += run;
            j->p += run;
            continue;
        }
        c = (unsigned char)*j->p;
        if (c == '"') {
            j->p++;
            j->text = (struct sv){start, (size_t)(out - start)};
            return true;
        }
        if (c < 0x20)
            return false;
        if (c == '\\') {
            j->p++;
            if (!read_escape(j, &out))
                return false;
        } else if (c < 0x80) {
            *out++ = *j->p++;
        } else {
            size_t n = utf8_len((struct sv){j->p, (size_t)(j->end - j->p)});

            if (n == 0)
                return false;
            memmove(out, j->p, n);
            out += n;
            j->p += n;
        }
    }
    return false;
}

static bool digits(struct jscan *j)
{
    char *from = j->p;

    while (j->p < j->end && *j->p >= '0' && *j->p <= '9')
        j->p++;
    return j->p > from;
}

static bool read_number(struct jscan *j)
{
    char *start = j->p;

    if (*j->p == '-')
        j->p++;
    if (j->p < j->end && *j->p == '0')
        j->p++; /* no digit may follow: the caller then meets it where a comma belongs */
    else if (!digits(j))
        return false;
    if (j->p < j->end && *j->p == '.') {
        j->p++;
        if (!digits(j))
            return false;
    }
    if (j->p < j->end && (*j->p == 'e' || *j->p == 'E')) {
        j->p++;
        if (j->p < j->end && (*j->p == '+' || *j->p == '-'))
            j->p++;
        if (!digits(j))
            return false;
    }
    j->text = (struct sv){start, (size_t)(j->p - start)};
    return true;
}

static enum jtok read_word(struct jscan *j)
{
    static const struct {
        const char *word;
        enum jtok tok;
    } words[] = {{"true", JT_TRUE}, {"false", JT_FALSE}, {"null", JT_NULL}};
    struct sv rest = {j->p, (size_t)(j->end - j->p)};

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (sv_starts(rest, words[i].word)) {
            j->p += strlen(words[i].word);
            value_done(j);
            return words[i].tok;
        }
    }
    return fail(j, "not JSON");
}

static enum jtok open_container(struct jscan *j, bool object)
{
    if (j->depth == JSCAN_DEPTH)
        return fail(j, "nested too deeply");
    j->p++;
    j->objects &= ~((uint64_t)1 << j->depth);
    if (object)
        j->objects |= (uint64_t)1 << j->depth;
    j->depth++;
    j->state = object ? ST_FIRST_KEY : ST_FIRST_VALUE;
    return object ? JT_OBJ : JT_ARR;
}

static enum jtok close_container(struct jscan *j)
{
    bool object = in_object(j);

    j->p++;
    j->depth--;
    value_done(j);
    return object ? JT_OBJ_END : JT_ARR_END;
}

static enum jtok read_value(struct jscan *j)
{
    switch (*j->p) {
    case '{':
        return open_container(j, true);
    case '[':
        return open_container(j, false);
    case '"':
        if (!read_string(j))
            return fail(j, "a string is broken");
        value_done(j);
        return JT_STR;
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        if (!read_number(j))
            return fail(j, "a number is broken");
        value_done(j);
        return JT_NUM;
    default:
        return read_word(j);
    }
}

static enum jtok read_key(struct jscan *j)
{
    struct sv key;

    if (*j->p != '"' || !read_string(j))
        return fail(j, "an object key is broken");
    key = j->text;
    skip_blank(j);
    if (j->p == j->end || *j->p != ':')
        return fail(j, "':' is missing after an object key");
    j->p++;
    j->text = key;
    j->state = ST_VALUE;
    return JT_KEY;
}

enum jtok jscan_next(struct jscan *j)
{
    if (j->state == ST_BROKEN)
        return JT_ERROR;
    skip_blank(j);
    if (j->p == j->end)
        return j->state == ST_DONE ? JT_END : fail(j, "the JSON text is empty or cut off");
    if (j->state == ST_DONE)
        return fail(j, "text after the JSON value");
    if (j->state == ST_AFTER) {
        if (*j->p == (in_object(j) ? '}' : ']'))
            return close_container(j);
        if (*j->p != ',')
            return fail(j, "',' is missing");
        j->p++;
        skip_blank(j);
        if (j->p == j->end)
            return fail(j, "the JSON text is cut off");
        j->state = in_object(j) ? ST_KEY : ST_VALUE;
    }
    if ((j->state == ST_FIRST_KEY && *j->p == '}') || (j->state == ST_FIRST_VALUE && *j->p == ']'))
        return close_container(j);
    if (j->state == ST_FIRST_KEY || j->state == ST_KEY)
        return read_key(j);
    return read_value(j);
}

bool jscan_skip(struct jscan *j, enum jtok first)
{
    unsigned outside = j->depth - (first == JT_OBJ || first == JT_ARR);

    if (first == JT_ERROR)
        return false;
    while (j->depth > outside) {
        if (jscan_next(j) == JT_ERROR)
            return false;
    }
    return true;
}
