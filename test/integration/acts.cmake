# The contract test of acts and users: the real programs against a PostgreSQL that the test starts itself.
add_test(NAME integration/acts
  COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/integration/acts_test.py $<TARGET_FILE:acts>)
set_tests_properties(integration/acts PROPERTIES LABELS integration TIMEOUT 300 SKIP_RETURN_CODE 77
  ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1")
