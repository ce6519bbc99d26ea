foreach(module http probe docker_json docker_body docker_events docker_progress docker_verdict docker_engine)
  lbctl_unit_test(ctl/${module}_test.c ctl_runtime PkgConfig::JANSSON)
endforeach()
