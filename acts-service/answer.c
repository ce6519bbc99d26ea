#include "acts-service/answer.h"

#include <event2/util.h>

#include "acts-service/check.h"
#include "acts-service/jout.h"

bool answer_body(struct ask *a, char **ret, size_t *ret_n)
{
    if (http_body(a->req, ret, ret_n))
        return true;
    ask_refuse(a, 500, "no memory for a body of this size");
    return false;
}

bool answer_is_storable(struct sv s)
{
    return s.n > 0 && check_text(s);
}

bool answer_has_rows(struct ask *a, const struct db_reply *r)
{
    if (r->status != DB_OK)
        ask_database_failed(a, r);
    else if (db_rows(r) == 0)
        ask_reply(a, 204);
    else
        return true;
    return false;
}

void answer_by_name(struct ask *a, unsigned stmt, const char *none_text,
                    void (*done)(struct ask *a, const struct db_reply *r))
{
    struct db_param p = db_text(a->param);

    if (answer_is_storable(a->param))
        ask_query(a, stmt, &p, 1, done);
    else
        ask_refuse(a, 400, "%s", none_text);
}

void answer_number(struct ask *a, const struct db_reply *r, int none, const char *none_text)
{
    char text[32];

    if (r->status != DB_OK) {
        ask_database_failed(a, r);
    } else if (db_rows(r) == 0) {
        ask_refuse(a, none, "%s", none_text);
    } else {
        (void)evutil_snprintf(text, sizeof(text), "[%lld]", (long long)db_int(r, 0, 0));
        jout_raw(&a->out, text);
        ask_reply(a, 200);
    }
}

void answer_row(struct ask *a, const struct db_reply *r, int status, const char *none_text)
{
    if (r->status != DB_OK) {
        ask_database_failed(a, r);
    } else if (db_rows(r) == 0) {
        ask_refuse(a, 400, "%s", none_text);
    } else {
        jout_raw(&a->out, "{}");
        ask_reply(a, status);
    }
}

static void on_count(struct ask *a, const struct db_reply *r)
{
    answer_number(a, r, 500, "the counter is missing");
}

void answer_count(struct ask *a)
{
    ask_query(a, a->svc->def->stmt_count, NULL, 0, on_count);
}

static void on_count_reset(struct ask *a, const struct db_reply *r)
{
    if (r->status != DB_OK) {
        ask_database_failed(a, r);
        return;
    }
    jout_raw(&a->out, "{}");
    ask_reply(a, 200);
}

void answer_count_reset(struct ask *a)
{
    ask_query(a, a->svc->def->stmt_count_reset, NULL, 0, on_count_reset);
}
