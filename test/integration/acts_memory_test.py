#!/usr/bin/python3
"""acts and users while allocations fail: each one in turn, and all from some one on, over every route of the contract.

Usage: acts_memory_test.py PATH-OF-ACTS PATH-OF-ALLOC-FAULTS [unittest arguments]
       (users is beside acts; without a library to load, "-", both are linked with the faults)

Whatever fails, the client gets the right answer, or 500, or 503 (the database's connection was lost by it), or no
answer at all; never another; and the process lives and serves the next request. What was answered with 201 is there.
In a sanitizer's build the exit looks for leaks."""
import http.client
import itertools
import json
import mmap
import os
import struct
import sys
import tempfile
import threading
import time
import unittest

import acts_test
from acts_test import API, Acts, Users, act, quote, wait_for
from lib import contract

SHIM = None
FOR_EVER = 1 << 62
SHOTS_MAX = 200_000  # allocations of one request; a login to the database alone makes 25 000 (SCRAM)
PICTURE = "QUJD" * 25_000


class Faults:
    """The place that the programs read before each allocation."""
    FORMAT = "<QQQQ"

    def __init__(self):
        fd, self.path = tempfile.mkstemp(prefix="acts-faults-")
        os.ftruncate(fd, struct.calcsize(self.FORMAT))
        self.map = mmap.mmap(fd, struct.calcsize(self.FORMAT))
        os.close(fd)

    def set(self, first, last):
        self.map[:] = struct.pack(self.FORMAT, 0, first, last, 0)

    def failed(self):
        return struct.unpack(self.FORMAT, self.map[:])[3]

    def clear(self):
        """No more faults; how many there were."""
        n = self.failed()
        self.set(0, 0)
        return n

    def env(self):
        return {"ALLOC_FAULTS": self.path, **({"LD_PRELOAD": SHIM} if SHIM != "-" else {})}

    def close(self):
        self.map.close()
        os.unlink(self.path)


def shot(server, method, path, body=None):
    """(status, body), or (0, b"") when the connection was closed instead."""
    try:
        got = server.call(method, path, body, timeout=60)
        return got.status, got.body
    except (http.client.HTTPException, ConnectionError):
        return 0, b""


class Case(unittest.TestCase):
    ALL_AFTER = ("health", "list", "upload", "large upload", "categories", "names", "add")

    @classmethod
    def setUpClass(cls):
        cls.u_faults, cls.a_faults = Faults(), Faults()
        cls.users = Users(acts_test.PG, **cls.u_faults.env())
        assert cls.users.post("/users", {"username": "meera", "password": contract.SHA1}).status in (201, 400)
        cls.acts = cls.start_acts()
        cls.numbers = itertools.count(1)
        cls.uploaded = []

    @classmethod
    def start_acts(cls):
        return Acts(acts_test.PG, ACTS_USERS_URL=f"http://127.0.0.1:{cls.users.port}", ACTS_USERS_TIMEOUT_MS="20000",
                    ACTS_DB_TIMEOUT_MS="20000", ACTS_HEALTH_TIMEOUT_MS="20000", **cls.a_faults.env())

    @classmethod
    def tearDownClass(cls):
        try:
            for server in (cls.acts, cls.users):
                with open(server.log_path, encoding="utf-8") as log:
                    assert server.stop() == 0
                    text = log.read()
                assert "reserve_used=0" in text, text[-300:]
        finally:
            cls.a_faults.close()
            cls.u_faults.close()

    def is_well(self, server):
        self.assertIsNone(server.proc.poll(), server.text()[-3000:])
        for path in (server.health, server.main):
            wait_for("it serves again", lambda p=path: server.get(p).status == 200, 60)

    def sweep(self, server, faults, name, request, want, check=None, last=None, step=1):
        """request(n) is (method, path, body), prepared without faults; want its status."""
        k = 0
        while k < SHOTS_MAX:
            k += max(step, k // 6 if step > 1 else 1)
            n = next(self.numbers)
            method, path, body = request(n)
            faults.set(k, k + 1 if last is None else last)
            status, got = shot(server, method, path, body)
            failed = faults.clear()
            self.assertIn(status, (want, 500, 503, 0), f"{name}, allocation {k}: {got[:200]}")
            self.is_well(server)
            if status == want and check is not None:
                check(n, got)
            if failed == 0:
                self.assertEqual(status, want, f"{name}: {k} allocations, none failed: {got[:200]}")
                return k - 1
        self.fail(f"{name}: no end")

    def every(self, server, faults, routes):
        for name, request, want, check in routes:
            with self.subTest(route=name):
                n = self.sweep(server, faults, name, request, want, check)
                if name in self.ALL_AFTER:
                    self.sweep(server, faults, name + " and all after", request, want, check, FOR_EVER, 4)
                self.assertGreater(n, 5, "the faults are not seen")

    def fixed(self, method, path, body=None):
        return lambda n: (method, path, body)


def same(want):
    def check(_, got):
        assert got == want, (got, want)
    return check


class ActsRoutes(Case):
    """acts, one request after the other."""

    def new_category(self, n):
        assert self.acts.post("/categories", [f"c{n}"]).status == 201
        return f"c{n}"

    def new_act(self, n, **more):
        assert self.acts.post("/acts", act(n, "memory", **more)).status == 201
        return n

    def keep(self, n, _):
        self.uploaded.append(n)

    def test_each_allocation(self):
        get = self.acts.get
        for name in ("memory", "read"):
            self.assertEqual(self.acts.post("/categories", [name]).status, 201)
        for n in range(3):
            self.assertEqual(self.acts.post("/acts", act(f"9{n}", "read", caption="\n\"")).status, 201)
        listed = "/categories/read/acts"
        self.every(self.acts, self.a_faults, [
            ("root", self.fixed("GET", "/"), 200, None),
            ("health", self.fixed("GET", "/_health"), 200, None),
            ("count", self.fixed("GET", "/_count"), 200, None),
            ("count reset", self.fixed("DELETE", "/_count"), 200, None),
            ("preflight", self.fixed("OPTIONS", "/acts"), 204, None),
            ("unknown", self.fixed("GET", "/nothing"), 404, None),
            ("wrong method", self.fixed("DELETE", "/acts/upvote"), 405, None),
            ("list", self.fixed("GET", listed), 200, same(get(listed).body)),
            ("range", self.fixed("GET", listed + "?start=2&end=3"), 200, same(get(listed + "?start=2&end=3").body)),
            ("bad range", self.fixed("GET", listed + "?start=2"), 400, None),
            ("empty list", self.fixed("GET", "/categories/none/acts"), 204, None),
            ("size", self.fixed("GET", listed + "/size"), 200, same(b"[3]")),
            ("upload", lambda n: ("POST", "/acts", act(n, "memory", caption="any")), 201, self.keep),
            ("large upload", lambda n: ("POST", "/acts", act(n, "memory", imgB64=PICTURE)), 201, self.keep),
            ("bad upload", self.fixed("POST", "/acts", "{"), 400, None),
            ("unknown user", lambda n: ("POST", "/acts", act(n, "memory", username="nobody")), 400, None),
            ("upvote", self.fixed("POST", "/acts/upvote", f"[{self.new_act(next(self.numbers))}]"), 200, None),
            ("remove", lambda n: ("DELETE", f"/acts/{self.new_act(n)}", None), 200, None),
            ("total", self.fixed("GET", "/acts/count"), 200, None),
            ("category", lambda n: ("POST", "/categories", [f"new {n}"]), 201, None),
            ("remove category", lambda n: ("DELETE", f"/categories/{self.new_category(n)}", None), 200, None),
            ("categories", self.fixed("GET", "/categories"), 200, lambda n, got: json.loads(got)["read"]),
        ])
        there = set(acts_test.PG.psql("SELECT id FROM acts.act").split())
        self.assertGreater(len(self.uploaded), 10)
        self.assertEqual([n for n in self.uploaded if str(n) not in there], [])


class ActsLong(Case):
    """acts: long answers, the crash flag, and no memory at all."""

    def test_long_list(self):
        """More than comes at once: the acts are sent one by one, and an answer may be cut off, but never whole and wrong."""
        self.assertEqual(self.acts.post("/categories", ["long"]).status, 201)
        first = 5_000_000
        for n in range(3):
            self.assertEqual(self.acts.post("/acts", act(first + n, "long", imgB64="QUJD" * 750_000)).status, 201)
        want = self.acts.get("/categories/long/acts").body
        self.sweep(self.acts, self.a_faults, "long list", self.fixed("GET", "/categories/long/acts"), 200, same(want),
                   None, 3)
        self.sweep(self.acts, self.a_faults, "long list and all after", self.fixed("GET", "/categories/long/acts"), 200,
                   same(want), FOR_EVER, 9)
        self.assertEqual(self.acts.delete("/categories/long").status, 200)

    def test_crash(self):
        """The flag is set if, and only if, it was answered so."""
        for k in itertools.count(1, 3):
            self.a_faults.set(k, k + 1)
            status, _ = shot(self.acts, "POST", "/_crash")
            failed = self.a_faults.clear()
            self.assertIn(status, (200, 500, 503, 0))
            self.assertIsNone(self.acts.proc.poll())
            crashed = self.acts.get("/_health").status == 500
            if status == 200:
                self.assertTrue(crashed)
            if crashed:
                self.assertEqual([self.acts.get(p).status for p in ("/", "/categories", "/_health")], [500] * 3)
                self.assertEqual(self.acts.stop(), 0)
                type(self).acts = self.start_acts()
            if failed == 0:
                return

    def test_no_memory_for_a_while(self):
        """No allocation at all works while many clients ask; afterwards everything does."""
        stop, seen = threading.Event(), set()
        self.assertEqual(self.acts.post("/categories", ["storm"]).status, 201)

        def client(i):
            while not stop.is_set():
                method, path, body = [("GET", "/categories/storm/acts", None), ("GET", "/_health", None),
                                      ("POST", "/acts", act(6_000_000 + i, "storm", imgB64=PICTURE))][i % 3]
                seen.add(shot(self.acts, method, path, body)[0])

        threads = [threading.Thread(target=client, args=(i,)) for i in range(24)]
        for t in threads:
            t.start()
        try:
            for _ in range(4):
                self.a_faults.set(1, FOR_EVER)
                wait_for("faults", lambda: self.a_faults.failed() > 300, 60)
                time.sleep(0.2)
                self.a_faults.clear()
                time.sleep(0.1)
        finally:
            stop.set()
            for t in threads:
                t.join(120)
        self.assertLessEqual(seen, {0, 200, 201, 204, 400, 500, 503})
        self.assertIn(500, seen)
        self.is_well(self.acts)
        self.assertEqual(self.acts.post("/acts", act(6_000_100, "storm")).status, 201)
        self.assertEqual({self.acts.get("/categories/storm/acts").status for _ in range(100)}, {200})


class UsersRoutes(Case):
    """users, and acts while its question to users finds no memory over there."""

    def new_user(self, n):
        assert self.users.post("/users", self.user(n)).status == 201
        return f"user {n}"

    def user(self, n):
        return {"username": f"user {n}", "password": contract.SHA1}

    def test_each_allocation(self):
        self.every(self.users, self.u_faults, [
            ("root", self.fixed("GET", "/"), 200, None),
            ("names", self.fixed("GET", "/users"), 200, lambda n, got: json.loads(got).index("meera")),
            ("add", lambda n: ("POST", "/users", self.user(n)), 201, None),
            ("bad", self.fixed("POST", "/users", "[]"), 400, None),
            ("remove", lambda n: ("DELETE", "/users/" + quote(self.new_user(n)), None), 200, None),
            ("count", self.fixed("GET", "/_count"), 200, None),
            ("count reset", self.fixed("DELETE", "/_count"), 200, None),
            ("wrong method", self.fixed("PUT", "/users"), 405, None),
        ])

    def test_asked_by_acts(self):
        self.assertEqual(self.acts.post("/categories", ["asked"]).status, 201)
        for k in itertools.count(1, 4):
            self.u_faults.set(k, k + 1)
            status, _ = shot(self.acts, "POST", "/acts", act(7_000_000 + k, "asked"))
            if self.u_faults.clear() == 0:
                break
            self.assertIn(status, (201, 503))
            self.is_well(self.users)


def main():
    global SHIM
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    SHIM = sys.argv.pop(2)
    acts_test.main()


if __name__ == "__main__":
    main()
