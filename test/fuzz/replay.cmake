# Corpora and old finds through every target, in every build.
foreach(target http_request http_response http_chunk table)
  add_executable(replay_${target} ${PROJECT_SOURCE_DIR}/test/fuzz/fuzz_${target}.c ${PROJECT_SOURCE_DIR}/test/fuzz/replay.c)
  target_link_libraries(replay_${target} PRIVATE lbctl_flags lb_shell)
  add_test(NAME fuzz-replay/${target} COMMAND replay_${target} ${PROJECT_SOURCE_DIR}/test/fuzz/corpus/${target})
  set_tests_properties(fuzz-replay/${target} PROPERTIES LABELS fuzz-replay TIMEOUT 60)
endforeach()
