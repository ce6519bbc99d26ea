# lbd alone: no engine, no root, ports 20000-20999.

# lbctl_lbd_test(NAME FILE TIMEOUT [ARGUMENTS])
function(lbctl_lbd_test name file timeout)
  add_test(NAME integration/${name} COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/integration/${file} ${ARGN})
  set_tests_properties(integration/${name} PROPERTIES LABELS proxy TIMEOUT ${timeout} SKIP_RETURN_CODE 77
    ENVIRONMENT "LBCTL_BUILD_DIR=${CMAKE_BINARY_DIR};PYTHONDONTWRITEBYTECODE=1")
endfunction()

lbctl_lbd_test(lbd lbd_test.py 300)
lbctl_lbd_test(lbd_log lbd_log_test.py 60)
# its static services
lbctl_lbd_test(static static_test.py 120)
lbctl_lbd_test(lbd_trust lbd_trust_test.py 60)
lbctl_lbd_test(lbd_clocks lbd_clocks_test.py 60)
# resets right behind some bytes
lbctl_lbd_test(lbd_reset lbd_reset_test.py 300)
# every policy, slow start, sticky cookies
lbctl_lbd_test(lbd_balance lbd_balance_test.py 120)
# the same exchanges through lbd and nginx; --count 100000 for the full run
lbctl_lbd_test(differential differential_test.py 300)
# connections dropped at random phases; LBCTL_TEST_CONNECTIONS=20000 for the full run
lbctl_lbd_test(churn churn_test.py 300)
# hosts, prefixes, header changes, own answers
lbctl_lbd_test(lbd_routes lbd_routes_test.py 120)
# the codec's rules on both sides; sizes, clocks and the keeping of connections as set
lbctl_lbd_test(lbd_rules lbd_rules_test.py 120)
# docs/strictness.md says what lbd does
lbctl_lbd_test(strictness ../bench/strictness 60 --check)
# clients that are as slow as they can; test/bench/slow_clients measures
lbctl_lbd_test(slow_clients slow_clients_test.py 300)
# what users of other proxies reported (docs/field-cases.md)
lbctl_lbd_test(lbd_field lbd_field_test.py 300)
# places, queue, held requests, rates, ejection
lbctl_lbd_test(lbd_limits lbd_limits_test.py 120)
