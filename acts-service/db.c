#include "acts-service/db.h"

#include <event2/dns.h>
#include <stdio.h>

#include "acts-service/db_conn.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

enum {
    JOB_MAGIC = MAGIC('d', 'b', 'j', 'b'),
    LANE_MAGIC = MAGIC('d', 'b', 'l', 'n'),
    BACKOFF_MIN_MS = 50,
    BACKOFF_MAX_MS = 500,
    /* A restart of the server is waited out; when it is away longer, questions fail at once. */
    DOWN_PATIENCE_MS = 1000,
    ASKED_MAX = 2,
};

struct job {
    uint32_t magic;
    struct list node;
    struct lane *lane;
    struct db_conn *conn; /* NULL: in the queue */
    unsigned stmt, asked;
    struct db_param params[DB_PARAMS_MAX];
    size_t n;
    struct timer deadline;
    struct loop_later later;
    enum db_status early; /* outcome of a question that was refused at the door */
    db_done_fn *done;
    void *arg;
};

struct lane {
    uint32_t magic;
    struct db *db;
    const char *name;
    struct db_conn **conns;
    struct job **running; /* per connection */
    unsigned n;
    struct list queue;
    size_t queued;
    uint64_t backoff_ms, next_try_ms, down_since_ms; /* 0: not down */
    uint64_t hope_until_ms;                          /* another lane has just come back */
    struct timer retry;
    bool keep;
    char options[160];
};

struct db {
    struct loop *loop;
    struct db_conf conf;
    const struct db_stmt *stmts;
    size_t stmts_n;
    struct evdns_base *dns;
    struct lane lanes[DB_LANES];
    void (*side_up)(void *arg);
    void *side_arg;
};

static void pump(struct lane *l);

static void job_free(struct job *j)
{
    list_unlink(&j->node);
    list_unlink(&j->later.node);
    timer_fini(&j->deadline);
    j->magic = 0;
    mem_free(j);
}

static void job_finish(struct job *j, const struct db_reply *r)
{
    db_done_fn *done = j->done;
    void *arg = j->arg;

    job_free(j);
    done(arg, r);
}

static void job_fail(struct job *j, enum db_status status)
{
    job_finish(j, &(struct db_reply){.status = status, .sent = j->asked > 0});
}

static void on_job_early(struct loop_later *self) /* end of turn */
{
    struct job *j = CONTAINER_OF(self, struct job, later);

    job_fail(j, j->early);
}

static unsigned conn_index(const struct lane *l, const struct db_conn *c)
{
    unsigned i = 0;

    while (l->conns[i] != c)
        i++;
    return i;
}

static void queue_take(struct job *j)
{
    list_unlink(&j->node);
    j->lane->queued--;
}

static void queue_back(struct job *j)
{
    j->conn = NULL;
    list_push_front(&j->lane->queue, &j->node);
    j->lane->queued++;
}

static void on_job_late(void *arg) /* timer */
{
    struct job *j = CAST(arg, job, JOB_MAGIC);
    struct lane *l = j->lane;

    if (j->conn == NULL) {
        queue_take(j);
    } else { /* the server's own statement_timeout ends the work there, if it is alive */
        l->running[conn_index(l, j->conn)] = NULL;
        db_conn_close(j->conn);
    }
    log_warn("database is late", "lane=%s statement=%s", l->name, l->db->stmts[j->stmt].name);
    job_fail(j, DB_TIMEOUT);
    pump(l);
}

static bool lane_is_up(const struct lane *l)
{
    for (unsigned i = 0; i < l->n; i++) {
        if (db_conn_is_up(l->conns[i]))
            return true;
    }
    return false;
}

static bool lane_is_given_up(const struct lane *l)
{
    uint64_t now = clock_mono_ms();

    return l->down_since_ms != 0 && now >= l->down_since_ms + DOWN_PATIENCE_MS &&
           now >= l->hope_until_ms;
}

static void fail_queue(struct lane *l)
{
    struct list batch;

    list_init(&batch);
    while (!list_empty(&l->queue)) { /* an answer may ask again: only those that are here now */
        struct job *j = LIST_ENTRY_OF(l->queue.next, struct job, node);

        queue_take(j);
        list_push_back(&batch, &j->node);
    }
    while (!list_empty(&batch))
        job_fail(LIST_ENTRY_OF(batch.next, struct job, node), DB_DOWN);
}

/* The server answers one lane: the others try at once and let their questions wait as long as any
 * may, so that a process that calls itself healthy serves. */
static void give_hope(struct db *db)
{
    for (unsigned k = 0; k < DB_LANES; k++) {
        struct lane *l = &db->lanes[k];

        if (l->down_since_ms == 0)
            continue;
        l->hope_until_ms = clock_mono_ms() + db->conf.query_ms;
        l->backoff_ms = 0;
        l->next_try_ms = 0;
        pump(l);
    }
}

static void on_conn_up(void *owner, struct db_conn *c UNUSED)
{
    struct lane *l = CAST(owner, lane, LANE_MAGIC);

    if (l->down_since_ms != 0)
        log_info("database is back", "lane=%s down_ms=%llu", l->name,
                 (unsigned long long)(clock_mono_ms() - l->down_since_ms));
    l->down_since_ms = 0;
    l->backoff_ms = 0;
    l->next_try_ms = 0;
    give_hope(l->db);
    if (l == &l->db->lanes[DB_SIDE] && l->db->side_up != NULL)
        l->db->side_up(l->db->side_arg);
    pump(l);
}

static void on_conn_down(void *owner, struct db_conn *c, const char *why, bool no_memory)
{
    struct lane *l = CAST(owner, lane, LANE_MAGIC);
    struct job *j = MOVE(l->running[conn_index(l, c)]);

    /* When it was our memory the server is not away: connect again at once. */
    if (!lane_is_up(l) && !no_memory) {
        if (l->down_since_ms == 0) {
            l->down_since_ms = clock_mono_ms();
            log_warn("database connection lost", "lane=%s reason=\"%s\"", l->name, why);
        }
        l->backoff_ms = l->backoff_ms == 0 ? BACKOFF_MIN_MS : l->backoff_ms * 2;
        if (l->backoff_ms > BACKOFF_MAX_MS)
            l->backoff_ms = BACKOFF_MAX_MS;
        l->next_try_ms = clock_mono_ms() + l->backoff_ms;
    }
    if (j != NULL && (l->db->stmts[j->stmt].flags & DB_READ) != 0 && j->asked < ASKED_MAX)
        queue_back(j);
    else if (j != NULL)
        job_fail(j, no_memory ? DB_MEMORY : DB_DOWN);
    if (lane_is_given_up(l))
        fail_queue(l);
    pump(l);
}

static enum db_status status_of(const char *state)
{
    /* Classes after which another attempt may succeed: connection, resources, read-only, locks,
     * operator, system. */
    static const char *const away[] = {"08", "25", "40", "53", "55", "57", "58"};

    if (strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0)
        return DB_REFUSED;
    if (strcmp(state, "57014") == 0)
        return DB_TIMEOUT;
    for (size_t i = 0; i < ARRAY_LEN(away); i++) {
        if (strncmp(state, away[i], 2) == 0)
            return DB_DOWN;
    }
    return DB_FAULT;
}

static struct db_reply reply_of(const struct lane *l, const struct job *j, const PGresult *res,
                                bool lost)
{
    struct db_reply r = {.status = DB_OK, .sent = true, .res = res};
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    char text[200];

    if (PQresultStatus(res) == PGRES_TUPLES_OK || PQresultStatus(res) == PGRES_COMMAND_OK)
        return r;
    r.res = NULL;
    (void)snprintf(r.sqlstate, sizeof(r.sqlstate), "%s", state != NULL ? state : "");
    /* Without a state it is libpq that speaks: of the connection, or of memory. */
    r.status = state != NULL ? status_of(state) : lost ? DB_DOWN : DB_MEMORY;
    if (r.status != DB_REFUSED && (l->db->stmts[j->stmt].flags & DB_MAY_FAIL) == 0) {
        const char *msg = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

        log_warn("database error", "lane=%s statement=%s sqlstate=%s text=\"%s\"", l->name,
                 l->db->stmts[j->stmt].name, r.sqlstate,
                 str_quote(sv_of(msg != NULL ? msg : ""), text, sizeof(text)));
    }
    return r;
}

static void on_conn_done(void *owner, struct db_conn *c, const PGresult *res, bool lost)
{
    struct lane *l = CAST(owner, lane, LANE_MAGIC);
    struct job *j = MOVE(l->running[conn_index(l, c)]);
    struct db_reply r;

    if (j == NULL)
        return;
    r = reply_of(l, j, res, lost);
    /* "terminating connection due to administrator command": a read is simply asked again. */
    if (r.status == DB_DOWN && strncmp(r.sqlstate, "57P", 3) == 0 &&
        (l->db->stmts[j->stmt].flags & DB_READ) != 0 && j->asked < ASKED_MAX)
        queue_back(j);
    else
        job_finish(j, &r);
    pump(l);
}

static void run(struct lane *l, unsigned i)
{
    struct job *j = LIST_ENTRY_OF(l->queue.next, struct job, node);

    queue_take(j);
    j->conn = l->conns[i];
    j->asked++;
    l->running[i] = j;
    db_conn_ask(j->conn, j->stmt, j->params, j->n);
}

/* Give the queue to idle connections; start a connection for each question that is left over. */
static void pump(struct lane *l)
{
    size_t coming = 0, wanted;

    for (unsigned i = 0; i < l->n && !list_empty(&l->queue); i++) {
        if (db_conn_is_idle(l->conns[i]))
            run(l, i);
    }
    for (unsigned i = 0; i < l->n; i++)
        coming += !db_conn_is_closed(l->conns[i]) && !db_conn_is_up(l->conns[i]);
    wanted = l->queued > coming ? l->queued - coming : 0;
    /* A lane that is down finds its own way back; nobody may be asking meanwhile. */
    if (wanted == 0 && coming == 0 && (l->down_since_ms != 0 || (l->keep && !lane_is_up(l))))
        wanted = 1;
    if (wanted > 0 && clock_mono_ms() < l->next_try_ms) {
        timer_at(&l->retry, l->next_try_ms);
        return;
    }
    if (l->down_since_ms != 0 && wanted > 1) /* one goes ahead to see whether the server is back */
        wanted = coming > 0 ? 0 : 1;
    for (unsigned i = 0; i < l->n && wanted > 0; i++) {
        if (db_conn_is_closed(l->conns[i])) {
            db_conn_start(l->conns[i]);
            wanted--;
        }
    }
}

static void on_retry(void *arg) /* timer */
{
    pump(CAST(arg, lane, LANE_MAGIC));
}

static bool dns_start(struct db *db, struct err *e)
{
    /* Short questions that never give a server up; letters as typed, for servers that compare them.
     */
    static const char *const options[][2] = {
        {"timeout:", "1"}, {"attempts:", "3"}, {"max-timeouts:", "255"}, {"randomize-case:", "0"}};

    db->dns = evdns_base_new(loop_base(db->loop), EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    if (db->dns == NULL)
        return err_set(e, "no memory for the resolver");
    /* Without a readable file only numeric addresses work; connecting then tells. */
    if (evdns_base_resolv_conf_parse(db->dns, DNS_OPTIONS_ALL, "/etc/resolv.conf") != 0)
        log_debug("no name server", "file=/etc/resolv.conf");
    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        (void)evdns_base_set_option(db->dns, options[i][0], options[i][1]);
    return true;
}

static void lane_init(struct lane *l, struct db *db, const char *name, unsigned n, const char *sync)
{
    *l = (struct lane){.magic = LANE_MAGIC, .db = db, .name = name, .n = n};
    list_init(&l->queue);
    timer_init(&l->retry, db->loop, on_retry, l);
    l->conns = mem_array(n, sizeof(struct db_conn *));
    l->running = mem_array(n, sizeof(struct job *));
    (void)snprintf(l->options, sizeof(l->options),
                   "-c statement_timeout=%llu -c lock_timeout=%llu -c synchronous_commit=%s "
                   "-c idle_in_transaction_session_timeout=10s -c timezone=UTC",
                   (unsigned long long)db->conf.query_ms, (unsigned long long)db->conf.query_ms,
                   sync);
    for (unsigned i = 0; i < n; i++) {
        struct db_conn_conf cc = {.db = &db->conf,
                                  .options = l->options,
                                  .stmts = db->stmts,
                                  .dns = db->dns,
                                  .up = on_conn_up,
                                  .down = on_conn_down,
                                  .done = on_conn_done,
                                  .owner = l};

        l->conns[i] = db_conn_new(db->loop, &cc);
    }
}

bool db_new(struct loop *l, const struct db_conf *conf, const struct db_stmt *stmts, size_t n,
            struct db **ret, struct err *e)
{
    struct db *db = mem_zalloc(sizeof(*db));

    *db = (struct db){.loop = l, .conf = *conf, .stmts = stmts, .stmts_n = n};
    if (!dns_start(db, e)) {
        mem_free(db);
        return false;
    }
    /* A 201 that was sent must never be lost; counter and probe need not wait for the disk. */
    lane_init(&db->lanes[DB_MAIN], db, "main", conf->pool, "on");
    lane_init(&db->lanes[DB_SIDE], db, "side", 1, "off");
    *ret = db;
    return true;
}

void db_keep_side(struct db *db, void (*up)(void *arg), void *arg)
{
    db->side_up = up;
    db->side_arg = arg;
    db->lanes[DB_SIDE].keep = true;
    pump(&db->lanes[DB_SIDE]);
}

bool db_ask(struct db *db, enum db_lane lane, unsigned stmt, const struct db_param *params,
            size_t n, uint64_t timeout_ms, db_done_fn *done, void *arg)
{
    struct lane *l = &db->lanes[lane];
    struct job *j = mem_try_alloc(sizeof(*j));

    if (j == NULL)
        return false;
    *j =
        (struct job){.magic = JOB_MAGIC, .lane = l, .stmt = stmt, .n = n, .done = done, .arg = arg};
    if (n > 0)
        memcpy(j->params, params, n * sizeof(*params));
    list_init(&j->node);
    list_init(&j->later.node);
    if (!timer_try_init(&j->deadline, db->loop, on_job_late, j)) {
        mem_free(j);
        return false;
    }
    if (l->queued >= db->conf.queue_max || lane_is_given_up(l)) {
        j->early = l->queued >= db->conf.queue_max ? DB_BUSY : DB_DOWN;
        loop_later(db->loop, &j->later, on_job_early);
        return true;
    }
    timer_in(&j->deadline, timeout_ms != 0 ? timeout_ms : db->conf.query_ms);
    list_push_back(&l->queue, &j->node);
    l->queued++;
    pump(l);
    return true;
}

void db_free(struct db *db)
{
    if (db == NULL)
        return;
    for (unsigned k = 0; k < DB_LANES; k++) {
        struct lane *l = &db->lanes[k];

        while (!list_empty(&l->queue))
            job_free(LIST_ENTRY_OF(l->queue.next, struct job, node));
        for (unsigned i = 0; i < l->n; i++) {
            if (l->running[i] != NULL)
                job_free(l->running[i]);
            db_conn_free(l->conns[i]);
        }
        mem_free(l->conns);
        mem_free(l->running);
        timer_fini(&l->retry);
    }
    evdns_base_free(db->dns, 0);
    mem_free(db);
}

size_t db_rows(const struct db_reply *r)
{
    return (size_t)PQntuples(r->res);
}

bool db_is_null(const struct db_reply *r, size_t row, unsigned col)
{
    return PQgetisnull(r->res, (int)row, (int)col) != 0;
}

struct sv db_str(const struct db_reply *r, size_t row, unsigned col)
{
    return (struct sv){PQgetvalue(r->res, (int)row, (int)col),
                       (size_t)PQgetlength(r->res, (int)row, (int)col)};
}

int64_t db_int(const struct db_reply *r, size_t row, unsigned col)
{
    struct sv s = db_str(r, row, col);
    bool minus = s.n > 0 && *s.p == '-';
    uint64_t v = 0;

    if (minus) {
        s.p++;
        s.n--;
    }
    if (!str_to_u64(s, 0, INT64_MAX, &v, NULL))
        return 0;
    return minus ? -(int64_t)v : (int64_t)v;
}
