# The integration suite on real containers. Files share nothing but the engine and the machine. They wait most of their
# time, so two lanes run side by side (one test of a lane at a time, by resource locks), and the real-time scenario
# beside them: ctest -j3.

add_executable(misbehave ${CMAKE_CURRENT_SOURCE_DIR}/integration/app/misbehave.c)
# Own flags, not lbctl_flags: it must be static and without sanitizers, for an image FROM scratch.
target_compile_definitions(misbehave PRIVATE _GNU_SOURCE)
target_compile_options(misbehave PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion
  -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wvla -Wformat=2 $<$<BOOL:${LBCTL_WERROR}>:-Werror>)
set_target_properties(misbehave PROPERTIES INTERPROCEDURAL_OPTIMIZATION OFF)
target_link_options(misbehave PRIVATE -static)
target_link_libraries(misbehave PRIVATE Threads::Threads)

# lbctl_integration_test(NAME LANE TIMEOUT [arguments of the file test_NAME.py])
function(lbctl_integration_test name lane timeout)
  add_test(NAME integration/${name}
    COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/integration/test_${name}.py ${ARGN})
  set_tests_properties(integration/${name} PROPERTIES
    LABELS integration TIMEOUT ${timeout} SKIP_RETURN_CODE 77 RESOURCE_LOCK lbctl-lane-${lane}
    ENVIRONMENT "LBCTL_BUILD_DIR=${CMAKE_BINARY_DIR};PYTHONDONTWRITEBYTECODE=1")
endfunction()

# Lane a mostly waits, lane b has the traffic.
lbctl_integration_test(scenario a 420)
lbctl_integration_test(engine a 240)
lbctl_integration_test(hand a 120)
lbctl_integration_test(config a 120)
lbctl_integration_test(shared a 120)
lbctl_integration_test(users a 120)
lbctl_integration_test(app a 120)
lbctl_integration_test(crash b 240)
lbctl_integration_test(restart b 300)
lbctl_integration_test(scale b 180)
lbctl_integration_test(faults b 240)
lbctl_integration_test(proxy b 180)
lbctl_integration_test(reload b 180)
lbctl_integration_test(services b 180)
lbctl_integration_test(process b 240)
lbctl_integration_test(lbctl b 180)
lbctl_integration_test(balance b 120)
set_tests_properties(integration/scenario integration/crash PROPERTIES COST 500)

add_test(NAME integration/scenario-realtime
  COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/integration/test_scenario.py RealTime)
set_tests_properties(integration/scenario-realtime PROPERTIES
  LABELS scenario-realtime TIMEOUT 600 SKIP_RETURN_CODE 77 COST 1000
  ENVIRONMENT "LBCTL_BUILD_DIR=${CMAKE_BINARY_DIR};PYTHONDONTWRITEBYTECODE=1")

add_test(NAME integration/scenario-process
  COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/integration/test_scenario.py Processes)
set_tests_properties(integration/scenario-process PROPERTIES
  LABELS integration TIMEOUT 300 SKIP_RETURN_CODE 77 RESOURCE_LOCK lbctl-lane-a
  ENVIRONMENT "LBCTL_BUILD_DIR=${CMAKE_BINARY_DIR};PYTHONDONTWRITEBYTECODE=1")

foreach(part lbd acts runtime fake receipts)
  include(${CMAKE_CURRENT_SOURCE_DIR}/integration/${part}.cmake OPTIONAL)
endforeach()

include(${CMAKE_CURRENT_SOURCE_DIR}/lint/lint.cmake)
