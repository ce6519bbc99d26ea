#ifndef LBCTL_CTL_PROCESS_BOX_H
#define LBCTL_CTL_PROCESS_BOX_H

#include <jansson.h>
#include <sys/types.h>

#include "ctl/runtime.h"

/* The directory of one instance of the process runtime, BASE/ID: what it is made of (meta.json),
 * which process it is (pid: "PID STARTED BOOT"), how it ended (exit), its output (out.log,
 * out.log.1,
 * ...) and a lock that the process and its children hold for as long as one of them lives. The
 * directories are the only memory: whoever reads them knows what runs. An instance is started once.
 */
enum {
    BOX_ID_MAX = 40,
    BOX_PATH_MAX = 512,
    BOX_META_MAX = 4 << 20,
    BOX_EXIT_UNKNOWN = 255, /* it was not ours to reap */
};

struct box {
    char id[BOX_ID_MAX + 1];
    char dir[BOX_PATH_MAX];
    json_t *meta;
    enum rt_state state;
    pid_t pid;        /* 0: not started, or only just */
    uint64_t started; /* clock ticks since boot: with pid it names a process */
    int exit_code;
};

/* Makes the directory as a whole or not at all. The id is the instance's token. */
bool box_create(const char *base, const struct rt_spec *spec, struct err *e) MUST_CHECK;
/* False: there is no such instance, or its directory cannot be read. */
bool box_read(const char *base, const char *id, struct box *ret, struct err *e) MUST_CHECK;
void box_fini(struct box *b);
bool box_remove(const struct box *b, struct err *e) MUST_CHECK;
void box_write_exit(const struct box *b, int code);
/* Moves out.log away when it has grown too large. The process goes on writing: the file is copied
 * and emptied. */
void box_rotate(const struct box *b);
/* The ids below base, ended by NULL; the caller's (box_free_ids). */
char **box_ids(const char *base);
void box_free_ids(char **ids);

const char *box_str(const struct box *b, const char *key); /* "" when missing */
uint64_t box_uint(const struct box *b, const char *key);

/* Does that very process live? *ret_stopped: it is stopped by a signal. */
bool box_alive(pid_t pid, uint64_t started, bool *ret_stopped);
uint64_t box_started(pid_t pid); /* 0: no such process */

#endif
