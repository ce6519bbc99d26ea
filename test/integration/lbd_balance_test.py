#!/usr/bin/python3
"""How lbd chooses backends: every policy, weights, slow start and the sticky cookie, over two workers and raw sockets."""
import collections
import os
import shutil
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lbd_kit import Backend, Lbd, until  # noqa: E402

HOUR_MS = 3600000


class Slow(Backend):
    """Answers what is below /hold when it is released, all else at once (or after a pause)."""

    def __init__(self, name, pause=0.0):
        self.released, self.held, self.pause = threading.Event(), 0, pause
        super().__init__(name, self.answer)

    def answer(self, req):
        if "/hold" in req.target:
            with self.lock:
                self.held += 1
            self.released.wait(60)
        elif self.pause > 0:
            time.sleep(self.pause)  # the backend works
        return self.plain(req)


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lbd = Lbd(workers=2)

    @classmethod
    def tearDownClass(cls):
        code, log = cls.lbd.stop(), cls.lbd.log().decode()
        shutil.rmtree(cls.lbd.dir, ignore_errors=True)
        if code != 0 or "Sanitizer" in log or "runtime error" in log:
            raise AssertionError("lbd ended with %s:\n%s" % (code, log))

    def setUp(self):
        self.closing = []

    def tearDown(self):
        for x in self.closing:
            if isinstance(x, Slow):
                x.released.set()
            x.close()

    def backends(self, n, **kw):
        made = [Slow("abcdefgh"[i], **kw) for i in range(n)]
        self.closing += made
        return made

    def push(self, backends, weights=(), **balance):
        specs = [b.spec(i) for i, b in enumerate(backends)]
        for spec, w in zip(specs, weights):
            spec["weight"] = w
        self.lbd.push(specs, balance=balance)

    def client(self):
        c = self.lbd.client()
        self.closing.append(c)
        return c

    def ask(self, client, target="/api/v1/x", headers=""):
        client.send(("GET %s HTTP/1.1\r\nHost: t\r\n%s\r\n" % (target, headers)).encode())
        answer = client.answer()
        self.assertEqual(answer.status, 200)
        return answer

    def names(self, n, headers=lambda i: ""):
        """Who answered n requests, one after the other on eight connections, so that both workers have some."""
        clients = [self.client() for _ in range(8)]
        return [self.ask(clients[i % 8], headers=headers(i)).body.decode() for i in range(n)]

    def counts(self, n, headers=lambda i: ""):
        return collections.Counter(self.names(n, headers))

    def settle(self, n):
        """Wait until so many requests are in flight: an answer may be here before lbd has counted its end."""
        until("%d in flight" % n, lambda: self.lbd.service()["in_flight"] == n, 30)

    def hold(self, backends, headers=""):
        """A request that stays; returns the backend that has it."""
        before = [b.held for b in backends]
        c = self.client()
        c.send(("GET /api/v1/hold HTTP/1.1\r\nHost: t\r\n%s\r\n" % headers).encode())
        until("a backend has the request", lambda: [b.held for b in backends] != before, 30)
        return [b for b, n in zip(backends, before) if b.held != n][0]


class Policies(Case):
    def test_round_robin_is_exact(self):
        self.push(self.backends(3))
        names = self.names(30)
        for i in range(27):
            self.assertEqual(names[i], names[i + 3], names)
        self.assertEqual(len(set(names[:3])), 3)

    def test_weighted_round_robin_is_exact_and_smooth(self):
        self.push(self.backends(3), weights=(5, 1, 1))
        names = "".join(self.names(70))
        self.assertIn("aabacaa" * 9, names * 2)

    def test_the_place_in_the_rotation_outlives_a_push(self):
        three = self.backends(3)
        self.push(three)
        seen = ""
        for i in range(12):
            seen += self.names(1)[0]
            self.push(three, policy="least_in_flight" if i % 2 else "round_robin")
        self.assertIn(seen, "abcabcabcabcabc")

    def test_least_in_flight(self):
        three = self.backends(3)
        self.push(three, policy="least_in_flight")
        got = self.counts(30)
        self.assertGreater(min(got[b.name] for b in three), 7, got)  # while all are idle: in turn
        self.settle(0)
        busy = self.hold(three)
        got = self.counts(40)
        self.assertLess(got[busy.name], 3, got)  # 13 in turn
        self.assertGreater(min(got[b.name] for b in three if b is not busy), 10, got)
        self.settle(1)
        others = [self.hold(three), self.hold(three)]
        self.assertEqual({b.name for b in [busy] + others}, {"a", "b", "c"})
        for b in three:
            b.released.set()

    def test_least_in_flight_by_weight(self):
        two = self.backends(2)
        self.push(two, weights=(1, 3), policy="least_in_flight")
        for _ in range(8):
            self.hold(two)
        self.assertEqual([b.held for b in two], [2, 6])

    def test_two_choices(self):
        two = self.backends(2)
        self.push(two, policy="two_choices")
        got = self.counts(100)
        self.assertGreater(min(got["a"], got["b"]), 20, got)
        self.settle(0)
        busy = self.hold(two)
        self.assertLess(self.counts(40)[busy.name], 5, "the less busy of the two")

    def test_peak_ewma(self):
        fast, slow = self.backends(1)[0], Slow("slow", pause=1.0)
        self.closing.append(slow)
        self.push([fast, slow], policy="peak_ewma")
        self.names(20)
        self.assertLess(self.counts(40)["slow"], 4)

    def test_peak_ewma_avoids_what_fails_fast(self):
        good = Slow("good", pause=0.05)
        bad = Backend("bad", lambda req: None)  # closes without an answer
        self.closing += [good, bad]
        self.push([good, bad], policy="peak_ewma")
        self.assertEqual(self.counts(30)["good"], 30)  # repeated elsewhere
        self.assertLess(len(bad.requests), 6)

    def test_hash_keeps_keys_together(self):
        four = self.backends(4)
        for by, header in (("header", "X-User: %d\r\n"), ("cookie", "Cookie: x=y; X-User=%d; z=0\r\n"),
                           ("address", "X-Forwarded-For: 9.9.9.9, 192.0.2.%d\r\n")):
            more = {} if by == "address" else {"hash_name": "X-User"}
            self.push(four, policy="hash", hash_by=by, **more)
            first = self.names(60, lambda i, h=header: h % i)
            self.assertEqual(self.names(60, lambda i, h=header: h % i), first, by)
            self.assertEqual(set(first), {"a", "b", "c", "d"})
            self.lbd.push([b.spec(i) for i, b in enumerate(four) if b.name != "b"],
                          balance=dict(policy="hash", hash_by=by, **more))
            after = self.names(60, lambda i, h=header: h % i)
            for was, is_now in zip(first, after):
                self.assertTrue(is_now == was or was == "b", (by, was, is_now))
            self.assertNotIn("b", after)

    def test_hash_without_the_key_goes_in_turn(self):
        self.push(self.backends(3), policy="hash", hash_by="header", hash_name="X-User")
        self.assertEqual(set(self.counts(30).values()), {10})

    def test_hash_with_a_load_bound(self):
        three = self.backends(3)
        self.push(three, policy="hash", hash_by="header", hash_name="X-User", load_bound_milli=1000)
        for _ in range(6):
            self.hold(three, "X-User: hot\r\n")
        self.assertEqual([b.held for b in three], [2, 2, 2])

    def test_hash_without_a_load_bound(self):
        three = self.backends(3)
        self.push(three, policy="hash", hash_by="header", hash_name="X-User")
        for _ in range(6):
            self.hold(three, "X-User: hot\r\n")
        self.assertEqual(sorted(b.held for b in three), [0, 0, 6])

    def test_a_repeated_request_goes_elsewhere(self):
        good, bad = self.backends(1)[0], Backend("bad", lambda req: None)
        self.closing.append(bad)
        for policy in ("round_robin", "least_in_flight", "two_choices", "peak_ewma", "hash"):
            self.push([good, bad], policy=policy)
            self.assertEqual(self.counts(12, lambda i: "X-Forwarded-For: 192.0.2.%d\r\n" % i)["a"], 12, policy)


class SlowStart(Case):
    def test_who_joins_begins_with_little(self):
        three = self.backends(3)
        for policy in ("round_robin", "least_in_flight", "two_choices"):
            self.push([], policy=policy)
            self.push(three[:2], policy=policy, slow_start_ms=HOUR_MS)
            self.assertGreater(min(self.counts(40).values()), 8, "the first ones are whole at once")
            self.push(three, policy=policy, slow_start_ms=HOUR_MS)
            got = self.counts(210)
            self.assertLess(got["c"], 35, (policy, got))  # 7 to 10 are due, 70 without slow start
            if policy != "two_choices":  # which might really draw it never
                self.assertGreater(got["c"], 0, (policy, got))
            self.push(three, policy=policy, slow_start_ms=1)
            self.assertGreater(self.counts(210)["c"], 30, policy)

    def test_it_is_over_in_time(self):
        three = self.backends(3)
        self.push([])
        self.push(three[:2], slow_start_ms=300)
        self.push(three, slow_start_ms=300)
        until("a whole share", lambda: set(self.counts(9).values()) == {3}, 30)


class Sticky(Case):
    def cookie(self, answer, name="lb"):
        values = [v for k, v in answer.headers if k == "set-cookie" and v.startswith(name + "=")]
        self.assertLessEqual(len(values), 1)
        return values[0].split(";")[0] if values else None

    def give(self, cookie):
        return "Cookie: a=b; %s; c=d\r\n" % cookie

    def test_attributes(self):
        self.push(self.backends(2), sticky="lb", sticky_path="/api", sticky_same_site="Strict", sticky_secure=True)
        value = dict(self.ask(self.client()).headers)["set-cookie"]
        self.assertRegex(value, r"^lb=[0-9a-f]{32}; Path=/api; HttpOnly; SameSite=Strict; Secure$")
        self.push(self.backends(2), sticky="lb")
        value = dict(self.ask(self.client()).headers)["set-cookie"]
        self.assertRegex(value, r"^lb=[0-9a-f]{32}; Path=/; HttpOnly; SameSite=Lax$")

    def test_a_client_stays(self):
        self.push(self.backends(3), sticky="lb")
        cookies = {}
        for _ in range(3):
            a = self.ask(self.client())
            cookies[a.body] = self.cookie(a)
        self.assertEqual(len(cookies), 3)
        for _ in range(4):
            for body, cookie in cookies.items():
                a = self.ask(self.client(), headers=self.give(cookie))
                self.assertEqual((a.body, self.cookie(a)), (body, None))
        # with what the application sets itself, and on other statuses and methods
        self.assertEqual(self.counts(9), {"a": 3, "b": 3, "c": 3})

    def test_what_means_nothing_is_ignored(self):
        b = self.backends(2)
        app = self.lbd.services([x.spec(i) for i, x in enumerate(b)], balance={"sticky": "lb"})[0]
        other = dict(app, name="other", routes=[{"prefix": "/other"}])
        self.lbd.push(None, services=[app, other])
        foreign = self.cookie(self.ask(self.client(), "/other/x"))
        mine = self.cookie(self.ask(self.client()))
        for bad in (foreign, mine[:-1] + ("0" if mine[-1] != "0" else "1"), mine + "0", mine[:-1], "lb=", "lb", "lb=a",
                    mine.upper(), "LB" + mine[2:], "lb=" + "0" * 32):
            seen = set()
            for _ in range(4):
                a = self.ask(self.client(), headers=self.give(bad))
                self.assertIsNotNone(self.cookie(a), bad)
                seen.add(a.body)
            self.assertEqual(len(seen), 2, bad)  # the policy chose
        # the good one counts, whatever stands before it
        self.assertIsNone(self.cookie(self.ask(self.client(), headers=self.give(foreign + "; " + mine))))

    def test_an_instance_that_is_replaced(self):
        three = self.backends(3)
        self.push(three, sticky="lb")
        a = self.ask(self.client())
        cookie, old = self.cookie(a), [b for b in three if b.name == a.body.decode()][0]
        slot = three.index(old)
        specs = [b.spec(i, "new" if i == slot else None) for i, b in enumerate(three)]  # on the same port
        self.lbd.push(specs, balance={"sticky": "lb"})
        fresh = self.cookie(self.ask(self.client(), headers=self.give(cookie)))
        self.assertIsNotNone(fresh)
        self.assertNotEqual(fresh, cookie)
        before = len(old.requests)
        self.lbd.push([s for i, s in enumerate(specs) if i != slot], balance={"sticky": "lb"})
        for _ in range(6):
            self.assertIsNotNone(self.cookie(self.ask(self.client(), headers=self.give(cookie))))
        self.assertEqual(len(old.requests), before, "never a gone one")

    def test_an_instance_that_refuses(self):
        two = self.backends(2)
        self.push(two, sticky="lb")
        a = self.ask(self.client())
        cookie, home = self.cookie(a), [b for b in two if b.name == a.body.decode()][0]
        home.close()
        a = self.ask(self.client(), headers=self.give(cookie))
        self.assertNotEqual(a.body.decode(), home.name)
        moved = self.cookie(a)
        self.assertIsNotNone(moved)
        self.assertIsNone(self.cookie(self.ask(self.client(), headers=self.give(moved))))

    def test_with_other_policies_and_other_cookies(self):
        both = b"HTTP/1.1 201 Made\r\nSet-Cookie: app=1; Path=/\r\nContent-Length: 2\r\n\r\nhi"
        b = Backend("app", lambda req: both)
        self.closing.append(b)
        for policy in ("least_in_flight", "two_choices", "peak_ewma", "hash"):
            self.push([b], policy=policy, sticky="lb")
            c = self.client()
            c.send(b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nhi")
            a = c.answer()
            self.assertEqual((a.status, a.body, a.whole), (201, b"hi", True))
            self.assertEqual([v.split("=")[0] for k, v in a.headers if k == "set-cookie"], ["app", "lb"])


class Restart(unittest.TestCase):
    def test_cookies_outlive_lbd(self):
        three = [Backend(n) for n in "abc"]
        lbd = Lbd(workers=2)
        try:
            lbd.push(three, balance={"sticky": "lb"})
            cookies = {}
            for _ in range(3):
                a = lbd.get()
                cookies[a.body] = a.get("set-cookie").split(";")[0]
            self.assertEqual(len(cookies), 3)
            self.assertEqual(lbd.stop(), 0)
            key = os.path.join(lbd.dir, "state", "sticky.key")
            self.assertEqual(os.stat(key).st_mode & 0o777, 0o600)
            lbd = Lbd(workers=1, directory=lbd.dir, port=lbd.port)  # from its saved table
            for _ in range(2):
                for body, cookie in cookies.items():
                    a = lbd.get(headers="Cookie: %s\r\n" % cookie)
                    self.assertEqual((a.body, a.get("set-cookie")), (body, None))
            self.assertEqual(lbd.stop(), 0)
            with open(key, "w", encoding="ascii") as f:
                f.write("broken\n")
            lbd = Lbd(workers=1, directory=lbd.dir, port=lbd.port)
            self.assertIn(b"remove the file", lbd.log())
            for cookie in cookies.values():
                a = lbd.get(headers="Cookie: %s\r\n" % cookie)
                self.assertEqual(a.status, 200)
                self.assertIsNotNone(a.get("set-cookie"))
        finally:
            if lbd.proc.poll() is None:
                lbd.stop()
            for b in three:
                b.close()
            shutil.rmtree(lbd.dir, ignore_errors=True)


if __name__ == "__main__":
    unittest.main(verbosity=1)
