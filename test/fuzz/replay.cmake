# Corpora and old finds through every target, in every build.
function(lbctl_fuzz_replay target)
  add_executable(replay_${target} ${PROJECT_SOURCE_DIR}/test/fuzz/fuzz_${target}.c ${PROJECT_SOURCE_DIR}/test/fuzz/replay.c)
  target_link_libraries(replay_${target} PRIVATE lbctl_flags ${ARGN})
  add_test(NAME fuzz-replay/${target} COMMAND replay_${target} ${PROJECT_SOURCE_DIR}/test/fuzz/corpus/${target})
  set_tests_properties(fuzz-replay/${target} PROPERTIES LABELS fuzz-replay TIMEOUT 60)
endfunction()

foreach(target http_request http_response http_chunk proxy_in table)
  lbctl_fuzz_replay(${target} lb_shell)
endforeach()
foreach(target acts_json acts_base64 acts_timestamp acts_path acts_query)
  lbctl_fuzz_replay(${target} acts_core PkgConfig::JANSSON)
endforeach()
