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
    /* Questions that can share a statement wait for company while one runs, but not for long: what
     * comes meanwhile goes out together, which costs the server a third less for each. */
    COMPANY_MS = 20,
    SHARED_BYTES = 64 << 10, /* of one question; a larger one goes alone */
};

struct job {
    uint32_t magic;
    struct list node;
    struct lane *lane;
    struct db_conn *conn; /* NULL: in the queue */
    unsigned stmt, asked;
    struct db_param params[DB_PARAMS_MAX];
    size_t n;
    bool alone;          /* shares no statement */
    uint64_t company_ms; /* until then it waits for company */
    struct timer deadline;
    struct loop_later later;
    enum db_status early; /* outcome of a question that was refused at the door */
    db_done_fn *done;
    void *arg;
};

/* What a connection is asked: one question, or several that share a statement. */
struct run {
    struct job *jobs[DB_MERGE_MAX];
    size_t n;
    struct db_param params[DB_MERGE_MAX * DB_PARAMS_MAX];
};

struct lane {
    uint32_t magic;
    struct db *db;
    const char *name;
    struct db_conn **conns;
    struct run *running; /* per connection */
    unsigned n;
    struct list queue;
    size_t queued;
    uint64_t backoff_ms, next_try_ms, down_since_ms; /* 0: not down */
    uint64_t hope_until_ms;                          /* another lane has just come back */
    struct timer retry, company;
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

/* The questions of a connection, which are its no longer. */
static size_t take_run(struct lane *l, const struct db_conn *c, struct job *jobs[DB_MERGE_MAX])
{
    struct run *r = &l->running[conn_index(l, c)];
    size_t n = r->n;

    memcpy(jobs, r->jobs, n * sizeof(struct job *));
    r->n = 0;
    return n;
}

static void on_job_late(void *arg) /* timer */
{
    struct job *j = CAST(arg, job, JOB_MAGIC), *jobs[DB_MERGE_MAX] = {j};
    struct lane *l = j->lane;
    size_t n = 1;

    if (j->conn == NULL) {
        queue_take(j);
    } else { /* the server's own statement_timeout ends the work there, if it is alive */
        n = take_run(l, j->conn, jobs);
        db_conn_close(j->conn);
    }
    log_warn("database is late", "lane=%s statement=%s", l->name, l->db->stmts[j->stmt].name);
    for (size_t i = 0; i < n; i++)
        job_fail(jobs[i], DB_TIMEOUT);
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

static bool may_ask_again(const struct lane *l, const struct job *j)
{
    return (l->db->stmts[j->stmt].flags & DB_READ) != 0 && j->asked < ASKED_MAX;
}

static void on_conn_down(void *owner, struct db_conn *c, const char *why, bool no_memory)
{
    struct lane *l = CAST(owner, lane, LANE_MAGIC);
    struct job *jobs[DB_MERGE_MAX];
    size_t n = take_run(l, c, jobs);

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
    for (size_t i = 0; i < n; i++) {
        if (may_ask_again(l, jobs[i]))
            queue_back(jobs[i]);
        else
            job_fail(jobs[i], no_memory ? DB_MEMORY : DB_DOWN);
    }
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
    struct db_reply r = {.status = DB_OK, .sent = true, .res = res, .n = (size_t)PQntuples(res)};
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

/* A statement that several shared has failed, and the server says so: it changed nothing. It may be
 * the fault of one of them (its data, or a lock that two statements wanted in turns). */
static bool may_go_alone(const struct db_reply *r)
{
    return r->status == DB_REFUSED || (r->status == DB_FAULT && r->sqlstate[0] != '\0') ||
           (r->status == DB_DOWN && strncmp(r->sqlstate, "40", 2) == 0);
}

static void finish_shared(struct job *const *jobs, size_t n, struct db_reply *r)
{
    bool rows = r->status == DB_OK;

    if (may_go_alone(r)) {
        for (size_t i = n; i > 0; i--) {
            jobs[i - 1]->alone = true;
            queue_back(jobs[i - 1]);
        }
        return;
    }
    if (rows && r->n != n) { /* the table of statements is wrong */
        *r = (struct db_reply){.status = DB_FAULT, .sent = true};
        rows = false;
    }
    for (size_t i = 0; i < n; i++) {
        r->first = i;
        r->n = rows ? 1 : 0;
        job_finish(jobs[i], r);
    }
}

static void on_conn_done(void *owner, struct db_conn *c, const PGresult *res, bool lost)
{
    struct lane *l = CAST(owner, lane, LANE_MAGIC);
    struct job *jobs[DB_MERGE_MAX];
    size_t n = take_run(l, c, jobs);
    struct db_reply r;

    if (n == 0)
        return;
    r = reply_of(l, jobs[0], res, lost);
    /* "terminating connection due to administrator command": a read is simply asked again. */
    if (n > 1)
        finish_shared(jobs, n, &r);
    else if (r.status == DB_DOWN && strncmp(r.sqlstate, "57P", 3) == 0 && may_ask_again(l, jobs[0]))
        queue_back(jobs[0]);
    else
        job_finish(jobs[0], &r);
    pump(l);
}

static bool can_share(const struct lane *l, const struct job *j)
{
    size_t bytes = 0;

    if ((l->db->stmts[j->stmt].flags & DB_MERGE) == 0 || j->alone)
        return false;
    for (size_t i = 0; i < j->n; i++)
        bytes += j->params[i].text.n;
    return bytes <= SHARED_BYTES;
}

/* May the question join those of the run? */
static bool fits(const struct lane *l, const struct run *r, const struct job *j)
{
    unsigned key = l->db->stmts[r->jobs[0]->stmt].flags >> 4;

    if (j->stmt != r->jobs[0]->stmt || !can_share(l, j))
        return false;
    for (size_t i = 0; i < r->n; i++) {
        struct sv a = r->jobs[i]->params[key].text, b = j->params[key].text;

        if (a.n == b.n && memcmp(a.p, b.p, a.n) == 0)
            return false;
    }
    return true;
}

static void join(struct run *r, struct job *j, struct db_conn *c)
{
    queue_take(j);
    j->conn = c;
    j->asked++;
    memcpy(r->params + r->n * j->n, j->params, j->n * sizeof(*j->params));
    r->jobs[r->n++] = j;
}

static void run(struct lane *l, unsigned i, struct job *first)
{
    struct run *r = &l->running[i];
    struct list *next = first->node.next;
    bool shared = can_share(l, first);

    join(r, first, l->conns[i]);
    while (shared && next != &l->queue && r->n < DB_MERGE_MAX) {
        struct job *j = LIST_ENTRY_OF(next, struct job, node);

        next = next->next;
        if (fits(l, r, j))
            join(r, j, l->conns[i]);
    }
    db_conn_ask(l->conns[i], first->stmt + (unsigned)r->n - 1, r->params, r->n * first->n);
}

/* The first question that may go out now. */
static struct job *next_job(const struct lane *l)
{
    bool shared = false;
    unsigned waiting = 0;
    uint64_t now = clock_mono_ms();

    for (unsigned i = 0; i < l->n; i++)
        shared = shared || (l->running[i].n > 0 && can_share(l, l->running[i].jobs[0]));
    LIST_EACH(node, &l->queue)
    {
        struct job *j = LIST_ENTRY_OF(node, struct job, node);

        if (!shared || now >= j->company_ms || !can_share(l, j))
            return j;
        if (++waiting == DB_MERGE_MAX)
            return LIST_ENTRY_OF(l->queue.next, struct job, node);
    }
    return NULL;
}

/* Those who wait for a connection need no timer: its end of work comes. */
static void await_company(struct lane *l)
{
    const struct job *first = LIST_ENTRY_OF(l->queue.next, struct job, node);

    if (!list_empty(&l->queue) && !l->company.set && clock_mono_ms() < first->company_ms)
        timer_at(&l->company, first->company_ms);
}

/* Give the queue to idle connections; start a connection for each question that is left over. */
static void pump(struct lane *l)
{
    size_t coming = 0, wanted;
    struct job *j;

    for (unsigned i = 0; i < l->n && (j = next_job(l)) != NULL; i++) {
        if (db_conn_is_idle(l->conns[i]))
            run(l, i, j);
    }
    await_company(l);
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
    timer_init(&l->company, db->loop, on_retry, l);
    l->conns = mem_array(n, sizeof(struct db_conn *));
    l->running = mem_array(n, sizeof(struct run));
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
    j->company_ms = clock_mono_ms() + COMPANY_MS;
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
            for (size_t j = 0; j < l->running[i].n; j++)
                job_free(l->running[i].jobs[j]);
            db_conn_free(l->conns[i]);
        }
        mem_free(l->conns);
        mem_free(l->running);
        timer_fini(&l->retry);
        timer_fini(&l->company);
    }
    evdns_base_free(db->dns, 0);
    mem_free(db);
}
