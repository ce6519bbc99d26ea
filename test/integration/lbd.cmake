# lbd alone: no engine, no root, ports 20000-20999.
add_test(NAME integration/lbd COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/integration/lbd_test.py)
set_tests_properties(integration/lbd PROPERTIES LABELS proxy TIMEOUT 300
  ENVIRONMENT "LBCTL_BUILD_DIR=${CMAKE_BINARY_DIR};PYTHONDONTWRITEBYTECODE=1")
add_test(NAME integration/lbd_log COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/integration/lbd_log_test.py)
set_tests_properties(integration/lbd_log PROPERTIES LABELS proxy TIMEOUT 60
  ENVIRONMENT "LBCTL_BUILD_DIR=${CMAKE_BINARY_DIR};PYTHONDONTWRITEBYTECODE=1")
# its static services
add_test(NAME integration/static COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/integration/static_test.py)
set_tests_properties(integration/static PROPERTIES LABELS proxy TIMEOUT 120
  ENVIRONMENT "LBCTL_BUILD_DIR=${CMAKE_BINARY_DIR};PYTHONDONTWRITEBYTECODE=1")
add_test(NAME integration/lbd_trust COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/integration/lbd_trust_test.py)
set_tests_properties(integration/lbd_trust PROPERTIES LABELS proxy TIMEOUT 60
  ENVIRONMENT "LBCTL_BUILD_DIR=${CMAKE_BINARY_DIR};PYTHONDONTWRITEBYTECODE=1")
add_test(NAME integration/lbd_clocks COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/integration/lbd_clocks_test.py)
set_tests_properties(integration/lbd_clocks PROPERTIES LABELS proxy TIMEOUT 60
  ENVIRONMENT "LBCTL_BUILD_DIR=${CMAKE_BINARY_DIR};PYTHONDONTWRITEBYTECODE=1")
# resets right behind some bytes
add_test(NAME integration/lbd_reset COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/integration/lbd_reset_test.py)
set_tests_properties(integration/lbd_reset PROPERTIES LABELS proxy TIMEOUT 300
  ENVIRONMENT "LBCTL_BUILD_DIR=${CMAKE_BINARY_DIR};PYTHONDONTWRITEBYTECODE=1")
# every policy, slow start, sticky cookies
add_test(NAME integration/lbd_balance COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/integration/lbd_balance_test.py)
set_tests_properties(integration/lbd_balance PROPERTIES LABELS proxy TIMEOUT 120
  ENVIRONMENT "LBCTL_BUILD_DIR=${CMAKE_BINARY_DIR};PYTHONDONTWRITEBYTECODE=1")
# docs/strictness.md says what lbd does
add_test(NAME integration/strictness COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/bench/strictness --check)
set_tests_properties(integration/strictness PROPERTIES LABELS proxy TIMEOUT 60
  ENVIRONMENT "LBCTL_BUILD_DIR=${CMAKE_BINARY_DIR};PYTHONDONTWRITEBYTECODE=1")
