# The integration suite on real containers. Files share nothing but the engine and the machine: by the resource lock one
# runs at a time; only the real-time scenario, which mostly waits, runs beside the others under ctest -j2.

add_executable(misbehave ${CMAKE_CURRENT_SOURCE_DIR}/integration/app/misbehave.c)
# Own flags, not lbctl_flags: it must be static and without sanitizers, for an image FROM scratch.
target_compile_definitions(misbehave PRIVATE _GNU_SOURCE)
target_compile_options(misbehave PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion
  -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wvla -Wformat=2 $<$<BOOL:${LBCTL_WERROR}>:-Werror>)
set_target_properties(misbehave PROPERTIES INTERPROCEDURAL_OPTIMIZATION OFF)
target_link_options(misbehave PRIVATE -static)
target_link_libraries(misbehave PRIVATE Threads::Threads)

# lbctl_integration_test(NAME FILE TIMEOUT [arguments of the file])
function(lbctl_integration_test name file timeout)
  add_test(NAME integration/${name}
    COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/integration/${file} ${ARGN})
  set_tests_properties(integration/${name} PROPERTIES
    LABELS integration TIMEOUT ${timeout} SKIP_RETURN_CODE 77 RESOURCE_LOCK lbctl-engine
    ENVIRONMENT "LBCTL_BUILD_DIR=${CMAKE_BINARY_DIR};PYTHONDONTWRITEBYTECODE=1")
endfunction()

lbctl_integration_test(config test_config.py 180)
lbctl_integration_test(lbctl test_lbctl.py 180)
lbctl_integration_test(balance test_balance.py 120)
lbctl_integration_test(proxy test_proxy.py 180)
lbctl_integration_test(scale test_scale.py 180)
lbctl_integration_test(crash test_crash.py 240)
lbctl_integration_test(faults test_faults.py 240)
lbctl_integration_test(restart test_restart.py 300)
lbctl_integration_test(shared test_shared.py 120)
lbctl_integration_test(scenario test_scenario.py 420)

lbctl_integration_test(scenario-realtime test_scenario.py 600 RealTime)
set_tests_properties(integration/scenario-realtime PROPERTIES LABELS scenario-realtime RESOURCE_LOCK lbctl-port-80
  COST 1000)

foreach(part lbd acts runtime)
  include(${CMAKE_CURRENT_SOURCE_DIR}/integration/${part}.cmake OPTIONAL)
endforeach()

include(${CMAKE_CURRENT_SOURCE_DIR}/lint/lint.cmake)
