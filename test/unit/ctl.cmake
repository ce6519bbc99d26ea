foreach(module adopt feed health plan scale slot verdict)
  lbctl_unit_test(ctl/core/${module}_test.c ctl_core)
endforeach()

# The whole shell on a fake engine, fake probes (in place of ctl_runtime) and a fake lbd.
lbctl_unit_test(ctl/loop_test.c ctl_shell)
target_sources(unit_ctl_loop PRIVATE unit/ctl/fake_engine.c unit/ctl/fake_lb.c)
