# ctld in the test's process, instances on its loop, and the real lbd: no engine, no root, ports 22000 and up.
add_executable(receipts ${CMAKE_CURRENT_SOURCE_DIR}/integration/receipts.c)
target_link_libraries(receipts PRIVATE lbctl_flags ctl_shell ctl_runtime PkgConfig::CMOCKA)
add_test(NAME integration/receipts COMMAND receipts $<TARGET_FILE:lbd>)
set_tests_properties(integration/receipts PROPERTIES LABELS proxy TIMEOUT 60)
