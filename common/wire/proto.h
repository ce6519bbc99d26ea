#ifndef LBCTL_WIRE_PROTO_H
#define LBCTL_WIRE_PROTO_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"

/* The tables of proto.def as enums and checks. Pure: no I/O. */
enum { PROTO_VERSION = 1, PROTO_LINE_MAX = 1 << 20 };

enum proto_role { PROTO_ANY, PROTO_LB, PROTO_CTL, PROTO_CLI };
enum proto_kind { PROTO_REQ, PROTO_EVENT };

enum proto_shape {
#define SHAPE(sym, help) SHAPE_##sym,
#include "common/wire/proto.def"
#undef SHAPE
    SHAPE_COUNT
};

enum proto_msg {
#define MSG(sym, name, from, to, kind, body, answer, help) MSG_##sym,
#include "common/wire/proto.def"
#undef MSG
    MSG_COUNT
};

struct proto_msg_info {
    const char *name;
    enum proto_role from, to;
    enum proto_kind kind;
    enum proto_shape body, answer;
    const char *help;
};

const struct proto_msg_info *proto_msg_info(enum proto_msg msg);
bool proto_msg_find(const char *name, enum proto_msg *ret);
const char *proto_role_name(enum proto_role role);
bool proto_role_find(const char *name, enum proto_role *ret);

/* Does obj have every member that the shape requires, each of its kind and within its limit? The
 * error names the place: "services: [0]: backends: [2]: port: must be ...". */
bool proto_check(enum proto_shape shape, const json_t *obj, struct err *e) MUST_CHECK;

/* Members of a checked object. The value when it is absent is the last argument. */
const char *proto_str(const json_t *obj, const char *name, const char *absent);
uint64_t proto_uint(const json_t *obj, const char *name, uint64_t absent);
bool proto_bool(const json_t *obj, const char *name, bool absent);

#endif
