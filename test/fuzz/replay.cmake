# Corpora and old finds through every target, in every build.
include(${PROJECT_SOURCE_DIR}/test/fuzz/targets.cmake)
function(lbctl_fuzz_replay target)
  add_executable(replay_${target} ${PROJECT_SOURCE_DIR}/test/fuzz/fuzz_${target}.c ${PROJECT_SOURCE_DIR}/test/fuzz/replay.c)
  target_link_libraries(replay_${target} PRIVATE lbctl_flags ${ARGN})
  add_test(NAME fuzz-replay/${target} COMMAND replay_${target} ${PROJECT_SOURCE_DIR}/test/fuzz/corpus/${target})
  set_tests_properties(fuzz-replay/${target} PROPERTIES LABELS fuzz-replay TIMEOUT 60)
endfunction()
lbctl_fuzz_targets(lbctl_fuzz_replay)
