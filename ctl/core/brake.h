#ifndef LBCTL_CTL_CORE_BRAKE_H
#define LBCTL_CTL_CORE_BRAKE_H

#include <stdbool.h>
#include <stdint.h>

/* The brake on mass failure. Pure.
 *   - Before a sick instance is replaced, the services that it depends on are asked: while one of
 *     them fails its own probes, a replacement would meet the same, and nothing is replaced.
 *   - When more than half of the instances are bad, what ails them is hardly in each of them. With
 *     such a dependency as the culprit the brake is on until that is back, and for BRAKE_SETTLE_MS
 *     more, in which they may recover by themselves.
 *   - Without a culprit one is replaced, and the next one as soon as that is ready: it helps. When
 * a replacement fails, too, the next one is tried only after a pause that grows up to
 *     BRAKE_PAUSE_MAX_MS: the brake never holds for ever, and never replaces them all in vain.
 * It is released when no more than half are bad. */
enum {
    BRAKE_ASK_MS = 2000, /* wait for the dependencies' latest probes before the first replacement */
    BRAKE_SETTLE_MS = 3000,
    BRAKE_PAUSE_MS = 10000,
    BRAKE_PAUSE_MAX_MS = 60000,
    BRAKE_NAME_MAX = 65,
};

enum brake_state {
    BRAKE_OFF,
    BRAKE_DEPENDENCY,
    BRAKE_MASS, /* replacements fail, too, and nobody is to blame */
};

struct brake {
    enum brake_state state;
    uint64_t since_ms; /* in this state */
    uint64_t bad_ms;   /* since when any is bad; 0: none is */
    uint64_t mass_ms;  /* since when more than half are; 0: they are not */
    uint64_t back_ms;  /* since when the culprit is back; 0: it is not */
    uint64_t next_ms;  /* the next replacement may be tried */
    unsigned failed;   /* replacements, since mass_ms */
    char culprit[BRAKE_NAME_MAX];
};

struct brake_in {
    unsigned wish, bad;  /* bad: not ready because its probes fail, or being replaced for that */
    const char *culprit; /* a dependency that fails its probes; NULL: none does */
    bool deps_unknown;   /* some dependency has not been probed since bad_ms */
    uint64_t now_ms;     /* not 0 */
};

/* What is so now. True when the state changed. */
bool brake_update(struct brake *b, const struct brake_in *in);
/* An instance that was started as a replacement since mass_ms is bad itself. */
void brake_failed(struct brake *b, uint64_t now_ms);
/* How many may be being replaced at once, of `normal`. */
unsigned brake_limit(const struct brake *b, const struct brake_in *in, unsigned normal);
uint64_t brake_wake_ms(const struct brake *b); /* look again then; 0: never */

#endif
