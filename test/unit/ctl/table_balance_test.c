#include "test/unit/unit.h"

#include <jansson.h>

#include "common/base/macros.h"
#include "common/wire/proto.h"
#include "ctl/table.h"

/* What a service's configuration becomes in the table for lbd. */
static const struct {
    const char *name, *balance;
    const char *want; /* the table's member, keys in order; NULL: none */
} rows[] = {
    {"nothing said", "", NULL},
    {"a word", "    balance: least_in_flight\n",
     "{\"policy\":\"least_in_flight\",\"slow_start_ms\":0}"},
    {"slow start", "    balance: { slow_start: 10s }\n",
     "{\"policy\":\"round_robin\",\"slow_start_ms\":10000}"},
    {"hash", "    balance: { policy: hash }\n",
     "{\"hash_by\":\"address\",\"load_bound_milli\":0,\"policy\":\"hash\",\"slow_start_ms\":0}"},
    {"hash by header", "    balance: { policy: hash, hash_key: header X-User, load_bound: 1.25 }\n",
     "{\"hash_by\":\"header\",\"hash_name\":\"X-User\",\"load_bound_milli\":1250,\"policy\":"
     "\"hash\",\"slow_start_ms\":0}"},
    {"sticky", "    balance: { sticky: lb, sticky_same_site: strict }\n",
     "{\"policy\":\"round_robin\",\"slow_start_ms\":0,\"sticky\":\"lb\",\"sticky_path\":\"/\","
     "\"sticky_same_site\":\"Strict\",\"sticky_secure\":false}"},
};

static json_t *table_of(const char *more, struct conf **ret_conf)
{
    struct conf_errors errs;
    struct service s = {0};
    struct ctl c = {.services = &s, .services_n = 1};
    char text[512];
    int n =
        snprintf(text, sizeof(text),
                 "services:\n  web:\n    image: web:1\n    route: /\n    port: 80\n    connect: "
                 "direct\n    health: { tcp: true }\n%s",
                 more);

    if (!conf_parse("t", text, (size_t)n, ret_conf, &errs))
        fail_msg("%s", errs.v[0].msg);
    s.c = &(*ret_conf)->services[0];
    return table_build(&c);
}

static void test_balance(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct conf *conf = NULL;
        json_t *table = table_of(rows[i].balance, &conf);
        json_t *service = json_array_get(json_object_get(table, "services"), 0);
        char *got = json_dumps(json_object_get(service, "balance"), JSON_COMPACT | JSON_SORT_KEYS);
        struct err e;

        assert_int_equal(json_object_set_new(table, "generation", json_integer(1)), 0);
        if (!proto_check(SHAPE_TABLE, table, &e))
            fail_msg("row '%s': %s", rows[i].name, e.msg);
        ROW_EQ_STR(rows[i].name, got != NULL ? got : "", rows[i].want != NULL ? rows[i].want : "");
        free(got);
        json_decref(table);
        conf_free(conf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_balance)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
