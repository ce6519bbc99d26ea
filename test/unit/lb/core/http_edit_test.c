#include "test/unit/unit.h"

#include "common/base/macros.h"
#include "lb/core/http_edit.h"

static const struct {
    const char *name;
    const char *raw;
    bool trusted;
    const char *want;
} requests[] = {
    {"plain",
     "GET /a%20b//c?x=/../ HTTP/1.1\r\nhOST: Example.org:80\r\nX-a:  1 \r\nACCEPT: */*\r\n\r\n",
     false,
     "GET /a%20b//c?x=/../ HTTP/1.1\r\nHost: Example.org:80\r\nX-a: 1\r\nACCEPT: */*\r\n"
     "X-Forwarded-For: 10.0.0.9\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: Example.org:80\r\n"
     "Via: 1.1 lbctl\r\n\r\n"},
    {"hop-by-hop fields and those named in Connection go",
     "GET / HTTP/1.1\r\nHost: x\r\nConnection: close, X-Drop\r\nX-Drop: 1\r\nKeep-Alive: 5\r\nTE: "
     "trailers\r\n"
     "Proxy-Connection: a\r\nTrailer: b\r\nUpgrade: h2c\r\nX-Keep: 1\r\n\r\n",
     false,
     "GET / HTTP/1.1\r\nHost: x\r\nX-Keep: 1\r\nX-Forwarded-For: 10.0.0.9\r\nX-Forwarded-Proto: "
     "http\r\n"
     "X-Forwarded-Host: x\r\nVia: 1.1 lbctl\r\n\r\n"},
    {"Host and framing cannot be named away",
     "POST / HTTP/1.1\r\nHost: x\r\nConnection: host, content-length\r\nContent-Length: 3\r\n\r\n",
     false,
     "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nX-Forwarded-For: "
     "10.0.0.9\r\nX-Forwarded-Proto: http\r\n"
     "X-Forwarded-Host: x\r\nVia: 1.1 lbctl\r\n\r\n"},
    {"a stranger's claims are dropped",
     "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: "
     "https\r\nX-Forwarded-Host: y\r\n"
     "X-Forwarded-Port: 1\r\nForwarded: for=1.1.1.1\r\n\r\n",
     false,
     "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 10.0.0.9\r\nX-Forwarded-Proto: "
     "http\r\nX-Forwarded-Host: x\r\n"
     "Via: 1.1 lbctl\r\n\r\n"},
    {"a trusted peer's are continued",
     "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2\r\nx-forwarded-for: "
     "3.3.3.3\r\n"
     "X-Forwarded-Proto: https\r\nX-Forwarded-Host: y\r\nX-Forwarded-Port: 443\r\nForwarded: "
     "for=1.1.1.1\r\n\r\n",
     true,
     "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-Port: 443\r\nForwarded: for=1.1.1.1\r\n"
     "X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, 10.0.0.9\r\nX-Forwarded-Proto: "
     "https\r\nX-Forwarded-Host: y\r\n"
     "Via: 1.1 lbctl\r\n\r\n"},
    {"absolute form becomes origin form", "GET http://h:1?q HTTP/1.1\r\nHost: h:1\r\n\r\n", false,
     "GET /?q HTTP/1.1\r\nHost: h:1\r\nX-Forwarded-For: 10.0.0.9\r\nX-Forwarded-Proto: http\r\n"
     "X-Forwarded-Host: h:1\r\nVia: 1.1 lbctl\r\n\r\n"},
    {"an empty absolute path", "GET http://h HTTP/1.1\r\nHost: h\r\n\r\n", false,
     "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 10.0.0.9\r\nX-Forwarded-Proto: http\r\n"
     "X-Forwarded-Host: h\r\nVia: 1.1 lbctl\r\n\r\n"},
    {"HTTP/1.0 without Host, with Expect",
     "PUT /a HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n", false,
     "PUT /a HTTP/1.1\r\nHost: back:1\r\nContent-Length: 0\r\nX-Forwarded-For: 10.0.0.9\r\n"
     "X-Forwarded-Proto: http\r\nVia: 1.0 lbctl\r\n\r\n"},
    {"chunked and Expect go on",
     "PUT /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: Chunked\r\n\r\n",
     false,
     "PUT /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n"
     "X-Forwarded-For: 10.0.0.9\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: x\r\nVia: 1.1 "
     "lbctl\r\n\r\n"},
    {"upgrade",
     "GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, X-Z\r\nUpgrade: websocket\r\nX-Z: "
     "1\r\n\r\n",
     false,
     "GET /a HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\nX-Forwarded-For: "
     "10.0.0.9\r\n"
     "X-Forwarded-Proto: http\r\nX-Forwarded-Host: x\r\nVia: 1.1 lbctl\r\n\r\n"},
};

static void test_requests(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        char text[1024];
        struct http_out o = {.p = text, .cap = sizeof(text) - 1};
        struct http_peer peer = {.address = sv_of("10.0.0.9"), .trusted = requests[i].trusted};
        struct http_head h;

        http_request_init(&h);
        ROW_EQ_U64(requests[i].name, http_head_parse(&h, requests[i].raw, strlen(requests[i].raw)),
                   HTTP_DONE);
        http_edit_request(&o, &h, requests[i].raw, &peer, sv_of("back:1"), NULL);
        text[o.n] = '\0';
        ROW_EQ_U64(requests[i].name, o.over, false);
        ROW_EQ_STR(requests[i].name, text, requests[i].want);
    }
}

/* The settings: Forwarded beside the de-facto fields, and a request id. */
static const struct {
    const char *name, *raw, *address;
    bool trusted, forwarded;
    const char *id;
    const char *want, *want_not;
} settings[] = {
    {"Forwarded", "GET / HTTP/1.1\r\nHost: x:1\r\nForwarded: for=1.1.1.1\r\n\r\n", "10.0.0.9",
     false, true, "", "\r\nForwarded: for=10.0.0.9;proto=http;host=\"x:1\"\r\n", "1.1.1.1"},
    {"Forwarded is continued",
     "GET / HTTP/1.1\r\nHost: x\r\nForwarded: for=1.1.1.1\r\nforwarded: for=2.2.2.2\r\n\r\n",
     "10.0.0.9", true, true, "",
     "\r\nForwarded: for=1.1.1.1, for=2.2.2.2, for=10.0.0.9;proto=http;host=\"x\"\r\n",
     "\r\nforwarded"},
    {"Forwarded of an IPv6 client", "GET / HTTP/1.0\r\n\r\n", "2001:db8::1", false, true, "",
     "\r\nForwarded: for=\"[2001:db8::1]\";proto=http\r\n", "host="},
    {"an id", "GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: theirs\r\n\r\n", "10.0.0.9", false, false,
     "ours", "\r\nX-Request-Id: ours\r\n", "theirs"},
    {"no id", "GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: theirs\r\n\r\n", "10.0.0.9", false, false,
     "", "\r\nX-Request-Id: theirs\r\n", "Forwarded:"},
};

static void test_settings(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        char text[1024];
        struct http_out o = {.p = text, .cap = sizeof(text) - 1};
        struct http_peer peer = {.address = sv_of(settings[i].address),
                                 .trusted = settings[i].trusted,
                                 .forwarded = settings[i].forwarded,
                                 .request_id = sv_of(settings[i].id)};
        struct http_head h;

        http_request_init(&h);
        ROW_EQ_U64(settings[i].name, http_head_parse(&h, settings[i].raw, strlen(settings[i].raw)),
                   HTTP_DONE);
        http_edit_request(&o, &h, settings[i].raw, &peer, sv_of("back:1"), NULL);
        text[o.n] = '\0';
        ROW_EQ_U64(settings[i].name, o.over, false);
        ROW_HAS_STR(settings[i].name, text, settings[i].want);
        if (strstr(text, settings[i].want_not) != NULL)
            fail_msg("row '%s': '%s' in '%s'", settings[i].name, settings[i].want_not, text);
    }
}

static const struct {
    const char *name;
    const char *raw;
    unsigned minor;
    bool close, to_head;
    const char *want;
} answers[] = {
    {"length", "HTTP/1.1 200 All Right\r\nContent-Length: 3\r\nX-A: b\r\n\r\n", 1, false, false,
     "HTTP/1.1 200 All Right\r\nX-A: b\r\nContent-Length: 3\r\n\r\n"},
    {"hop-by-hop fields go",
     "HTTP/1.1 201 C\r\nConnection: keep-alive, X-A\r\nX-A: b\r\nKeep-Alive: 1\r\nContent-Length: "
     "0\r\n\r\n",
     1, false, false, "HTTP/1.1 201 C\r\nContent-Length: 0\r\n\r\n"},
    {"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 1, false, false,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
    {"chunked to 1.0", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0, true, false,
     "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"},
    {"until close becomes chunked", "HTTP/1.0 200 OK\r\n\r\n", 1, false, false,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
    {"keep-alive to 1.0", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", 0, false, false,
     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n"},
    {"close", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", 1, true, false,
     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n"},
    {"204 loses its length", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 1, false,
     false, "HTTP/1.1 204 No Content\r\n\r\n"},
    {"304 keeps it", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 1, false, false,
     "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"},
    {"HEAD keeps it", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 1, false, true,
     "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"},
    {"interim", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: close\r\n\r\n", 1, true,
     false, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"},
    {"switching",
     "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-K: "
     "1\r\n\r\n",
     1, true, false,
     "HTTP/1.1 101 Switching Protocols\r\nX-K: 1\r\nConnection: upgrade\r\nUpgrade: "
     "websocket\r\n\r\n"},
    {"426 says to what",
     "HTTP/1.1 426 Upgrade Required\r\nUpgrade: HTTP/3.0\r\nConnection: Upgrade\r\nContent-Length: "
     "0\r\n\r\n",
     1, false, false,
     "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nConnection: upgrade\r\nUpgrade: "
     "HTTP/3.0\r\n\r\n"},
    {"426 and a close",
     "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n", 1, true,
     false,
     "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nConnection: upgrade\r\nUpgrade: "
     "websocket\r\nConnection: close\r\n\r\n"},
    {"fields that only requests lose",
     "HTTP/1.1 200 OK\r\nHost: a\r\nX-Forwarded-For: b\r\nContent-Length: 0\r\n\r\n", 1, false,
     false, "HTTP/1.1 200 OK\r\nHost: a\r\nX-Forwarded-For: b\r\nContent-Length: 0\r\n\r\n"},
};

static void test_answers(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        char text[1024];
        struct http_out o = {.p = text, .cap = sizeof(text) - 1};
        struct http_head h;

        http_response_init(&h, answers[i].to_head);
        ROW_EQ_U64(answers[i].name, http_head_parse(&h, answers[i].raw, strlen(answers[i].raw)),
                   HTTP_DONE);
        http_edit_response(&o, &h, answers[i].raw, answers[i].minor,
                           http_edit_framing(&h, answers[i].minor), answers[i].close, NULL);
        text[o.n] = '\0';
        ROW_EQ_STR(answers[i].name, text, answers[i].want);
    }
}

/* Whatever the room, nothing is written behind it, and a lack is told. */
static void test_room(void **state UNUSED)
{
    const char *raw = requests[0].raw;
    size_t full = strlen(requests[0].want);
    struct http_head h;

    http_request_init(&h);
    assert_int_equal(http_head_parse(&h, raw, strlen(raw)), HTTP_DONE);
    for (size_t cap = 0; cap <= full; cap++) {
        char text[1024] = {0};
        struct http_out o = {.p = text, .cap = cap};
        struct http_peer peer = {.address = sv_of("10.0.0.9")};

        text[cap] = 'E';
        http_edit_request(&o, &h, raw, &peer, sv_of("back:1"), NULL);
        assert_int_equal(text[cap], 'E');
        assert_int_equal(o.over, cap < full);
    }
}

/* What routes do. The request has one line of each kind. */
#define EDITED "Host: h:1\r\nX-A: 1\r\nx-a: 2\r\nX-B: 3\r\nX-Forwarded-Prefix: /before\r\n\r\n"
#define FOR "X-Forwarded-For: 10.0.0.9\r\n"
#define PROTO "X-Forwarded-Proto: http\r\n"
#define HOST "X-Forwarded-Host: h:1\r\n"
#define VIA "Via: 1.1 lbctl\r\n\r\n"
#define ADD(n, v)                                                                                  \
    {                                                                                              \
        HTTP_EDIT_ADD, {n, sizeof(n) - 1},                                                         \
        {                                                                                          \
            v, sizeof(v) - 1                                                                       \
        }                                                                                          \
    }
#define SET(n, v)                                                                                  \
    {                                                                                              \
        HTTP_EDIT_SET, {n, sizeof(n) - 1},                                                         \
        {                                                                                          \
            v, sizeof(v) - 1                                                                       \
        }                                                                                          \
    }
#define REMOVE(n)                                                                                  \
    {                                                                                              \
        HTTP_EDIT_REMOVE, {n, sizeof(n) - 1},                                                      \
        {                                                                                          \
            "", 0                                                                                  \
        }                                                                                          \
    }

static const struct {
    const char *name, *target;
    bool trusted;
    struct http_edit edits[3];
    size_t n;
    const char *prefix, *rewrite; /* rewrite NULL: not cut */
    const char *want;
} routes[] = {
    {"nothing",
     "/a",
     false,
     {ADD("", "")},
     0,
     "",
     NULL,
     "GET /a HTTP/1.1\r\nHost: h:1\r\nX-A: 1\r\nx-a: 2\r\nX-B: 3\r\n" FOR PROTO HOST VIA},
    {"add beside",
     "/a",
     false,
     {ADD("X-A", "4")},
     1,
     "",
     NULL,
     "GET /a HTTP/1.1\r\nHost: h:1\r\nX-A: 1\r\nx-a: 2\r\nX-B: 3\r\n" FOR PROTO HOST
     "X-A: 4\r\n" VIA},
    {"set instead of all",
     "/a",
     false,
     {SET("X-a", "4")},
     1,
     "",
     NULL,
     "GET /a HTTP/1.1\r\nHost: h:1\r\nX-B: 3\r\n" FOR PROTO HOST "X-a: 4\r\n" VIA},
    {"remove all",
     "/a",
     false,
     {REMOVE("x-A")},
     1,
     "",
     NULL,
     "GET /a HTTP/1.1\r\nHost: h:1\r\nX-B: 3\r\n" FOR PROTO HOST VIA},
    {"remove and add",
     "/a",
     false,
     {REMOVE("X-A"), ADD("X-A", "4"), ADD("X-A", "5")},
     3,
     "",
     NULL,
     "GET /a HTTP/1.1\r\nHost: h:1\r\nX-B: 3\r\n" FOR PROTO HOST "X-A: 4\r\nX-A: 5\r\n" VIA},
    {"another Host",
     "/a",
     false,
     {SET("host", "in.example"), REMOVE("X-A"), REMOVE("X-B")},
     3,
     "",
     NULL,
     "GET /a HTTP/1.1\r\n" FOR PROTO HOST "host: in.example\r\n" VIA},
    {"what we write ourselves",
     "/a",
     false,
     {SET("X-Forwarded-Proto", "https"), REMOVE("x-forwarded-for"), REMOVE("X-A")},
     3,
     "",
     NULL,
     "GET /a HTTP/1.1\r\nHost: h:1\r\nX-B: 3\r\n" HOST "X-Forwarded-Proto: https\r\n" VIA},
    {"strip",
     "/api/v1/a?b",
     false,
     {REMOVE("X-A")},
     1,
     "/api/v1",
     "",
     "GET /a?b HTTP/1.1\r\nHost: h:1\r\nX-B: 3\r\n" FOR PROTO HOST
     "X-Forwarded-Prefix: /api/v1\r\n" VIA},
    {"strip for a trusted proxy",
     "/api/v1/a",
     true,
     {REMOVE("X-A")},
     1,
     "/api/v1",
     "",
     "GET /a HTTP/1.1\r\nHost: h:1\r\nX-B: 3\r\n" FOR PROTO HOST
     "X-Forwarded-Prefix: /before/api/v1\r\n" VIA},
    {"no strip for a trusted proxy",
     "/a",
     true,
     {REMOVE("X-A")},
     1,
     "",
     NULL,
     "GET /a HTTP/1.1\r\nHost: h:1\r\nX-B: 3\r\nX-Forwarded-Prefix: /before\r\n" FOR PROTO HOST
         VIA},
    {"strip all",
     "/api",
     false,
     {REMOVE("X-A")},
     1,
     "/api",
     "",
     "GET / HTTP/1.1\r\nHost: h:1\r\nX-B: 3\r\n" FOR PROTO HOST "X-Forwarded-Prefix: /api\r\n" VIA},
    {"strip all but the query",
     "/api?b",
     false,
     {REMOVE("X-A")},
     1,
     "/api",
     "",
     "GET /?b HTTP/1.1\r\nHost: h:1\r\nX-B: 3\r\n" FOR PROTO HOST
     "X-Forwarded-Prefix: /api\r\n" VIA},
    {"strip leaves no host in front",
     "/api//evil/x",
     false,
     {REMOVE("X-A")},
     1,
     "/api",
     "",
     "GET /evil/x HTTP/1.1\r\nHost: h:1\r\nX-B: 3\r\n" FOR PROTO HOST
     "X-Forwarded-Prefix: /api\r\n" VIA},
    {"rewrite",
     "/api/v1/a/b?c",
     false,
     {REMOVE("X-A")},
     1,
     "/api/v1",
     "/v2",
     "GET /v2/a/b?c HTTP/1.1\r\nHost: h:1\r\nX-B: 3\r\n" FOR PROTO HOST VIA},
    {"rewrite of all",
     "/api",
     false,
     {REMOVE("X-A")},
     1,
     "/api",
     "/v2",
     "GET /v2 HTTP/1.1\r\nHost: h:1\r\nX-B: 3\r\n" FOR PROTO HOST VIA},
    {"put before everything",
     "/a",
     false,
     {REMOVE("X-A")},
     1,
     "",
     "/v2",
     "GET /v2/a HTTP/1.1\r\nHost: h:1\r\nX-B: 3\r\n" FOR PROTO HOST VIA},
    {"absolute form without a path",
     "http://h:1?q",
     false,
     {REMOVE("X-A")},
     1,
     "",
     "/v2",
     "GET /v2?q HTTP/1.1\r\nHost: h:1\r\nX-B: 3\r\n" FOR PROTO HOST VIA},
};

static void test_routes(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        char raw[512], text[1024];
        struct http_out o = {.p = text, .cap = sizeof(text) - 1};
        struct http_peer peer = {.address = sv_of("10.0.0.9"), .trusted = routes[i].trusted};
        struct http_request_edit edit = {.fields = {routes[i].edits, routes[i].n},
                                         .cut = routes[i].rewrite != NULL,
                                         .prefix = sv_of(routes[i].prefix),
                                         .rewrite = sv_of(routes[i].rewrite)};
        struct http_head h;

        snprintf(raw, sizeof(raw), "GET %s HTTP/1.1\r\n" EDITED, routes[i].target);
        http_request_init(&h);
        ROW_EQ_U64(routes[i].name, http_head_parse(&h, raw, strlen(raw)), HTTP_DONE);
        http_edit_request(&o, &h, raw, &peer, sv_of("back:1"), &edit);
        text[o.n] = '\0';
        ROW_EQ_STR(routes[i].name, text, routes[i].want);
    }
}

static void test_answers_of_routes(void **state UNUSED)
{
    static const struct http_edit edits[] = {REMOVE("server"), SET("X-Frame-Options", "DENY"),
                                             ADD("Link", "</b>")};
    static const struct {
        const char *name, *raw, *want;
    } cases[] = {
        {"final",
         "HTTP/1.1 200 OK\r\nServer: x\r\nx-frame-options: a\r\nLink: </a>\r\nContent-Length: "
         "0\r\n\r\n",
         "HTTP/1.1 200 OK\r\nLink: </a>\r\nX-Frame-Options: DENY\r\nLink: </b>\r\nContent-Length: "
         "0\r\n\r\n"},
        {"interim", "HTTP/1.1 103 Early Hints\r\nServer: x\r\nLink: </a>\r\n\r\n",
         "HTTP/1.1 103 Early Hints\r\nServer: x\r\nLink: </a>\r\n\r\n"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[512];
        struct http_out o = {.p = text, .cap = sizeof(text) - 1};
        struct http_edits e = {edits, ARRAY_LEN(edits)};
        struct http_head h;

        http_response_init(&h, false);
        ROW_EQ_U64(cases[i].name, http_head_parse(&h, cases[i].raw, strlen(cases[i].raw)),
                   HTTP_DONE);
        http_edit_response(&o, &h, cases[i].raw, 1, http_edit_framing(&h, 1), false, &e);
        text[o.n] = '\0';
        ROW_EQ_STR(cases[i].name, text, cases[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),          cmocka_unit_test(test_settings),
        cmocka_unit_test(test_answers),           cmocka_unit_test(test_routes),
        cmocka_unit_test(test_answers_of_routes), cmocka_unit_test(test_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
