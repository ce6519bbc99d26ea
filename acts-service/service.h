#ifndef ACTS_SERVICE_H
#define ACTS_SERVICE_H

#include "acts-service/db.h"
#include "acts-service/env.h"
#include "acts-service/http.h"
#include "acts-service/jout.h"
#include "acts-service/pulse.h"
#include "acts-service/router.h"
#include "acts-service/schema.h"
#include "common/ev/loop.h"

/* What a service program is made of, whatever its routes: HTTP, database, schema, counter, and one
 * table of routes. acts is one such program; users is another. */
struct service_def {
    const char *program, *prefix; /* "acts", "ACTS" */
    const struct route *routes;
    size_t routes_n;
    const struct db_stmt *stmts;
    size_t stmts_n;
    int64_t schema_version;
    unsigned stmt_version, stmt_migrate, stmt_pulse, stmt_count, stmt_count_reset;
};

struct service {
    const struct service_def *def;
    struct env env;
    struct loop *loop;
    struct http *http;
    struct db *db;
    struct schema *schema;
    struct pulse *pulse;
    struct users *users; /* NULL: users are not checked */
    bool crashed;        /* this process only, for the rest of its life */
};

/* One request on its way through a handler. Handlers answer with ask_*() exactly once; the answer
 * leaves when the request has been counted, too. */
struct ask {
    uint32_t magic;
    struct service *svc;
    struct http_req *req;
    const struct route *route;
    struct sv param;  /* what stood for "*", decoded */
    char *param_text; /* ask's own */
    struct pulse_wait counted;
    bool counting, answered, streaming;
    void (*when_counted)(struct ask *a);
    uint64_t begun_ms; /* 0: not counted */
    int status;
    struct jout out;                                        /* the body of the answer */
    void (*asked)(struct ask *a, const struct db_reply *r); /* who waits for the database */
    void *job;                                              /* the handler's own, ask_own() */
    void (*job_free)(void *);
};

int service_main(const struct service_def *def, int argc, char **argv, char **envp);

void ask_own(struct ask *a, void *job, void (*job_free)(void *)); /* freed with the ask */
/* The whole body of the answer is a->out (JSON), or nothing when it is empty. When memory was out
 * for a part of it the answer is 500. */
void ask_reply(struct ask *a, int status);
/* {"error": "..."}; the text is for people. */
void ask_refuse(struct ask *a, int status, const char *fmt, ...) PRINTF(3, 4);
/* A 200 in pieces; see http.h. It begins inside `fn` of ask_when_counted(), which may run at once.
 * After the beginning ask_reply() and ask_refuse() can only cut the answer off. */
void ask_when_counted(struct ask *a, void (*fn)(struct ask *a));
void ask_stream(struct ask *a, void (*drained)(void *arg), void *arg);
void ask_stream_end(struct ask *a, bool whole);
void ask_no_memory(struct ask *a); /* 500 */
/* The answer to a question that the database did not answer with DB_OK. */
void ask_database_failed(struct ask *a, const struct db_reply *r);
/* One question at a time. */
void ask_query(struct ask *a, unsigned stmt, const struct db_param *params, size_t n,
               void (*done)(struct ask *a, const struct db_reply *r));

/* Handlers that every service has. */
void service_root(struct ask *a);
void service_health(struct ask *a);
void service_crash(struct ask *a);

#endif
