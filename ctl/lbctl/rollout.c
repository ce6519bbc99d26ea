#include "ctl/lbctl/rollout.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "ctl/lbctl/client.h"

enum progress { AT_WORK, DONE, FAILED };

/* ctld's process and how many files it has loaded tell whether this is the one after the reload. */
static bool is_after(const json_t *status, const json_t *before, const json_t *plan)
{
    const json_t *is = json_object_get(status, "ctld"), *was = json_object_get(before, "ctld");

    return proto_uint(is, "pid", 0) != proto_uint(was, "pid", 0) ||
           proto_uint(is, "loads", 0) >= proto_uint(plan, "loads", 0);
}

static const json_t *find(const json_t *status, const char *name)
{
    const json_t *s;
    size_t i;

    json_array_foreach(json_object_get(status, "services"), i, s)
    {
        if (strcmp(proto_str(s, "name", ""), name) == 0)
            return s;
    }
    return NULL;
}

/* Each slot that is wished for holds a ready instance of today's form, or is held by the operator,
 * or a further one stands in for it; and there are as many as wished. */
static bool is_whole(const json_t *service)
{
    const json_t *slots = json_object_get(service, "slots"), *slot;
    uint64_t wish = proto_uint(service, "wish", 1), good = 0, held = 0;
    size_t i;

    json_array_foreach(slots, i, slot)
    {
        const char *state = proto_str(slot, "state", "");
        bool is_held = strcmp(state, "held") == 0;

        if (proto_uint(slot, "slot", 0) >= wish)
            continue;
        held += is_held;
        good += is_held || proto_bool(slot, "stood_in", false) ||
                (strcmp(state, "ready") == 0 && !proto_bool(slot, "outdated", false));
    }
    return json_array_size(slots) == 0 || /* files have no slots */
           (good == wish && proto_uint(service, "ready", 0) + held >= wish);
}

static enum progress look_at(const json_t *service, const char *name, uint64_t *left)
{
    const char *failing = json_string_value(json_object_get(service, "failing"));
    uint64_t outdated = proto_uint(service, "outdated", 0);
    char q[1024];

    *left += outdated;
    if (failing != NULL) {
        (void)fprintf(stderr, "lbctl: %s: the new form does not become ready: %s\n", name,
                      str_quote(sv_of(failing), q, sizeof q));
        if (outdated > 0)
            (void)fprintf(stderr, "lbctl: %s: %" PRIu64 " instances of the old form stay\n", name,
                          outdated);
        return FAILED;
    }
    return outdated == 0 && is_whole(service) ? DONE : AT_WORK;
}

static enum progress look(const json_t *status, const json_t *plan, uint64_t *left)
{
    enum progress all = DONE;
    const json_t *row;
    size_t i;

    *left = 0;
    json_array_foreach(json_object_get(plan, "services"), i, row)
    {
        const char *change = proto_str(row, "change", ""), *name = proto_str(row, "name", "");
        const json_t *service = find(status, name);
        enum progress p = AT_WORK;

        if (strcmp(change, "unchanged") == 0)
            continue;
        if (strcmp(change, "removed") == 0)
            p = service == NULL ? DONE : AT_WORK;
        else if (service != NULL)
            p = look_at(service, name, left);
        if (p == FAILED)
            return FAILED;
        if (p == AT_WORK)
            all = AT_WORK;
    }
    return all;
}

bool rollout_wait(const char *socket, const json_t *before, const json_t *plan)
{
    uint64_t heard_ms = clock_mono_ms(), told = UINT64_MAX, left = 0;
    enum progress p = AT_WORK;
    struct err e = {0};

    for (;;) {
        json_t *status = NULL;
        bool heard =
            client_ask(socket, MSG_STATUS_GET, json_object(), &status, &e) == CLIENT_ANSWERED;

        if (heard)
            heard_ms = clock_mono_ms();
        if (heard && is_after(status, before, plan))
            p = look(status, plan, &left);
        json_decref(status);
        if (left != told && left > 0)
            (void)printf("%" PRIu64 " instances of the old form left\n", left);
        told = left;
        (void)fflush(stdout);
        if (p == DONE)
            (void)printf("in force\n");
        if (p != AT_WORK)
            return p == DONE;
        if (clock_mono_ms() - heard_ms > CLIENT_AWAY_MAX_MS || !client_pause(CLIENT_LOOK_MS, &e)) {
            (void)fprintf(stderr, "lbctl: ctld is lost: %s; see lbctl status\n", e.msg);
            return false;
        }
    }
}
