#ifndef LBCTL_CTL_CLI_H
#define LBCTL_CTL_CLI_H

#include "common/wire/chan.h"

/* What lbctl may ask; arg: the struct ctl. */
chan_handler_fn cli_on_status, cli_on_scale, cli_on_reset, cli_on_plan, cli_on_reload;

#endif
