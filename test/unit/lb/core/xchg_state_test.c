#include "test/unit/unit.h"

#include "common/base/macros.h"
#include "lb/core/xchg_state.h"

/* The lives an exchange can have, and some it cannot. */
static const struct {
    const char *name;
    enum xchg_state path[10];
    unsigned n;
    bool legal;
} rows[] = {
    {"fresh connection", {XS_NEW, XS_PICK, XS_CONNECT, XS_SEND, XS_RELAY, XS_DONE}, 6, true},
    {"pooled connection", {XS_NEW, XS_PICK, XS_SEND, XS_RELAY, XS_DONE}, 5, true},
    {"repeated",
     {XS_NEW, XS_PICK, XS_SEND, XS_PICK, XS_CONNECT, XS_SEND, XS_RELAY, XS_DONE},
     8,
     true},
    {"refused, then our own answer", {XS_NEW, XS_PICK, XS_CONNECT, XS_ANSWER, XS_DONE}, 5, true},
    {"no backend", {XS_NEW, XS_PICK, XS_ANSWER, XS_DONE}, 4, true},
    {"tunnel", {XS_NEW, XS_PICK, XS_SEND, XS_RELAY, XS_TUNNEL, XS_DONE}, 6, true},
    {"cut", {XS_NEW, XS_PICK, XS_SEND, XS_RELAY, XS_FAILED}, 5, true},
    {"no second answer once one is relayed", {XS_RELAY, XS_ANSWER}, 2, false},
    {"no repeat once an answer is relayed", {XS_RELAY, XS_PICK}, 2, false},
    {"the end is the end", {XS_DONE, XS_PICK}, 2, false},
    {"and so is failure", {XS_FAILED, XS_ANSWER}, 2, false},
    {"nothing without a backend", {XS_NEW, XS_SEND}, 2, false},
    {"nobody begins anew", {XS_PICK, XS_NEW}, 2, false},
};

static void test_moves(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bool legal = true;

        for (unsigned k = 1; k < rows[i].n; k++)
            legal = legal && xchg_may(rows[i].path[k - 1], rows[i].path[k]);
        ROW_EQ_U64(rows[i].name, legal, rows[i].legal);
    }
}

static void test_names(void **state UNUSED)
{
    assert_string_equal(xchg_state_name(XS_RELAY), "relay");
    assert_string_equal(xchg_cause_name(XC_CLIENT_GONE), "client-gone");
    for (unsigned i = 0; i < XS_COUNT; i++)
        assert_int_equal(xchg_is_over((enum xchg_state)i), i == XS_DONE || i == XS_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_moves), cmocka_unit_test(test_names)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
