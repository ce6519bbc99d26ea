#ifndef ACTS_ENV_H
#define ACTS_ENV_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/err.h"
#include "common/base/log.h"

/* The settings of a service program: rows of env.def, read from the environment as PREFIX_NAME. */
struct env {
    char *prefix;
#define ENV_TEXT(m) char *m;
#define ENV_UINT(m) uint64_t m;
#define ENV_SIZE(m) uint64_t m;
#define ENV(name, kind, member, def, min, max, only, help) ENV_##kind(member)
#include "acts-service/env.def"
#undef ENV
#undef ENV_TEXT
#undef ENV_UINT
#undef ENV_SIZE
    enum log_level level;
    enum log_format format;
};

/* All values checked, the password file read. `environ_list` is the process's environ. */
bool env_read(const char *prefix, char *const *environ_list, struct env *ret,
              struct err *e) MUST_CHECK;
/* False when there is a variable with the prefix that no row knows; the text names it and suggests
 * one. */
bool env_all_known(const char *prefix, char *const *environ_list, struct err *e);
void env_fini(struct env *v);
void env_help(const char *prefix, FILE *out);

#endif
