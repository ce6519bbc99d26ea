#include "test/unit/unit.h"

#include "common/base/macros.h"
#include "common/wire/proto.h"

#define BACKEND_OK "{\"slot\":0,\"instance\":\"a\",\"address\":\"127.0.0.1\",\"port\":8000}"
#define TABLE(services) "{\"generation\":1,\"services\":[" services "]}"
#define SERVICE(members) "{\"name\":\"s\",\"routes\":[{\"prefix\":\"/a\"}]," members "}"

static const struct {
    const char *name;
    enum proto_shape shape;
    const char *json;
    const char *error; /* NULL: fine */
} rows[] = {
    {"whole table", SHAPE_TABLE, TABLE(SERVICE("\"backends\":[" BACKEND_OK "]")), NULL},
    {"members that no row names are ignored", SHAPE_EMPTY, "{\"x\":[1]}", NULL},
    {"not an object", SHAPE_EMPTY, "[]", "must be an object"},
    {"missing member, with its place", SHAPE_TABLE, TABLE(SERVICE("\"x\":1")),
     "services: [0]: 'backends' is missing"},
    {"deep place", SHAPE_TABLE,
     TABLE(SERVICE("\"backends\":[" BACKEND_OK
                   ",{\"slot\":0,\"instance\":\"a\",\"address\":\"x\",\"port\":65536}]")),
     "services: [0]: backends: [1]: port: must be a whole number from 0 to 65535"},
    {"string for a number", SHAPE_TABLE_ACK, "{\"generation\":\"1\"}", "whole number"},
    {"negative", SHAPE_TABLE_ACK, "{\"generation\":-1}", "whole number"},
    {"fraction", SHAPE_TABLE_ACK, "{\"generation\":1.5}", "whole number"},
    {"past what others read exactly", SHAPE_TABLE_ACK, "{\"generation\":9007199254740993}",
     "whole number"},
    {"number for a string", SHAPE_SERVICE_NAME, "{\"service\":1}", "must be a string"},
    {"string too long", SHAPE_SERVICE_NAME,
     "{\"service\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
     "longer than 64"},
    {"NUL in a string", SHAPE_SERVICE_NAME, "{\"service\":\"a\\u0000b\"}", "NUL"},
    {"number for a boolean", SHAPE_SCALE, "{\"service\":\"a\",\"auto\":1}", "true or false"},
    {"optional member absent", SHAPE_SCALE, "{\"service\":\"a\"}", NULL},
    {"object for a list", SHAPE_TABLE, "{\"generation\":1,\"services\":{}}", "must be a list"},
    {"balance", SHAPE_SERVICE,
     SERVICE("\"backends\":[],\"balance\":{\"policy\":\"hash\",\"slow_start_ms\":10}"), NULL},
    {"balance, with its place", SHAPE_SERVICE,
     SERVICE("\"backends\":[],\"balance\":{\"policy\":1}"), "balance: policy: must be a string"},
    {"limits", SHAPE_SERVICE,
     SERVICE("\"backends\":[],\"limits\":{\"per_instance\":5},\"expected\":true"), NULL},
    {"limits: out of range", SHAPE_SERVICE,
     SERVICE("\"backends\":[],\"limits\":{\"hold_timeout_ms\":3600001}"),
     "limits: hold_timeout_ms: must be a whole number from 0 to 3600000"},
    {"expected: a number", SHAPE_SERVICE, SERVICE("\"backends\":[],\"expected\":1"),
     "expected: must be true or false"},
    {"list of strings with a number", SHAPE_SERVICE,
     SERVICE("\"backends\":[],\"count_ignore\":[\"/x\",2]"), "count_ignore: [1]: must be a string"},
};

static void test_check(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *o = json_loads(rows[i].json, JSON_ALLOW_NUL, NULL);
        struct err e = {""};

        if (o == NULL)
            fail_msg("row '%s' is not JSON", rows[i].name);
        ROW_EQ_U64(rows[i].name, proto_check(rows[i].shape, o, &e), rows[i].error == NULL);
        ROW_HAS_STR(rows[i].name, e.msg, rows[i].error != NULL ? rows[i].error : "");
        json_decref(o);
    }
}

/* Every row of the table: its name finds it, and it has a direction. */
static void test_messages(void **state UNUSED)
{
    for (size_t i = 0; i < MSG_COUNT; i++) {
        const struct proto_msg_info *m = proto_msg_info((enum proto_msg)i);
        enum proto_msg found;

        assert_true(proto_msg_find(m->name, &found));
        ROW_EQ_U64(m->name, found, i);
        assert_true((m->from == PROTO_ANY) == (m->to == PROTO_ANY));
        assert_true(m->help[0] != '\0');
    }
    assert_false(proto_msg_find("no.such", &(enum proto_msg){0}));
}

static void test_getters(void **state UNUSED)
{
    json_t *o = json_pack("{s:s, s:i, s:b, s:i}", "s", "x", "u", 7, "b", 1, "neg", -1);

    assert_string_equal(proto_str(o, "s", "-"), "x");
    assert_string_equal(proto_str(o, "u", "-"), "-");
    assert_int_equal(proto_uint(o, "u", 0), 7);
    assert_int_equal(proto_uint(o, "neg", 5), 5);
    assert_int_equal(proto_uint(o, "none", 9), 9);
    assert_true(proto_bool(o, "b", false));
    assert_true(proto_bool(o, "none", true));
    json_decref(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_getters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
