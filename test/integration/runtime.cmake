# runtime_docker against the real engine, through a relay that cuts, hangs and lies.
add_executable(runtime_driver ${CMAKE_CURRENT_SOURCE_DIR}/integration/runtime/driver.c)
target_link_libraries(runtime_driver PRIVATE lbctl_flags ctl_runtime PkgConfig::JANSSON)
lbctl_integration_test(runtime test_runtime.py 180)
