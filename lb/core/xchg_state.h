#ifndef LBCTL_LB_CORE_XCHG_STATE_H
#define LBCTL_LB_CORE_XCHG_STATE_H

#include <stdbool.h>

/* States of an exchange (xchg_state.def), its legal moves, and the causes of its end
 * (xchg_cause.def). */
enum xchg_state {
#define XSTATE(sym, name, letter, from, help) XS_##sym,
#include "lb/core/xchg_state.def"
#undef XSTATE
    XS_COUNT
};

enum xchg_cause {
#define XCAUSE(sym, name, who, help) XC_##sym,
#include "lb/core/xchg_cause.def"
#undef XCAUSE
    XC_COUNT
};

const char *xchg_state_name(enum xchg_state s);
const char *xchg_cause_name(enum xchg_cause c);
/* For the access log: in which phase, who. */
char xchg_state_letter(enum xchg_state s);
char xchg_cause_who(enum xchg_cause c);
bool xchg_may(enum xchg_state from, enum xchg_state to);
bool xchg_is_over(enum xchg_state s);

#endif
