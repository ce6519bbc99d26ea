#ifndef ACTS_RESERVE_H
#define ACTS_RESERVE_H

#include <stdbool.h>
#include <stddef.h>

/* Memory for bad times. libevent 2.1 does not look at the outcome of every small allocation (a line
 * of a head that could not be added is left out; a timer is not set), so what it asks for in vain
 * is given from a fixed reserve, in blocks of three sizes. The reserve is there so that what runs
 * can be finished and a refusal be written; with its half gone no new work may be begun. Our own
 * objects are not served from it: they fail, and their request is answered with 500.
 *
 * One thread: that of the loop. */

/* Before the first use of libevent. */
void reserve_init(void);
/* Refuse new work, let go of what is idle. */
bool reserve_is_low(void);
size_t reserve_used(void); /* blocks */

#endif
