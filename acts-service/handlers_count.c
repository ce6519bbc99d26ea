#include "acts-service/acts.h"

/* GET /_count, DELETE /_count */
static void on_count(struct ask *a, const struct db_reply *r)
{
    acts_reply_number(a, r, 500, "the counter is missing");
}

void count_get(struct ask *a)
{
    ask_query(a, STMT_COUNT_GET, NULL, 0, on_count);
}

static void on_count_reset(struct ask *a, const struct db_reply *r)
{
    if (r->status != DB_OK) {
        ask_database_failed(a, r);
        return;
    }
    evbuffer_add(a->body, "{}", 2);
    ask_reply(a, 200);
}

void count_reset(struct ask *a)
{
    ask_query(a, STMT_COUNT_RESET, NULL, 0, on_count_reset);
}
