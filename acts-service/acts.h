#ifndef ACTS_ACTS_H
#define ACTS_ACTS_H

#include "acts-service/answer.h"

/* The statements and handlers of the program `acts`. */
enum acts_stmt {
#define STMT(sym, flags, sql) STMT_##sym,
#include "acts-service/acts_stmt.def"
#undef STMT
    STMT_COUNT
};

void categories_list(struct ask *a);
void categories_add(struct ask *a);
void categories_delete(struct ask *a);
void categories_size(struct ask *a);
void acts_list(struct ask *a);
void acts_add(struct ask *a);
void acts_upvote(struct ask *a);
void acts_delete(struct ask *a);
void acts_total(struct ask *a);

#endif
