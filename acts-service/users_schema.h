#ifndef ACTS_USERS_SCHEMA_H
#define ACTS_USERS_SCHEMA_H

/* The schema of users, by the rules of acts_schema.h. It may live in the same database as that of
 * acts; neither program looks into the other's. The number of the lock is "user" in ASCII. */
enum { USERS_SCHEMA_VERSION = 2 };

#define USERS_SCHEMA_SQL                                                                           \
    "SELECT pg_advisory_xact_lock(1970496882);"                                                    \
    "CREATE SCHEMA IF NOT EXISTS users;"                                                           \
    "CREATE TABLE IF NOT EXISTS users.migration (version bigint PRIMARY KEY,"                      \
    " at timestamptz NOT NULL DEFAULT now());"                                                     \
    "DO $$ BEGIN IF NOT EXISTS (SELECT FROM users.migration WHERE version = 1) THEN "              \
    "CREATE TABLE users.account ("                                                                 \
    " id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"                                         \
    " key bytea NOT NULL UNIQUE,"                                                                  \
    " name text NOT NULL,"                                                                         \
    " password bytea NOT NULL);"                                                                   \
    "CREATE TABLE users.pulse ("                                                                   \
    " shard bigint PRIMARY KEY,"                                                                   \
    " hits bigint NOT NULL,"                                                                       \
    " seen timestamptz NOT NULL) WITH (fillfactor = 20);"                                          \
    "INSERT INTO users.migration (version) VALUES (1);"                                            \
    "END IF; END $$;"                                                                              \
    "DO $$ BEGIN IF NOT EXISTS (SELECT FROM users.migration WHERE version = 2) THEN "              \
    "ALTER TABLE users.migration ADD COLUMN needs bigint NOT NULL DEFAULT 1;"                      \
    "INSERT INTO users.migration (version, needs) VALUES (2, 1);"                                  \
    "END IF; END $$;"

#endif
