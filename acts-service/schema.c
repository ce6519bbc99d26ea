#include "acts-service/schema.h"

#include "common/base/log.h"
#include "common/base/mem.h"

enum { MIGRATE_MS = 20 * 1000, AGAIN_MS = 500 };

struct schema {
    struct db *db;
    unsigned stmt_version, stmt_migrate;
    int64_t version;
    bool ready, busy, migrated;
    int64_t told; /* the version that was complained of last */
    struct timer again;
    void (*changed)(void *arg, bool ready);
    void *arg;
};

static void set_ready(struct schema *s, bool ready)
{
    if (s->ready == ready)
        return;
    s->ready = ready;
    s->changed(s->arg, ready);
}

static void try_again(struct schema *s)
{
    set_ready(s, false);
    timer_in(&s->again, AGAIN_MS);
}

static void on_migrated(void *arg, const struct db_reply *r) /* db_done_fn */
{
    struct schema *s = arg;

    s->busy = false;
    s->migrated = r->status == DB_OK;
    if (r->status == DB_OK) {
        log_info("schema migrated", "version=%lld", (long long)s->version);
        schema_check(s);
    } else {
        try_again(s);
    }
}

/* A schema of this version or a newer one: may we serve on it? */
static bool may_serve(struct schema *s, int64_t version, int64_t needs)
{
    bool ok = needs <= s->version;

    if (version == s->version || version == s->told)
        return ok;
    s->told = version;
    if (ok)
        log_warn("schema is newer than this program",
                 "schema=%lld program=%lld action=\"served: it only adds\"", (long long)version,
                 (long long)s->version);
    else
        log_error(
            "schema is too new for this program",
            "schema=%lld needs=%lld program=%lld action=\"nothing is served: start the image that "
            "made this schema, or a newer one\"",
            (long long)version, (long long)needs, (long long)s->version);
    return ok;
}

static void on_version(void *arg, const struct db_reply *r) /* db_done_fn */
{
    struct schema *s = arg;
    bool none =
        r->status == DB_FAULT; /* no such table or column: a fresh database, or an old one */

    s->busy = false;
    if (r->status == DB_OK && db_rows(r) == 1 && db_int(r, 0, 0) >= s->version) {
        s->migrated = false;
        if (may_serve(s, db_int(r, 0, 0), db_int(r, 0, 1)))
            set_ready(s, true);
        else
            try_again(s);
    } else if ((r->status == DB_OK || none) && !s->migrated) {
        set_ready(s, false);
        s->busy = db_ask(s->db, DB_SIDE, s->stmt_migrate, NULL, 0, MIGRATE_MS, on_migrated, s);
        if (!s->busy)
            try_again(s);
    } else { /* away, or the migration did not bring what it should: no tight loop */
        s->migrated = false;
        try_again(s);
    }
}

void schema_check(struct schema *s)
{
    if (s->busy)
        return;
    timer_clear(&s->again);
    s->busy = db_ask(s->db, DB_SIDE, s->stmt_version, NULL, 0, 0, on_version, s);
    if (!s->busy)
        try_again(s);
}

static void on_again(void *arg) /* timer */
{
    schema_check(arg);
}

static void on_side_up(void *arg) /* db_keep_side */
{
    schema_check(arg);
}

struct schema *schema_new(struct loop *l, struct db *db, unsigned stmt_version,
                          unsigned stmt_migrate, int64_t version,
                          void (*changed)(void *arg, bool ready), void *arg)
{
    struct schema *s = mem_zalloc(sizeof(*s));

    *s = (struct schema){.db = db,
                         .stmt_version = stmt_version,
                         .stmt_migrate = stmt_migrate,
                         .version = version,
                         .changed = changed,
                         .arg = arg};
    timer_init(&s->again, l, on_again, s);
    db_keep_side(db, on_side_up, s);
    return s;
}

void schema_free(struct schema *s)
{
    if (s == NULL)
        return;
    timer_fini(&s->again);
    mem_free(s);
}

bool schema_is_ready(const struct schema *s)
{
    return s->ready;
}
