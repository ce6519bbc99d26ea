#ifndef ACTS_ACTS_H
#define ACTS_ACTS_H

#include "acts-service/service.h"

/* The statements and handlers of the program `acts`. */
enum acts_stmt {
#define STMT(sym, flags, sql) STMT_##sym,
#include "acts-service/acts_stmt.def"
#undef STMT
    STMT_COUNT
};

void count_get(struct ask *a);
void count_reset(struct ask *a);
void categories_list(struct ask *a);
void categories_add(struct ask *a);
void categories_delete(struct ask *a);
void categories_size(struct ask *a);
void acts_list(struct ask *a);
void acts_add(struct ask *a);
void acts_upvote(struct ask *a);
void acts_delete(struct ask *a);
void acts_total(struct ask *a);

/* Shared by the handler files: the body of the request, or false after having answered. */
bool acts_body(struct ask *a, char **ret, size_t *ret_n);
/* "[n]" from the first column; a question without a row gets `none` as its status. */
void acts_reply_number(struct ask *a, const struct db_reply *r, int none, const char *none_text);
/* 200 or 201 when there was a row, else 400 with the text. */
void acts_reply_row(struct ask *a, const struct db_reply *r, int status, const char *none_text);
/* Text that cannot be in the database is in no category: no need to ask (and the server would
 * refuse it). */
bool acts_is_storable(struct sv s);

#endif
