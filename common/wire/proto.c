#include "common/wire/proto.h"

#include <stdio.h>
#include <string.h>

#include "common/base/macros.h"

enum proto_need { OPTIONAL, REQUIRED };
enum fld_kind { FLD_BOOL, FLD_STR, FLD_UINT, FLD_OBJ, FLD_LIST, FLD_STRS };

/* Limits of a kind whose row says 0. Numbers end where JSON readers of other languages lose
 * exactness. */
enum { STR_MAX = 65536, LIST_MAX = 65536, DEPTH_MAX = 8 };
#define UINT_LIMIT ((uint64_t)1 << 53)

struct fld {
    enum proto_shape shape;
    const char *name;
    enum fld_kind kind;
    enum proto_shape items;
    enum proto_need need;
    uint64_t max;
};

static const struct fld flds[] = {
#define FLD(shape, name, kind, items, need, max, help)                                             \
    {SHAPE_##shape, name, FLD_##kind, SHAPE_##items, need, max},
#include "common/wire/proto.def"
#undef FLD
};

static const struct proto_msg_info msgs[MSG_COUNT] = {
#define MSG(sym, name, from, to, kind, body, answer, help)                                         \
    [MSG_##                                                                                        \
        sym] = {name, PROTO_##from, PROTO_##to, PROTO_##kind, SHAPE_##body, SHAPE_##answer, help},
#include "common/wire/proto.def"
#undef MSG
};

static const char *const role_names[] = {"any", "lb", "ctl", "cli"};

const struct proto_msg_info *proto_msg_info(enum proto_msg msg)
{
    return &msgs[msg];
}

bool proto_msg_find(const char *name, enum proto_msg *ret)
{
    for (size_t i = 0; i < MSG_COUNT; i++) {
        if (strcmp(name, msgs[i].name) == 0) {
            *ret = (enum proto_msg)i;
            return true;
        }
    }
    return false;
}

const char *proto_role_name(enum proto_role role)
{
    return role_names[role];
}

bool proto_role_find(const char *name, enum proto_role *ret)
{
    for (size_t i = PROTO_LB; i < ARRAY_LEN(role_names); i++) {
        if (strcmp(name, role_names[i]) == 0) {
            *ret = (enum proto_role)i;
            return true;
        }
    }
    return false;
}

static bool check_shape(enum proto_shape shape, const json_t *obj, unsigned depth, struct err *e);

static bool check_str(const json_t *v, uint64_t max, struct err *e)
{
    if (!json_is_string(v))
        return err_set(e, "must be a string");
    if (json_string_length(v) > (max > 0 ? max : STR_MAX))
        return err_set(e, "is longer than %llu bytes",
                       (unsigned long long)(max > 0 ? max : STR_MAX));
    if (strlen(json_string_value(v)) != json_string_length(v))
        return err_set(e, "has a NUL in it");
    return true;
}

static bool check_uint(const json_t *v, uint64_t max, struct err *e)
{
    if (max == 0)
        max = UINT_LIMIT;
    if (!json_is_integer(v) || json_integer_value(v) < 0 || (uint64_t)json_integer_value(v) > max)
        return err_set(e, "must be a whole number from 0 to %llu", (unsigned long long)max);
    return true;
}

static bool check_list(const struct fld *f, const json_t *v, unsigned depth, struct err *e)
{
    size_t n = json_array_size(v);

    if (!json_is_array(v))
        return err_set(e, "must be a list");
    if (n > (f->max > 0 ? f->max : LIST_MAX))
        return err_set(e, "has more than %llu items",
                       (unsigned long long)(f->max > 0 ? f->max : LIST_MAX));
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(v, i);
        bool ok =
            f->kind == FLD_STRS ? check_str(item, 0, e) : check_shape(f->items, item, depth + 1, e);

        if (!ok)
            return err_wrap(e, "[%zu]", i);
    }
    return true;
}

static bool check_value(const struct fld *f, const json_t *v, unsigned depth, struct err *e)
{
    switch (f->kind) {
    case FLD_BOOL:
        return json_is_boolean(v) || err_set(e, "must be true or false");
    case FLD_STR:
        return check_str(v, f->max, e);
    case FLD_UINT:
        return check_uint(v, f->max, e);
    case FLD_OBJ:
        return check_shape(f->items, v, depth + 1, e);
    case FLD_LIST:
    case FLD_STRS:
        return check_list(f, v, depth, e);
    }
    return err_set(e, "is of no known kind");
}

static bool check_shape(enum proto_shape shape, const json_t *obj, unsigned depth, struct err *e)
{
    if (!json_is_object(obj))
        return err_set(e, "must be an object");
    if (depth > DEPTH_MAX)
        return err_set(e, "is nested too deeply");
    for (size_t i = 0; i < ARRAY_LEN(flds); i++) {
        const json_t *v;

        if (flds[i].shape != shape)
            continue;
        v = json_object_get(obj, flds[i].name);
        if (v == NULL && flds[i].need == REQUIRED)
            return err_set(e, "'%s' is missing", flds[i].name);
        if (v != NULL && !check_value(&flds[i], v, depth, e))
            return err_wrap(e, "%s", flds[i].name);
    }
    return true;
}

bool proto_check(enum proto_shape shape, const json_t *obj, struct err *e)
{
    return check_shape(shape, obj, 0, e);
}

const char *proto_str(const json_t *obj, const char *name, const char *absent)
{
    const char *s = json_string_value(json_object_get(obj, name));

    return s != NULL ? s : absent;
}

uint64_t proto_uint(const json_t *obj, const char *name, uint64_t absent)
{
    const json_t *v = json_object_get(obj, name);

    return json_is_integer(v) && json_integer_value(v) >= 0 ? (uint64_t)json_integer_value(v)
                                                            : absent;
}

bool proto_bool(const json_t *obj, const char *name, bool absent)
{
    const json_t *v = json_object_get(obj, name);

    return json_is_boolean(v) ? json_is_true(v) : absent;
}
