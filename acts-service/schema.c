#include "acts-service/schema.h"

#include "common/base/log.h"
#include "common/base/mem.h"

enum { MIGRATE_MS = 20 * 1000, AGAIN_MS = 500 };

struct schema {
    struct db *db;
    unsigned stmt_version, stmt_migrate;
    int64_t version;
    bool ready, busy, migrated;
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

static void on_version(void *arg, const struct db_reply *r) /* db_done_fn */
{
    struct schema *s = arg;
    bool none = r->status == DB_FAULT; /* no such table: a fresh database */

    s->busy = false;
    if (r->status == DB_OK && db_rows(r) == 1 && db_int(r, 0, 0) >= s->version) {
        if (db_int(r, 0, 0) > s->version)
            log_warn("schema is newer than this program", "schema=%lld program=%lld",
                     (long long)db_int(r, 0, 0), (long long)s->version);
        s->migrated = false;
        set_ready(s, true);
    } else if ((r->status == DB_OK || none) && !s->migrated) {
        set_ready(s, false);
        s->busy = true;
        db_ask(s->db, DB_SIDE, s->stmt_migrate, NULL, 0, MIGRATE_MS, on_migrated, s);
    } else { /* away, or the migration did not bring what it should: no tight loop */
        s->migrated = false;
        try_again(s);
    }
}

void schema_check(struct schema *s)
{
    if (s->busy)
        return;
    s->busy = true;
    timer_clear(&s->again);
    db_ask(s->db, DB_SIDE, s->stmt_version, NULL, 0, 0, on_version, s);
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
