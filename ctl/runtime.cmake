# What speaks HTTP: the runtime (Docker's engine) and the probes. libcurl is seen by http.c alone.
add_library(ctl_runtime STATIC
  ${CMAKE_CURRENT_LIST_DIR}/runtime.c ${CMAKE_CURRENT_LIST_DIR}/http.c
  ${CMAKE_CURRENT_LIST_DIR}/docker.c ${CMAKE_CURRENT_LIST_DIR}/docker_engine.c
  ${CMAKE_CURRENT_LIST_DIR}/docker_json.c
  ${CMAKE_CURRENT_LIST_DIR}/docker_body.c ${CMAKE_CURRENT_LIST_DIR}/docker_verdict.c
  ${CMAKE_CURRENT_LIST_DIR}/docker_events.c ${CMAKE_CURRENT_LIST_DIR}/json_stream.c
  ${CMAKE_CURRENT_LIST_DIR}/docker_progress.c ${CMAKE_CURRENT_LIST_DIR}/docker_pull.c ${CMAKE_CURRENT_LIST_DIR}/probe.c
  ${CMAKE_CURRENT_LIST_DIR}/process.c ${CMAKE_CURRENT_LIST_DIR}/process_box.c ${CMAKE_CURRENT_LIST_DIR}/process_run.c)
target_link_libraries(ctl_runtime PUBLIC common_ev common_conf PRIVATE PkgConfig::CURL PkgConfig::JANSSON)
