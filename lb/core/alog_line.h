#ifndef LBCTL_LB_CORE_ALOG_LINE_H
#define LBCTL_LB_CORE_ALOG_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/str.h"
#include "lb/core/xchg_state.h"

/* A line of the access log (docs/access-log.md). Pure. */
enum {
    ALOG_LINE_MAX = 4096, /* PIPE_BUF: a pipe takes a line whole */
    ALOG_TARGET_MAX = 1024,
};

/* What took how long, in microseconds; ALOG_NEVER: it did not come to that. */
#define ALOG_NEVER UINT64_MAX
struct alog_times {
    uint64_t head;    /* from the first byte of the request to the last of its head */
    uint64_t pick;    /* until a backend was chosen, lost attempts included */
    uint64_t connect; /* until the backend took the first byte */
    uint64_t first;   /* until the head of its answer had come */
    uint64_t total;   /* from the first byte of the request to the end */
};

struct alog_entry {
    const char *stamp;        /* RFC 3339 */
    struct sv client;         /* address */
    struct sv method, target; /* n == 0: the head was not understood; target may be cut */
    bool target_cut;
    unsigned minor;  /* HTTP/1.minor */
    unsigned status; /* 0: no answer was begun */
    uint64_t bytes_in, bytes_out;
    struct sv service; /* n == 0: none of the table */
    bool has_backend;
    unsigned slot;
    struct sv instance;
    struct sv id;        /* of the request; n == 0: it has none */
    uint64_t generation; /* of the table; 0: none */
    unsigned retries;
    struct alog_times times;
    enum xchg_cause cause;
    enum xchg_state phase; /* in which it was decided */
};

/* Write the line with its line feed; returns its length, at most ALOG_LINE_MAX. */
size_t alog_line_text(const struct alog_entry *en, char buf[ALOG_LINE_MAX]);
size_t alog_line_json(const struct alog_entry *en, char buf[ALOG_LINE_MAX]);

#endif
