# Rules that scripts can check. Each prints what is wrong and where; 77: the tool is missing.
foreach(name banned includes format shellcheck man python)
  add_test(NAME lint/${name} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/lint/${name}.sh)
  set_tests_properties(lint/${name} PROPERTIES LABELS lint TIMEOUT 120 SKIP_RETURN_CODE 77)
endforeach()
