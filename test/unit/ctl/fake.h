#ifndef LBCTL_TEST_UNIT_CTL_FAKE_H
#define LBCTL_TEST_UNIT_CTL_FAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/wire/chan.h"
#include "ctl/runtime.h"

/* A world for ctld to live in, on the test's own loop: an engine with virtual containers behind
 * struct runtime_ops, probes that see what those containers are like (in place of ctl/probe.c), and
 * an lbd that takes tables. */
enum { FAKE_BOXES = 64, FAKE_BACKENDS = 32 };

struct fake_box {
    char id[65], name[96], service[32], token[40], hash[17], address[32];
    unsigned slot;
    uint64_t generation, listens_ms;
    enum rt_state state;
    uint16_t host_port;
    bool sick, hung;
    int exit_code;
};

struct fake_engine {
    struct loop *loop;
    struct fake_box boxes[FAKE_BOXES];
    size_t n;
    unsigned creates, starts, stops, kills, removes; /* calls that took effect */
    unsigned serial;
    unsigned starts_at_once, starts_at_once_max;
    uint64_t start_ms, warm_ms; /* a start takes this long; the program listens that much later */
    bool born_sick;             /* what is started now answers its probes with an error */
    uint64_t list_ms;           /* a list shows what was this long ago */
    bool away;                  /* every call fails, nothing happens */
    bool lose_create, lose_start, lose_stop; /* the next one happens, its answer is lost */
    enum rt_result refuse_start;             /* the next start fails so */
    unsigned probes_at_once_max;             /* of one container */
    unsigned stopped_in_table; /* containers stopped or removed while lbd still had them */
    const char *missing;       /* an image that is not there */
    const char *pull_error;    /* how the next pulls end; NULL: the image is there then */
    uint64_t pull_ms;
    unsigned pulls, looks, pulls_at_once, pulls_at_once_max;
    const char *need_alive; /* a service that others stand on ... */
    unsigned too_early;     /* ... stopped while one of them still ran */
    rt_hint_fn *hint;
    void *hint_arg;
    struct rt_info info;
    struct list ops;
};

extern struct fake_engine engine;
extern const struct runtime_ops runtime_fake;

void fake_engine_reset(struct loop *l);
struct fake_box *fake_box(const char *service,
                          unsigned slot); /* the running one of a slot, or NULL */
unsigned fake_count(const char *service, enum rt_state state); /* NULL: of any service */
struct fake_box *fake_add(const char *service, unsigned slot, uint64_t generation,
                          enum rt_state state, const char *hash, uint16_t host_port);
void fake_kill(struct fake_box *b);   /* it exits by itself; the engine hints */
void fake_vanish(struct fake_box *b); /* nothing is left of it, and nobody is told */

struct fake_lb {
    struct chan_hub *hub;
    char path[200];
    json_t *table;     /* last one, with its generation */
    unsigned tables;   /* pushes */
    unsigned smallest; /* fewest backends of `web` that any pushed table had since this was set */
    uint64_t generation, counted, first_ms, requests;
    char boot[16];
    bool deaf; /* answers nothing */
    unsigned drains;
    char sick_token[40];  /* an instance that no table should have any more ... */
    unsigned sick_tables; /* ... and how many had it */
};

extern struct fake_lb lb;

void fake_lb_open(struct loop *l, const char *path);
void fake_lb_close(void);
void fake_lb_count(uint64_t n, uint64_t first_ms); /* n more counted requests, told by an event */
unsigned fake_lb_backends(const char *service);
bool fake_lb_has(const char *token);
bool fake_lb_expects(const char *service); /* the table says that an instance is on its way */

#endif
