#!/usr/bin/python3
"""The whole picture: lbd's path rule, users, and acts that asks users at each upload; the contract row by row, at the
containers themselves and through lbd."""
import json
import threading
import time

from lib import case, client, contract, engine
from lib.stack import ACTS_IMAGE, POSTGRES_IMAGE, USERS_IMAGE, Stack, until

API = contract.API
IMAGES = (ACTS_IMAGE, USERS_IMAGE, POSTGRES_IMAGE)


class Contract(case.Case):
    """Every row of the contract, twice: one container directly, then three of them through lbd."""

    build = staticmethod(lambda: Stack(acts={"scale": "{ min: 3, max: 3 }"}, users={}))
    images = IMAGES

    def walk(self, ports):
        faults, seen = contract.walk(contract.table(), ports)
        self.assertEqual(faults, [], f"{len(faults)} of {len(seen)} rows")
        return seen

    def test_every_row_and_the_same_answers_through_lbd(self):
        s = self.stack
        first = s.host_first
        direct = self.walk({"acts": first, "acts!": first, "users": s.users_port, "users!": s.users_port})
        before = s.lbd_stats("acts")
        through = self.walk({"acts": s.port, "acts!": first, "users": s.port, "users!": s.users_port})
        self.assertGreater(len(direct), 500)
        for a, b in zip(direct, through):
            self.assertEqual(a[1:], b[1:], f"row '{a[0]}'")
        after = s.lbd_stats("acts")
        counts = [after[slot] - before.get(slot, 0) for slot in after]
        self.assertEqual(len(counts), 3)
        self.assertLessEqual(max(counts) - min(counts), 1, "not by turns")

    def test_every_container_answers_the_same_count(self):
        s = self.stack
        s.direct(s.host_first, "DELETE", API + "/_count")
        for _ in range(6):
            s.get(API + "/categories")
        for port in sorted(s.ids()):
            self.assertEqual(json.loads(s.direct(port, "GET", API + "/_count").body), [6])

    def test_crash_of_one_of_three(self):
        s = self.stack
        port = s.host_first + 1
        old = s.ids()[port]
        self.assertEqual(s.post(API + "/categories", b'["before"]').status, 201)
        self.assertEqual(s.direct(port, "POST", API + "/_crash").status, 200)
        for method, path in (("GET", "/_health"), ("GET", "/categories"), ("POST", "/acts"), ("PUT", "/acts"),
                             ("POST", "/_crash"), ("OPTIONS", "/acts"), ("GET", "/nothing")):
            try:
                got = s.direct(port, method, API + path)
            except (OSError, client.HttpError):
                break  # it has been stopped already
            if port in s.ids() and s.ids()[port] == old:
                self.assertEqual(got.status, 500, f"{method} {path}")
        for other in (s.host_first, s.host_first + 2):
            self.assertEqual(s.direct(other, "GET", API + "/_health").status, 200)
        until(lambda: s.ids().get(port, old) != old, 20, "replaced")
        self.assertEqual(json.loads(s.direct(port, "GET", API + "/categories").body), {"before": 0})


class Picture(case.Case):
    """One of each behind the path rule, with the check of users on."""

    build = staticmethod(lambda: Stack(users={}, acts={
        "scale": "{ min: 2, max: 10, every: 10m, per: 20, ignore: [/api/v1/_health, /api/v1/_crash] }"}))
    images = IMAGES

    def count(self):
        return json.loads(self.stack.direct(self.stack.users_port, "GET", API + "/_count").body)[0]

    def total(self):
        return json.loads(self.stack.get(API + "/acts/count").body)[0]

    def upload(self, number, user):
        return self.stack.post(API + "/acts", contract.act(number, username=user).encode())

    def register(self, name):
        body = json.dumps({"username": name, "password": contract.SHA1}).encode()
        self.assertEqual(self.stack.post(API + "/users", body).status, 201)

    @classmethod
    def prepare(cls):
        assert cls.stack.post(API + "/categories", b'["tree care"]').status == 201

    def test_uploads_need_a_user_and_ask_once(self):
        self.register("ravi")
        self.stack.direct(self.stack.users_port, "DELETE", API + "/_count")
        total = self.total()
        self.assertEqual(self.upload(1, "nobody").status, 400)
        self.assertEqual(self.count(), 1)
        self.assertEqual(self.upload(1, "ravi").status, 201)
        self.assertEqual(self.upload(1, "ravi").status, 400)  # asked again: nothing is remembered
        self.assertEqual(self.count(), 3)
        self.assertEqual(self.stack.post(API + "/acts", b"broken").status, 400)
        for path in ("/categories", "/categories/tree%20care/acts", "/categories/tree%20care/acts/size", "/acts/count",
                     "/_health"):
            self.assertEqual(self.stack.get(API + path).status, 200)
        self.assertEqual(self.stack.post(API + "/acts/upvote", b"[1]").status, 200)
        self.assertEqual(self.count(), 3, "only uploads ask")
        self.assertEqual(self.total(), total + 1)

    def test_counters_are_apart(self):
        """Four and four through the path rule, as the course counts them."""
        s = self.stack
        self.register("apart")
        for port in (s.host_first, s.users_port):
            self.assertEqual(s.direct(port, "DELETE", API + "/_count").status, 200)
        for _ in range(4):
            self.assertEqual(s.get(API + "/users").status, 200)
            self.assertEqual(s.get(API + "/categories").status, 200)
        for port in (s.host_first, s.host_first + 1, s.users_port):
            self.assertEqual(json.loads(s.direct(port, "GET", API + "/_count").body), [4])
        self.assertEqual(s.get(API + "/usersx").status, 404)  # no word of users: acts has no such route

    def test_requests_of_users_do_not_scale_acts(self):
        s = self.stack
        s.reset("acts")
        for _ in range(50):
            s.get(API + "/users")
        before = sum(s.lbd_stats("acts").values())
        self.assertEqual(s.get(API + "/users/none").status, 405)
        self.assertEqual(sum(s.lbd_stats("acts").values()), before)
        s.get(API + "/categories")
        until(lambda: s.svc("acts")["scaling"]["count"] == 1, 5, "acts' own request is counted, and no other")

    def test_users_away(self):
        s = self.stack
        self.register("left")
        total = self.total()
        (container,) = s.ours("users")
        engine.pause(container["Id"])
        begin = time.monotonic()
        got = self.upload(2, "left")
        self.assertEqual(got.status, 503, got)
        self.assertEqual(got.get("Retry-After"), "1")
        self.assertLess(time.monotonic() - begin, 5)
        self.assertEqual(self.total(), total, "stored without a user")
        self.assertEqual(s.get(API + "/_health").status, 200, "acts is well without users")
        until(lambda: s.ids("users").get(s.users_port) not in (None, container["Id"]), 60, "users is replaced")
        s.wait_ok(30)
        until(lambda: self.upload(2, "left").status == 201, 10, "uploads again")
        self.assertEqual(self.total(), total + 1)

    def collect(self, category):
        """All act ids of a category, in ranges as a leaderboard would."""
        path = f"{API}/categories/{category}/acts"
        size = json.loads(self.stack.get(path + "/size").body)[0]
        ids = []
        for start in range(1, size + 1, 100):
            got = self.stack.get(f"{path}?start={start}&end={min(start + 99, size)}")
            self.assertEqual(got.status, 200)
            ids += [a["actId"] for a in json.loads(got.body)]
        self.assertEqual(len(set(ids)), size)
        return ids

    def test_no_answered_upload_is_lost_with_the_database(self):
        """The container of PostgreSQL is killed under load, twice: every 201 is there afterwards."""
        s = self.stack
        self.register("durable")
        self.assertEqual(s.post(API + "/categories", b'["durable"]').status, 201)
        stored, other, stop = [], set(), threading.Event()

        def load(first):
            number, conn = first, None
            while not stop.is_set():
                number += 1
                body = contract.act(number, username="durable", categoryName="durable").encode()
                try:
                    conn = conn or client.Conn(s.port, timeout=20)
                    status = conn.request("POST", API + "/acts", body).status
                    if conn.must_close:
                        conn.close()
                        conn = None
                except (OSError, client.HttpError):
                    status, conn = 0, None
                if status == 201:
                    stored.append(number)
                else:
                    other.add(status)
                    stop.wait(0.02)
            if conn is not None:
                conn.close()

        threads = [threading.Thread(target=load, args=(k * 1000000,), daemon=True) for k in range(1, 5)]
        for t in threads:
            t.start()
        try:
            for _ in range(2):
                before = len(stored)
                until(lambda n=before: len(stored) > n + 50, 30, "uploads")
                (database,) = s.ids("postgres").values()
                engine.kill(database)
                until(lambda d=database: s.ids("postgres") and d not in s.ids("postgres").values(), 40, "another database")
            before = len(stored)
            until(lambda: len(stored) > before + 50, 40, "uploads again")
        finally:
            stop.set()
            for t in threads:
                t.join(30)
        s.wait_ok(60)
        there = set(self.collect("durable"))
        self.assertEqual([n for n in stored if n not in there], [])
        self.assertLessEqual(other - {0}, {500, 502, 503, 504})

    def test_what_stands_in_docker_ps(self):
        """The course counts containers by the lines with the word."""
        def line(c):
            names = " ".join(c["Names"])
            return f"{c['Image']} {c['Command']} {names}".replace(self.stack.project, "")
        for c in self.stack.ours():
            service = c["Labels"]["lbctl.service"]
            self.assertEqual("acts" in line(c), service == "acts", line(c))
            self.assertEqual("users" in line(c), service == "users", line(c))


if __name__ == "__main__":
    case.main()
