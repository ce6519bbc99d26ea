#ifndef LBCTL_CTL_DOCKER_PROGRESS_H
#define LBCTL_CTL_DOCKER_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "ctl/json_stream.h"

/* What the engine tells of a pull: the target to ask it with, and its answer, a stream of objects
 * that may end in an error although the status was 200. Pure. */
enum {
    DOCKER_PROGRESS_OBJECT_MAX = 64 * 1024, /* bytes of one object */
    DOCKER_PROGRESS_LINE_MAX = 128,
    DOCKER_PROGRESS_ERROR_MAX = 384,
};

/* POST target for image, NAME[:TAG][@DIGEST]: the digest goes before the tag, latest when there is
 * neither. An image's id, or what cannot be a reference, is an error that says so. */
bool docker_pull_target(const char *image, struct buf *ret, struct err *e) MUST_CHECK;

/* GET target that tells of the image, whether it is there. */
bool docker_look_target(const char *image, struct buf *ret, struct err *e) MUST_CHECK;

struct docker_progress {
    struct json_stream in;
    char line[DOCKER_PROGRESS_LINE_MAX];   /* the last one, printable; "" before the first */
    char error[DOCKER_PROGRESS_ERROR_MAX]; /* the engine's own; "": none so far */
};

void docker_progress_init(struct docker_progress *p);
void docker_progress_fini(struct docker_progress *p);
/* false: this is no such stream. */
bool docker_progress_feed(struct docker_progress *p, const char *data, size_t n,
                          struct err *e) MUST_CHECK;
/* The stream has ended, well as far as the transport goes: did the pull? */
bool docker_progress_end(const struct docker_progress *p, struct err *e) MUST_CHECK;

#endif
