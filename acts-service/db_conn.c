#include "acts-service/db_conn.h"

#include <arpa/inet.h>
#include <endian.h>
#include <event2/event.h>
#include <event2/util.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
    CONN_MAGIC = MAGIC('d', 'b', 'c', 'n'),
    /* libpq's buffers grow to the longest message (a question, a row of an answer) and never
     * shrink: a connection that carried a longer one than this is made anew. */
    WORN_BYTES = 4 << 20,
};
enum { OID_INT8 = 20, OID_TEXT = 25 }; /* pg_type.dat; fixed for ever */

enum conn_state { CS_CLOSED, CS_RESOLVE, CS_CONNECT, CS_IDLE, CS_PREPARE, CS_QUERY };

struct db_conn {
    uint32_t magic;
    struct loop *loop;
    struct db_conn_conf conf;
    enum conn_state state;
    PGconn *pg;
    struct event *ev;
    short watched;
    int watched_fd;
    bool resolving;              /* a name server question is out; its callback will come */
    char addr[INET6_ADDRSTRLEN]; /* the last good one */
    struct timer deadline;       /* of the connect */
    uint64_t prepared;           /* bit per statement */
    unsigned stmt;
    const struct db_param *params;
    size_t n;
    PGresult *res;
    size_t longest; /* message so far */
    struct loop_later failed;
    bool no_memory; /* why it failed: libpq or we had none; the server is not to blame */
    char why[256];
};

static void on_socket(evutil_socket_t fd, short what, void *arg);
static void on_connect_late(void *arg);

struct db_conn *db_conn_new(struct loop *l, const struct db_conn_conf *conf)
{
    struct db_conn *c = mem_zalloc(sizeof(*c));

    *c = (struct db_conn){.magic = CONN_MAGIC, .loop = l, .conf = *conf};
    timer_init(&c->deadline, l, on_connect_late, c);
    list_init(&c->failed.node);
    return c;
}

void db_conn_free(struct db_conn *c)
{
    if (c == NULL)
        return;
    db_conn_close(c);
    timer_fini(&c->deadline);
    c->magic = 0;
    mem_free(c);
}

/* The descriptor may change while connecting, and libpq closes it itself: unwatch before every step
 * that may. */
static void unwatch(struct db_conn *c)
{
    if (c->ev != NULL)
        event_free(c->ev);
    c->ev = NULL;
    c->watched = 0;
}

void db_conn_close(struct db_conn *c)
{
    unwatch(c);
    timer_clear(&c->deadline);
    list_unlink(&c->failed.node);
    PQclear(c->res);
    c->res = NULL;
    PQfinish(c->pg);
    c->pg = NULL;
    c->prepared = 0;
    c->longest = 0;
    c->state = CS_CLOSED;
}

bool db_conn_is_closed(const struct db_conn *c)
{
    return c->state == CS_CLOSED;
}

bool db_conn_is_idle(const struct db_conn *c)
{
    return c->state == CS_IDLE && list_empty(&c->failed.node);
}

bool db_conn_is_up(const struct db_conn *c)
{
    return c->state >= CS_IDLE;
}

static void on_failed(struct loop_later *self) /* end of turn */
{
    struct db_conn *c = CONTAINER_OF(self, struct db_conn, failed);

    db_conn_close(c);
    c->conf.down(c->conf.owner, c, c->why, c->no_memory);
}

/* Give up, one turn later: callers further up still use the connection. */
static void fail(struct db_conn *c, const char *why)
{
    struct sv first = {why, strcspn(why, "\n")}; /* the lines after it only give advice */

    (void)str_quote(first, c->why, sizeof(c->why));
    /* What fails on a good connection fails for want of memory. */
    c->no_memory = c->state > CS_IDLE && PQstatus(c->pg) == CONNECTION_OK;
    unwatch(c);
    loop_later(c->loop, &c->failed, on_failed);
}

static void watch(struct db_conn *c, short what)
{
    int fd = PQsocket(c->pg);

    if (c->ev != NULL && c->watched == what && c->watched_fd == fd)
        return;
    unwatch(c);
    if (fd < 0) {
        fail(c, "the connection is closed");
        return;
    }
    c->ev = event_new(loop_base(c->loop), fd, (short)(what | EV_PERSIST), on_socket, c);
    if (c->ev == NULL || event_add(c->ev, NULL) != 0) {
        fail(c, "out of memory");
        return;
    }
    c->watched = what;
    c->watched_fd = fd;
}

static void on_connect_late(void *arg) /* timer */
{
    fail(CAST(arg, db_conn, CONN_MAGIC), "no connection within the deadline");
}

static void on_notice(void *arg UNUSED, const char *text) /* PQnoticeProcessor */
{
    char buf[256];

    log_debug("database notice", "text=\"%s\"", str_quote(sv_of(text), buf, sizeof(buf)));
}

static void connect_step(struct db_conn *c)
{
    const char *encoding;

    unwatch(c);
    switch (PQconnectPoll(c->pg)) {
    case PGRES_POLLING_READING:
        watch(c, EV_READ);
        return;
    case PGRES_POLLING_WRITING:
        watch(c, EV_WRITE);
        return;
    case PGRES_POLLING_OK:
        break;
    case PGRES_POLLING_FAILED:
    case PGRES_POLLING_ACTIVE:
    default:
        fail(c, PQerrorMessage(c->pg));
        return;
    }
    encoding = PQparameterStatus(c->pg, "server_encoding");
    if (encoding != NULL && strcmp(encoding, "UTF8") != 0 && strcmp(encoding, "SQL_ASCII") != 0) {
        fail(c, "the database's encoding must be UTF8: create it with ENCODING 'UTF8'");
        return;
    }
    timer_clear(&c->deadline);
    (void)PQsetnonblocking(c->pg, 1);
    c->state = CS_IDLE;
    watch(c, EV_READ);
    c->conf.up(c->conf.owner, c);
}

static void start_connect(struct db_conn *c, const char *hostaddr)
{
    const struct db_conf *d = c->conf.db;
    char port[8], give_up_ms[16];
    const char *keys[20], *values[20];
    const char *const pairs[][2] = {
        {"host", d->host},
        {"hostaddr", hostaddr},
        {"port", port},
        {"user", d->user},
        {"dbname", d->name},
        {"password", d->password},
        {"sslmode", d->sslmode},
        {"gssencmode", "disable"},
        {"application_name", d->program},
        {"client_encoding", "UTF8"},
        {"options", c->conf.options},
        {"keepalives_idle", "10"},
        {"keepalives_interval", "5"},
        {"keepalives_count", "3"},
        {"tcp_user_timeout", give_up_ms},
    };
    size_t n = 0;

    (void)evutil_snprintf(port, sizeof(port), "%u", (unsigned)d->port);
    (void)evutil_snprintf(give_up_ms, sizeof(give_up_ms), "%u", (unsigned)(2 * d->query_ms));
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        if (pairs[i][1] == NULL || *pairs[i][1] == '\0')
            continue;
        keys[n] = pairs[i][0];
        values[n++] = pairs[i][1];
    }
    keys[n] = values[n] = NULL;
    c->state = CS_CONNECT;
    c->pg = PQconnectStartParams(keys, values, 0);
    if (c->pg == NULL || PQstatus(c->pg) == CONNECTION_BAD) {
        fail(c, c->pg != NULL ? PQerrorMessage(c->pg) : "out of memory");
        return;
    }
    PQsetNoticeProcessor(c->pg, on_notice, NULL);
    watch(c, EV_WRITE); /* as libpq's manual tells for the first step */
}

static void on_resolved(int err, struct evutil_addrinfo *ai, void *arg) /* evdns_getaddrinfo_cb */
{
    struct db_conn *c = CAST(arg, db_conn, CONN_MAGIC);

    c->resolving = false;
    if (err == 0 && ai != NULL) {
        const void *raw = ai->ai_family == AF_INET6
                              ? (void *)&((struct sockaddr_in6 *)(void *)ai->ai_addr)->sin6_addr
                              : (void *)&((struct sockaddr_in *)(void *)ai->ai_addr)->sin_addr;

        (void)inet_ntop(ai->ai_family, raw, c->addr, sizeof(c->addr));
    }
    if (ai != NULL)
        evutil_freeaddrinfo(ai);
    if (c->state != CS_RESOLVE || !list_empty(&c->failed.node))
        return; /* too late: the attempt is given up */
    /* A name server that is away must not take the database away: the last address may still be
     * right. */
    if (c->addr[0] != '\0')
        start_connect(c, c->addr);
    else
        fail(c, evutil_gai_strerror(err));
}

void db_conn_start(struct db_conn *c)
{
    const char *host = c->conf.db->host;
    const struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    unsigned char raw[sizeof(struct in6_addr)];

    timer_in(&c->deadline, c->conf.db->connect_ms);
    if (*host == '/') {
        start_connect(c, NULL);
        return;
    }
    if (inet_pton(AF_INET, host, raw) == 1 || inet_pton(AF_INET6, host, raw) == 1) {
        start_connect(c, host);
        return;
    }
    c->state = CS_RESOLVE;
    if (c->resolving)
        return;
    c->resolving = true;
    (void)evdns_getaddrinfo(c->conf.dns, host, NULL, &hints, on_resolved, c);
}

static void flush(struct db_conn *c)
{
    switch (PQflush(c->pg)) {
    case 0:
        watch(c, EV_READ);
        return;
    case 1:
        watch(c, EV_READ | EV_WRITE);
        return;
    default:
        fail(c, PQerrorMessage(c->pg));
    }
}

static void note_message(struct db_conn *c, size_t n)
{
    if (n > c->longest)
        c->longest = n;
}

static void note_rows(struct db_conn *c, const PGresult *res)
{
    int rows = PQntuples(res), columns = PQnfields(res);

    for (int row = 0; row < rows; row++) {
        size_t n = 0;

        for (int col = 0; col < columns; col++)
            n += (size_t)PQgetlength(res, row, col);
        note_message(c, n);
    }
}

static bool send_query(struct db_conn *c)
{
    const char *values[DB_MERGE_MAX * DB_PARAMS_MAX];
    int lengths[DB_MERGE_MAX * DB_PARAMS_MAX], formats[DB_MERGE_MAX * DB_PARAMS_MAX];
    uint64_t nums[DB_MERGE_MAX * DB_PARAMS_MAX];
    size_t n = 0;

    for (size_t i = 0; i < c->n; i++) {
        formats[i] =
            1; /* binary: text of any bytes without an end mark, and numbers in network order */
        if (c->params[i].text.p != NULL) {
            values[i] = c->params[i].text.p;
            lengths[i] = (int)c->params[i].text.n;
        } else {
            nums[i] = htobe64((uint64_t)c->params[i].num);
            values[i] = (const char *)&nums[i];
            lengths[i] = (int)sizeof(nums[i]);
        }
        n += (size_t)lengths[i];
    }
    note_message(c, n);
    c->state = CS_QUERY;
    return PQsendQueryPrepared(c->pg, c->conf.stmts[c->stmt].name, (int)c->n, values, lengths,
                               formats, 0) == 1;
}

static bool send_prepare(struct db_conn *c)
{
    const struct db_stmt *s = &c->conf.stmts[c->stmt];
    Oid types[DB_MERGE_MAX * DB_PARAMS_MAX];

    for (size_t i = 0; i < c->n; i++)
        types[i] = c->params[i].text.p != NULL ? OID_TEXT : OID_INT8;
    c->state = CS_PREPARE;
    return PQsendPrepare(c->pg, s->name, s->sql, (int)c->n, types) == 1;
}

void db_conn_ask(struct db_conn *c, unsigned stmt, const struct db_param *params, size_t n)
{
    const struct db_stmt *s = &c->conf.stmts[stmt];
    bool sent;

    c->stmt = stmt;
    c->params = params;
    c->n = n;
    if ((s->flags & DB_SCRIPT) != 0) {
        c->state = CS_QUERY;
        sent = PQsendQuery(c->pg, s->sql) == 1;
    } else if ((c->prepared >> stmt & 1) != 0) {
        sent = send_query(c);
    } else {
        sent = send_prepare(c);
    }
    if (sent)
        flush(c);
    else
        fail(c, PQerrorMessage(c->pg));
}

/* After these errors the session's prepared statements or its transaction can no longer be trusted;
 * without a state libpq had no memory for the answer, and what the server did is not known. */
static bool is_stale(const PGresult *res)
{
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

    return state == NULL || strncmp(state, "0A", 2) == 0 || strncmp(state, "25", 2) == 0 ||
           strncmp(state, "26", 2) == 0 || strncmp(state, "XX", 2) == 0;
}

/* All results of one question have been read. */
static void question_done(struct db_conn *c)
{
    PGresult *res = MOVE(c->res);
    bool ok = PQresultStatus(res) == PGRES_COMMAND_OK || PQresultStatus(res) == PGRES_TUPLES_OK;
    bool lost;

    if (c->state == CS_PREPARE && ok) {
        PQclear(res);
        c->prepared |= (uint64_t)1 << c->stmt;
        if (send_query(c))
            flush(c);
        else
            fail(c, PQerrorMessage(c->pg));
        return;
    }
    note_rows(c, res);
    c->params = NULL;
    c->state = CS_IDLE;
    lost = PQstatus(c->pg) != CONNECTION_OK;
    if (lost) /* the server said goodbye with this answer */
        fail(c, "the server closed the connection");
    else if ((!ok && is_stale(res)) || c->longest > WORN_BYTES)
        db_conn_close(c);
    c->conf.done(c->conf.owner, c, res, lost);
    PQclear(res);
}

static void read_results(struct db_conn *c)
{
    if (PQconsumeInput(c->pg) == 0) {
        fail(c, PQerrorMessage(c->pg));
        return;
    }
    while ((c->state == CS_PREPARE || c->state == CS_QUERY) && PQisBusy(c->pg) == 0) {
        PGresult *res = PQgetResult(c->pg);

        if (res == NULL) {
            question_done(c);
            return; /* what follows belongs to the next question */
        }
        /* Of several results (a script) the first error counts, else the last. */
        if (c->res != NULL && PQresultStatus(c->res) == PGRES_FATAL_ERROR) {
            PQclear(res);
        } else {
            PQclear(c->res);
            c->res = res;
        }
    }
}

static void on_socket(evutil_socket_t fd UNUSED, short what, void *arg) /* event_callback_fn */
{
    struct db_conn *c = CAST(arg, db_conn, CONN_MAGIC);

    if (c->state == CS_CONNECT) {
        connect_step(c);
        return;
    }
    if ((what & EV_READ) != 0)
        read_results(c);
    if ((what & EV_WRITE) != 0 && c->ev != NULL && (c->watched & EV_WRITE) != 0)
        flush(c);
}
