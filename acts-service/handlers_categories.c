#include "acts-service/acts.h"
#include "acts-service/body.h"
#include "acts-service/jout.h"

static const char no_category[] = "there is no such category";

/* GET /categories */
static void on_categories(struct ask *a, const struct db_reply *r)
{
    if (!answer_has_rows(a, r))
        return;
    for (size_t i = 0; i < db_rows(r); i++) {
        jout_raw(&a->out, i == 0 ? "{" : ", ");
        jout_string(&a->out, db_str(r, i, 0));
        jout_raw(&a->out, ": ");
        jout_bytes(&a->out, db_str(r, i, 1));
    }
    jout_raw(&a->out, "}");
    ask_reply(a, 200);
}

void categories_list(struct ask *a)
{
    ask_query(a, STMT_CATEGORIES, NULL, 0, on_categories);
}

/* POST /categories */
static void on_category_added(struct ask *a, const struct db_reply *r)
{
    answer_row(a, r, 201, "the category exists already");
}

void categories_add(struct ask *a)
{
    struct db_param p;
    struct sv name;
    struct err e;
    char *body;
    size_t n;

    if (!answer_body(a, &body, &n))
        return;
    if (!body_name(body, n, "a category name", &name, &e)) {
        ask_refuse(a, 400, "%s", e.msg);
        return;
    }
    p = db_text(name);
    ask_query(a, STMT_CATEGORY_ADD, &p, 1, on_category_added);
}

/* DELETE /categories/NAME */
static void on_category_deleted(struct ask *a, const struct db_reply *r)
{
    answer_row(a, r, 200, no_category);
}

void categories_delete(struct ask *a)
{
    answer_by_name(a, STMT_CATEGORY_DELETE, no_category, on_category_deleted);
}

/* GET /categories/NAME/acts/size */
static void on_category_size(struct ask *a, const struct db_reply *r)
{
    answer_number(a, r, 400, no_category);
}

void categories_size(struct ask *a)
{
    answer_by_name(a, STMT_CATEGORY_SIZE, no_category, on_category_size);
}
