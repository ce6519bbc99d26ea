#ifndef ACTS_ACCOUNTS_H
#define ACTS_ACCOUNTS_H

#include "acts-service/answer.h"

/* The statements and handlers of the program `users`. (users.h is how acts asks that program.) */
enum accounts_stmt {
#define STMT(sym, flags, sql) STMT_##sym,
#include "acts-service/users_stmt.def"
#undef STMT
    STMT_COUNT
};

void accounts_list(struct ask *a);
void accounts_add(struct ask *a);
void accounts_delete(struct ask *a);

#endif
