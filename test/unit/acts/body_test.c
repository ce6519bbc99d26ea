#include "test/unit/unit.h"

#include "acts-service/body.h"

/* The valid base, with one member replaced: "" takes it out. */
enum { ID, USER, TIME, CAPTION, CATEGORY, IMAGE, MEMBERS };
static const char *const base[MEMBERS] = {
    "\"actId\": 7001",
    "\"username\": \"meera\"",
    "\"timestamp\": \"05-11-2024:07-59-23\"",
    "\"caption\": \"any\"",
    "\"categoryName\": \"tree care\"",
    "\"imgB64\": \"d2Fsa2VkIGEgc3RyYW5nZXIgaG9tZQ==\"",
};

static const struct {
    const char *name;
    int member; /* MEMBERS: appended */
    const char *with;
    const char *why; /* NULL: valid; else part of the error */
} rows[] = {
    {"base", MEMBERS, "", NULL},
    {"id 0", ID, "\"actId\": 0", NULL},
    {"id of 40 digits", ID, "\"actId\": 1234567890123456789012345678901234567890", NULL},
    {"id as digits in a string", ID, "\"actId\": \"7001\"", NULL},
    {"id negative", ID, "\"actId\": -1", "act id"},
    {"id with fraction", ID, "\"actId\": 1.5", "act id"},
    {"id with exponent", ID, "\"actId\": 1e3", "act id"},
    {"id true", ID, "\"actId\": true", "act id"},
    {"id null", ID, "\"actId\": null", "act id"},
    {"id text", ID, "\"actId\": \"x\"", "act id"},
    {"id empty string", ID, "\"actId\": \"\"", "act id"},
    {"id array", ID, "\"actId\": []", "act id"},
    {"id missing", ID, "", "actId is missing"},
    {"user missing", USER, "", "username"},
    {"user number", USER, "\"username\": 7", "username"},
    {"user empty", USER, "\"username\": \"\"", "username"},
    {"user with NUL", USER, "\"username\": \"a\\u0000\"", "NUL"},
    {"time missing", TIME, "", "timestamp"},
    {"time number", TIME, "\"timestamp\": 5", "timestamp"},
    {"time wrong order", TIME, "\"timestamp\": \"05-11-2024:07-10-45\"", "timestamp"},
    {"caption empty", CAPTION, "\"caption\": \"\"", NULL},
    {"caption with anything", CAPTION, "\"caption\": \"'\\\"\\n\\ud83d\\udc18\"", NULL},
    {"caption missing", CAPTION, "", "caption"},
    {"caption null", CAPTION, "\"caption\": null", "caption"},
    {"caption number", CAPTION, "\"caption\": 1", "caption"},
    {"caption with NUL", CAPTION, "\"caption\": \"\\u0000\"", "NUL"},
    {"category missing", CATEGORY, "", "categoryName"},
    {"category empty", CATEGORY, "\"categoryName\": \"\"", "categoryName"},
    {"image broken in lines", IMAGE, "\"imgB64\": \"YW\\nJj\\r\\n\"", NULL},
    {"image empty", IMAGE, "\"imgB64\": \"\"", "imgB64"},
    {"image URL-safe", IMAGE, "\"imgB64\": \"YW-_\"", "imgB64"},
    {"image number", IMAGE, "\"imgB64\": 7", "imgB64"},
    {"image missing", IMAGE, "", "imgB64"},
    {"upvotes 0", MEMBERS, ", \"upvotes\": 0", "upvotes"},
    {"upvotes null", MEMBERS, ", \"upvotes\": null", "upvotes"},
    {"upvotes text", MEMBERS, ", \"upvotes\": \"0\"", "upvotes"},
    {"unknown member", MEMBERS, ", \"x\": {\"upvotes\": [1]}", NULL},
    {"the last of two counts", MEMBERS, ", \"actId\": -1", "act id"},
    {"two objects", MEMBERS, "} {", "text after"},
    {"cut off inside", MEMBERS, ", \"x\": \"", "broken"},
};

static size_t compose(char *buf, size_t max, size_t row)
{
    size_t n = 0;

    buf[n++] = '{';
    for (int m = 0; m < MEMBERS; m++) {
        const char *text = rows[row].member == m ? rows[row].with : base[m];

        if (*text == '\0')
            continue;
        n += (size_t)snprintf(buf + n, max - n, "%s%s", n > 1 ? ", " : "", text);
    }
    if (rows[row].member == MEMBERS)
        n += (size_t)snprintf(buf + n, max - n, "%s", rows[row].with);
    buf[n++] = '}';
    return n;
}

static void uploads_are_judged(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char buf[1024];
        size_t n = compose(buf, sizeof(buf), i);
        struct act_in in;
        struct err e = {""};
        bool ok = body_act(buf, n, &in, &e);

        if (ok != (rows[i].why == NULL))
            fail_msg("row '%s': %s", rows[i].name, ok ? "accepted" : e.msg);
        if (!ok)
            ROW_HAS_STR(rows[i].name, e.msg, rows[i].why);
    }
}

static void an_upload_is_read(void **state)
{
    char text[] =
        "{\"imgB64\":\"YW\\nJj\",\"caption\":\"\\u00e4\",\"categoryName\":\"c\",\"timestamp\":"
        "\"29-02-2024:01-02-03\",\"username\":\"u\",\"actId\":9007199254740993}";
    struct act_in in;

    (void)state;
    assert_true(body_act(text, strlen(text), &in, NULL));
    assert_true(sv_eq(in.id, "9007199254740993"));
    assert_true(sv_eq(in.username, "u"));
    assert_true(sv_eq(in.caption, "\xc3\xa4"));
    assert_true(sv_eq(in.category, "c"));
    assert_true(sv_eq(in.image, "YWJj"));
    assert_true(in.ts == 20240229030201);
}

static const struct {
    const char *text;
    bool name_ok, id_ok;
} arrays[] = {
    {"[\"tree care\"]", true, false},
    {"[\"7001\"]", true, true},
    {"[7001]", false, true},
    {"[]", false, false},
    {"[\"a\", \"b\"]", false, false},
    {"[7001, 7002]", false, false},
    {"[\"\"]", false, false},
    {"[\"7001x\"]", true, false},
    {"[-1]", false, false},
    {"[7.0]", false, false},
    {"[null]", false, false},
    {"[[7001]]", false, false},
    {"[{\"a\": 1}]", false, false},
    {"7001", false, false},
    {"\"x\"", false, false},
    {"{}", false, false},
    {"{\"name\": \"x\"}", false, false},
    {"null", false, false},
    {"", false, false},
    {"[\"a\"", false, false},
    {"[\"a\"] x", false, false},
    {"[\"a\\u0000\"]", false, false},
};

static void arrays_of_one_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(arrays); i++) {
        char buf[64];
        size_t n = strlen(arrays[i].text);
        struct sv got;
        struct err e = {""};

        memcpy(buf, arrays[i].text, n);
        ROW_EQ_U64(arrays[i].text, body_name(buf, n, "a name", &got, &e), arrays[i].name_ok);
        ROW_EQ_U64(arrays[i].text, e.msg[0] != '\0', !arrays[i].name_ok);
        memcpy(buf, arrays[i].text, n);
        e.msg[0] = '\0';
        ROW_EQ_U64(arrays[i].text, body_id(buf, n, &got, &e), arrays[i].id_ok);
        ROW_EQ_U64(arrays[i].text, e.msg[0] != '\0', !arrays[i].id_ok);
    }
}

static const struct {
    const char *text;
    int want; /* 1 there, 0 not there, -1 no list */
} lists[] = {
    {"[\"ann\"]", 1},
    {"[\"bob\", \"ann\", \"eve\"]", 1},
    {"[\"\\u0061nn\"]", 1},
    {"[\"anna\", \"an\", \"ANN\", \" ann\"]", 0},
    {"[]", 0},
    {"[\"ann\"", -1},
    {"[\"ann\", 7]", -1},
    {"{\"ann\": 1}", -1},
    {"\"ann\"", -1},
    {"", -1},
};

static void a_name_is_found_exactly(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        char buf[64];
        bool found = false;
        struct err e = {""};

        memcpy(buf, lists[i].text, strlen(lists[i].text));
        ROW_EQ_U64(lists[i].text,
                   body_has_name(buf, strlen(lists[i].text), sv_of("ann"), &found, &e),
                   lists[i].want >= 0);
        ROW_EQ_U64(lists[i].text, found, lists[i].want == 1);
    }
}

#define HASH "d56224b0b0949fab9a2d2f4d6ad0da84deebc172"

static const struct {
    const char *text, *why; /* NULL: valid */
} users[] = {
    {"{\"username\": \"meera\", \"password\": \"" HASH "\"}", NULL},
    {"{\"x\": [{}], \"password\": \"" HASH "\", \"username\": \"m\"}", NULL},
    {"{\"username\": \"a\", \"username\": \"meera\", \"password\": \"" HASH "\"}", NULL},
    {"{\"username\": \"' \\\" / %\", \"password\": \"" HASH "\"}", NULL},
    {"{\"username\": \"\", \"password\": \"" HASH "\"}", "username"},
    {"{\"username\": 7, \"password\": \"" HASH "\"}", "username"},
    {"{\"username\": null, \"password\": \"" HASH "\"}", "username"},
    {"{\"password\": \"" HASH "\"}", "username"},
    {"{\"username\": \"a\\u0000\", \"password\": \"" HASH "\"}", "NUL"},
    {"{\"username\": \"meera\"}", "password"},
    {"{\"username\": \"meera\", \"password\": 7}", "password"},
    {"{\"username\": \"meera\", \"password\": null}", "password"},
    {"{\"username\": \"meera\", \"password\": \"" HASH "\\n\"}", "password"},
    {"[]", "object"},
    {"null", "object"},
    {"", "cut off"},
    {"{\"username\": \"meera\", \"password\": \"" HASH "\"", "cut off"},
    {"{\"username\": \"meera\", \"password\": \"" HASH "\"} {}", "text after"},
};

static void users_are_judged(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(users); i++) {
        char buf[256];
        size_t n = strlen(users[i].text);
        struct user_in in;
        struct err e = {""};
        bool ok;

        memcpy(buf, users[i].text, n);
        ok = body_user(buf, n, &in, &e);
        if (ok != (users[i].why == NULL))
            fail_msg("row '%s': %s", users[i].text, ok ? "accepted" : e.msg);
        if (ok)
            assert_true(sv_eq(in.password, HASH) && in.name.n > 0);
        else
            ROW_HAS_STR(users[i].text, e.msg, users[i].why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uploads_are_judged),     cmocka_unit_test(an_upload_is_read),
        cmocka_unit_test(arrays_of_one_are_read), cmocka_unit_test(a_name_is_found_exactly),
        cmocka_unit_test(users_are_judged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
