#ifndef LBCTL_CTL_MODEL_H
#define LBCTL_CTL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/conf/conf.h"
#include "common/ev/loop.h"
#include "common/wire/chan.h"
#include "ctl/core/brake.h"
#include "ctl/core/feed.h"
#include "ctl/core/plan.h"
#include "ctl/core/scale.h"
#include "ctl/core/slot.h"
#include "ctl/probe.h"
#include "ctl/runtime.h"

/* What ctld knows: services and their slots, and the parts of the shell that work on them. Plain
 * data of one thread; made once from the configuration, so that pointers to services and slots stay
 * good. The desired state is `wish` and nothing else; health, scaler and operator only change
 * wishes, act.c alone acts. */
enum { START_SAMPLES = 16, TOKEN_BYTES = 16 };

struct service;

struct hold { /* the operator's; ctl/hold.h */
    bool on, stop, by_hand;
};

struct place { /* a slot with what the shell keeps beside it */
    struct slot s;
    struct slot_env env;
    struct service *service;
    unsigned index;
    uint64_t touched; /* tick of its last act: lists asked for before say nothing about it */
    bool cur_there, next_there;       /* in the list that is being read */
    char ready_token[SLOT_TOKEN_MAX]; /* last instance that was ready; saved: it has had its start
                                         period */
    struct hold hold;                 /* its own; the service may have one, too */
    uint64_t by_hand_ms;              /* somebody else began to stop its container then; 0: no */
    bool blocked;                     /* the engine is still removing something of this slot */
    /* probing */
    struct timer probe_timer;
    bool probing;
    uint64_t probe_generation;             /* of the running probe */
    uint64_t probe_last_ms, probe_done_ms; /* the last one began, ended */
    uint64_t probed_generation;            /* last one that had a result in this life of ctld */
    uint64_t grid_generation;              /* last one that got its place on the probing grid */
    enum probe_result last_result;         /* of the current instance, once model_is_probed() */
    char health[24];                       /* short name of the last result */
    /* the socket that listens on its host port: tenancy.h; 0: not known */
    uint64_t listener, listener_seen;
    uint64_t receipt; /* number of the drain record that allows the current one's stop;
                         0: it needed none */
    /* lbd's numbers for the current instance */
    uint64_t requests, in_flight;
};

struct service_stats {
    uint64_t requests, counted, in_flight, errors, retries;
    uint64_t p50_us, p99_us; /* of the last minutes; 0: nothing happened */
};

struct service {
    struct ctl *ctl;
    const struct conf_service *c;
    unsigned index;
    char hash[17];
    struct place *places;
    unsigned places_n;
    unsigned *deps; /* indices of services */
    size_t deps_n;
    bool has_dependents;
    bool image_there; /* its image was seen on the engine, in this life of the model */
    bool may_surge; /* places beyond scale.max, or below it, may hold one more while it is rolled */
    /* wishes */
    unsigned wish;
    bool manual;
    uint64_t pin_until_ms; /* end of the pin, wall clock; 0: it has none */
    struct hold hold;
    bool restored; /* wish comes from the saved state */
    struct scale_rule rule;
    struct scale scale;
    struct feed feed;
    bool decided;
    struct scale_decision last;
    uint64_t last_ms;
    struct service_stats stats;
    struct brake brake;
    uint64_t settled_ms;              /* when an instance last became ready */
    uint32_t start_ms[START_SAMPLES]; /* times from start to ready, a ring */
    unsigned starts;
    char waits_for[SLOT_REASON_MAX]; /* "waits for postgres" */
};

struct ctl {
    uint32_t magic;
    struct loop *loop;
    const struct conf *conf;
    const struct runtime_ops *ops;
    struct runtime *rt;
    struct chan_hub *hub;
    struct probe_pool *probes;
    int diag; /* for listener_ask(); -1: none */
    struct service *services;
    size_t services_n;
    uint64_t began_ms;
    uint64_t ticks; /* orders acts and lists, which milliseconds do not: model_tick() */
    struct loop_later later;
    struct timer wake;
    struct observer *observer;
    struct act *act;
    struct pulling *pulling;
    struct removals *removals;
    struct lblink *lb;
    struct scaler *scaler;
    struct store *store;
    unsigned loads;                                /* configurations that this process has loaded */
    void (*on_next)(void *arg, struct conf *next); /* ctl_options */
    void *next_arg;
    struct ledger *ledger;
    unsigned ailing; /* services that have a bad instance */
    struct events *events;
};

void model_build(struct ctl *c);
void model_fini(struct ctl *c);
uint64_t model_tick(struct ctl *c);                             /* larger than all before */
struct service *model_service(struct ctl *c, const char *name); /* NULL: none */
struct place *model_place(struct ctl *c, const char *service, unsigned slot); /* NULL: none */
struct place *model_place_at(struct ctl *c, unsigned service, unsigned slot);
bool model_is_static(const struct service *s); /* files that lbd serves itself: it has no places */
/* Servers that others run: places without instances of ours, which are probed and never acted upon.
 */
bool model_is_fixed(const struct service *s);
bool model_has_instances(const struct service *s); /* neither of the two */
bool model_needs_engine(const struct ctl *c);      /* some service has instances */
unsigned model_ready(const struct service *s);
unsigned model_outdated(const struct service *s); /* instances to be rolled: held ones are not */
bool model_has_ready(const struct service *s);    /* files are always there */
bool model_deps_ready(
    const struct service *s); /* fills s->waits_for beforehand: model_refresh_waits() */
void model_refresh_waits(struct service *s);
/* Its port is taken, and a further slot is wanted instead. */
bool model_is_stood_in(const struct place *p);
uint16_t model_port(const struct place *p);  /* host port, that of a fixed backend, or 0 */
bool model_is_probed(const struct place *p); /* the current instance has had a probe's result */
/* Where the current instance is reached: by probes, by lbd. "" while unknown. */
const char *model_probe_host(const struct place *p, uint16_t *ret_port);
const char *model_backend_host(const struct place *p, uint16_t *ret_port);
unsigned model_retry_after_s(const struct service *s);
void model_note_start(struct service *s, uint64_t took_ms);

#endif
