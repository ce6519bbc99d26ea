/* Request bodies of acts and users. What is accepted keeps its promises and lies inside the body;
 * what another parser takes as JSON, the tokenizer takes as well. */
#include "test/fuzz/fuzz.h"

#include <jansson.h>
#include <string.h>

#include "acts-service/body.h"
#include "acts-service/check.h"
#include "acts-service/jscan.h"
#include "acts-service/utf8.h"
#include "common/base/mem.h"

static char *copy_of(const uint8_t *data, size_t size)
{
    return mem_strndup((const char *)data, size);
}

static void must_be_inside(const char *p, size_t n, struct sv s)
{
    MUST(s.p >= p && s.p + s.n <= p + n);
}

static bool scans(const uint8_t *data, size_t size)
{
    char *p = copy_of(data, size);
    struct jscan j;
    enum jtok tok = JT_ERROR;
    size_t steps = 0;

    jscan_init(&j, p, size);
    do {
        tok = jscan_next(&j);
        MUST(steps++ <= 2 * size + 2);
        if (tok == JT_KEY || tok == JT_STR) {
            must_be_inside(p, size, j.text);
            MUST(utf8_valid(j.text));
        }
    } while (tok != JT_ERROR && tok != JT_END);
    MUST(tok == JT_END || j.why != NULL);
    mem_free(p);
    return tok == JT_END;
}

static unsigned depth_of(const json_t *v, unsigned max)
{
    unsigned deepest = 0, d;
    const char *key;
    json_t *in;
    size_t i;

    if (max == 0 || !(json_is_array(v) || json_is_object(v)))
        return 0;
    json_array_foreach(v, i, in)
    {
        d = depth_of(in, max - 1);
        deepest = d > deepest ? d : deepest;
    }
    json_object_foreach((json_t *)v, key, in)
    {
        d = depth_of(in, max - 1);
        deepest = d > deepest ? d : deepest;
    }
    return deepest + 1;
}

static void an_upload(const uint8_t *data, size_t size)
{
    char *p = copy_of(data, size);
    struct act_in a;
    struct err e = {""};

    if (body_act(p, size, &a, &e)) {
        const struct sv all[] = {a.id, a.username, a.caption, a.category, a.image};
        struct sv id;
        size_t n = a.image.n;

        for (size_t i = 0; i < ARRAY_LEN(all); i++) {
            must_be_inside(p, size, all[i]);
            MUST(check_text(all[i]));
        }
        MUST(check_id(a.id, &id) && id.n == a.id.n);
        MUST(a.username.n > 0 && a.category.n > 0 && a.image.n > 0);
        MUST(check_base64(p + (a.image.p - p), &n) && n == a.image.n);
    } else {
        MUST(e.msg[0] != '\0');
    }
    mem_free(p);
}

static void a_user(const uint8_t *data, size_t size)
{
    char *p = copy_of(data, size);
    struct user_in u;
    struct err e = {""};

    if (body_user(p, size, &u, &e)) {
        must_be_inside(p, size, u.name);
        must_be_inside(p, size, u.password);
        MUST(u.name.n > 0 && check_text(u.name) && check_sha1(u.password));
    } else {
        MUST(e.msg[0] != '\0');
    }
    mem_free(p);
}

static void arrays(const uint8_t *data, size_t size)
{
    char *p = copy_of(data, size), *q = copy_of(data, size), *r = copy_of(data, size);
    struct err e = {""};
    struct sv s;
    bool found = false;

    if (body_name(p, size, "a name", &s, &e)) {
        must_be_inside(p, size, s);
        MUST(body_has_name(q, size, s, &found, &e) && found);
    }
    if (body_id(r, size, &s, &e))
        must_be_inside(r, size, s);
    mem_free(p);
    mem_free(q);
    mem_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool ok = scans(data, size);
    json_t *v = NULL;

    /* The other parser overlooks a raw NUL behind a number. */
    if (size > 0 && memchr(data, '\0', size) == NULL)
        v = json_loadb((const char *)data, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    MUST(v == NULL || ok || depth_of(v, JSCAN_DEPTH + 2) > JSCAN_DEPTH);
    json_decref(v);
    an_upload(data, size);
    a_user(data, size);
    arrays(data, size);
    return 0;
}
