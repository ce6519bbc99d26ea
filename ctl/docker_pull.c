#include "ctl/docker_pull.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/str.h"
#include "ctl/docker_json.h"
#include "ctl/docker_progress.h"

enum {
    CHUNK_MAX = 1 << 20,
    LOOK_MS = 5000,
    PULL_MAGIC = MAGIC('p', 'u', 'l', 'l'),
};

struct docker_pulls {
    struct loop *loop;
    struct docker_engine *engine;
    uint64_t silence_ms;
    struct list all;
};

struct pull {
    uint32_t magic;
    bool looks; /* is the image there? No more than that */
    struct list node;
    struct docker_pulls *of;
    struct docker_wait wait;
    struct loop_later later;
    struct err early; /* refused before anything was sent */
    struct http_call *call;
    struct timer silence;
    char *image, *target;
    struct docker_progress progress;
    rt_said_fn *said;
    rt_done_fn *done;
    void *arg;
};

static void pull_free(struct pull *p)
{
    list_unlink(&p->node);
    list_unlink(&p->wait.node);
    list_unlink(&p->later.node);
    timer_fini(&p->silence);
    http_cancel(p->call);
    docker_progress_fini(&p->progress);
    mem_free(p->image);
    mem_free(p->target);
    p->magic = 0;
    mem_free(p);
}

/* e: NULL when it went well. The pull is off its list first: whoever is told may close it. */
static void pull_finish(struct pull *p, enum rt_result r, const struct err *e)
{
    rt_done_fn *done = p->done;
    void *arg = p->arg;
    struct err copy;

    if (e != NULL)
        err_set(&copy, "%s %.100s: %s", p->looks ? "look for image" : "pull", p->image, e->msg);
    pull_free(p);
    done(arg, r, e != NULL ? &copy : NULL);
}

static void pull_fail(struct pull *p, enum rt_result r, const char *why)
{
    struct err e;

    err_set(&e, "%s", why);
    pull_finish(p, r, &e);
}

static void on_early(struct loop_later *self) /* loop_later */
{
    struct pull *p = CONTAINER_OF(self, struct pull, later);

    pull_fail(p, RT_REFUSED, p->early.msg);
}

static void on_silence(void *arg) /* timer */
{
    struct pull *p = CAST(arg, pull, PULL_MAGIC);
    struct err e;
    char b[40];

    err_set(&e, "the engine has said nothing for %s (pull_timeout)%s%s",
            str_duration(p->of->silence_ms, b, sizeof(b)),
            p->progress.line[0] != '\0' ? "; the last word was: " : "", p->progress.line);
    pull_finish(p, RT_UNKNOWN, &e);
}

static void on_pull_head(void *arg) /* http_head_fn */
{
    struct pull *p = CAST(arg, pull, PULL_MAGIC);

    timer_in(&p->silence, p->of->silence_ms);
}

static void on_pull_data(void *arg, const char *data, size_t n) /* http_data_fn */
{
    struct pull *p = CAST(arg, pull, PULL_MAGIC);
    struct err e;

    timer_in(&p->silence, p->of->silence_ms);
    if (!docker_progress_feed(&p->progress, data, n, &e))
        pull_finish(p, RT_UNKNOWN, &e);
    else if (p->progress.error[0] != '\0')
        pull_fail(p, RT_REFUSED, p->progress.error);
    else
        p->said(p->arg, p->progress.line);
}

static void on_pull_done(void *arg, const struct http_answer *a) /* http_done_fn */
{
    struct pull *p = CAST(arg, pull, PULL_MAGIC);
    char says[DOCKER_PROGRESS_ERROR_MAX];
    struct err e;

    p->call = NULL;
    docker_engine_saw(p->of->engine, a);
    if (a->end != HTTP_ANSWERED)
        pull_finish(p, RT_UNKNOWN, a->e);
    else if (a->status != 200)
        pull_fail(p, RT_REFUSED, docker_message(a->body, a->body_n, says, sizeof(says)));
    else if (!docker_progress_end(&p->progress, &e))
        pull_finish(p, RT_UNKNOWN, &e);
    else
        pull_finish(p, RT_OK, NULL);
}

static void on_look_done(void *arg, const struct http_answer *a) /* http_done_fn */
{
    struct pull *p = CAST(arg, pull, PULL_MAGIC);
    char says[DOCKER_PROGRESS_ERROR_MAX];
    enum rt_result r = docker_judge(DOCKER_IMAGE_GET, a->status, "");

    p->call = NULL;
    docker_engine_saw(p->of->engine, a);
    if (a->end != HTTP_ANSWERED)
        pull_finish(p, RT_UNKNOWN, a->e);
    else if (r == RT_OK)
        pull_finish(p, RT_OK, NULL);
    else
        pull_fail(p, r, docker_message(a->body, a->body_n, says, sizeof(says)));
}

static void look(struct pull *p)
{
    p->call = docker_engine_call(p->of->engine, (struct http_ask){
                                                    .method = "GET",
                                                    .target = p->target,
                                                    .timeout_ms = LOOK_MS,
                                                    .answer_max = CHUNK_MAX,
                                                    .done = on_look_done,
                                                    .arg = p,
                                                });
}

static void on_engine_ready(struct docker_wait *self, const struct err *e)
{
    struct pull *p = CONTAINER_OF(self, struct pull, wait);

    if (e != NULL) {
        pull_finish(p, RT_UNKNOWN, e);
        return;
    }
    if (p->looks) {
        look(p);
        return;
    }
    p->call = docker_engine_call(p->of->engine, (struct http_ask){
                                                    .method = "POST",
                                                    .target = p->target,
                                                    .timeout_ms = p->of->silence_ms,
                                                    .answer_max = CHUNK_MAX,
                                                    .mode = HTTP_BODY_STREAM,
                                                    .on_head = on_pull_head,
                                                    .on_data = on_pull_data,
                                                    .done = on_pull_done,
                                                    .arg = p,
                                                });
}

static struct pull *pull_new(struct docker_pulls *ps, const char *image, rt_done_fn *done,
                             void *arg)
{
    struct pull *p = mem_zalloc(sizeof(*p));

    *p = (struct pull){.magic = PULL_MAGIC, .of = ps, .done = done, .arg = arg};
    list_init(&p->later.node);
    list_init(&p->wait.node);
    list_push_back(&ps->all, &p->node);
    timer_init(&p->silence, ps->loop, on_silence, p);
    docker_progress_init(&p->progress);
    p->image = mem_strdup(image);
    return p;
}

/* target: taken, unless it is good for nothing. */
static void pull_begin(struct pull *p, bool good, struct buf *target)
{
    if (good) {
        p->target = buf_take(target);
        p->wait.fn = on_engine_ready;
        docker_engine_ready(p->of->engine, &p->wait);
    } else {
        buf_fini(target);
        loop_later(p->of->loop, &p->later, on_early);
    }
}

void docker_pull(struct docker_pulls *ps, const char *image, rt_said_fn *said, rt_done_fn *done,
                 void *arg)
{
    struct pull *p = pull_new(ps, image, done, arg);
    struct buf target;

    p->said = said;
    buf_init(&target, HTTP_TARGET_MAX);
    pull_begin(p, docker_pull_target(image, &target, &p->early), &target);
}

void docker_pull_look(struct docker_pulls *ps, const char *image, rt_done_fn *done, void *arg)
{
    struct pull *p = pull_new(ps, image, done, arg);
    struct buf target;

    p->looks = true;
    buf_init(&target, HTTP_TARGET_MAX);
    pull_begin(p, docker_look_target(image, &target, &p->early), &target);
}

struct docker_pulls *docker_pulls_new(struct loop *l, struct docker_engine *en, uint64_t silence_ms)
{
    struct docker_pulls *ps = mem_zalloc(sizeof(*ps));

    *ps = (struct docker_pulls){.loop = l, .engine = en, .silence_ms = silence_ms};
    list_init(&ps->all);
    return ps;
}

void docker_pulls_free(struct docker_pulls *ps)
{
    if (ps == NULL)
        return;
    LIST_EACH(n, &ps->all)
    pull_free(LIST_ENTRY_OF(n, struct pull, node));
    mem_free(ps);
}
