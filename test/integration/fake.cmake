# On the fake engine (test/fake_engine): no engine, no images. One at a time, beside the lanes of the real one.
# lbctl_fake_test(NAME FILE [arguments])
function(lbctl_fake_test name file)
  add_test(NAME integration/${name}
    COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/integration/${file} ${ARGN})
  set_tests_properties(integration/${name} PROPERTIES
    LABELS fake TIMEOUT 300 SKIP_RETURN_CODE 77 RESOURCE_LOCK lbctl-lane-fake
    ENVIRONMENT "LBCTL_BUILD_DIR=${CMAKE_BINARY_DIR};PYTHONDONTWRITEBYTECODE=1")
endfunction()

lbctl_fake_test(engine_contract_fake test_engine_contract.py OnFake)
lbctl_integration_test(engine_contract a 120 OnReal)
lbctl_fake_test(trouble_away test_trouble.py Away)
lbctl_fake_test(trouble_restart test_trouble.py Restart)
lbctl_fake_test(trouble_hang test_trouble.py Hang.test_list_hangs Hang.test_everything_hangs_and_one_turns_bad)
lbctl_fake_test(trouble_hang_one test_trouble.py Hang.test_inspect_of_one_hangs Hang.test_stop_of_one_hangs)
lbctl_fake_test(trouble_answers test_trouble.py Answers)
lbctl_fake_test(trouble_disk_version test_trouble.py Disk Version)
lbctl_fake_test(trouble_events test_trouble.py Events NoHints)
lbctl_fake_test(trouble_pull test_pull.py Pull)
lbctl_integration_test(pull a 120 OnReal)
lbctl_fake_test(lifecycle_stops test_lifecycle.py Stops)
lbctl_fake_test(lifecycle test_lifecycle.py Admission HostOfTheCheck NoNumbers Port)
lbctl_fake_test(brake test_brake.py)
lbctl_fake_test(chaos chaos.py --engine fake --faults 15 --seconds 30 --seed 4)
add_test(NAME bench/probes COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/bench/probes --services 40 --seconds 3)
set_tests_properties(bench/probes PROPERTIES LABELS fake TIMEOUT 300 RESOURCE_LOCK lbctl-lane-fake
  ENVIRONMENT "LBCTL_BUILD_DIR=${CMAKE_BINARY_DIR};PYTHONDONTWRITEBYTECODE=1")
