# The contract test of acts and users: the real programs against a PostgreSQL that the test starts itself.
add_test(NAME integration/acts
  COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/integration/acts_test.py $<TARGET_FILE:acts>)
set_tests_properties(integration/acts PROPERTIES LABELS integration TIMEOUT 300 SKIP_RETURN_CODE 77
  ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1")
add_test(NAME integration/acts-schema
  COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/integration/acts_schema_test.py $<TARGET_FILE:acts>)
set_tests_properties(integration/acts-schema PROPERTIES LABELS integration TIMEOUT 300 SKIP_RETURN_CODE 77
  ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1")

# The same programs while allocations fail. A sanitizer stands where the library would stand: there they are linked with
# the faults, which reach our own allocations and libevent's, not libpq's.
set(acts_faults integration/alloc_faults.c)
if(LBCTL_SANITIZE)
  foreach(program acts users)
    get_target_property(sources ${program} SOURCES)
    list(TRANSFORM sources PREPEND ${PROJECT_SOURCE_DIR}/acts-service/)
    add_executable(${program}_faulty ${sources} ${acts_faults})
    target_compile_definitions(${program}_faulty PRIVATE ALLOC_FAULTS_WRAP)
    target_link_options(${program}_faulty PRIVATE -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc)
    target_link_libraries(${program}_faulty PRIVATE acts_service)
  endforeach()
  set(acts_memory_args $<TARGET_FILE:acts_faulty> -)
else()
  add_library(alloc_faults SHARED ${acts_faults})
  target_link_libraries(alloc_faults PRIVATE lbctl_flags)
  set(acts_memory_args $<TARGET_FILE:acts> $<TARGET_FILE:alloc_faults>)
endif()
foreach(part ActsRoutes ActsLong UsersRoutes)
  add_test(NAME integration/acts-memory-${part}
    COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/integration/acts_memory_test.py ${acts_memory_args} ${part})
  set_tests_properties(integration/acts-memory-${part} PROPERTIES LABELS integration TIMEOUT 300 SKIP_RETURN_CODE 77
    ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1")
endforeach()
