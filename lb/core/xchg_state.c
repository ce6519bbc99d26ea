#include "lb/core/xchg_state.h"

#include "common/base/macros.h"

static const struct {
    const char *name;
    char letter;
    unsigned from;
} states[XS_COUNT] = {
#define FROM(sym) BIT(XS_##sym)
#define XSTATE(sym, text, letter, from_states, help) [XS_##sym] = {text, letter, from_states},
#include "lb/core/xchg_state.def"
#undef XSTATE
#undef FROM
};

static const struct {
    const char *name;
    char who;
} causes[XC_COUNT] = {
#define XCAUSE(sym, name, who, help) [XC_##sym] = {name, who},
#include "lb/core/xchg_cause.def"
#undef XCAUSE
};

const char *xchg_state_name(enum xchg_state s)
{
    return states[s].name;
}

char xchg_state_letter(enum xchg_state s)
{
    return states[s].letter;
}

const char *xchg_cause_name(enum xchg_cause c)
{
    return causes[c].name;
}

char xchg_cause_who(enum xchg_cause c)
{
    return causes[c].who;
}

bool xchg_may(enum xchg_state from, enum xchg_state to)
{
    return (states[to].from & BIT(from)) != 0;
}

bool xchg_is_over(enum xchg_state s)
{
    return s == XS_DONE || s == XS_FAILED;
}
