#ifndef LBCTL_CONF_H
#define LBCTL_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cidr.h"
#include "common/base/err.h"
#include "common/base/log.h"

/* The configuration file (docs/configuration.md), read whole, checked whole, then constant. Keys
 * are the rows of conf.def. Errors read FILE:LINE:COLUMN: what; remedy. Times are milliseconds,
 * sizes bytes. */
enum {
    CONF_FILE_MAX = 1 << 20,
    CONF_LISTEN_MAX = 16,
    CONF_SERVICES_MAX = 256,
    CONF_REPLICAS_MAX = 1000,
    CONF_LIST_MAX = 256,
    CONF_ERRORS_MAX = 32,
    CONF_BACKENDS_MAX = 256,
    CONF_WEIGHT_MAX = 256,
    CONF_STATUSES_MAX = 8,
    CONF_LOG_MAX_SIZE = 10 << 20, /* the default */
    CONF_LOG_MAX_FILES = 3,
};

struct conf_strs {
    char **v;
    size_t n;
};

struct conf_pair {
    char *key, *value;
};
struct conf_pairs {
    struct conf_pair *v;
    size_t n;
};

struct conf_addr {
    char host[64]; /* IPv4 or IPv6 address, no brackets */
    uint16_t port;
    bool proxy; /* trusted proxies begin a connection with a PROXY header */
};

#define CONF_NEVER UINT32_MAX

struct conf_backend {
    struct conf_addr at;
    unsigned weight; /* 1 by default */
};
struct conf_backends {
    struct conf_backend *v;
    size_t n;
};

enum conf_health_kind { CONF_HEALTH_NONE, CONF_HEALTH_HTTP, CONF_HEALTH_TCP };

struct conf_statuses {
    struct {
        uint16_t first, last;
    } v[CONF_STATUSES_MAX];
    size_t n; /* 0: 200 alone */
};

struct conf_health {
    enum conf_health_kind kind;
    struct conf_statuses status;
    char *body;             /* must be in the answer; NULL: any */
    unsigned replace_after; /* 0: fall; CONF_NEVER */
    unsigned start_rise;    /* 0: rise */
    char *path;             /* http */
    char *host;             /* http: value of Host; NULL: the instance's address */
    uint16_t port;          /* inside the container; 0: the service's own */
    bool proxy_header;      /* http: behind a PROXY header, as the service's send_proxy has it */
    uint64_t interval_ms, timeout_ms;
    unsigned fall, rise;      /* consecutive results that change the state */
    uint64_t start_period_ms; /* a new instance may fail for this long before it is replaced */
};

struct conf_scale {
    unsigned min, max;
    uint64_t every_ms; /* 0: not scaled by load, always min */
    unsigned per;      /* floor(count / per) + 1, within min..max */
    struct conf_strs ignore;
};

enum conf_runtime { CONF_RUNTIME_AUTO, CONF_RUNTIME_DOCKER, CONF_RUNTIME_PROCESS };

/* 0: no limit, unless it says otherwise. */
struct conf_limits {
    bool is_set; /* it stands in the file */
    unsigned per_instance, in_flight;
    unsigned queue;            /* 0: as many as may be in flight */
    uint64_t queue_timeout_ms; /* 0: none waits */
    unsigned hold;             /* 0: none is held */
    uint64_t hold_timeout_ms;
    unsigned rate, burst; /* burst 0: as many as in a second */
};

enum conf_rollout { CONF_ROLLOUT_AUTO, CONF_ROLLOUT_START_FIRST, CONF_ROLLOUT_STOP_FIRST };
/* What a route does to the fields of a message, in this order: remove, set, add. */
struct conf_edits {
    struct conf_pairs add, set;
    struct conf_strs remove;
};

struct conf_redirect {
    char *to; /* NULL: none */
    unsigned status;
    bool keep_path;
};

struct conf_respond {
    unsigned status; /* 0: none */
    char *type, *body;
};

struct conf_route {
    unsigned line, column;  /* where it stands, for messages */
    struct conf_strs hosts; /* none: any */
    char *path;             /* prefix */
    bool strip;
    char *rewrite; /* NULL: none */
    struct conf_edits request, response;
    struct conf_redirect redirect;
    struct conf_respond respond;
};

struct conf_routes {
    struct conf_route *v;
    size_t n;
};

struct conf_page {
    unsigned status;
    char *file;
};

struct conf_pages {
    struct conf_page *v;
    size_t n;
};

/* The words of common/base/balance.def. */
enum conf_policy {
#define POLICY(sym, word, counts) CONF_POLICY_##sym,
#include "common/base/balance.def"
#undef POLICY
};

enum conf_hash_by { CONF_HASH_BY_ADDRESS, CONF_HASH_BY_HEADER, CONF_HASH_BY_COOKIE };

enum conf_same_site { CONF_SAME_SITE_LAX, CONF_SAME_SITE_STRICT, CONF_SAME_SITE_NONE };

struct conf_balance {
    bool is_set; /* it stands in the file */
    enum conf_policy policy;
    enum conf_hash_by hash_by; /* hash */
    char *hash_name;           /* of the header or cookie; NULL: by address */
    uint64_t load_bound_milli; /* hash; 0: none */
    uint64_t slow_start_ms;
    char *sticky; /* name of the cookie; NULL: none */
    char *sticky_path;
    enum conf_same_site sticky_same_site;
    bool sticky_secure;
};

const char *conf_policy_word(enum conf_policy p);
const char *conf_hash_by_word(enum conf_hash_by by);

enum conf_port_taken { CONF_PORT_TAKEN_WAIT, CONF_PORT_TAKEN_MOVE };
enum conf_pull_policy { CONF_PULL_MISSING, CONF_PULL_NEVER };
enum conf_manual_stop { CONF_MANUAL_STOP_REPLACE, CONF_MANUAL_STOP_HOLD };
enum conf_connect { CONF_CONNECT_PUBLISHED, CONF_CONNECT_DIRECT };

struct conf_service {
    char *name;
    unsigned line;             /* where it begins, for messages */
    struct conf_pairs written; /* its keys as the file has them: conf_diff.h */
    /* Compose keys */
    char *image;
    enum conf_pull_policy pull_policy; /* of an image that the engine does not have */
    struct conf_strs entrypoint, command, volumes, depends_on, tmpfs, networks, cap_add, cap_drop;
    struct conf_strs env_file; /* already read into environment */
    struct conf_pairs environment, labels;
    struct conf_pairs secrets; /* name, host path */
    uint64_t log_max_size;
    unsigned log_max_files;
    char *user, *stop_signal;
    uint64_t mem_limit;  /* 0: none */
    uint64_t cpus_milli; /* 0: none */
    unsigned pids_limit;
    uint64_t shm_size;
    bool read_only, init;
    uint64_t stop_grace_ms;
    /* ours */
    struct conf_backends
        backends;     /* servers that others run, instead of an image; none: an image */
    char *static_dir; /* files that lbd serves itself, instead of an image; NULL: an image */
    struct conf_routes routes; /* none: not reachable through lbd */
    struct conf_pages error_pages;
    bool maintenance;
    char *maintenance_page; /* NULL: the page of 503 */
    uint64_t maintenance_retry_ms;
    uint16_t port;                            /* inside the container; 0: none */
    uint16_t host_port_first, host_port_last; /* 0: not published */
    char *publish;                            /* host address of published ports */
    enum conf_connect connect;
    bool fail_open;                  /* bad instances serve while the brake on mass failure is on */
    enum conf_port_taken port_taken; /* by a program that is not ours */
    enum conf_manual_stop manual_stop; /* a container that somebody stops through the engine */
    struct conf_health health;
    struct conf_scale scale;
    struct conf_balance balance;
    unsigned eject_after; /* bad answers in a row; 0: never */
    struct conf_limits limits;
    uint64_t drain_ms; /* longest wait for requests in flight before a stop */
    enum conf_rollout rollout;
    uint64_t ready_hold_ms;
    uint64_t connect_timeout_ms, response_timeout_ms, tunnel_timeout_ms;
    uint64_t client_body_timeout_ms; /* 0: as at the top */
    uint64_t stall_timeout_ms;       /* 0: as response_timeout_ms */
    uint64_t max_body;               /* 0: any */
    uint64_t keepalive_idle_ms, keepalive_time_ms;
    unsigned keepalive_requests;
    bool pass_trailers;
    unsigned send_proxy; /* version of the PROXY header; 0: none */
};

struct conf {
    char *path;
    struct conf_pairs written; /* its keys but 'services' */
    struct conf_addr listen[CONF_LISTEN_MAX];
    size_t listen_n;
    unsigned workers; /* 0: one per CPU */
    char *project;    /* names and labels of everything we create begin with it; two ctlds on one
                         engine need two */
    uint64_t pull_timeout_ms; /* longest silence of a pull */
    char *run_dir, *state_dir;
    enum conf_runtime runtime;
    char *docker;  /* unix:///var/run/docker.sock or http://HOST:PORT */
    char *network; /* name of the engine's network that all instances join; default: the project */
    enum log_format log_format;
    enum log_level log_level;
    uint64_t client_header_timeout_ms, client_body_timeout_ms, keepalive_timeout_ms;
    unsigned max_connections, client_connections; /* 0: any */
    uint64_t client_min_rate;                     /* bytes a second; 0: any */
    struct cidr_list trusted_proxies;
    bool forwarded_header, request_id, bare_lf;
    char *access_log; /* "off", "stderr" or a path */
    enum log_format access_log_format;
    struct conf_service *services; /* in the file's order */
    size_t services_n;
};

/* All errors found (at most CONF_ERRORS_MAX), in file order. */
struct conf_errors {
    struct err v[CONF_ERRORS_MAX];
    size_t n;
};

/* Read and check a file. false: at least one error in errs, nothing returned. */
bool conf_load(const char *path, struct conf **ret, struct conf_errors *errs) MUST_CHECK;
bool conf_parse(const char *name, const char *text, size_t n, struct conf **ret,
                struct conf_errors *errs) MUST_CHECK;
void conf_free(struct conf *c);
void conf_freep(struct conf **c);
bool conf_status_ok(const struct conf_statuses *s, int status);
const struct conf_service *conf_service_find(const struct conf *c, const char *name);
/* Identity of what an instance is made of (image, command, environment, ...; not scale or health):
 * 16 hex digits. */
void conf_service_hash(const struct conf_service *s, char ret[17]);
/* Not files that lbd serves itself, nor servers that others run. */
bool conf_service_has_instances(const struct conf_service *s);
/* While it is rolled to another form, one instance more than wished may run. */
bool conf_service_may_surge(const struct conf_service *s);

#endif
