#ifndef ACTS_ACTS_SCHEMA_H
#define ACTS_ACTS_SCHEMA_H

/* The schema of acts, version by version. A version that was released never changes; a new one is a
 * new DO block at the end, only adds, and raises ACTS_SCHEMA_VERSION. The script runs as one
 * transaction; the number of the lock is "acts" in ASCII.
 *
 * id is text: numbers beyond 64 bits come back exactly. ts is the number of check_ts(). Images are
 * base64 already, which PostgreSQL's compression cannot shrink: stored out of line and
 * uncompressed. */
enum { ACTS_SCHEMA_VERSION = 2 };

#define ACTS_SCHEMA_SQL                                                                            \
    "SELECT pg_advisory_xact_lock(1633907827);"                                                    \
    "CREATE SCHEMA IF NOT EXISTS acts;"                                                            \
    "CREATE TABLE IF NOT EXISTS acts.migration (version bigint PRIMARY KEY,"                       \
    " at timestamptz NOT NULL DEFAULT now());"                                                     \
    "DO $$ BEGIN IF NOT EXISTS (SELECT FROM acts.migration WHERE version = 1) THEN "               \
    "CREATE TABLE acts.category ("                                                                 \
    " id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"                                         \
    " key bytea NOT NULL UNIQUE,"                                                                  \
    " name text NOT NULL);"                                                                        \
    "CREATE TABLE acts.act ("                                                                      \
    " id_key text COLLATE \"C\" PRIMARY KEY,"                                                      \
    " id text NOT NULL,"                                                                           \
    " category_id bigint NOT NULL REFERENCES acts.category ON DELETE CASCADE,"                     \
    " seq bigint GENERATED ALWAYS AS IDENTITY,"                                                    \
    " ts bigint NOT NULL,"                                                                         \
    " upvotes bigint NOT NULL DEFAULT 0,"                                                          \
    " username text NOT NULL,"                                                                     \
    " caption text NOT NULL,"                                                                      \
    " image text NOT NULL) WITH (fillfactor = 90);"                                                \
    "ALTER TABLE acts.act ALTER COLUMN image SET STORAGE EXTERNAL;"                                \
    "CREATE INDEX act_order ON acts.act (category_id, ts DESC, seq DESC);"                         \
    "CREATE TABLE acts.pulse ("                                                                    \
    " shard bigint PRIMARY KEY,"                                                                   \
    " hits bigint NOT NULL,"                                                                       \
    " seen timestamptz NOT NULL) WITH (fillfactor = 20);"                                          \
    "INSERT INTO acts.migration (version) VALUES (1);"                                             \
    "END IF; END $$;"                                                                              \
    "DO $$ BEGIN IF NOT EXISTS (SELECT FROM acts.migration WHERE version = 2) THEN "               \
    "ALTER TABLE acts.migration ADD COLUMN needs bigint NOT NULL DEFAULT 1;"                       \
    "ALTER TABLE acts.act SET (autovacuum_vacuum_insert_threshold = 1000, "                        \
    "autovacuum_vacuum_insert_scale_factor = 0.05);"                                               \
    "INSERT INTO acts.migration (version, needs) VALUES (2, 1);"                                   \
    "END IF; END $$;"

#endif
