#ifndef LBCTL_CTL_CORE_SLOT_H
#define LBCTL_CTL_CORE_SLOT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/macros.h"
#include "ctl/core/health.h"
#include "ctl/core/reason.h"

/* The state machine of one slot: a place that holds one instance at a time, for ever on the same
 * port, and the next one, created ahead while the old one goes. Pure: the shell reports what
 * happened (slot_..._done, slot_seen, slot_probed), then calls slot_step() until it has no more to
 * do, and carries out the act that each step returns. One act on the current instance at a time;
 * unknown outcomes wait until slot_seen() tells the truth. */
enum {
    SLOT_ID_MAX = 72,
    SLOT_TOKEN_MAX = 40,
    SLOT_ADDRESS_MAX = 64,
    SLOT_REASON_MAX = 200,
    SLOT_BACKOFF_MAX_MS = 60000,
    SLOT_GOOD_MS = 600000,     /* ready for this long: former failures are forgotten */
    SLOT_FLAP_MS = 10000,      /* an instance that was ready for less than this has flapped */
    SLOT_FLAPS_FREE = 20,      /* remembered flaps that are replaced at once; then back-off */
    SLOT_SICK_DRAIN_MS = 1000, /* it answers, if badly: its other requests may end well */
    SLOT_FAILS_HOPEFUL = 2,    /* that many in a row, and nobody should wait for the next one */
    SLOT_HUNG_DRAIN_MS = 250,  /* it does not answer at all */
};

enum slot_state {
    SLOT_EMPTY,
    SLOT_CREATING,
    SLOT_STARTING,  /* started, not yet ready */
    SLOT_READY,     /* in rotation */
    SLOT_UNHEALTHY, /* out of rotation, still running, not yet given up */
    SLOT_DRAINING,  /* out of rotation for good, its last requests end */
    SLOT_STOPPING,
    SLOT_WAITING, /* wanted, but something is in the way: see reason */
    SLOT_HELD,    /* taken out by the operator; its container is left as it is */
    SLOT_STATES,
};

enum slot_cause {
    SLOT_STAYS,
    SLOT_UNWANTED,
    SLOT_SICK,
    SLOT_DEAD,
    SLOT_NEVER_READY,
    SLOT_OUTDATED,
    SLOT_HOLD
};

enum inst_phase { INST_NONE, INST_CREATING, INST_CREATED, INST_STARTING, INST_RUNNING, INST_DEAD };

/* One instance of the slot. */
struct inst {
    enum inst_phase phase;
    bool unsure;   /* the last call's outcome is unknown: look before acting */
    bool outdated; /* made from another configuration */
    bool listed;   /* lbd may send it requests: it was in a pushed table, or was adopted */
    uint64_t generation;
    char id[SLOT_ID_MAX], token[SLOT_TOKEN_MAX], address[SLOT_ADDRESS_MAX];
};

struct slot {
    enum slot_state state;
    enum slot_cause cause; /* why the current one leaves; kept until its successor is ready */
    struct inst cur, next;
    struct health health;
    bool call, next_call; /* an act of that instance is under way */
    uint64_t since_ms;    /* in this state */
    uint64_t generation;  /* highest one ever used */
    uint64_t start_ms, ready_ms;
    uint64_t bad_ms; /* last failed probe */
    uint64_t retry_ms, next_retry_ms;
    unsigned fails; /* never ready, or flapped too often; forgotten after SLOT_GOOD_MS */
    unsigned flaps;
    unsigned replaced;
    enum reason why, trouble_why;
    char reason[SLOT_REASON_MAX];  /* of the present state, for people; `why` is its code */
    char trouble[SLOT_REASON_MAX]; /* last thing that went wrong; `trouble_why` is its code */
};

enum slot_act {
    SLOT_ACT_NONE,
    SLOT_ACT_CREATE,      /* cur: the shell fills in token and generation */
    SLOT_ACT_CREATE_NEXT, /* next: likewise */
    SLOT_ACT_START,
    SLOT_ACT_DRAIN, /* lbd must confirm that nothing is in flight, or the limit passes */
    SLOT_ACT_STOP,
    SLOT_ACT_REMOVE, /* `inst` is a copy of what the slot has let go */
};

struct slot_step {
    enum slot_act act;
    struct inst inst;
};

/* What the plan allows a slot now. */
struct slot_env {
    bool wanted;
    bool may_act;        /* the engine answers */
    bool may_start;      /* and dependencies are ready */
    bool may_replace;    /* a sick one may be stopped */
    bool may_leave;      /* an unwanted ready one may go */
    bool held;           /* by the operator, who ... */
    bool held_stop;      /* ... wants its container stopped, ... */
    bool held_by_hand;   /* ... or did that through the engine */
    bool may_roll;       /* a ready one that is outdated may make way for its new form */
    enum reason why;     /* reason when it may not start, ... */
    const char *why_not; /* ... and the text */
    uint64_t retry_ms;   /* not before then; 0: as soon as it may */
};

enum slot_result {
    SLOT_RES_OK,
    SLOT_RES_REFUSED,
    SLOT_RES_GONE,
    SLOT_RES_NO_IMAGE,  /* of a create: it is being pulled, or will be */
    SLOT_RES_PORT_BUSY, /* of a start: the instance is fine, its port is not free */
    SLOT_RES_UNKNOWN,
};

enum slot_seen { SLOT_SEEN_NOTHING, SLOT_SEEN_CREATED, SLOT_SEEN_RUNNING, SLOT_SEEN_EXITED };

const char *slot_state_name(enum slot_state s);
void slot_init(struct slot *s, uint64_t now_ms);

struct slot_step slot_step(struct slot *s, const struct slot_env *env, uint64_t now_ms);
uint64_t
slot_wake_ms(const struct slot *s); /* when to step again though nothing happened; 0: never */

void slot_create_done(struct slot *s, bool next, enum slot_result r, const char *id,
                      const char *text);
void slot_start_done(struct slot *s, enum slot_result r, const char *address, const char *text,
                     uint64_t now_ms);
void slot_drain_done(struct slot *s);
void slot_stop_done(struct slot *s, enum slot_result r, const char *text, uint64_t now_ms);
/* What a list of the engine's says that began after the slot's last act ended. */
void slot_see(struct slot *s, bool next, enum slot_seen seen, const char *id, const char *address,
              const char *text, uint64_t now_ms);
/* A probe's result for the current instance; what: its short name. True when step() has something
 * to do. */
bool slot_probed(struct slot *s, const struct health_rule *r, bool ok, const char *what,
                 uint64_t now_ms);
/* An instance that was there before us fills the slot, which must be free. known_ready: lbd had it
 * in its table. */
void slot_adopt(struct slot *s, const struct inst *i, bool running, bool known_ready,
                uint64_t now_ms);
bool slot_is_free(const struct slot *s); /* nothing in it, nothing on its way */
bool slot_is_probed(const struct slot *s);
/* An instance is on its way into the slot and nothing is known to be in its way. */
bool slot_is_coming(const struct slot *s, const struct slot_env *env);
bool slot_is_port_taken(const struct slot *s); /* by somebody else; also while it tries again */
bool slot_is_replacing(
    const struct slot *s); /* a sick one is on its way out, or its successor on its way in */

uint64_t
slot_backoff_ms(unsigned fails); /* 0, 1, 2, 4 ... 60 s for 0, 1, 2, 3 ... further failures */

#endif
