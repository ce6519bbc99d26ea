#ifndef LBCTL_CTL_DOCKER_ENGINE_H
#define LBCTL_CTL_DOCKER_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/list.h"
#include "common/ev/loop.h"
#include "ctl/http.h"
#include "ctl/runtime.h"

/* Our contact with one Docker engine: where it listens, whether it answers, which API version both
 * understand, and its event stream. Connects lazily, notices by itself that the engine went (or
 * hangs) and that it is back: after every loss the version is negotiated anew, for it may be
 * another engine. Back-off 100 ms doubling to 5 s, but every call tries at once. */
struct docker_engine;

enum {
    DOCKER_VERSION_MS = 3000, /* deadline of GET /version */
    DOCKER_RETRY_MIN_MS = 100,
    DOCKER_RETRY_MAX_MS = 5000,
};

/* unix:///PATH, http://HOST:PORT, tcp://HOST:PORT ([v6] in brackets). */
struct docker_where {
    char socket[108]; /* "" for TCP */
    char host[256];
    uint16_t port;
};
bool docker_where_parse(const char *s, struct docker_where *ret, struct err *e) MUST_CHECK;

/* hint may be NULL: then no event stream is kept. It is called with "resync" whenever a stream
 * begins, with "away" when the engine has stopped answering. */
bool docker_engine_new(struct loop *l, const char *where, const char *project, rt_hint_fn *hint,
                       void *arg, struct docker_engine **ret, struct err *e) MUST_CHECK;
void docker_engine_free(
    struct docker_engine *en); /* running calls and waits are dropped; also from a callback */
const struct rt_info *docker_engine_info(const struct docker_engine *en);
/* Grows with each negotiation: what was known of the engine before may no longer hold. */
uint64_t docker_engine_epoch(const struct docker_engine *en);

/* Wait until a version is agreed on: fn is called once, with NULL or with the reason why there is
 * none, at the latest after DOCKER_VERSION_MS; never from within docker_engine_ready(). Unlinking
 * node ends the wait. */
struct docker_wait {
    struct list node;
    void (*fn)(struct docker_wait *self, const struct err *e);
};
void docker_engine_ready(struct docker_engine *en, struct docker_wait *w);

/* Call the engine, which must be ready; ask.target is without the version; ask.socket, host and
 * port are filled in here. The done function must hand its answer to docker_engine_saw() first. */
struct http_call *docker_engine_call(struct docker_engine *en, struct http_ask ask);
void docker_engine_saw(struct docker_engine *en, const struct http_answer *a);

#endif
