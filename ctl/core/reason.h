#ifndef LBCTL_CTL_CORE_REASON_H
#define LBCTL_CTL_CORE_REASON_H

/* The rows of reason.def. Pure. */
enum reason {
#define REASON(sym, code, meaning, next) REASON_##sym,
#include "ctl/core/reason.def"
#undef REASON
    REASON_COUNT
};

const char *reason_code(enum reason r);    /* a word for scripts */
const char *reason_meaning(enum reason r); /* a half sentence */
const char *reason_next(enum reason r);    /* what happens next, a half sentence */

#endif
