#include "lb/core/alog_line.h"

#include <string.h>

/* Everything but the target is short and bounded; the target gets this much after escaping. */
enum { TARGET_ESCAPED_MAX = 2048 };

struct out {
    char *p;
    size_t n;
};

static void add(struct out *o, const char *p, size_t n)
{
    if (n > ALOG_LINE_MAX - 1 - o->n)
        n = ALOG_LINE_MAX - 1 - o->n; /* the line feed has its place for sure */
    memcpy(o->p + o->n, p, n);
    o->n += n;
}

/* A copy of a known length is an instruction or two; this is the log's inner loop. */
#define ADD(o, literal)                                                                            \
    do {                                                                                           \
        if (ALOG_LINE_MAX - 1 - (o)->n >= sizeof(literal) - 1) {                                   \
            memcpy((o)->p + (o)->n, (literal), sizeof(literal) - 1);                               \
            (o)->n += sizeof(literal) - 1;                                                         \
        }                                                                                          \
    } while (0)

static void adds(struct out *o, const char *s)
{
    add(o, s, strlen(s));
}

static void add_char(struct out *o, char c)
{
    if (o->n < ALOG_LINE_MAX - 1)
        o->p[o->n++] = c;
}

static void addu(struct out *o, uint64_t v)
{
    char digits[20];
    size_t i = sizeof(digits);

    if (v < 10) { /* most numbers of a line are small */
        add_char(o, (char)('0' + v));
        return;
    }
    do
        digits[--i] = (char)('0' + v % 10);
    while ((v /= 10) > 0);
    add(o, digits + i, sizeof(digits) - i);
}

/* Milliseconds with three decimals. */
static void add_time(struct out *o, uint64_t us, const char *never)
{
    unsigned rest = (unsigned)(us % 1000);

    if (us == ALOG_NEVER) {
        adds(o, never);
        return;
    }
    addu(o, us / 1000);
    add_char(o, '.');
    add_char(o, (char)('0' + rest / 100));
    add_char(o, (char)('0' + rest / 10 % 10));
    add_char(o, (char)('0' + rest % 10));
}

static bool is_plain(char c)
{
    return c > 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Bytes of strangers: only plain ASCII as it is. */
static void add_foreign(struct out *o, struct sv s, const char *escape)
{
    static const char hex[] = "0123456789abcdef";
    size_t end = o->n + TARGET_ESCAPED_MAX;

    for (size_t i = 0; i < s.n && o->n < end;) {
        size_t from = i;
        unsigned char c;

        while (i < s.n && is_plain(s.p[i]))
            i++;
        add(o, s.p + from, i - from);
        if (i == s.n)
            return;
        c = (unsigned char)s.p[i++];
        adds(o, escape);
        add_char(o, hex[c >> 4]);
        add_char(o, hex[c & 15]);
    }
}

static void add_code(struct out *o, const struct alog_entry *en)
{
    add_char(o, xchg_cause_who(en->cause));
    add_char(o, en->cause == XC_OK ? '-' : xchg_state_letter(en->phase));
}

static void add_where(struct out *o, const struct alog_entry *en)
{
    add(o, en->service.n > 0 ? en->service.p : "-", en->service.n > 0 ? en->service.n : 1);
    if (en->has_backend) {
        add_char(o, '/');
        addu(o, en->slot);
        add_char(o, '/');
        add(o, en->instance.p, en->instance.n);
    } else {
        ADD(o, "/-/-");
    }
}

size_t alog_line_text(const struct alog_entry *en, char buf[ALOG_LINE_MAX])
{
    struct out o = {buf, 0};
    const uint64_t times[] = {en->times.head, en->times.pick, en->times.connect, en->times.first,
                              en->times.total};

    adds(&o, en->stamp);
    add_char(&o, ' ');
    add(&o, en->client.p, en->client.n);
    ADD(&o, " \"");
    if (en->method.n > 0) {
        add_foreign(&o, en->method, "\\x");
        add_char(&o, ' ');
        add_foreign(&o, en->target, "\\x");
        adds(&o, en->target_cut ? "... HTTP/1." : " HTTP/1.");
        addu(&o, en->minor);
    } else {
        add_char(&o, '-');
    }
    ADD(&o, "\" ");
    addu(&o, en->status);
    add_char(&o, ' ');
    addu(&o, en->bytes_in);
    add_char(&o, '/');
    addu(&o, en->bytes_out);
    add_char(&o, ' ');
    add_where(&o, en);
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        add_char(&o, i == 0 ? ' ' : '/');
        add_time(&o, times[i], "-");
    }
    add_char(&o, ' ');
    add_code(&o, en);
    add_char(&o, ' ');
    adds(&o, xchg_cause_name(en->cause));
    add_char(&o, ' ');
    addu(&o, en->retries);
    add_char(&o, ' ');
    addu(&o, en->generation);
    add_char(&o, ' ');
    add_foreign(&o, en->id.n > 0 ? en->id : sv_of("-"), "\\x");
    buf[o.n++] = '\n';
    return o.n;
}

/* The name of a member, known when this is compiled. */
#define MEMBER(o, name) ADD(o, ",\"" name "\":")

static void add_string(struct out *o, struct sv v)
{
    add_char(o, '"');
    add_foreign(o, v, "\\u00");
    add_char(o, '"');
}

size_t alog_line_json(const struct alog_entry *en, char buf[ALOG_LINE_MAX])
{
    struct out o = {buf, 0};

    ADD(&o, "{\"time\":\"");
    adds(&o, en->stamp);
    add_char(&o, '"');
    MEMBER(&o, "client");
    add_string(&o, en->client);
    if (en->method.n > 0) {
        MEMBER(&o, "method");
        add_string(&o, en->method);
        MEMBER(&o, "target");
        add_string(&o, en->target);
        if (en->target_cut)
            ADD(&o, ",\"target_cut\":true");
        MEMBER(&o, "minor");
        addu(&o, en->minor);
    }
    MEMBER(&o, "status");
    addu(&o, en->status);
    MEMBER(&o, "bytes_in");
    addu(&o, en->bytes_in);
    MEMBER(&o, "bytes_out");
    addu(&o, en->bytes_out);
    if (en->service.n > 0) {
        MEMBER(&o, "service");
        add_string(&o, en->service);
    }
    if (en->has_backend) {
        MEMBER(&o, "slot");
        addu(&o, en->slot);
        MEMBER(&o, "instance");
        add_string(&o, en->instance);
    }
    MEMBER(&o, "head_ms");
    add_time(&o, en->times.head, "null");
    MEMBER(&o, "pick_ms");
    add_time(&o, en->times.pick, "null");
    MEMBER(&o, "connect_ms");
    add_time(&o, en->times.connect, "null");
    MEMBER(&o, "first_ms");
    add_time(&o, en->times.first, "null");
    MEMBER(&o, "total_ms");
    add_time(&o, en->times.total, "null");
    ADD(&o, ",\"code\":\"");
    add_code(&o, en);
    ADD(&o, "\",\"cause\":\"");
    adds(&o, xchg_cause_name(en->cause));
    add_char(&o, '"');
    MEMBER(&o, "retries");
    addu(&o, en->retries);
    MEMBER(&o, "generation");
    addu(&o, en->generation);
    if (en->id.n > 0) {
        MEMBER(&o, "id");
        add_string(&o, en->id);
    }
    add_char(&o, '}');
    buf[o.n++] = '\n';
    return o.n;
}
