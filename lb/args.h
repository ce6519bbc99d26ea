#ifndef LBCTL_LB_ARGS_H
#define LBCTL_LB_ARGS_H

#include <stdbool.h>

#include "common/base/err.h"
#include "common/conf/conf.h"

/* lbd's command line. What is given here wins over the configuration file. */
enum args_verb { ARGS_RUN, ARGS_HELP, ARGS_VERSION };

struct args {
    enum args_verb verb;
    const char *config;
    struct conf_addr listen[CONF_LISTEN_MAX];
    size_t listen_n;
    bool has_workers;
    unsigned workers;
    const char *state_dir, *run_dir, *user; /* NULL: not given */
};

extern const char args_help[];

/* Strings point into argv. */
bool args_parse(int argc, char *const *argv, struct args *ret, struct err *e) MUST_CHECK;

#endif
