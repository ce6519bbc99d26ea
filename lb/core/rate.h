#ifndef LBCTL_LB_CORE_RATE_H
#define LBCTL_LB_CORE_RATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/cidr.h"

/* How fast each client may ask: a token bucket, kept as one number (the generic cell rate
 * algorithm, ITU-T I.371): the time at which the bucket would be full again. Pure but for the
 * table, which all threads share without a lock; time is an argument. */
struct rate_rule {
    uint64_t step_us;  /* in which one token comes */
    uint64_t burst_us; /* in which a whole bucket but one comes */
};

/* rate and burst are at least 1. */
struct rate_rule rate_rule(unsigned rate, unsigned burst);
/* Take a token of the bucket that is full at *full_us. false: there is none before *ret_wait_us. */
bool rate_take(const struct rate_rule *r, uint64_t *full_us, uint64_t now_us,
               uint64_t *ret_wait_us);

/* Who counts as one client: an IPv4 address, or the /64 of an IPv6 one (who has one address of a
 * network has all of them). Never 0; seed: so that nobody can choose whom to collide with. */
uint64_t rate_client_key(const struct cidr_addr *a, uint64_t seed);

/* So many clients are known at a time. Among those that meet in one place of the table the one that
 * has asked least makes room, as if it had never asked: who asks too fast is never forgotten for
 * who does not. */
enum { RATE_WAYS = 8, RATE_SETS = 2048, RATE_CLIENTS = RATE_WAYS * RATE_SETS };

struct rate_table {
    struct {
        _Atomic uint64_t key, full_us;
    } ways[RATE_CLIENTS];
};

bool rate_table_take(struct rate_table *t, const struct rate_rule *r, uint64_t key, uint64_t now_us,
                     uint64_t *ret_wait_us);

/* How many connections each client has. One number holds who and how many, so that a place is taken
 * and left by one step of any thread. */
enum { CROWD_WAYS = 8, CROWD_SETS = 8192, CROWD_CLIENTS = CROWD_WAYS * CROWD_SETS };
#define CROWD_UNCOUNTED UINT32_MAX

struct crowd {
    _Atomic uint64_t ways[CROWD_CLIENTS];
};

/* How many it has with this one; *ret_way is for crowd_leave(). 0, CROWD_UNCOUNTED: too many other
 * clients have met in its place of the table. */
unsigned crowd_enter(struct crowd *c, uint64_t key, uint32_t *ret_way);
void crowd_leave(struct crowd *c, uint32_t way);

#endif
