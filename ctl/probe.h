#ifndef LBCTL_CTL_PROBE_H
#define LBCTL_CTL_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/conf/conf.h"
#include "common/ev/loop.h"
#include "ctl/http.h"

/* One active health check: a fresh connection, one HTTP GET or TCP connect, one deadline over all
 * of it. libcurl's multi interface on the caller's loop; nothing blocks; thousands may run side by
 * side. */
struct probe_pool;

enum probe_result {
    PROBE_OK, /* HTTP: a good status (200 alone, if not set) and body in time; TCP: connected */
    PROBE_BAD_STATUS, /* `status` says which */
    PROBE_BAD_BODY,   /* a good status, but not the text that must be there */
    PROBE_REFUSED,    /* nobody listens */
    PROBE_RESET,      /* connected, then closed without a valid answer */
    PROBE_TIMEOUT,
    PROBE_BAD_ANSWER, /* not HTTP */
    PROBE_LOCAL, /* our own trouble (no descriptors, no memory): says nothing about the instance */
    PROBE_FOREIGN, /* well answered, but by whoever has the port now: tenancy.h. Never the pool's */
};
const char *probe_result_name(enum probe_result r);
/* What a finished call says about the instance. Pure. */
enum probe_result probe_judge(const struct conf_health *h, const struct http_answer *a);

/* Called exactly once per probe, never from within probe_start(). `tag` is the caller's own number
 * (it names the instance by id, not by pointer). took_us: whole probe. */
typedef void probe_done_fn(void *arg, uint64_t tag, enum probe_result r, int status,
                           uint64_t took_us);

bool probe_pool_new(struct loop *l, probe_done_fn *done, void *arg, struct probe_pool **ret,
                    struct err *e) MUST_CHECK;
void probe_pool_free(struct probe_pool *p); /* running probes are dropped without done */
/* Starts a probe of address:port. h->kind is HTTP (GET path, Host: h->host or address:port,
 * User-Agent lbctl) or TCP; h is borrowed during the call. */
void probe_start(struct probe_pool *p, uint64_t tag, const struct conf_health *h,
                 const char *address, uint16_t port);

#endif
