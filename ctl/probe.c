#include "ctl/probe.h"

#include <string.h>

#include "common/base/list.h"
#include "common/base/mem.h"
#include "ctl/http.h"

enum {
    PROBE_BODY_MAX = 64 * 1024, /* what is longer is cut off: the status has been said */
    POOL_MAGIC = MAGIC('p', 'p', 'o', 'l'),
    PROBE_MAGIC = MAGIC('p', 'r', 'o', 'b'),
};

struct probe_pool {
    uint32_t magic;
    struct http *http;
    probe_done_fn *done;
    void *arg;
    struct list running;
};

struct probe {
    uint32_t magic;
    struct list node;
    struct probe_pool *pool;
    uint64_t tag;
    struct conf_health h; /* what judging needs of it */
};

const char *probe_result_name(enum probe_result r)
{
    static const char *const names[] = {
        [PROBE_OK] = "ok",
        [PROBE_BAD_STATUS] = "bad-status",
        [PROBE_REFUSED] = "refused",
        [PROBE_RESET] = "reset",
        [PROBE_TIMEOUT] = "timeout",
        [PROBE_BAD_ANSWER] = "bad-answer",
        [PROBE_LOCAL] = "local",
        [PROBE_FOREIGN] = "foreign",
        [PROBE_BAD_BODY] = "bad-body",
    };

    return (unsigned)r < ARRAY_LEN(names) ? names[r] : "?";
}

static enum probe_result judge_answer(const struct conf_health *h, const struct http_answer *a)
{
    if (h->kind == CONF_HEALTH_TCP)
        return PROBE_OK;
    if (!conf_status_ok(&h->status, a->status))
        return PROBE_BAD_STATUS;
    if (h->body != NULL && memmem(a->body, a->body_n, h->body, strlen(h->body)) == NULL)
        return PROBE_BAD_BODY;
    return PROBE_OK;
}

enum probe_result probe_judge(const struct conf_health *h, const struct http_answer *a)
{
    switch (a->end) {
    case HTTP_ANSWERED:
        return judge_answer(h, a);
    case HTTP_REFUSED:
        return PROBE_REFUSED;
    case HTTP_RESET:
        return PROBE_RESET;
    case HTTP_TIMEOUT:
        return PROBE_TIMEOUT;
    case HTTP_BAD_ANSWER:
    case HTTP_TOO_BIG:
        return PROBE_BAD_ANSWER;
    case HTTP_LOCAL:
        return PROBE_LOCAL;
    }
    return PROBE_LOCAL;
}

static void probe_free(struct probe *p)
{
    list_unlink(&p->node);
    mem_free(p->h.body);
    p->magic = 0;
    mem_free(p);
}

static void on_http_done(void *arg, const struct http_answer *a) /* http_done_fn */
{
    struct probe *p = CAST(arg, probe, PROBE_MAGIC);
    struct probe_pool *pool = p->pool;
    enum probe_result r = probe_judge(&p->h, a);
    uint64_t tag = p->tag;

    probe_free(p);
    pool->done(pool->arg, tag, r, a->status, a->took_us);
}

bool probe_pool_new(struct loop *l, probe_done_fn *done, void *arg, struct probe_pool **ret,
                    struct err *e)
{
    struct probe_pool *pool = mem_zalloc(sizeof(*pool));

    *pool = (struct probe_pool){.magic = POOL_MAGIC, .done = done, .arg = arg};
    list_init(&pool->running);
    if (!http_new(l, &pool->http, e)) {
        mem_free(pool);
        return false;
    }
    *ret = pool;
    return true;
}

void probe_pool_free(struct probe_pool *pool)
{
    if (pool == NULL)
        return;
    http_free(pool->http);
    LIST_EACH(n, &pool->running)
    probe_free(LIST_ENTRY_OF(n, struct probe, node));
    pool->magic = 0;
    mem_free(pool);
}

void probe_start(struct probe_pool *pool, uint64_t tag, const struct conf_health *h,
                 const char *address, uint16_t port)
{
    struct probe *p = mem_zalloc(sizeof(*p));

    *p = (struct probe){.magic = PROBE_MAGIC, .pool = pool, .tag = tag};
    p->h = (struct conf_health){.kind = h->kind, .status = h->status, .body = mem_strdup(h->body)};
    list_push_back(&pool->running, &p->node);
    http_start(pool->http, &(struct http_ask){
                               .method = h->kind == CONF_HEALTH_TCP ? NULL : "GET",
                               .host = address,
                               .port = port,
                               .host_field = h->kind == CONF_HEALTH_TCP ? NULL : h->host,
                               .target = h->path,
                               .proxy_header = h->proxy_header,
                               .timeout_ms = h->timeout_ms,
                               .answer_max = PROBE_BODY_MAX,
                               .mode = h->body != NULL ? HTTP_BODY_KEEP : HTTP_BODY_DROP,
                               .done = on_http_done,
                               .arg = p,
                           });
}
