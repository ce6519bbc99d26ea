#include "test/unit/unit.h"

#include <jansson.h>

#include "common/base/macros.h"
#include "lb/core/alog_line.h"

#define STAMP "2026-01-31T12:00:00.123Z"

static struct sv sv(const char *s)
{
    return sv_of(s);
}

static struct alog_entry usual(void)
{
    return (struct alog_entry){
        .stamp = STAMP,
        .client = sv("10.0.0.9"),
        .method = sv("GET"),
        .target = sv("/api/v1/x?a=%20"),
        .minor = 1,
        .status = 200,
        .bytes_in = 120,
        .bytes_out = 4096,
        .service = sv("acts"),
        .has_backend = true,
        .slot = 3,
        .instance = sv("t0k"),
        .generation = 17,
        .retries = 1,
        .times = {0, 12, 3456, 1000, 1234567},
        .cause = XC_OK,
        .phase = XS_NEW,
    };
}

static struct alog_entry refused(void)
{
    struct alog_entry en = usual();

    en.status = 502;
    en.cause = XC_REFUSED;
    en.phase = XS_CONNECT;
    en.times.connect = en.times.first = ALOG_NEVER;
    return en;
}

static struct alog_entry unread(void)
{
    return (struct alog_entry){
        .stamp = STAMP,
        .client = sv("::1"),
        .status = 400,
        .bytes_out = 200,
        .times = {5, ALOG_NEVER, ALOG_NEVER, ALOG_NEVER, 9},
        .cause = XC_BAD_REQUEST,
        .phase = XS_NEW,
    };
}

static struct alog_entry foreign(void)
{
    struct alog_entry en = usual();

    en.target = sv("/a\"b\\c\xff");
    en.target_cut = true;
    en.id = sv("r-1");
    en.cause = XC_CLIENT_TIMEOUT;
    en.phase = XS_RELAY;
    return en;
}

static const struct {
    const char *name;
    struct alog_entry (*make)(void);
    const char *text, *json;
} rows[] = {
    {"answered", usual,
     STAMP " 10.0.0.9 \"GET /api/v1/x?a=%20 HTTP/1.1\" 200 120/4096 acts/3/t0k "
           "0.000/0.012/3.456/1.000/1234.567 -- ok 1 17 -\n",
     "{\"time\":\"" STAMP "\",\"client\":\"10.0.0.9\",\"method\":\"GET\",\"target\":\"/api/v1/"
     "x?a=%20\",\"minor\":1,\"status\":200,\"bytes_in\":120,\"bytes_out\":4096,\"service\":"
     "\"acts\",\"slot\":3,\"instance\":\"t0k\",\"head_ms\":0.000,\"pick_ms\":0.012,\"connect_ms\":"
     "3.456,\"first_ms\":1.000,\"total_ms\":1234.567,\"code\":\"--\",\"cause\":\"ok\",\"retries\":"
     "1,\"generation\":17}\n"},
    {"refused", refused,
     STAMP " 10.0.0.9 \"GET /api/v1/x?a=%20 HTTP/1.1\" 502 120/4096 acts/3/t0k "
           "0.000/0.012/-/-/1234.567 SC refused 1 17 -\n",
     "{\"time\":\"" STAMP "\",\"client\":\"10.0.0.9\",\"method\":\"GET\",\"target\":\"/api/v1/"
     "x?a=%20\",\"minor\":1,\"status\":502,\"bytes_in\":120,\"bytes_out\":4096,\"service\":"
     "\"acts\",\"slot\":3,\"instance\":\"t0k\",\"head_ms\":0.000,\"pick_ms\":0.012,\"connect_ms\":"
     "null,\"first_ms\":null,\"total_ms\":1234.567,\"code\":\"SC\",\"cause\":\"refused\","
     "\"retries\":1,\"generation\":17}\n"},
    {"not understood", unread,
     STAMP " ::1 \"-\" 400 0/200 -/-/- 0.005/-/-/-/0.009 PR bad-request 0 0 -\n",
     "{\"time\":\"" STAMP "\",\"client\":\"::1\",\"status\":400,\"bytes_in\":0,\"bytes_out\":200,"
     "\"head_ms\":0.005,\"pick_ms\":null,\"connect_ms\":null,\"first_ms\":null,\"total_ms\":0.009,"
     "\"code\":\"PR\",\"cause\":\"bad-request\",\"retries\":0,\"generation\":0}\n"},
    {"foreign bytes", foreign,
     STAMP " 10.0.0.9 \"GET /a\\x22b\\x5cc\\xff... HTTP/1.1\" 200 120/4096 acts/3/t0k "
           "0.000/0.012/3.456/1.000/1234.567 cD client-timeout 1 17 r-1\n",
     "{\"time\":\"" STAMP "\",\"client\":\"10.0.0.9\",\"method\":\"GET\",\"target\":"
     "\"/a\\u0022b\\u005cc\\u00ff\",\"target_cut\":true,\"minor\":1,\"status\":200,\"bytes_in\":"
     "120,\"bytes_out\":4096,\"service\":\"acts\",\"slot\":3,\"instance\":\"t0k\",\"head_ms\":0."
     "000,\"pick_ms\":0.012,\"connect_ms\":3.456,\"first_ms\":1.000,\"total_ms\":1234.567,"
     "\"code\":\"cD\",\"cause\":\"client-timeout\",\"retries\":1,\"generation\":17,\"id\":\"r-1\"}"
     "\n"},
};

static void check(const char *name, const char *line, size_t n, const char *want)
{
    char got[ALOG_LINE_MAX + 1];

    memcpy(got, line, n);
    got[n] = '\0';
    ROW_EQ_STR(name, got, want);
}

static void test_lines(void **state UNUSED)
{
    char line[ALOG_LINE_MAX];

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct alog_entry en = rows[i].make();
        json_t *doc;
        size_t n = alog_line_text(&en, line);

        check(rows[i].name, line, n, rows[i].text);
        n = alog_line_json(&en, line);
        check(rows[i].name, line, n, rows[i].json);
        doc = json_loadb(line, n, 0, NULL);
        if (doc == NULL)
            fail_msg("row '%s' is no JSON", rows[i].name);
        json_decref(doc);
    }
}

/* The worst that can come stays one line that a pipe takes whole, and stays JSON. */
static void test_longest(void **state UNUSED)
{
    static char target[ALOG_TARGET_MAX], method[64], id[64];
    char line[ALOG_LINE_MAX];
    struct alog_entry en = usual();
    json_t *doc;
    size_t n;

    memset(target, 0xff, sizeof(target));
    memset(method, 'M', sizeof(method));
    memset(id, '"', sizeof(id));
    en.target = (struct sv){target, sizeof(target)};
    en.id = (struct sv){id, sizeof(id)};
    en.method = (struct sv){method, sizeof(method)};
    en.client = sv("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255");
    en.bytes_in = en.bytes_out = en.generation = INT64_MAX;
    n = alog_line_text(&en, line);
    assert_true(n < ALOG_LINE_MAX && line[n - 1] == '\n');
    assert_ptr_equal(memchr(line, '\n', n), line + n - 1);
    n = alog_line_json(&en, line);
    assert_true(n < ALOG_LINE_MAX && line[n - 1] == '\n');
    doc = json_loadb(line, n, 0, NULL);
    assert_non_null(doc);
    json_decref(doc);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_longest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
