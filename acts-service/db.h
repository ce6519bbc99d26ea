#ifndef ACTS_DB_H
#define ACTS_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/str.h"
#include "common/ev/loop.h"

/* PostgreSQL on the event loop: nothing blocks, every question has a deadline, the queue has a
 * maximum, lost connections are made again with back-off. Two lanes: the main one is a pool that
 * grows on demand; the side one is a single connection for small urgent work (probe, counter,
 * schema) that never waits behind the pool. libpq stays inside db.c, db_conn.c and
 * db_reply.c. */
struct db;

enum db_lane { DB_MAIN, DB_SIDE, DB_LANES };

struct db_conf {
    const char *host; /* a name, an address, or a directory of a Unix socket */
    uint16_t port;
    const char *user, *name, *password, *sslmode, *program;
    unsigned pool;
    unsigned queue_max;
    uint64_t query_ms;   /* deadline of a question, waiting included; also the server's
                            statement_timeout */
    uint64_t connect_ms; /* name, connection and login together */
};

/* Statements are a constant table of the program; a question names its row. */
enum {
    DB_READ = 1,     /* changes nothing: asked again once when the connection is lost */
    DB_SCRIPT = 2,   /* several statements, one transaction, no parameters */
    DB_MAY_FAIL = 4, /* an error is an answer like others: not logged */
    DB_MERGE = 8,    /* up to DB_MERGE_MAX waiting questions become one: see DB_MERGE_BY */
    DB_STATEMENTS_MAX = 64,
    DB_PARAMS_MAX = 8,
    DB_MERGE_MAX = 4,
};
/* A change whose answer is one row, and that may share a statement, a transaction and its commit
 * with others. The DB_MERGE_MAX - 1 rows after it in the table do 2, 3, ... of it at once: the
 * parameters of all, question by question; the rows of all, in that order. Parameter `i` is a text
 * that differs in all of them. When a shared statement fails for one (it has then changed nothing),
 * each is asked again alone. */
#define DB_MERGE_BY(i) (DB_MERGE | (i) << 4)
struct db_stmt {
    const char *name, *sql;
    unsigned flags;
};

struct db_param {
    struct sv text; /* type text; p NULL: it is a bigint */
    int64_t num;
};
static inline struct db_param db_text(struct sv s)
{
    return (struct db_param){.text = {s.p != NULL ? s.p : "", s.n}};
}
static inline struct db_param db_num(int64_t n)
{
    return (struct db_param){.num = n};
}

enum db_status {
    DB_OK,
    DB_REFUSED, /* the data was: see sqlstate (classes 22 and 23) */
    DB_BUSY,    /* the queue is full; nothing was done */
    DB_TIMEOUT, /* no answer in time; a change may or may not have happened */
    DB_DOWN,    /* not reachable, or lost meanwhile (a change may have happened), or it cannot serve
                   now */
    DB_MEMORY,  /* no memory for the question or its answer in this process; a change may have
                   happened */
    DB_FAULT,   /* any other error; logged */
};
struct db_reply {
    enum db_status status;
    char sqlstate[6]; /* "" when the server said nothing */
    bool sent;        /* false: surely nothing was done */
    const void *res;  /* valid during the callback */
    size_t first, n;  /* its rows that are the answer */
};
typedef void db_done_fn(void *arg, const struct db_reply *r);

bool db_new(struct loop *l, const struct db_conf *conf, const struct db_stmt *stmts, size_t n,
            struct db **ret, struct err *e) MUST_CHECK;
/* `up(arg)` is called each time the side lane has a connection; from then on it is kept connected.
 */
void db_keep_side(struct db *db, void (*up)(void *arg), void *arg);
/* Ask; done(arg, reply) is called exactly once, never before db_ask() has returned. The bytes of
 * the parameters must stay until then. timeout_ms 0: conf.query_ms. False: out of memory, nothing
 * was done and done will not be called. */
bool db_ask(struct db *db, enum db_lane lane, unsigned stmt, const struct db_param *params,
            size_t n, uint64_t timeout_ms, db_done_fn *done, void *arg) MUST_CHECK;
void db_free(struct db *db); /* open questions are forgotten without an answer */

/* The rows of an answer with status DB_OK. */
size_t db_rows(const struct db_reply *r);
bool db_is_null(const struct db_reply *r, size_t row, unsigned col);
struct sv db_str(const struct db_reply *r, size_t row, unsigned col); /* "" when NULL */
int64_t db_int(const struct db_reply *r, size_t row, unsigned col);   /* 0 when NULL */

#endif
