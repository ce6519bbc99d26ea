#!/usr/bin/python3
"""What users of other proxies reported, tried on lbd; docs/field-cases.md says which report is proved by which test."""
import os
import socket
import struct
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lbd_kit import Backend, Lbd, until  # noqa: E402
from lbd_test import Case, ok  # noqa: E402

GET = b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n"
RESET = struct.pack("ii", 1, 0)


def in_parallel(n, fn):
    """[fn(0), ... fn(n - 1)], all at once."""
    out = [None] * n

    def run(i):
        out[i] = fn(i)

    ts = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for t in ts:
        t.start()
    for t in ts:
        t.join()
    return out


class Retries(Case):
    def setUp(self):
        super().setUp()
        self.all_came = threading.Event()

    def reads_and_resets(self, name, served, together=1):
        """Resets each request when `together` have come to all such backends; a repeated one somewhat later."""
        def serve(p, n):
            r = served[name].read_request(p)
            if r is None:
                return
            targets = [x.target for b in served.values() for x in b.requests]
            if len(set(targets)) >= together:
                all_came.set()
            all_came.wait(20)
            if targets.count(r.target) > 1:
                time.sleep(1)
            p.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

        all_came = self.all_came
        served[name] = self.backend(name, serve=serve)
        return served[name]

    def test_the_budget_holds_when_everything_fails(self):
        """Repeating everything would double the load on what is failing already."""
        served = {}
        bs = [self.reads_and_resets(x, served, together=60) for x in "abcd"]
        self.lbd.push(bs)
        before = self.lbd.service()["retries"]
        answers = in_parallel(60, lambda i: self.lbd.get("/api/v1/%d" % i))
        self.assertEqual({a.status for a in answers}, {502})
        total = sum(len(b.requests) for b in bs)
        self.assertGreater(total, 60)
        self.assertLess(total, 60 + 30)  # a fifth of 60, or what one of four backends had, in each worker
        self.assertEqual(self.lbd.service()["retries"] - before, total - 60)

    def test_a_post_that_was_read_is_executed_once(self):
        served = {}
        bs = [self.reads_and_resets(x, served) for x in "ab"]
        self.lbd.push(bs)
        answers = in_parallel(10, lambda i: self.lbd.get("/api/v1/%d" % i, "POST", body=b"order"))
        self.assertEqual({a.status for a in answers}, {502})
        got = sorted(r.target for b in bs for r in b.requests)
        self.assertEqual(got, sorted("/api/v1/%d" % i for i in range(10)))

    def test_a_get_is_repeated_once_elsewhere(self):
        served = {}
        bad = self.reads_and_resets("bad", served)
        good = self.backend("good")
        self.lbd.push([bad, good])
        self.assertEqual([self.lbd.get().body for _ in range(4)], [b"good"] * 4)
        self.assertGreaterEqual(len(bad.requests), 1)

    def test_a_post_meets_a_pooled_connection_that_closes(self):
        """It may fail, but it is never there twice."""
        delay = 0.02
        self.only_closing_after(delay)
        c = self.client()
        answered = 0
        for i in range(200):
            c.send(b"POST /api/v1/%d HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nhi" % i)
            a = c.answer()
            self.assertIn(a.status, (200, 502))
            answered += a.status == 200
            if a.get("connection") == "close":
                c = self.client()
            time.sleep(delay + (i % 21 - 10) * 0.0002)
        targets = [r.target for r in self.cur.requests]
        self.assertEqual(len(targets), len(set(targets)))
        self.assertGreaterEqual(len(targets), answered)
        self.assertGreater(answered, 100)


class Passive(Case):
    def test_some_errors_never_take_the_only_backend_out(self):
        """Every twentieth request is reset, every twentieth answered 500: nobody else may notice."""
        def serve(p, n):
            while True:
                r = self.cur.read_request(p)
                if r is None:
                    return
                i = int(r.target.rsplit("/", 1)[1])
                if i % 20 == 7:
                    p.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    return
                p.send(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n" if i % 20 == 13 else ok())

        self.cur = self.only(serve=serve)
        c = self.client()
        for i in range(200):
            c.send(b"POST /api/v1/%d HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nhi" % i)
            a = c.answer()
            self.assertEqual(a.status, {7: 502, 13: 500}.get(i % 20, 200), i)
            if a.get("connection") == "close":
                c = self.client()
        self.assertEqual(len(self.cur.requests), 200)

    def test_all_refuse_and_come_back(self):
        """What was refused a moment ago is tried all the same when there is nothing else."""
        dead = [self.backend(x) for x in "abc"]
        self.lbd.push(dead)
        for b in dead:
            b.close()
        for _ in range(10):
            self.assertEqual(self.lbd.get().status, 502)
        for b in dead:
            self.backend("back", port=b.port)
        self.assertEqual([self.lbd.get(method=m, body=b"x").status for m in ("GET", "POST") * 5], [200] * 10)

    def test_one_of_two_leaves_by_the_table_and_gets_nothing(self):
        one, two = self.backend("one"), self.backend("two")
        self.lbd.push([one, two])
        self.assertEqual({self.lbd.get().body for _ in range(4)}, {b"one", b"two"})
        self.lbd.push([two])
        had = len(one.requests)
        self.assertEqual({self.lbd.get().body for _ in range(20)}, {b"two"})
        self.assertEqual(len(one.requests), had)


class Framing(Case):
    def test_trailers_in_the_same_and_in_a_later_packet(self):
        body = bytes(range(256)) * 40

        def serve(p, n):
            while True:
                r = self.cur.read_request(p)
                if r is None:
                    return
                head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
                chunks = b"".join(b"%x\r\n%s\r\n" % (1024, body[i:i + 1024]) for i in range(0, len(body), 1024))
                if r.target.endswith("same"):
                    p.send(head + chunks + b"0\r\nX-Sum: 1\r\n\r\n")
                else:
                    p.send(head + chunks)
                    time.sleep(0.02)
                    p.send(b"0\r\nX-Su")
                    time.sleep(0.02)
                    p.send(b"m: 1\r\n\r\n")

        self.cur = self.only(serve=serve)
        c = self.client()
        for target in ("same", "later", "same", "later"):
            c.send(b"GET /api/v1/%s HTTP/1.1\r\nHost: t\r\n\r\n" % target.encode())
            a = c.answer()
            self.assertEqual((a.status, a.body, a.whole), (200, body, True), target)
        self.assertEqual(self.cur.connections, 1)

    def test_the_log_names_why_an_answer_was_refused(self):
        for raw, why in (
                (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", "length-and-coding"),
                (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "coding")):
            self.only(fn=lambda r, raw=raw: raw)
            before = len(self.lbd.log())
            a = self.lbd.get()
            self.assertEqual((a.status, a.whole), (502, True))
            until("the reason in the log", lambda: b"reason=bad-answer" in self.lbd.log()[before:])
            line = [x for x in self.lbd.log()[before:].decode().splitlines() if "bad-answer" in x][0]
            self.assertRegex(line, {"length-and-coding": r"(?i)content-length.*transfer-encoding",
                                    "coding": r"(?i)transfer"}[why])

    def test_a_head_of_a_mebibyte(self):
        self.only()
        c = self.client()
        try:
            c.send(b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n" + (b"X-Big: " + b"v" * 1000 + b"\r\n") * 1040 + b"\r\n")
        except OSError:
            pass  # refused before it was all sent
        self.assertEqual(c.answer().status, 431)


class Rotation(unittest.TestCase):
    def test_an_unchanged_table_again_and_again(self):
        """Each request on its own connection, with the table pushed in between: no backend is ahead by more than one."""
        for workers in (1, 2, 3, 8):
            with self.subTest(workers=workers):
                bs = [Backend(x) for x in "ABC"]
                lbd = Lbd(workers=workers)
                try:
                    for i in range(61):
                        lbd.push(bs)
                        self.assertEqual(lbd.get().status, 200)
                        counts = [len(b.requests) for b in bs]
                        self.assertLessEqual(max(counts) - min(counts), 1, (i, counts))
                finally:
                    code = lbd.stop()
                    for b in bs:
                        b.close()
                self.assertEqual(code, 0)


class NoBackend(Case):
    def test_before_the_first_table_and_without_backends(self):
        a = self.lbd.get()
        self.assertEqual((a.status, a.get("retry-after")), (503, "1"))
        good = self.backend("good")
        self.lbd.push(None, services=[
            dict(self.lbd.services([])[0], name="empty", routes=[{"prefix": "/api/v1/empty"}], retry_after_s=7),
            dict(self.lbd.services([good])[0], name="app")])
        a = self.lbd.get("/api/v1/empty/x")
        self.assertEqual((a.status, a.get("retry-after")), (503, "7"))
        self.assertEqual(self.lbd.get("/api/v1/x").body, b"good")
        self.assertEqual(self.lbd.get("/other").status, 404)


if __name__ == "__main__":
    unittest.main(verbosity=2)
