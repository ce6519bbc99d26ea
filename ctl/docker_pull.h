#ifndef LBCTL_CTL_DOCKER_PULL_H
#define LBCTL_CTL_DOCKER_PULL_H

#include "ctl/docker_engine.h"
#include "ctl/runtime.h"

/* Pulls of images by one engine. A pull takes as long as it takes; what is bounded is the silence
 * in between. */
struct docker_pulls;

struct docker_pulls *docker_pulls_new(struct loop *l, struct docker_engine *en,
                                      uint64_t silence_ms);
void docker_pulls_free(struct docker_pulls *ps); /* before the engine; also from a callback */
/* As the operations of struct runtime_ops. */
void docker_pull_look(struct docker_pulls *ps, const char *image, rt_done_fn *done, void *arg);
void docker_pull(struct docker_pulls *ps, const char *image, rt_said_fn *said, rt_done_fn *done,
                 void *arg);

#endif
