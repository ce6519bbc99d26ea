#ifndef ACTS_DB_CONN_H
#define ACTS_DB_CONN_H

#include <event2/dns.h>
#include <libpq-fe.h>

#include "acts-service/db.h"

/* One connection of a lane: resolve, connect, log in, prepare on first use, ask, read. db.c drives
 * it. */
struct db_conn;

struct db_conn_conf {
    const struct db_conf *db;
    const char *options; /* for the server session: "-c name=value ..." */
    const struct db_stmt *stmts;
    struct evdns_base *dns;
    /* Called from the loop, never from inside a function of this header. */
    void (*up)(void *owner, struct db_conn *c);
    /* Also when connecting failed. */
    void (*down)(void *owner, struct db_conn *c, const char *why, bool no_memory);
    /* lost: the connection ends with this answer, down() will follow */
    void (*done)(void *owner, struct db_conn *c, const PGresult *res, bool lost);
    void *owner;
};

struct db_conn *db_conn_new(struct loop *l, const struct db_conn_conf *conf);
void db_conn_free(struct db_conn *c);

void db_conn_start(struct db_conn *c); /* from closed */
void db_conn_close(struct db_conn *c); /* silently, at any time */
bool db_conn_is_closed(const struct db_conn *c);
bool db_conn_is_idle(const struct db_conn *c); /* up, and nothing is asked */
bool db_conn_is_up(const struct db_conn *c);
/* Ask on an idle connection; done() or down() follows. */
void db_conn_ask(struct db_conn *c, unsigned stmt, const struct db_param *params, size_t n);

#endif
