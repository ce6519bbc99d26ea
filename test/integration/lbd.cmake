# lbd alone: no engine, no root, ports 20000-20999.
add_test(NAME integration/lbd COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/integration/lbd_test.py)
set_tests_properties(integration/lbd PROPERTIES LABELS proxy TIMEOUT 300
  ENVIRONMENT "LBCTL_BUILD_DIR=${CMAKE_BINARY_DIR};PYTHONDONTWRITEBYTECODE=1")
