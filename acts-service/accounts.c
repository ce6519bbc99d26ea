#include "acts-service/accounts.h"

#include "acts-service/body.h"
#include "acts-service/jout.h"

static const char no_user[] = "there is no such user";

/* GET /users */
static void on_accounts(struct ask *a, const struct db_reply *r)
{
    if (!answer_has_rows(a, r))
        return;
    for (size_t i = 0; i < db_rows(r); i++) {
        jout_raw(&a->out, i == 0 ? "[" : ", ");
        jout_string(&a->out, db_str(r, i, 0));
    }
    jout_raw(&a->out, "]");
    ask_reply(a, 200);
}

void accounts_list(struct ask *a)
{
    ask_query(a, STMT_ACCOUNTS, NULL, 0, on_accounts);
}

/* POST /users */
static void on_account_added(struct ask *a, const struct db_reply *r)
{
    answer_row(a, r, 201, "the user name is taken");
}

void accounts_add(struct ask *a)
{
    struct db_param p[2];
    struct user_in in;
    struct err e;
    char *body;
    size_t n;

    if (!answer_body(a, &body, &n))
        return;
    if (!body_user(body, n, &in, &e)) {
        ask_refuse(a, 400, "%s", e.msg);
        return;
    }
    p[0] = db_text(in.name);
    p[1] = db_text(in.password);
    ask_query(a, STMT_ACCOUNT_ADD, p, ARRAY_LEN(p), on_account_added);
}

/* DELETE /users/NAME: the acts of the user stay, they are another service's */
static void on_account_deleted(struct ask *a, const struct db_reply *r)
{
    answer_row(a, r, 200, no_user);
}

void accounts_delete(struct ask *a)
{
    answer_by_name(a, STMT_ACCOUNT_DELETE, no_user, on_account_deleted);
}
