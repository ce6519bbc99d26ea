#include "ctl/pulling.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "ctl/core/pull.h"
#include "ctl/ctl.h"
#include "ctl/ledger.h"

enum {
    TELL_MS = 1000,
    LOOK_AGAIN_MS = 1000,
}; /* the slots' reasons follow the engine's words no faster */

static const uint32_t IMAGE_MAGIC = MAGIC('i', 'm', 'a', 'g');

/* Kept from the first want of the image until a container was made of it. */
struct image {
    uint32_t magic;
    struct list node;
    struct pulling *of;
    char *name;
    struct service *for_; /* the first that wanted it, for the ledger */
    struct pull p;
    uint64_t told_ms;
    bool looking;
    uint64_t look_ms; /* the next look, not before then */
};

struct pulling {
    struct ctl *c;
    struct list images;
    char text[SLOT_REASON_MAX];
};

struct pulling *pulling_new(struct ctl *c)
{
    struct pulling *pg = mem_zalloc(sizeof(*pg));

    pg->c = c;
    list_init(&pg->images);
    return pg;
}

static void image_free(struct image *i)
{
    list_unlink(&i->node);
    mem_free(i->name);
    i->magic = 0;
    mem_free(i);
}

void pulling_free(struct pulling *pg)
{
    if (pg == NULL)
        return;
    LIST_EACH(n, &pg->images)
    {
        image_free(LIST_ENTRY_OF(n, struct image, node));
    }
    mem_free(pg);
}

static struct image *find(const struct pulling *pg, const struct service *s)
{
    LIST_EACH(n, &pg->images)
    {
        struct image *i = LIST_ENTRY_OF(n, struct image, node);

        if (s->c->image != NULL && strcmp(i->name, s->c->image) == 0)
            return i;
    }
    return NULL;
}

bool pulling_is_on(const struct service *s)
{
    return s->ctl->ops->pull != NULL && s->c->pull_policy == CONF_PULL_MISSING &&
           s->c->image != NULL;
}

/* error: of a failure, else "". */
static void note(struct image *i, enum reason why, const char *error)
{
    struct ctl *c = i->of->c;
    char q[2 * PULL_SAID_MAX];

    log_event(why == REASON_PULL_FAILED ? LOG_LV_WARN : LOG_LV_INFO, "image",
              "image=%s code=%s reason=\"%s\"", i->name, reason_code(why),
              str_quote(sv_of(error), q, sizeof q));
    ledger_note(
        c->ledger,
        &(struct ledger_entry){LEDGER_IMAGE, why, i->for_->c->name, -1,
                               json_pack("{s:s, s:i}", "image", i->name, "fails", (int)i->p.fails)},
        "%s%s%s", error,
        why == REASON_PULLING  ? "the engine pulls image "
        : why == REASON_PULLED ? "the engine has pulled image "
                               : "",
        error[0] == '\0' ? i->name : "");
}

static void on_said(void *arg, const char *line) /* rt_said_fn */
{
    struct image *i = CAST(arg, image, IMAGE_MAGIC);
    uint64_t now = loop_now_ms(i->of->c->loop);

    pull_said(&i->p, line);
    if (now - i->told_ms < TELL_MS)
        return;
    i->told_ms = now;
    ctl_kick(i->of->c);
}

static void on_pulled(void *arg, enum rt_result r, const struct err *e) /* rt_done_fn */
{
    struct image *i = CAST(arg, image, IMAGE_MAGIC);
    const char *why = e != NULL && e->msg[0] != '\0' ? e->msg : rt_result_name(r);

    pull_ended(&i->p, r == RT_OK ? NULL : why, loop_now_ms(i->of->c->loop));
    if (r == RT_OK)
        note(i, REASON_PULLED, "");
    else
        note(i, REASON_PULL_FAILED, why);
    ctl_kick(i->of->c);
}

static struct image *need(struct pulling *pg, struct service *s)
{
    struct image *i = find(pg, s);

    if (i != NULL)
        return i;
    i = mem_zalloc(sizeof(*i));
    *i = (struct image){.magic = IMAGE_MAGIC, .of = pg, .for_ = s};
    i->name = mem_strdup(s->c->image);
    list_push_back(&pg->images, &i->node);
    return i;
}

static void want(struct image *i)
{
    struct ctl *c = i->of->c;
    uint64_t now = loop_now_ms(c->loop);

    if (!pull_want(&i->p, now))
        return;
    i->told_ms = now;
    note(i, REASON_PULLING, "");
    c->ops->pull(c->rt, i->name, on_said, on_pulled, i);
}

void pulling_want(struct pulling *pg, struct service *s)
{
    s->image_there = false;
    want(need(pg, s));
}

void pulling_there(struct pulling *pg, struct service *s)
{
    struct image *i = find(pg, s);

    s->image_there = true;
    if (i != NULL && i->p.state != PULL_RUNS && !i->looking) /* their ends are still to be told */
        image_free(i);
}

/* ---- before a roll ---- */

static void all_there(struct image *i)
{
    struct ctl *c = i->of->c;

    for (size_t k = 0; k < c->services_n; k++)
        if (find(i->of, &c->services[k]) == i)
            c->services[k].image_there = true;
}

static void on_looked(void *arg, enum rt_result r, const struct err *e) /* rt_done_fn */
{
    struct image *i = CAST(arg, image, IMAGE_MAGIC);
    struct ctl *c = i->of->c;

    i->looking = false;
    if (r == RT_UNKNOWN) {
        i->look_ms = loop_now_ms(c->loop) + LOOK_AGAIN_MS;
    } else if (r == RT_NO_IMAGE) {
        want(i);
    } else { /* an engine that refuses to tell will say it when a container is made */
        if (r != RT_OK)
            log_warn("image", "image=%s reason=\"%s\"", i->name, e != NULL ? e->msg : "?");
        all_there(i);
        if (i->p.state != PULL_RUNS)
            image_free(i);
    }
    ctl_kick(c);
}

bool pulling_may_roll(struct pulling *pg, struct service *s)
{
    uint64_t now = loop_now_ms(pg->c->loop);
    enum reason why;
    struct image *i;

    if (s->image_there || !pulling_is_on(s))
        return true;
    i = need(pg, s);
    if (i->p.state == PULL_DONE)
        return true;
    if (i->looking || now < i->look_ms || pull_blocks(&i->p, now, &why))
        return false;
    i->looking = true;
    pg->c->ops->look_image(pg->c->rt, i->name, on_looked, i);
    return false;
}

uint64_t pulling_wake_ms(const struct pulling *pg)
{
    uint64_t now = loop_now_ms(pg->c->loop), wake = 0;

    LIST_EACH(n, &pg->images)
    {
        const struct image *i = LIST_ENTRY_OF(n, struct image, node);
        uint64_t at = i->p.state == PULL_FAILED ? i->p.retry_ms : i->look_ms;

        if (at > now && (wake == 0 || at < wake))
            wake = at;
    }
    return wake;
}

/* ---- slots ---- */

void pulling_fill(struct pulling *pg, const struct place *p, struct slot_env *env)
{
    const struct image *i;
    uint64_t now = loop_now_ms(pg->c->loop);

    if (!env->may_start || list_empty(&pg->images) || !pulling_is_on(p->service) ||
        p->s.cur.phase == INST_CREATED || p->s.next.phase == INST_CREATED)
        return;
    i = find(pg, p->service);
    if (i == NULL || !pull_blocks(&i->p, now, &env->why))
        return;
    pull_text(&i->p, i->name, clock_wall_ms() - (now - i->p.since_ms), pg->text, sizeof pg->text);
    env->may_start = false;
    env->why_not = pg->text;
    env->retry_ms = i->p.state == PULL_FAILED ? i->p.retry_ms : 0;
}

const char *pulling_failing(const struct pulling *pg, const struct service *s, unsigned fails)
{
    const struct image *i = find(pg, s);

    return i != NULL && i->p.fails >= fails ? i->p.error : NULL;
}
