#ifndef LBCTL_CTL_LEDGER_H
#define LBCTL_CTL_LEDGER_H

#include <jansson.h>

#include "ctl/core/reason.h"
#include "ctl/model.h"

/* The ledger: every decision of health, scaling and the operator with its inputs and its reason
 * (docs/events.md). The last LEDGER_KEPT are in memory, numbered without gaps; each is appended to
 * STATE_DIR/events.jsonl the moment it is taken, one write() without fsync: what was written
 * outlives a kill -9 of ctld, and a slow disk does not hold up the loop. At LEDGER_FILE_MAX the
 * file becomes events.jsonl.1. A file that cannot be written is told once and never stops anything.
 */
enum {
    LEDGER_KEPT = 2048,
    LEDGER_FILE_MAX = 1 << 20,
    LEDGER_TEXT_MAX = 600,
    LEDGER_RETRY_MS = 10000, /* after a failed write */
};

struct ledger;

enum ledger_kind {
    LEDGER_SLOT,  /* a slot changed its state */
    LEDGER_DRAIN, /* a drain receipt, or that none came */
    LEDGER_STOP,
    LEDGER_SCALE,
    LEDGER_OPERATOR,
    LEDGER_BRAKE,
    LEDGER_IMAGE,  /* a pull began, ended */
    LEDGER_DAEMON, /* ctld, lbd, engine: began, lost, back */
    LEDGER_KINDS,
};
const char *ledger_kind_name(enum ledger_kind k);

struct ledger *ledger_new(struct ctl *c, const char *state_dir); /* takes in what the files hold */
void ledger_free(struct ledger *l);

struct ledger_entry {
    enum ledger_kind kind;
    enum reason reason;
    const char *service; /* NULL: of none */
    int slot;            /* -1: of none */
    json_t *inputs; /* what the decision was made from; its reference is taken; NULL: nothing */
};
/* Keeps a decision; its number. l may be NULL (ctld is still being made): nothing, 0. */
uint64_t ledger_note(struct ledger *l, const struct ledger_entry *n, const char *fmt, ...)
    PRINTF(3, 4);

struct ledger_ask {
    const char *service; /* NULL: all */
    int slot;            /* -1: all */
    uint64_t after;      /* numbers above this one; UINT64_MAX: the last `limit` */
    size_t limit;
};
/* A list of entries, oldest first (the caller's), as much as fits into one answer; *ret_last: the
 * number up to which everything was looked at. */
json_t *ledger_list(const struct ledger *l, const struct ledger_ask *a, uint64_t *ret_last);
uint64_t ledger_last(const struct ledger *l); /* 0: empty */

#endif
