#include "acts-service/acts.h"
#include "acts-service/body.h"
#include "acts-service/check.h"
#include "acts-service/jout.h"
#include "acts-service/users.h"
#include "common/base/mem.h"

static const char no_act[] = "there is no such act", no_category[] = "there is no such category";

/* POST /acts: the body, then the user, then one atomic insert */
struct upload {
    struct act_in act; /* views into the request's body */
};

static void on_act_added(struct ask *a, const struct db_reply *r)
{
    if (r->status == DB_REFUSED &&
        strcmp(r->sqlstate, "23503") == 0) { /* deleted at this very moment */
        ask_refuse(a, 400, "%s", no_category);
    } else if (r->status != DB_OK) {
        ask_database_failed(a, r);
    } else if (db_int(r, 0, 0) == 0) {
        ask_refuse(a, 400, "%s", no_category);
    } else if (db_int(r, 0, 1) == 0) {
        ask_refuse(a, 400, "the act id is taken");
    } else {
        jout_raw(&a->out, "{}");
        ask_reply(a, 201);
    }
}

static void insert(struct ask *a)
{
    const struct act_in *in = &((struct upload *)a->job)->act;
    struct db_param p[] = {db_text(in->category), db_text(in->id),      db_text(in->username),
                           db_num(in->ts),        db_text(in->caption), db_text(in->image)};

    ask_query(a, STMT_ACT_ADD, p, ARRAY_LEN(p), on_act_added);
}

static void on_user_checked(void *arg, enum users_answer answer) /* users_done_fn */
{
    struct ask *a = arg;

    switch (answer) {
    case USERS_KNOWN:
        insert(a);
        return;
    case USERS_UNKNOWN:
        ask_refuse(a, 400, "there is no such user");
        return;
    case USERS_AWAY:
        ask_refuse(a, 503, "the Users service cannot be asked");
        return;
    }
}

void acts_add(struct ask *a)
{
    struct upload *u;
    struct act_in in;
    struct err e;
    char *body;
    size_t n;

    if (!answer_body(a, &body, &n))
        return;
    if (!body_act(body, n, &in, &e)) {
        ask_refuse(a, 400, "%s", e.msg);
        return;
    }
    u = mem_try_alloc(sizeof(*u));
    if (u == NULL) {
        ask_no_memory(a);
        return;
    }
    u->act = in;
    ask_own(a, u, mem_free);
    if (a->svc->users == NULL)
        insert(a);
    else if (!users_ask(a->svc->users, in.username, on_user_checked, a))
        ask_no_memory(a);
}

/* POST /acts/upvote */
static void on_upvoted(struct ask *a, const struct db_reply *r)
{
    answer_row(a, r, 200, no_act);
}

void acts_upvote(struct ask *a)
{
    struct db_param p;
    struct sv id;
    struct err e;
    char *body;
    size_t n;

    if (!answer_body(a, &body, &n))
        return;
    if (!body_id(body, n, &id, &e)) {
        ask_refuse(a, 400, "%s", e.msg);
        return;
    }
    p = db_text(id);
    ask_query(a, STMT_ACT_UPVOTE, &p, 1, on_upvoted);
}

/* DELETE /acts/ID */
static void on_act_deleted(struct ask *a, const struct db_reply *r)
{
    answer_row(a, r, 200, no_act);
}

void acts_delete(struct ask *a)
{
    struct db_param p;
    struct sv id;

    if (!check_id(a->param, &id)) {
        ask_refuse(a, 400, "an act id is a whole number");
        return;
    }
    p = db_text(id);
    ask_query(a, STMT_ACT_DELETE, &p, 1, on_act_deleted);
}

/* GET /acts/count */
static void on_total(struct ask *a, const struct db_reply *r)
{
    answer_number(a, r, 500, "no answer");
}

void acts_total(struct ask *a)
{
    ask_query(a, STMT_ACTS_TOTAL, NULL, 0, on_total);
}
