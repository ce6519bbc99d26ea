#ifndef LBCTL_CTL_DOCKER_JSON_H
#define LBCTL_CTL_DOCKER_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/str.h"
#include "ctl/runtime.h"

/* What we say to Docker's engine and what it answers, as JSON. Pure: bytes in, bytes out; no I/O,
 * no clock, no log. Parsers are strict about what we use and blind to the rest; an ill-formed
 * answer is an error, never a guess. */
enum {
    DOCKER_API_MAJOR = 1,
    DOCKER_API_OLDEST = 30, /* waiting for a removal came with 1.30 */
    DOCKER_API_NEWEST = 47,
    DOCKER_ID_MAX = 64,
    DOCKER_BODY_MAX = 1 << 20,
    DOCKER_PIDS_DEFAULT =
        2048, /* processes and threads of a container whose pids_limit is not set */
};

/* The labels of everything that is ours. */
#define DOCKER_LABEL_PROJECT "lbctl.project"
#define DOCKER_LABEL_SERVICE "lbctl.service"
#define DOCKER_LABEL_SLOT "lbctl.slot"
#define DOCKER_LABEL_GENERATION "lbctl.generation"
#define DOCKER_LABEL_TOKEN "lbctl.token"
#define DOCKER_LABEL_CONFHASH "lbctl.confhash"
#define DOCKER_LABEL_PORT "lbctl.port"

/* PROJECT-SERVICE-SLOT-GENERATION into buf (n bytes). */
void docker_name(const struct rt_spec *spec, char *buf, size_t n);
/* May s be an id or a name in a path of the API? */
bool docker_id_ok(const char *s);

/* Body of POST /containers/create. Differences to Compose, all on the safe side: a host path of a
 * volume must exist (Compose's engine makes an empty directory of a missing secret), at most
 * DOCKER_PIDS_DEFAULT processes unless pids_limit says otherwise, no new privileges, bounded
 * logs, no restarts by the engine. Holds the service's environment, so secrets perhaps: never log
 * it.
 */
bool docker_create_body(const struct rt_spec *spec, struct buf *ret, struct err *e) MUST_CHECK;
/* Body of POST /networks/NAME/connect. */
bool docker_connect_body(const char *id, const char *alias, struct buf *ret,
                         struct err *e) MUST_CHECK;
/* Body of POST /networks/create. */
bool docker_network_body(const char *network, const char *project, struct buf *ret,
                         struct err *e) MUST_CHECK;
/* Percent-encoded for a value in a target's query. */
void docker_encode(struct buf *out, const char *s, size_t n);
/* Value of `filters=` (percent-encoded) for our own containers; for their events when `events`. */
bool docker_filters(const char *project, bool events, struct buf *ret, struct err *e) MUST_CHECK;

struct docker_version {
    char api[16];    /* what both understand */
    char engine[64]; /* the engine's own version */
};
/* Answer of GET /version. An engine that is too old or too new for us is an error that says so. */
bool docker_parse_version(const char *p, size_t n, struct docker_version *ret,
                          struct err *e) MUST_CHECK;
/* Answer of POST /containers/create. */
bool docker_parse_created(const char *p, size_t n, char ret_id[DOCKER_ID_MAX + 1],
                          struct err *e) MUST_CHECK;
/* Answer of GET /networks/NAME: is it the one of that name (and not one whose id begins with it)?
 */
bool docker_parse_network(const char *p, size_t n, const char *network, bool *ret_same,
                          struct err *e) MUST_CHECK;
/* Answer of GET /containers/ID/json: its address on our network, "" when it has none (not running).
 */
bool docker_parse_address(const char *p, size_t n, const char *network, char *ret, size_t ret_n,
                          struct err *e) MUST_CHECK;
/* Foreign text for messages: one line, no double quotes. Returns buf. */
const char *docker_printable(struct sv s, char *buf, size_t buf_n);
/* The engine's own words for a refusal, made printable: {"message":"..."} or plain text. Returns
 * buf. */
const char *docker_message(const char *p, size_t n, char *buf, size_t buf_n);

/* Answer of GET /containers/json. The strings of v live as long as the list. */
struct docker_list {
    struct rt_instance *v;
    size_t n;
    size_t skipped;   /* rows of ours whose labels make no sense */
    struct err first; /* why the first of them does not */
    void *root;       /* json_t */
};
/* Rows of another project, should the engine send any, are left out without a word. */
bool docker_parse_list(const char *p, size_t n, const char *project, const char *network,
                       struct docker_list *ret, struct err *e) MUST_CHECK;
void docker_list_fini(struct docker_list *l);

/* What was asked. */
enum docker_verb {
    DOCKER_LIST,
    DOCKER_CREATE,
    DOCKER_START,
    DOCKER_INSPECT,
    DOCKER_STOP,
    DOCKER_KILL,
    DOCKER_REMOVE,
    DOCKER_WAIT,
    DOCKER_NETWORK_GET,
    DOCKER_NETWORK_CREATE,
    DOCKER_CONNECT,
    DOCKER_IMAGE_GET,
};
const char *docker_verb_name(enum docker_verb v);

/* What a status and the engine's words mean. */
enum rt_result docker_judge(enum docker_verb verb, int status, const char *message);
/* start: the container's network is gone. */
bool docker_lacks_network(int status, const char *message);
/* remove: somebody (an earlier call of ours, say) removes it already. */
bool docker_removes_already(int status, const char *message);

#endif
