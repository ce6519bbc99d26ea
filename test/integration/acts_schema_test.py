#!/usr/bin/python3
"""The database's schema over the versions of acts and users: nothing, an older one with data, a newer one.

Usage: acts_schema_test.py PATH-OF-ACTS [unittest arguments]     (users is beside acts)
"""
import os
import subprocess
import unittest

import acts_test
from acts_test import Acts, Ids, Users, act, quote, wait_for
from lib import contract

OLD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data/schema_v1.sql")
LONG = "9" * 70
OLD_NAME = "o'ld \"name\" ಕ"


def shape(database):
    """Tables, columns, indexes and settings, for comparing two databases."""
    return acts_test.PG.psql(
        "SELECT table_schema, table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns "
        "WHERE table_schema IN ('acts', 'users') ORDER BY 1, 2, 3; "
        "SELECT schemaname, indexname, indexdef FROM pg_indexes WHERE schemaname IN ('acts', 'users') ORDER BY 1, 2; "
        "SELECT relname, reloptions FROM pg_class WHERE relnamespace::regnamespace::text IN ('acts', 'users') ORDER BY 1; "
        "SELECT 'versions', array_agg(version ORDER BY version) FROM acts.migration", database)


class Schema(unittest.TestCase):
    def setUp(self):
        self.name = self.id().rsplit(".", 1)[1]
        acts_test.PG.psql(f"CREATE DATABASE {self.name}", database="postgres")
        self.running = []

    def tearDown(self):
        for p in self.running:
            if p.proc.poll() is None:
                p.stop()
        acts_test.PG.psql(f"DROP DATABASE {self.name} WITH (FORCE)", database="postgres")

    def old(self):
        with open(OLD, encoding="utf-8") as f:
            subprocess.run(["psql", "-h", acts_test.PG.dir, "-p", str(acts_test.PG.port), "-U", "app", "-d", self.name, "-q",
                            "-v", "ON_ERROR_STOP=1"], stdin=f, check=True, stdout=subprocess.DEVNULL,
                           env={"PGPASSWORD": acts_test.PASSWORD, "PATH": os.environ["PATH"]})
        self.assertEqual(self.sql("SELECT max(version) FROM acts.migration"), "1")

    def sql(self, text):
        return acts_test.PG.psql(text, database=self.name)

    def start(self, n, kind=Acts):
        more = {f"{kind.prefix}_DB_NAME": self.name, f"{kind.prefix}_DB_POOL": "1"}
        started = [kind(acts_test.PG, wait=False, **more) for _ in range(n)]
        self.running += started
        return started

    def all_well(self, programs):
        for p in programs:
            wait_for("healthy", lambda p=p: p.get(p.health).status in (200, 204), 30)

    def stop(self, programs):
        self.assertEqual([p.stop() for p in programs], [0] * len(programs))

    def test_from_the_version_before_ten_at_once(self):
        self.old()
        ten, users = self.start(10), self.start(2, Users)
        self.all_well(ten + users)
        self.assertEqual(self.sql("SELECT version, needs FROM acts.migration ORDER BY 1"), "1|1\n2|1")
        self.assertEqual(self.sql("SELECT version, needs FROM users.migration ORDER BY 1"), "1|1\n2|1")
        self.assertEqual([a.text() for a in ten if "database error" in a.text()], [], "waiting for each other is no failure")
        for a in ten[::3]:  # the data is what it was
            self.assertEqual(a.get("/categories").json, {"tree care": 3, "empty": 0, OLD_NAME: 1})
            got = a.get("/categories/tree%20care/acts").json
            self.assertEqual([(x["actId"], x["upvotes"], x["caption"], x["timestamp"]) for x in got],
                             [(702, 2, "number\n1", "31-01-2024:00-00-00"), (703, 0, "number\n2", "01-03-2023:00-00-00"),
                              (701, 0, "number\n0", "02-02-2023:00-00-00")])
            self.assertIn(f'"actId": {LONG},', a.get(f"/categories/{quote(OLD_NAME)}/acts").body.decode())
            self.assertEqual(a.get("/acts/count").json, [4])
        self.assertEqual(users[1].get("/users").json, ["meera", "ರವಿ"])
        # And it is a database like others: unique, newest last in, deletable.
        self.assertEqual(ten[0].post("/acts", act(702, "empty")).status, 400)
        self.assertEqual(ten[1].post("/acts", act(Ids.new(), "empty")).status, 201)
        self.assertEqual(ten[2].post("/acts/upvote", f"[{LONG}]").status, 200)
        self.assertEqual(ten[3].delete("/categories/tree%20care").status, 200)
        self.assertEqual(users[0].post("/users", {"username": "meera", "password": contract.SHA1}).status, 400)
        self.stop(ten + users)

    def test_from_nothing_and_from_the_version_before_end_alike(self):
        fresh = self.name + "_fresh"
        acts_test.PG.psql(f"CREATE DATABASE {fresh}", database="postgres")
        try:
            self.old()
            both = self.start(1) + self.start(1, Users)
            both += [Acts(acts_test.PG, ACTS_DB_NAME=fresh), Users(acts_test.PG, USERS_DB_NAME=fresh)]
            self.running += both[2:]
            self.all_well(both)
            self.assertEqual(shape(self.name), shape(fresh))
            self.stop(both)
        finally:
            acts_test.PG.psql(f"DROP DATABASE {fresh} WITH (FORCE)", database="postgres")

    def test_a_newer_schema_is_refused_by_name(self):
        for kind, schema in ((Acts, "acts"), (Users, "users")):
            with self.subTest(program=schema):
                (p,) = self.start(1, kind)
                self.all_well([p])
                self.stop([p])
                # One that only adds is served: the container that brought it runs beside the older ones.
                self.sql(f"INSERT INTO {schema}.migration (version, needs) VALUES (3, 2)")
                (p,) = self.start(1, kind)
                self.all_well([p])
                self.assertIn("schema is newer than this program: schema=3 program=2", p.text())
                # One that needs a newer program arrives while this one runs, and is noticed with the next connection.
                self.sql(f"INSERT INTO {schema}.migration (version, needs) VALUES (4, 4)")
                self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                         "AND pid <> pg_backend_pid()")
                path = "/categories" if kind is Acts else "/users"
                wait_for("refused", lambda p=p, path=path: p.get(path).status == 503)
                wait_for("said", lambda p=p: "schema is too new for this program: schema=4 needs=4 program=2" in p.text())
                if kind is Acts:
                    self.assertEqual(p.get("/_health").status, 500)
                self.assertEqual(p.text().count("too new"), 1, "said once, not at every look")
                self.assertEqual(self.sql(f"SELECT max(version) FROM {schema}.migration"), "4")
                # Gone again (a restored database): it serves without a restart.
                self.sql(f"DELETE FROM {schema}.migration WHERE version > 2")
                self.all_well([p])
                self.stop([p])

    def test_killed_in_the_middle_of_a_migration(self):
        """It is one transaction: the next one begins where the version before left off."""
        self.old()
        lock = subprocess.Popen(["psql", "-h", acts_test.PG.dir, "-p", str(acts_test.PG.port), "-U", "app", "-d", self.name,
                                 "-qc", "BEGIN", "-c", "LOCK acts.act", "-c", "SELECT pg_sleep(120)"],
                                env={"PGPASSWORD": acts_test.PASSWORD, "PATH": os.environ["PATH"]},
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for("locked", lambda: self.sql("SELECT count(*) FROM pg_locks WHERE relation = 'acts.act'::regclass "
                                                "AND mode = 'AccessExclusiveLock' AND granted") == "1")
            (a,) = self.start(1)
            wait_for("it migrates", lambda: self.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
                                                     "AND application_name = 'acts'") != "0")
            self.assertEqual(a.get("/_health").status, 500)
            a.proc.kill()
            a.proc.wait(20)
            # Its session does not notice as long as it waits; it ends first, the lock after it.
            ours = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'acts'"
            self.sql(f"SELECT pg_terminate_backend(pid) {ours}")
            wait_for("its session is over", lambda: self.sql(f"SELECT count(*) {ours}") == "0")
        finally:
            self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                     "AND pid <> pg_backend_pid()")
            lock.wait(20)
        self.assertEqual(self.sql("SELECT max(version) FROM acts.migration"), "1")
        (a,) = self.start(1)
        self.all_well([a])
        self.assertEqual(self.sql("SELECT max(version) FROM acts.migration"), "2")
        self.assertEqual(a.get("/acts/count").json, [4])
        self.stop([a])


if __name__ == "__main__":
    acts_test.main()
