#!/usr/bin/python3
"""lbd's access log and counters on raw sockets: what is written for which end, rotation, a reader that sleeps."""
import json
import os
import re
import signal
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lbd_kit import CONF, Lbd, free_port, until  # noqa: E402
from lbd_test import Case, ok  # noqa: E402

LINE = re.compile(r'^(\S+Z) (\S+) "(.*)" (\d+) (\d+)/(\d+) (\S+)/(\S+)/(\S+) (\S+)/(\S+)/(\S+)/(\S+)/(\S+) (\S\S) (\S+) (\d+) (\d+) -$')
NAMES = ("time client request status bytes_in bytes_out service slot instance head pick connect first total code cause "
         "retries generation").split()


class LogCase(Case):
    """One worker; lines() are those that came since the test began."""
    workers = 1
    form = "text"

    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="lbd-log-", dir="/tmp")
        cls.path = os.path.join(cls.dir, "access.log")
        port = free_port()
        conf = "access_log: %s\naccess_log_format: %s\n" % (cls.path, cls.form) + CONF % port
        cls.lbd = Lbd(workers=cls.workers, conf=conf, directory=cls.dir, port=port)
        cls.lbd.push([])

    def setUp(self):
        super().setUp()
        self.seen = self.count = 0
        self.barrier()
        self.seen = self.count

    def read(self):
        with open(self.path, encoding="ascii") as f:
            rows = f.read().splitlines()
        self.count = len(rows)
        return rows[self.seen:]

    def barrier(self):
        """All lines before this request's are in the file when its own is."""
        mark = "/mark-%d" % time.monotonic_ns()
        self.assertEqual(self.lbd.get(mark).status, 404)
        until("line of " + mark, lambda: any(mark in x for x in self.read()))

    def lines(self):
        self.barrier()
        return [x for x in self.read() if "/mark-" not in x]

    def only_line(self):
        rows = self.lines()
        self.assertEqual(len(rows), 1, rows)
        m = LINE.match(rows[0])
        self.assertTrue(m, rows[0])
        return dict(zip(NAMES, m.groups()))


class Text(LogCase):
    def test_an_answered_request(self):
        b = self.only(fn=lambda r: (time.sleep(0.05), ok(b"x" * 1000))[1])
        raw = b"POST /api/v1/a?b=%22 HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\n0123456789"
        a = self.lbd.ask(raw)
        self.assertEqual(a.status, 200)
        row = self.only_line()
        self.assertEqual((row["client"], row["request"], row["status"]), ("127.0.0.1", "POST /api/v1/a?b=%22 HTTP/1.1", "200"))
        self.assertEqual(int(row["bytes_in"]), len(raw))
        self.assertGreater(int(row["bytes_out"]), 1000)
        self.assertEqual((row["service"], row["slot"], row["instance"]), ("app", "0", b.instance))
        self.assertEqual((row["code"], row["cause"], row["retries"]), ("--", "ok", "0"))
        self.assertEqual(int(row["generation"]), self.lbd.generation)
        self.assertGreaterEqual(float(row["first"]), 49)
        self.assertLess(float(row["connect"]), 40)
        total = sum(float(row[x]) for x in ("head", "pick", "connect", "first"))
        self.assertLess(abs(float(row["total"]) - total), 20)

    def test_bytes_of_chunks_and_a_pipeline(self):
        self.only(fn=lambda r: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        c = self.client()
        c.send(b"GET /api/v1/1 HTTP/1.1\r\nHost: t\r\n\r\n" * 3)
        for _ in range(3):
            self.assertEqual(c.answer().body, b"abc")
        rows = self.lines()
        self.assertEqual([LINE.match(x)[15] for x in rows], ["--"] * 3)
        self.assertEqual(len({LINE.match(x)[6] for x in rows}), 1)

    def refused(self):
        b = self.backend()
        self.lbd.push([b])
        b.close()
        return self.lbd.get().status

    def silent(self):
        self.only(serve=lambda p, n: (p.head(), time.sleep(2)), response_timeout_ms=200)
        return self.lbd.get(method="POST").status

    def closed(self):
        self.only(serve=lambda p, n: p.head())
        return self.lbd.get(method="POST").status

    def closed_in_the_middle(self):
        self.only(serve=lambda p, n: (p.head(), p.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")))
        c = self.client()
        c.send(b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n")
        try:
            while c.more():
                pass
        except ConnectionResetError:
            pass
        return 200

    def client_leaves(self):
        self.only(serve=lambda p, n: (p.head(), p.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"), p.more()))
        c = self.client()
        c.send(b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n")
        until("part of an answer", lambda: c.more() and b"abc" in c.buf)
        c.sock.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER: a reset
        c.close()
        until("end noticed", lambda: self.lbd.service()["in_flight"] == 0)
        return 200

    def half_a_head(self):
        c = self.client()
        c.send(b"GET /api/v1/x HTTP/1.1\r\nHo")
        c.close()
        return 0

    def plain(self, fn, raw=b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n"):
        self.only(fn=fn)
        return self.lbd.ask(raw).status

    def test_every_end_has_its_code(self):
        rows = [
            ("no route", lambda: self.lbd.get("/none").status, 404, "LR", "own"),
            ("bad request", lambda: self.plain(None, b"GET /api/v1/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400, "PR",
             "bad-request"),
            ("half a head", self.half_a_head, 0, "CR", "client-gone"),
            ("no backend", lambda: (self.lbd.push([]), self.lbd.get().status)[1], 503, "SQ", "no-backend"),
            ("refused", self.refused, 502, "SC", "refused"),
            ("no answer in time", self.silent, 504, "sH", "timeout"),
            ("closed before an answer", self.closed, 502, "SH", "reset"),
            ("nonsense", lambda: self.plain(lambda r: b"SMTP/1.1 hello\r\n\r\n"), 502, "PH", "bad-answer"),
            ("closed in the middle", self.closed_in_the_middle, 200, "SD", "reset"),
            ("client leaves", self.client_leaves, 200, "CD", "client-gone"),
            ("status page", lambda: self.lbd.get("/").status, 200, "--", "ok"),
        ]
        for name, run, status, code, cause in rows:
            with self.subTest(name):
                self.barrier()
                self.seen = self.count
                self.assertEqual(run(), status)
                row = self.only_line()
                self.assertEqual((row["status"], row["code"], row["cause"]), (str(status), code, cause))

    def test_retries_name_the_backend_that_answered(self):
        dead, good = self.backend("dead"), self.backend("good")
        self.lbd.push([dead, good])
        dead.close()
        for _ in range(2):
            self.assertEqual(self.lbd.get().status, 200)
        rows = [LINE.match(x) for x in self.lines()]
        self.assertEqual({(r[8], r[9], r[15]) for r in rows}, {("1", good.instance, "--")})
        self.assertEqual(sorted(r[17] for r in rows), ["0", "1"])

    def test_files_of_our_own_have_no_backend(self):
        with open(os.path.join(self.dir, "a.txt"), "wb") as f:
            f.write(b"hello")
        self.lbd.push(None, services=[{"name": "files", "routes": [{"prefix": "/f"}], "static": self.dir, "backends": []}])
        self.assertEqual(self.lbd.get("/f/a.txt").body, b"hello")
        row = self.only_line()
        self.assertEqual((row["service"], row["slot"], row["instance"], row["code"]), ("files", "-", "-", "--"))

    def test_foreign_bytes_stay_in_their_line(self):
        self.only()
        self.lbd.get('/api/v1/"x\\y')
        self.assertIn('GET /api/v1/\\x22x\\x5cy HTTP/1.1', self.only_line()["request"])

    def test_long_targets_are_cut(self):
        self.only()
        self.lbd.get("/api/v1/" + "z" * 5000)
        row = self.only_line()
        self.assertTrue(row["request"].endswith("z... HTTP/1.1"))
        self.assertLess(len(row["request"]), 1100)

    def test_rotation_loses_nothing(self):
        self.only()
        c = self.client()
        old = self.path + ".1"
        for i in range(300):
            c.send(b"GET /api/v1/r%d HTTP/1.1\r\nHost: t\r\n\r\n" % i)
            self.assertEqual(c.answer().status, 200)
            if i == 150:
                os.rename(self.path, old)
                self.lbd.proc.send_signal(signal.SIGUSR1)
                until("new file", lambda: os.path.exists(self.path))
        self.seen = 0
        self.barrier()
        with open(old, encoding="ascii") as f:
            both = f.read() + "\n".join(self.read())
        for i in range(300):
            self.assertEqual(both.count("/api/v1/r%d " % i), 1, i)
        self.assertEqual(os.stat(self.path).st_mode & 0o137, 0)

    def test_counters(self):
        self.only(fn=lambda r: (time.sleep(0.02), ok(b"y" * 100))[1])
        before = self.lbd.service()
        for _ in range(20):
            self.lbd.get()
        after = self.lbd.service()
        self.assertGreater(after["bytes_in"] - before["bytes_in"], 20 * 30)
        self.assertGreater(after["bytes_out"] - before["bytes_out"], 20 * 100)
        self.assertGreaterEqual(after["latency_p99_us"], 20000)
        self.assertGreaterEqual(after["latency_p99_us"], after["latency_p50_us"])
        self.assertEqual(self.lbd.stats()["log_dropped"], 0)


class Json(LogCase):
    form = "json"

    def test_members(self):
        b = self.only()
        self.lbd.get('/api/v1/"x')
        rows = [json.loads(x) for x in self.lines()]
        self.assertEqual(len(rows), 1)
        r = rows[0]
        self.assertEqual((r["method"], r["target"], r["minor"], r["status"]), ("GET", '/api/v1/"x', 1, 200))
        self.assertEqual((r["service"], r["slot"], r["instance"]), ("app", 0, b.instance))
        self.assertEqual((r["code"], r["cause"], r["retries"]), ("--", "ok", 0))
        self.assertGreaterEqual(r["total_ms"], r["first_ms"])

    def test_what_did_not_happen_is_null(self):
        self.lbd.push([])
        self.lbd.get()
        r = json.loads(self.lines()[0])
        self.assertEqual((r["pick_ms"], r["connect_ms"], r["first_ms"]), (None, None, None))
        self.assertNotIn("slot", r)


class Sleeping(unittest.TestCase):
    """The log is a pipe that nobody empties: requests must not notice."""

    def test_lines_are_dropped_and_counted(self):
        d = tempfile.mkdtemp(prefix="lbd-log-", dir="/tmp")
        fifo = os.path.join(d, "fifo")
        os.mkfifo(fifo)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        port = free_port()
        lbd = Lbd(workers=1, conf="access_log: %s\n" % fifo + CONF % port, directory=d, port=port)
        lbd.push([])
        try:
            c, n, rounds = lbd.client(), 100, 30
            raw = b"GET /none/%s HTTP/1.1\r\nHost: t\r\n\r\n" % (b"w" * 990) * n
            slowest = 0
            for _ in range(rounds):
                began = time.monotonic()
                c.send(raw)
                for _ in range(n):
                    self.assertEqual(c.answer().status, 404)
                slowest = max(slowest, time.monotonic() - began)
            self.assertLess(slowest, 1.5)
            until("drops counted", lambda: lbd.stats()["log_dropped"] > 0)
            until("drops told", lambda: b"access log lines dropped" in lbd.log())
            c.close()
            began = time.monotonic()
            self.assertEqual(lbd.stop(), 0)
            self.assertLess(time.monotonic() - began, 8)
        finally:
            os.close(reader)
            lbd.proc.kill()
            lbd.proc.wait()

    def test_a_file_that_cannot_be_opened_does_not_stop_traffic(self):
        port = free_port()
        lbd = Lbd(workers=1, conf="access_log: /nonexistent/x.log\n" + CONF % port, port=port)
        lbd.push([])
        try:
            self.assertEqual(lbd.get("/none").status, 404)
            self.assertIn(b"access log not written", lbd.log())
            until("drop counted", lambda: lbd.stats()["log_dropped"] == 1)
        finally:
            self.assertEqual(lbd.stop(), 0)


class Stderr(unittest.TestCase):
    def test_lines_between_events(self):
        port = free_port()
        lbd = Lbd(workers=2, conf="access_log: stderr\n" + CONF % port, port=port)
        lbd.push([])
        for _ in range(10):
            lbd.get("/none")
        self.assertEqual(lbd.stop(), 0)
        lines = lbd.log().decode().splitlines()
        self.assertEqual(len([x for x in lines if LINE.match(x)]), 10)


if __name__ == "__main__":
    unittest.main(verbosity=2)
