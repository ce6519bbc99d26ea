#ifndef LBCTL_CTL_CLI_H
#define LBCTL_CTL_CLI_H

#include "common/wire/chan.h"

/* What lbctl may ask; arg: the struct ctl. */
chan_handler_fn cli_on_status, cli_on_scale, cli_on_reset, cli_on_plan, cli_on_reload;

struct ctl;
struct service;
struct place;
/* The service that the message names, its place of that number; refuse the request when there is
 * none. */
struct service *cli_named(struct ctl *c, struct chan_ask ask, const json_t *body);
struct place *cli_place(struct service *s, struct chan_ask ask, uint64_t slot);

#endif
