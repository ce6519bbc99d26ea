#ifndef LBCTL_TEST_UNIT_CTL_LIVE_H
#define LBCTL_TEST_UNIT_CTL_LIVE_H

#include <jansson.h>

#include "common/conf/conf.h"
#include "common/ev/loop.h"
#include "common/wire/proto.h"
#include "ctl/ctl.h"
#include "test/unit/ctl/fake.h"
#include "test/unit/unit.h"

/* The whole of ctld on a fake engine, fake probes and a fake lbd, in the test's process: a service
 * `web` (ports 21600 and up, scaled every 400 ms) that depends on `db`. Every wait is for an event,
 * with a limit. */
struct live {
    struct loop *loop;
    struct ctl *ctl;
    struct conf *conf;
    char dir[64], path_lb[128], path_ctl[128], path_conf[128], web_hash[17], db_hash[17];
    char text[2048];   /* of the configuration file */
    struct conf *next; /* ctld wants to go on with this one */
    unsigned loads;
    char refusal[512]; /* of the last live_ask() */
};

extern struct live live;

int live_setup(void **state);
int live_teardown(void **state);
int live_main(const char *name, const struct CMUnitTest *tests, size_t n);
#define LIFE(fn) cmocka_unit_test_setup_teardown(fn, live_setup, live_teardown)

void live_start(void);
void live_stop(void);
/* The configuration's text with each `from` made `to` is the file now. */
void live_edit(const char *from, const char *to);
/* As `lbctl reload`: the plan, the caller's; a file that may be taken has been taken when it
 * returns. */
json_t *live_reload(void);

typedef bool live_cond(void);
bool live_within(live_cond *cond,
                 uint64_t ms);  /* runs the loop until the condition holds; false: it never did */
void live_run_for(uint64_t ms); /* for what must not happen */
#define UNTIL(cond, ms)                                                                            \
    do {                                                                                           \
        if (!live_within(cond, ms))                                                                \
            fail_msg("line %d: not within %d ms: %s", __LINE__, (int)(ms), #cond);                 \
    } while (0)

/* Waits for exactly the n lowest slots of web, each on its port and in lbd's table, and nothing
 * else of web's. */
void live_webs(unsigned n);
bool live_has_webs(void); /* the same as a condition, for the last n */
void live_mark(void);     /* remembers the instance of web slot 0 */
bool live_is_replaced(void);
void live_replaced(unsigned n); /* waits until it is another one, and for n webs */

/* As lbctl: the answer (the caller's), or NULL and live.refusal. */
json_t *live_ask(enum proto_msg msg, json_t *body);
void live_scale(unsigned n);
void live_expect_service(const char *mode, unsigned wish, const char *clock);
void live_expect_state(const char *state);

#endif
