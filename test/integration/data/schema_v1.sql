-- A database of schema version 1 of both programs, with data; made with pg_dump --inserts from the programs of that time.
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
CREATE SCHEMA acts;
CREATE SCHEMA users;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE acts.act (
    id_key text NOT NULL COLLATE pg_catalog."C",
    id text NOT NULL,
    category_id bigint NOT NULL,
    seq bigint NOT NULL,
    ts bigint NOT NULL,
    upvotes bigint DEFAULT 0 NOT NULL,
    username text NOT NULL,
    caption text NOT NULL,
    image text NOT NULL
)
WITH (fillfactor='90');
ALTER TABLE ONLY acts.act ALTER COLUMN image SET STORAGE EXTERNAL;
ALTER TABLE acts.act ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME acts.act_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE acts.category (
    id bigint NOT NULL,
    key bytea NOT NULL,
    name text NOT NULL
);
ALTER TABLE acts.category ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME acts.category_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE acts.migration (
    version bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE acts.pulse (
    shard bigint NOT NULL,
    hits bigint NOT NULL,
    seen timestamp with time zone NOT NULL
)
WITH (fillfactor='20');
CREATE TABLE users.account (
    id bigint NOT NULL,
    key bytea NOT NULL,
    name text NOT NULL,
    password bytea NOT NULL
);
ALTER TABLE users.account ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME users.account_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE users.migration (
    version bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE users.pulse (
    shard bigint NOT NULL,
    hits bigint NOT NULL,
    seen timestamp with time zone NOT NULL
)
WITH (fillfactor='20');
INSERT INTO acts.act OVERRIDING SYSTEM VALUE VALUES ('701', '701', 1, 1, 20230202000000, 0, 'meera', 'number
0', 'd2Fsa2VkIGEgc3RyYW5nZXIgaG9tZQ==');
INSERT INTO acts.act OVERRIDING SYSTEM VALUE VALUES ('703', '703', 1, 3, 20230301000000, 0, 'meera', 'number
2', 'd2Fsa2VkIGEgc3RyYW5nZXIgaG9tZQ==');
INSERT INTO acts.act OVERRIDING SYSTEM VALUE VALUES ('#760f5d1508b1b288f85fab51d3634f6ec888128aee57e89af8f4e6577676961f', '9999999999999999999999999999999999999999999999999999999999999999999999', 3, 4, 20241105235907, 0, 'meera', 'any', 'd2Fsa2VkIGEgc3RyYW5nZXIgaG9tZQ==');
INSERT INTO acts.act OVERRIDING SYSTEM VALUE VALUES ('702', '702', 1, 2, 20240131000000, 2, 'meera', 'number
1', 'd2Fsa2VkIGEgc3RyYW5nZXIgaG9tZQ==');
INSERT INTO acts.category OVERRIDING SYSTEM VALUE VALUES (1, '\x2d1dee5101e7a9f32a53117732aa0cc1a8a255ba388ac99e4555e93ca851d046', 'tree care');
INSERT INTO acts.category OVERRIDING SYSTEM VALUE VALUES (2, '\x2e1cfa82b035c26cbbbdae632cea070514eb8b773f616aaeaf668e2f0be8f10d', 'empty');
INSERT INTO acts.category OVERRIDING SYSTEM VALUE VALUES (3, '\x2f3c90ae1ae12b9416e8551367fe5e6ad40eadb123a8a29faa83e80a8788c0ec', 'o''ld "name" ಕ');
INSERT INTO acts.migration VALUES (1, '2026-11-25 12:42:51.580249+00');
INSERT INTO acts.pulse VALUES (21, 10, '2026-11-25 12:42:51.683213+00');
INSERT INTO users.account OVERRIDING SYSTEM VALUE VALUES (1, '\x177b773d483d3fe541cd127ca95b62d7099e80651206c6ab7d6aa63eaa3bdc2c', 'meera', '\xd56224b0b0949fab9a2d2f4d6ad0da84deebc172');
INSERT INTO users.account OVERRIDING SYSTEM VALUE VALUES (2, '\x52c69260fb9bd262cadcdff79a83f59c5e28b3f734ae7f276c6cc3106d2ee579', 'ರವಿ', '\xd56224b0b0949fab9a2d2f4d6ad0da84deebc172');
INSERT INTO users.migration VALUES (1, '2026-11-25 12:42:51.607933+00');
INSERT INTO users.pulse VALUES (23, 4, '2026-11-25 12:42:51.631299+00');
SELECT pg_catalog.setval('acts.act_seq_seq', 4, true);
SELECT pg_catalog.setval('acts.category_id_seq', 3, true);
SELECT pg_catalog.setval('users.account_id_seq', 2, true);
ALTER TABLE ONLY acts.act
    ADD CONSTRAINT act_pkey PRIMARY KEY (id_key);
ALTER TABLE ONLY acts.category
    ADD CONSTRAINT category_key_key UNIQUE (key);
ALTER TABLE ONLY acts.category
    ADD CONSTRAINT category_pkey PRIMARY KEY (id);
ALTER TABLE ONLY acts.migration
    ADD CONSTRAINT migration_pkey PRIMARY KEY (version);
ALTER TABLE ONLY acts.pulse
    ADD CONSTRAINT pulse_pkey PRIMARY KEY (shard);
ALTER TABLE ONLY users.account
    ADD CONSTRAINT account_key_key UNIQUE (key);
ALTER TABLE ONLY users.account
    ADD CONSTRAINT account_pkey PRIMARY KEY (id);
ALTER TABLE ONLY users.migration
    ADD CONSTRAINT migration_pkey PRIMARY KEY (version);
ALTER TABLE ONLY users.pulse
    ADD CONSTRAINT pulse_pkey PRIMARY KEY (shard);
CREATE INDEX act_order ON acts.act USING btree (category_id, ts DESC, seq DESC);
ALTER TABLE ONLY acts.act
    ADD CONSTRAINT act_category_id_fkey FOREIGN KEY (category_id) REFERENCES acts.category(id) ON DELETE CASCADE;
