foreach(module adopt feed health plan scale slot verdict)
  lbctl_unit_test(ctl/core/${module}_test.c ctl_core)
endforeach()

# The whole shell on a fake engine, fake probes (in place of ctl_runtime) and a fake lbd.
foreach(module loop restart wishes)
  lbctl_unit_test(ctl/${module}_test.c ctl_shell)
  target_sources(unit_ctl_${module} PRIVATE unit/ctl/live.c unit/ctl/fake_engine.c unit/ctl/fake_lb.c)
  # They live in real time (probes of 100 ms and less): alone, so that nothing else decides who is late.
  set_tests_properties(unit/ctl/${module} PROPERTIES RUN_SERIAL ON)
endforeach()

lbctl_unit_test(ctl/lbctl/show_test.c lbctl_show)
lbctl_unit_test(ctl/lbctl/man_test.c common_base)
