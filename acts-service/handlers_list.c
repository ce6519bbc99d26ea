#include "acts-service/acts.h"
#include "acts-service/check.h"
#include "acts-service/jout.h"
#include "acts-service/range.h"
#include "common/base/log.h"
#include "common/base/mem.h"

/* GET /categories/NAME/acts. One question brings the whole answer, unless its texts are more than
 * TEXTS_MAX: then the acts are fetched and sent one by one, each when the one before has left, so
 * that a hundred photographs of many megabytes need the memory of one. An act deleted meanwhile is
 * left out. */
enum { LIST_MAGIC = MAGIC('l', 'i', 's', 't'), TEXTS_MAX = 8 << 20 };

/* Columns of ACTS_LIST; ACT_TEXTS has the last three. */
enum { COL_N, COL_ID, COL_TS, COL_UPVOTES, COL_USERNAME, COL_CAPTION, COL_IMAGE };

struct listed {
    char *id; /* one block with upvotes */
    const char *upvotes;
    int64_t ts;
};

struct list_job {
    uint32_t magic;
    struct ask *ask;
    struct range range;
    struct listed *acts; /* of a list that is sent act by act */
    size_t n, at, sent;
    bool asking, waiting; /* for the database; for the client */
};

static void list_free(void *job)
{
    struct list_job *l = CAST(job, list_job, LIST_MAGIC);

    for (size_t i = 0; l->acts != NULL && i < l->n; i++)
        mem_free(l->acts[i].id);
    mem_free(l->acts);
    l->magic = 0;
    mem_free(l);
}

static void put_act(struct jout *o, struct sv category, struct sv id, int64_t ts, struct sv upvotes,
                    const struct db_reply *texts, size_t row, unsigned col)
{
    char time[CHECK_TS_LEN + 1];

    check_ts_text(ts, time);
    jout_raw(o, "{\"actId\": ");
    jout_bytes(o, id);
    jout_raw(o, ", \"username\": ");
    jout_string(o, db_str(texts, row, col));
    jout_raw(o, ", \"timestamp\": \"");
    jout_raw(o, time);
    jout_raw(o, "\", \"caption\": ");
    jout_string(o, db_str(texts, row, col + 1));
    jout_raw(o, ", \"upvotes\": ");
    jout_bytes(o, upvotes);
    jout_raw(o, ", \"categoryName\": ");
    jout_string(o, category);
    jout_raw(o, ", \"imgB64\": \"");
    jout_bytes(o, db_str(texts, row, col + 2)); /* base64 needs no escapes */
    jout_raw(o, "\"}");
}

/* --- act by act --- */

static void list_step(struct list_job *l);

static void on_list_drained(void *arg) /* http_stream */
{
    struct list_job *l = CAST(arg, list_job, LIST_MAGIC);

    l->waiting = false;
    list_step(l);
}

static void on_list_texts(struct ask *a, const struct db_reply *r)
{
    struct list_job *l = CAST(a->job, list_job, LIST_MAGIC);
    const struct listed *it = &l->acts[l->at++];

    l->asking = false;
    if (r->status != DB_OK) {
        log_warn("list cut off", "reason=\"database failed\" sent=%zu of=%zu", l->sent, l->n);
        ask_stream_end(a, false);
        return;
    }
    if (db_rows(r) == 1) {
        jout_raw(&a->out, l->sent++ == 0 ? "[" : ", ");
        put_act(&a->out, a->param, sv_of(it->id), it->ts, sv_of(it->upvotes), r, 0, 0);
        if (a->out.failed) {
            log_warn("list cut off", "reason=\"out of memory\" sent=%zu of=%zu", l->sent, l->n);
            ask_stream_end(a, false);
            return;
        }
        l->waiting = true;
        http_stream_piece(a->req, a->out.b);
    }
    list_step(l);
}

static void list_step(struct list_job *l)
{
    struct ask *a = l->ask;
    struct db_param p;

    if (l->asking)
        return;
    if (http_stream_gone(a->req)) {
        ask_stream_end(a, false);
        return;
    }
    if (l->waiting)
        return;
    if (l->at == l->n) {
        jout_raw(&a->out, l->sent == 0 ? "[]" : "]");
        http_stream_piece(a->req, a->out.b);
        ask_stream_end(a, !a->out.failed);
        return;
    }
    l->asking = true;
    p = db_text(sv_of(l->acts[l->at].id));
    ask_query(a, STMT_ACT_TEXTS, &p, 1, on_list_texts);
}

static void begin_stream(struct ask *a)
{
    struct list_job *l = CAST(a->job, list_job, LIST_MAGIC);

    ask_stream(a, on_list_drained, l);
    if (http_method(a->req) == METHOD_HEAD)
        ask_stream_end(a, true);
    else
        list_step(l);
}

static bool keep_act(struct listed *it, struct sv id, struct sv upvotes, int64_t ts)
{
    it->id = mem_try_alloc(id.n + upvotes.n + 2); /* zeroed: both end with NUL */
    if (it->id == NULL)
        return false;
    memcpy(it->id, id.p, id.n);
    memcpy(it->id + id.n + 1, upvotes.p, upvotes.n);
    it->upvotes = it->id + id.n + 1;
    it->ts = ts;
    return true;
}

static void send_one_by_one(struct list_job *l, const struct db_reply *r)
{
    bool kept;

    l->n = db_rows(r);
    l->acts = mem_try_alloc(l->n * sizeof(*l->acts)); /* not more than RANGE_MAX */
    kept = l->acts != NULL;
    for (size_t i = 0; kept && i < l->n; i++)
        kept = keep_act(&l->acts[i], db_str(r, i, COL_ID), db_str(r, i, COL_UPVOTES),
                        db_int(r, i, COL_TS));
    if (kept)
        ask_when_counted(l->ask, begin_stream);
    else
        ask_no_memory(l->ask);
}

/* --- all at once --- */

static void send_whole(struct ask *a, const struct db_reply *r)
{
    for (size_t i = 0; i < db_rows(r); i++) {
        jout_raw(&a->out, i == 0 ? "[" : ", ");
        put_act(&a->out, a->param, db_str(r, i, COL_ID), db_int(r, i, COL_TS),
                db_str(r, i, COL_UPVOTES), r, i, COL_USERNAME);
    }
    jout_raw(&a->out, "]");
    ask_reply(a, 200);
}

static void refuse(struct ask *a, const struct range *r, int status)
{
    if (status == 204)
        ask_reply(a, 204);
    else if (status == 413)
        ask_refuse(a, 413, "more than %d acts: ask for ranges with start and end", RANGE_MAX);
    else if (r->bad)
        ask_refuse(a, 400, "start and end must both be given, as decimal numbers");
    else
        ask_refuse(a, 400, "start and end must lie within 1 and the number of acts");
}

static void on_listed(struct ask *a, const struct db_reply *r)
{
    struct list_job *l = CAST(a->job, list_job, LIST_MAGIC);
    int status;

    if (r->status != DB_OK) {
        ask_database_failed(a, r);
        return;
    }
    status = range_status(&l->range, db_rows(r) > 0, db_rows(r) > 0 ? db_int(r, 0, COL_N) : 0);
    if (status != 200)
        refuse(a, &l->range, status);
    else if (db_is_null(r, 0, COL_USERNAME))
        send_one_by_one(l, r);
    else
        send_whole(a, r);
}

void acts_list(struct ask *a)
{
    struct list_job *l = mem_try_alloc(sizeof(*l));
    struct range_ask q;

    if (l == NULL) {
        ask_no_memory(a);
        return;
    }
    *l = (struct list_job){.magic = LIST_MAGIC, .ask = a, .range = range_parse(http_query(a->req))};
    ask_own(a, l, list_free);
    q = range_ask(&l->range);
    if (answer_is_storable(a->param)) {
        struct db_param p[] = {db_text(a->param), db_num(q.probe), db_num(q.offset),
                               db_num(q.limit),   db_num(q.min_n), db_num(q.max_n),
                               db_num(TEXTS_MAX)};

        ask_query(a, STMT_ACTS_LIST, p, ARRAY_LEN(p), on_listed);
    } else {
        ask_reply(a, 204); /* there is no such category */
    }
}
