#include "test/unit/unit.h"

#include "common/base/macros.h"
#include "common/base/mem.h"
#include "lb/core/http_head.h"

static const char *const framing_names[] = {"none", "length", "chunked", "until-close"};

/* What the parser understood, in one line; a fault as its text. */
static const char *describe(const struct http_head *h, enum http_result r, const char *buf,
                            char *out, size_t n)
{
    struct sv method = http_sv(buf, h->method_span), target = http_sv(buf, h->target);
    struct sv path = http_sv(buf, h->path), host = http_sv(buf, h->host);

    if (r == HTTP_MORE)
        return "more";
    if (r == HTTP_BAD)
        return http_fault_text(h->fault);
    if (h->response)
        snprintf(out, n, "1.%u %u [%.*s] %s", h->minor, h->status, (int)h->reason.n,
                 buf + h->reason.at, framing_names[h->framing]);
    else
        snprintf(out, n, "%.*s [%.*s] path=%zu 1.%u host=[%.*s] %s", (int)method.n, method.p,
                 (int)target.n, target.p, path.n, h->minor, (int)host.n, host.p,
                 framing_names[h->framing]);
    if (h->has_length) {
        size_t used = strlen(out);

        snprintf(out + used, n - used, " %llu", (unsigned long long)h->length);
    }
    if (!http_head_persistent(h))
        strncat(out, " close", n - strlen(out) - 1);
    if (h->upgrade)
        strncat(out, " upgrade", n - strlen(out) - 1);
    if (h->expect_continue)
        strncat(out, " expect", n - strlen(out) - 1);
    return out;
}

enum kind { REQUEST, RESPONSE, TO_HEAD, LF_REQUEST, LF_RESPONSE };

static void init(struct http_head *h, enum kind kind)
{
    if (kind == REQUEST || kind == LF_REQUEST)
        http_request_init(h);
    else
        http_response_init(h, kind == TO_HEAD);
    h->lf_ok = kind >= LF_REQUEST;
}

static const struct {
    const char *name;
    enum kind kind;
    const char *raw;
    const char *want;
} rows[] = {
    {"plain", REQUEST, "GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n",
     "GET [/a?b] path=2 1.1 host=[x] none"},
    {"any token is a method", REQUEST, "FROB-x! / HTTP/1.1\r\nHost: x\r\n\r\n",
     "FROB-x! [/] path=1 1.1 host=[x] none"},
    {"methods are case-sensitive tokens", REQUEST, "get / HTTP/1.1\r\nHost: x\r\n\r\n",
     "get [/] path=1 1.1 host=[x] none"},
    {"length", REQUEST, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n",
     "POST [/] path=1 1.1 host=[x] length 5"},
    {"length zero is no body", REQUEST, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
     "POST [/] path=1 1.1 host=[x] none 0"},
    {"chunked in any case", REQUEST,
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \tChunked \r\n\r\n",
     "POST [/] path=1 1.1 host=[x] chunked"},
    {"1.0 closes", REQUEST, "GET / HTTP/1.0\r\n\r\n", "GET [/] path=1 1.0 host=[] none close"},
    {"1.0 with keep-alive", REQUEST, "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
     "GET [/] path=1 1.0 host=[] none"},
    {"close among others", REQUEST, "GET / HTTP/1.1\r\nHost: x\r\nConnection: foo, ,close\r\n\r\n",
     "GET [/] path=1 1.1 host=[x] none close"},
    {"upgrade", REQUEST,
     "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n",
     "GET [/] path=1 1.1 host=[x] none upgrade"},
    {"no tunnel for HTTP/2", REQUEST,
     "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: a, H2C\r\n\r\n",
     "GET [/] path=1 1.1 host=[x] none"},
    {"upgrade without Connection is none", REQUEST,
     "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n", "GET [/] path=1 1.1 host=[x] none"},
    {"expect", REQUEST,
     "PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n",
     "PUT [/] path=1 1.1 host=[x] length 1 expect"},
    {"expect from 1.0 means nothing", REQUEST,
     "PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
     "PUT [/] path=1 1.0 host=[] length 1 close"},
    {"absolute form", REQUEST, "GET http://x:8/a?q HTTP/1.1\r\nHost: X:8\r\n\r\n",
     "GET [/a?q] path=2 1.1 host=[X:8] none"},
    {"absolute form without path", REQUEST, "GET HTTPS://x?q HTTP/1.1\r\nHost: x\r\n\r\n",
     "GET [?q] path=0 1.1 host=[x] none"},
    {"asterisk form", REQUEST, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
     "OPTIONS [*] path=1 1.1 host=[x] none"},
    {"empty lines before", REQUEST, "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
     "GET [/] path=1 1.1 host=[x] none"},
    {"empty Host", REQUEST, "GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET [/] path=1 1.1 host=[] none"},
    {"IPv6 Host", REQUEST, "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
     "GET [/] path=1 1.1 host=[[::1]:80] none"},
    {"encoded dots are names", REQUEST, "GET /api/%2e%2e/x HTTP/1.1\r\nHost: x\r\n\r\n",
     "GET [/api/%2e%2e/x] path=13 1.1 host=[x] none"},
    {"double slashes and dots that do not climb", REQUEST,
     "GET //a/.../..b/./c..?/../ HTTP/1.1\r\nHost: x\r\n\r\n",
     "GET [//a/.../..b/./c..?/../] path=17 1.1 host=[x] none"},
    {"value with tab and high bytes", REQUEST,
     "GET / HTTP/1.1\r\nHost: x\r\nX-A: a\tb \xc3\xa4\r\n\r\n", "GET [/] path=1 1.1 host=[x] none"},
    {"empty value", REQUEST, "GET / HTTP/1.1\r\nHost: x\r\nX-A:\r\nX-B: \t \r\n\r\n",
     "GET [/] path=1 1.1 host=[x] none"},
    {"incomplete", REQUEST, "GET / HTTP/1.1\r\nHost: x\r\n", "more"},

    {"two lengths", REQUEST,
     "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\n",
     "invalid or repeated Content-Length"},
    {"two equal lengths", REQUEST,
     "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
     "invalid or repeated Content-Length"},
    {"list of lengths", REQUEST, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\n",
     "invalid or repeated Content-Length"},
    {"plus length", REQUEST, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\n",
     "invalid or repeated Content-Length"},
    {"minus length", REQUEST, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
     "invalid or repeated Content-Length"},
    {"hexadecimal length", REQUEST, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\n",
     "invalid or repeated Content-Length"},
    {"empty length", REQUEST, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n",
     "invalid or repeated Content-Length"},
    {"overflowing length", REQUEST,
     "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551621\r\n\r\n",
     "invalid or repeated Content-Length"},
    {"length and coding", REQUEST,
     "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
     "both Content-Length and Transfer-Encoding"},
    {"coding and length", REQUEST,
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
     "both Content-Length and Transfer-Encoding"},
    {"gzip, chunked", REQUEST,
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
     "transfer coding is not exactly chunked"},
    {"chunked twice", REQUEST,
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
     "chunked\r\n\r\n",
     "transfer coding is not exactly chunked"},
    {"chunked, chunked", REQUEST,
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\t,\tchunked\r\n\r\n",
     "transfer coding is not exactly chunked"},
    {"xchunked", REQUEST, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n",
     "transfer coding is not exactly chunked"},
    {"chunked with parameter", REQUEST,
     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked;q=1\r\n\r\n",
     "transfer coding is not exactly chunked"},
    {"identity", REQUEST, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n",
     "transfer coding is not exactly chunked"},
    {"chunked in 1.0", REQUEST, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
     "Transfer-Encoding in an HTTP/1.0 message"},
    {"blank before the colon", REQUEST, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\n",
     "invalid header name"},
    {"empty name", REQUEST, "GET / HTTP/1.1\r\nHost: x\r\n: a\r\n\r\n", "invalid header name"},
    {"colon alone", REQUEST, "GET / HTTP/1.1\r\nHost: x\r\n:\r\n\r\n", "invalid header name"},
    {"no colon", REQUEST, "GET / HTTP/1.1\r\nHost: x\r\nfoo\r\n\r\n", "invalid header name"},
    {"high byte in a name", REQUEST, "GET / HTTP/1.1\r\nHost: x\r\nf\xe4: 1\r\n\r\n",
     "invalid header name"},
    {"parenthesis in a name", REQUEST, "GET / HTTP/1.1\r\nHost: x\r\nf(: 1\r\n\r\n",
     "invalid header name"},
    {"folding", REQUEST, "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", "folded header line"},
    {"folding by tab, before the first", REQUEST, "GET / HTTP/1.1\r\n\tHost: x\r\n\r\n",
     "folded header line"},
    {"bare CR in a value", REQUEST, "GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n",
     "invalid character in a header value"},
    {"control byte in a value", REQUEST,
     "GET / HTTP/1.1\r\nHost: x\r\nA: 12345678\x01 2345678\r\n\r\n",
     "invalid character in a header value"},
    {"DEL in a value", REQUEST, "GET / HTTP/1.1\r\nHost: x\r\nA: 1234567\x7f 12345678\r\n\r\n",
     "invalid character in a header value"},
    {"bare LF after the request line", REQUEST, "GET / HTTP/1.1\nHost: x\r\n\r\n",
     "a line ends without CR"},
    {"bare LF after a field", REQUEST, "GET / HTTP/1.1\r\nHost: x\n\r\n", "a line ends without CR"},
    {"bare LF as the empty line", REQUEST, "GET / HTTP/1.1\r\nHost: x\r\n\n",
     "a line ends without CR"},
    {"bare LF before", REQUEST, "\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", "a line ends without CR"},
    {"five empty lines", REQUEST, "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
     "too many empty lines before the request"},
    {"blank in the target", REQUEST, "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
     "malformed request line"},
    {"two blanks", REQUEST, "GET  / HTTP/1.1\r\nHost: x\r\n\r\n", "malformed request line"},
    {"tab for blank", REQUEST, "GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n", "malformed request line"},
    {"blank at the end", REQUEST, "GET / HTTP/1.1 \r\nHost: x\r\n\r\n", "malformed request line"},
    {"blank before", REQUEST, " GET / HTTP/1.1\r\nHost: x\r\n\r\n", "malformed request line"},
    {"fragment", REQUEST, "GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n",
     "invalid character in the request target"},
    {"high byte in the target", REQUEST, "GET /\xc3\xa4 HTTP/1.1\r\nHost: x\r\n\r\n",
     "invalid character in the request target"},
    {"control byte in the target", REQUEST, "GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
     "invalid character in the request target"},
    {"relative target", REQUEST, "GET a HTTP/1.1\r\nHost: x\r\n\r\n",
     "the request target is no path, absolute URI or *"},
    {"other scheme", REQUEST, "GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
     "the request target is no path, absolute URI or *"},
    {"user in the authority", REQUEST, "GET http://a@x/ HTTP/1.1\r\nHost: x\r\n\r\n",
     "the request target is no path, absolute URI or *"},
    {"empty authority", REQUEST, "GET http:/// HTTP/1.1\r\nHost: x\r\n\r\n",
     "the request target is no path, absolute URI or *"},
    {"asterisk of GET", REQUEST, "GET * HTTP/1.1\r\nHost: x\r\n\r\n",
     "the request target is no path, absolute URI or *"},
    {"climbing", REQUEST, "GET /api/v1/../x HTTP/1.1\r\nHost: x\r\n\r\n",
     "dot segments in the request path"},
    {"climbing at the end", REQUEST, "GET /api/v1/.. HTTP/1.1\r\nHost: x\r\n\r\n",
     "dot segments in the request path"},
    {"climbing in absolute form", REQUEST, "GET http://x/a/../b HTTP/1.1\r\nHost: x\r\n\r\n",
     "dot segments in the request path"},
    {"CONNECT", REQUEST, "CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", "CONNECT is not offered"},
    {"no Host", REQUEST, "GET / HTTP/1.1\r\n\r\n", "missing, repeated or invalid Host"},
    {"two Hosts", REQUEST, "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
     "missing, repeated or invalid Host"},
    {"two Hosts in 1.0", REQUEST, "GET / HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n",
     "missing, repeated or invalid Host"},
    {"list of Hosts", REQUEST, "GET / HTTP/1.1\r\nHost: x, y\r\n\r\n",
     "missing, repeated or invalid Host"},
    {"Host with a path", REQUEST, "GET / HTTP/1.1\r\nHost: x/y\r\n\r\n",
     "missing, repeated or invalid Host"},
    {"Host with a user", REQUEST, "GET / HTTP/1.1\r\nHost: a@x\r\n\r\n",
     "missing, repeated or invalid Host"},
    {"IPv6 Host without brackets", REQUEST, "GET / HTTP/1.1\r\nHost: ::1\r\n\r\n",
     "missing, repeated or invalid Host"},
    {"Host unlike the authority", REQUEST, "GET http://x/ HTTP/1.1\r\nHost: y\r\n\r\n",
     "Host differs from the request target"},
    {"version 1.2", REQUEST, "GET / HTTP/1.2\r\nHost: x\r\n\r\n",
     "only HTTP/1.1 and HTTP/1.0 are spoken here"},
    {"version 2.0 preface", REQUEST, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
     "only HTTP/1.1 and HTTP/1.0 are spoken here"},
    {"version in lower case", REQUEST, "GET / http/1.1\r\nHost: x\r\n\r\n",
     "malformed request line"},
    {"version 1.10", REQUEST, "GET / HTTP/1.10\r\nHost: x\r\n\r\n", "malformed request line"},
    {"no version", REQUEST, "GET /\r\nHost: x\r\n\r\n", "malformed request line"},
    {"invalid Connection", REQUEST, "GET / HTTP/1.1\r\nHost: x\r\nConnection: a b\r\n\r\n",
     "invalid Connection header"},
    {"noise before a bare LF", REQUEST, "/ H/0Connection: \nTransfer", "malformed request line"},
    {"TLS hello", REQUEST, "\x16\x03\x01\x02", "malformed request line"},
    {"method of 65 letters", REQUEST,
     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\nHost: "
     "x\r\n\r\n",
     "method is too long"},

    {"answer", RESPONSE, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "1.1 200 [OK] length 2"},
    {"answer without reason", RESPONSE, "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\n",
     "1.1 200 [] length 2"},
    {"answer without reason and blank", RESPONSE, "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n",
     "1.1 200 [] length 2"},
    {"answer until close", RESPONSE, "HTTP/1.1 200 OK\r\n\r\n", "1.1 200 [OK] until-close"},
    {"answer of 1.0", RESPONSE, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n",
     "1.0 200 [OK] length 2 close"},
    {"chunked answer", RESPONSE, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
     "1.1 200 [OK] chunked"},
    {"204 has no body", RESPONSE, "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
     "1.1 204 [No Content] none 5"},
    {"304 has no body", RESPONSE, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
     "1.1 304 [Not Modified] none 5"},
    {"103 has no body", RESPONSE, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
     "1.1 103 [Early Hints] none"},
    {"answer to HEAD", TO_HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
     "1.1 200 [OK] none 5"},
    {"chunked answer to HEAD", TO_HEAD, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
     "1.1 200 [OK] none"},
    {"two Hosts in an answer are none of our business", RESPONSE,
     "HTTP/1.1 200 OK\r\nHost: x\r\nHost: y\r\nContent-Length: 0\r\n\r\n", "1.1 200 [OK] none 0"},
    {"answer with both framings", RESPONSE,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n",
     "both Content-Length and Transfer-Encoding"},
    {"answer with chunked twice", RESPONSE,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
     "transfer coding is not exactly chunked"},
    {"answer with two lengths", RESPONSE,
     "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n",
     "invalid or repeated Content-Length"},
    {"answer with gzip coding", RESPONSE, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
     "transfer coding is not exactly chunked"},
    {"chunked answer of 1.0", RESPONSE, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
     "Transfer-Encoding in an HTTP/1.0 message"},
    {"answer with empty line before", RESPONSE, "\r\nHTTP/1.1 200 OK\r\n\r\n",
     "malformed status line"},
    {"answer of HTTP/2", RESPONSE, "HTTP/2 200\r\n\r\n", "malformed status line"},
    {"answer of 1.2", RESPONSE, "HTTP/1.2 200 OK\r\n\r\n",
     "only HTTP/1.1 and HTTP/1.0 are spoken here"},
    {"status of two digits", RESPONSE, "HTTP/1.1 20 OK\r\n\r\n", "malformed status line"},
    {"status of four digits", RESPONSE, "HTTP/1.1 2000 OK\r\n\r\n", "malformed status line"},
    {"status 099", RESPONSE, "HTTP/1.1 099 OK\r\n\r\n", "malformed status line"},
    {"noise", RESPONSE, "SSH-2.0-x\r\n", "malformed status line"},
    {"noise without line end", RESPONSE, "\x15\x03", "malformed status line"},
    {"folded answer", RESPONSE, "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "folded header line"},
    {"bare LF in an answer", RESPONSE, "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
     "a line ends without CR"},

    {"LF allowed", LF_REQUEST, "GET /a HTTP/1.1\nHost: x\nA: b\n\n",
     "GET [/a] path=2 1.1 host=[x] none"},
    {"LF allowed, mixed", LF_REQUEST, "\n\r\nGET / HTTP/1.1\r\nHost: x\nContent-Length: 3\r\n\n",
     "GET [/] path=1 1.1 host=[x] length 3"},
    {"LF allowed, CRLF everywhere", LF_REQUEST, "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
     "GET [/] path=1 1.1 host=[x] none"},
    {"LF allowed, a bare CR is not", LF_REQUEST, "GET / HTTP/1.1\nHost: x\nA: b\rc\n\n",
     "invalid character in a header value"},
    {"LF allowed, two CR are not", LF_REQUEST, "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\r\n\r\n",
     "invalid character in a header value"},
    {"LF allowed, folding is not", LF_REQUEST, "GET / HTTP/1.1\nHost: x\n y\n\n",
     "folded header line"},
    {"LF allowed, five empty lines", LF_REQUEST, "\n\n\n\n\nGET / HTTP/1.1\nHost: x\n\n",
     "too many empty lines before the request"},
    {"LF allowed in an answer", LF_RESPONSE, "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
     "1.1 200 [OK] none 0"},
};

static void test_whole(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_head h;
        char text[256];
        size_t n = strlen(rows[i].raw);

        init(&h, rows[i].kind);
        enum http_result r = http_head_parse(&h, rows[i].raw, n);
        ROW_EQ_STR(rows[i].name, describe(&h, r, rows[i].raw, text, sizeof(text)), rows[i].want);
        if (r == HTTP_DONE)
            ROW_EQ_U64(rows[i].name, h.len, n);
    }
}

/* The same, byte by byte, each time in a buffer somewhere else: the result must not know of either.
 */
static void test_split_at_every_byte(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_head h;
        char text[256];
        size_t n = strlen(rows[i].raw);
        enum http_result r = HTTP_MORE;

        init(&h, rows[i].kind);
        for (size_t k = 1; k <= n && r == HTTP_MORE; k++) {
            AUTO(mem_freep) char *copy = mem_strndup(rows[i].raw, k);

            r = http_head_parse(&h, copy, k);
        }
        ROW_EQ_STR(rows[i].name, describe(&h, r, rows[i].raw, text, sizeof(text)), rows[i].want);
    }
}

static void test_stops_at_its_end(void **state UNUSED)
{
    static const char two[] = "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\n";
    struct http_head h;

    http_request_init(&h);
    assert_int_equal(http_head_parse(&h, two, sizeof(two) - 1), HTTP_DONE);
    assert_int_equal(h.len, 28);
}

static void test_nul_in_a_value(void **state UNUSED)
{
    static const char raw[] = "GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n";
    struct http_head h;

    http_request_init(&h);
    assert_int_equal(http_head_parse(&h, raw, sizeof(raw) - 1), HTTP_BAD);
    assert_int_equal(h.fault, HTTP_FAULT_FIELD_VALUE);
}

/* Bytes are looked at many at a time: every one of them at every place of every length. */
static void test_every_byte_everywhere(void **state UNUSED)
{
    enum { LENGTH_MAX = 50 };
    static const struct {
        const char *name, *before, *after;
        bool target;
    } places[] = {
        {"value", "GET / HTTP/1.1\r\nHost: x\r\nX-A: ", "\r\n\r\n", false},
        {"target", "GET /", " HTTP/1.1\r\nHost: x\r\n\r\n", true},
    };

    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        size_t from = strlen(places[i].before), tail = strlen(places[i].after);

        for (size_t n = 1; n <= LENGTH_MAX; n++) {
            for (size_t at = 0; at < n; at++) {
                for (unsigned c = 0; c < 256; c++) {
                    bool may = places[i].target ? c > 0x20 && c < 0x7f && c != '#'
                                                : c == '\t' || (c >= 0x20 && c != 0x7f);
                    char raw[128];
                    struct http_head h;

                    memcpy(raw, places[i].before, from);
                    memset(raw + from, 'a', n);
                    raw[from + at] = (char)c;
                    memcpy(raw + from + n, places[i].after, tail);
                    http_request_init(&h);
                    ROW_EQ_U64(places[i].name, http_head_parse(&h, raw, from + n + tail),
                               may ? HTTP_DONE : HTTP_BAD);
                }
            }
        }
    }
}

static void test_limits(void **state UNUSED)
{
    static char big[HTTP_HEAD_MAX + 100];
    struct http_head h;
    size_t n;

    /* one field of exactly what fits, and of a byte more */
    for (size_t extra = 0; extra < 2; extra++) {
        n = (size_t)snprintf(big, sizeof(big), "GET / HTTP/1.1\r\nHost: x\r\nA: ");
        memset(big + n, 'a', HTTP_HEAD_MAX - n - 4 + extra);
        n = HTTP_HEAD_MAX - 4 + extra;
        memcpy(big + n, "\r\n\r\n", 4);
        http_request_init(&h);
        assert_int_equal(http_head_parse(&h, big, n + 4), extra == 0 ? HTTP_DONE : HTTP_BAD);
        if (extra == 1)
            assert_int_equal(h.fault, HTTP_FAULT_HEAD_TOO_LONG);
    }
    memset(big, 'a', sizeof(big));
    memcpy(big, "GET /", 5);
    http_request_init(&h);
    assert_int_equal(http_head_parse(&h, big, sizeof(big)), HTTP_BAD);
    assert_int_equal(h.fault, HTTP_FAULT_TARGET_TOO_LONG);
    for (unsigned fields = HTTP_FIELDS_MAX; fields <= HTTP_FIELDS_MAX + 1; fields++) {
        n = (size_t)snprintf(big, sizeof(big), "GET / HTTP/1.1\r\nHost: x\r\n");
        for (unsigned i = 1; i < fields; i++)
            n += (size_t)snprintf(big + n, sizeof(big) - n, "A%u: b\r\n", i);
        n += (size_t)snprintf(big + n, sizeof(big) - n, "\r\n");
        http_request_init(&h);
        assert_int_equal(http_head_parse(&h, big, n),
                         fields <= HTTP_FIELDS_MAX ? HTTP_DONE : HTTP_BAD);
        if (fields > HTTP_FIELDS_MAX)
            assert_int_equal(h.fault, HTTP_FAULT_TOO_MANY_FIELDS);
    }
}

/* Every row of http_field.def is found by its name, in any case. */
static void test_known_fields(void **state UNUSED)
{
    static const char *const names[] = {
#define FIELD(sym, name, req, resp) name,
#include "lb/core/http_field.def"
#undef FIELD
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char raw[128], upper[32];
        struct http_head h;

        snprintf(upper, sizeof(upper), "%s", names[i]);
        upper[0] = (char)(upper[0] - 32);
        snprintf(raw, sizeof(raw), "HTTP/1.1 204 x\r\n%s: %s\r\n\r\n", upper,
                 strcmp(names[i], "transfer-encoding") == 0 ? "chunked" : "1");
        http_response_init(&h, false);
        ROW_EQ_U64(names[i], http_head_parse(&h, raw, strlen(raw)), HTTP_DONE);
        ROW_EQ_U64(names[i], h.fields[0].id, i + 1);
    }
}

static void test_named_in_connection(void **state UNUSED)
{
    static const char raw[] =
        "GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nConnection: close, x-a\r\nX-B: 1\r\n"
        "Connection: X-b\r\nX-C: 1\r\n\r\n";
    struct http_head h;

    http_request_init(&h);
    assert_int_equal(http_head_parse(&h, raw, sizeof(raw) - 1), HTTP_DONE);
    assert_true(h.fields[1].hop);
    assert_true(h.fields[3].hop);
    assert_false(h.fields[5].hop);
}

static void test_idempotent(void **state UNUSED)
{
    static const struct {
        const char *name;
        enum http_method m;
        bool want;
    } methods[] = {
        {"GET", HTTP_GET, true},          {"HEAD", HTTP_HEAD, true},
        {"PUT", HTTP_PUT, true},          {"DELETE", HTTP_DELETE, true},
        {"TRACE", HTTP_TRACE, true},      {"OPTIONS", HTTP_OPTIONS, true},
        {"POST", HTTP_POST, false},       {"other", HTTP_OTHER, false},
        {"CONNECT", HTTP_CONNECT, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        ROW_EQ_U64(methods[i].name, http_method_idempotent(methods[i].m), methods[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_split_at_every_byte),
        cmocka_unit_test(test_stops_at_its_end),
        cmocka_unit_test(test_nul_in_a_value),
        cmocka_unit_test(test_every_byte_everywhere),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_known_fields),
        cmocka_unit_test(test_named_in_connection),
        cmocka_unit_test(test_idempotent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
