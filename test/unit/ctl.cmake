foreach(module adopt brake feed health plan pull reason scale slot verdict why)
  lbctl_unit_test(ctl/core/${module}_test.c ctl_core)
endforeach()

# The whole shell on a fake engine, fake probes (in place of ctl_runtime) and a fake lbd, in virtual time.
foreach(module brake hold ledger loop pulling reload restart wishes)
  lbctl_unit_test(ctl/${module}_test.c ctl_shell)
  target_sources(unit_ctl_${module} PRIVATE unit/ctl/live.c unit/ctl/fake_engine.c unit/ctl/fake_lb.c
    unit/ctl/virtual_clock.c)
endforeach()

lbctl_unit_test(ctl/port_owner_test.c ctl_shell ctl_runtime)
lbctl_unit_test(ctl/table_test.c ctl_shell ctl_runtime)
lbctl_unit_test(ctl/table_balance_test.c ctl_shell ctl_runtime)
lbctl_unit_test(ctl/lbctl/show_test.c lbctl_show)
lbctl_unit_test(ctl/lbctl/man_test.c common_base)
