#ifndef LBCTL_CTL_LBCTL_CLIENT_H
#define LBCTL_CTL_LBCTL_CLIENT_H

#include <jansson.h>

#include "common/base/err.h"
#include "common/wire/proto.h"

/* One request to ctld, waited for. */
enum { CLIENT_DEADLINE_MS = 5000 };

/* For who goes on asking: how often, and how long ctld may be away (a restart, a reload). */
enum { CLIENT_LOOK_MS = 200, CLIENT_AWAY_MAX_MS = 15000 };

enum client_end {
    CLIENT_ANSWERED,    /* *ret is the caller's */
    CLIENT_REFUSED,     /* ctld said no; the error is its own text */
    CLIENT_UNREACHABLE, /* nobody there, or no answer within the deadline */
};

/* Takes the reference of body. */
enum client_end client_ask(const char *socket_path, enum proto_msg msg, json_t *body, json_t **ret,
                           struct err *e);
bool client_pause(uint64_t ms, struct err *e) MUST_CHECK;

#endif
