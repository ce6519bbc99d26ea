#!/usr/bin/python3
"""The codec's rules as both sides meet them: raw bytes, whole and byte by byte; sizes, line ends, clocks and the keeping of
connections as the configuration sets them."""
import os
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lbd_kit import CONF, Lbd, free_port, until  # noqa: E402
from lbd_test import Case, ok  # noqa: E402

GET = b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

REFUSED = [  # request -> status
    (400, b"GET /api/v1/x HTTP/1.1\r\nHost: a b\r\n\r\n"),
    (400, b"GET http://other/api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n"),
    (400, b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\nA: b\r\n\tc\r\n\r\n"),
    (400, b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\nContent-Length: 9999999999999999999\r\n\r\n"),
    (405, b"CONNECT t:443 HTTP/1.1\r\nHost: t:443\r\n\r\n"),
    (414, b"GET /api/v1/" + b"x" * 33000 + b" HTTP/1.1\r\nHost: t\r\n\r\n"),
    (431, b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\nA: " + b"x" * 33000 + b"\r\n\r\n"),
    (431, b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n" + b"A: b\r\n" * 100 + b"\r\n"),
    (501, b"M" * 65 + b" /api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n"),
    (505, b"GET /api/v1/x HTTP/1.2\r\nHost: t\r\n\r\n"),
    (505, b"GET /api/v1/x HTTP/3.0\r\nHost: t\r\n\r\n"),
    (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
]

BAD_ANSWERS = [  # their heads: 502
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\n: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: b\x00c\r\n\r\n",
    b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/2.0 200 OK\r\n\r\n",
    b"HTTP/1.1 2000 OK\r\n\r\n",
    b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"ok\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",  # nobody asked
]

BAD_CHUNKS = [b"+3\r\nabc\r\n0\r\n\r\n", b"0x3\r\nabc\r\n0\r\n\r\n", b"3 \r\nabc\r\n0\r\n\r\n", b"3\nabc\n0\n\n",
              b"3\r\nabcd\r\n0\r\n\r\n", b"10000000000000003\r\nabc\r\n0\r\n\r\n", b"3;\x01\r\nabc\r\n0\r\n\r\n",
              b"3\r\nabc\r\n0\r\nA b\r\n\r\n", b"-1\r\n\r\n", b"\r\n\r\n"]

# What the RFCs allow, and what of it the client gets: (answer, request's method, status, body)
GOOD_ANSWERS = [
    (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", b"GET", 200, b"ok"),
    (b"HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: Chunked\r\n\r\n2;a=\"b\";c\r\nok\r\n000\r\nT: 1\r\nU:\r\n\r\n", b"GET", 200, b"ok"),
    (b"HTTP/1.1 204 No Content\r\n\r\n", b"GET", 204, b""),
    (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", b"GET", 304, b""),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", b"HEAD", 200, b""),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"HEAD", 200, b""),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"GET", 200, b"ok"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: , keep-alive,\r\n\r\n", b"GET", 200, b""),
]


class Rules(Case):
    workers = 1

    def test_requests_and_their_statuses(self):
        b = self.only()
        for size in (0, 1):
            for status, raw in REFUSED:
                if size == 1 and len(raw) > 4096:
                    continue
                with self.subTest(raw[:60], size=size):
                    c = self.client()
                    try:
                        c.send(raw + GET, size)
                    except OSError:
                        pass
                    a = c.answer()
                    self.assertEqual((a.status, a.get("connection")), (status, "close"))
                    self.assertEqual(c.rest()[0], b"")
        self.assertEqual(b.requests, [])

    def answers(self, raws, size, check, method=b"GET"):
        """Each answer by a backend whose connection stays open."""
        todo = {}

        def serve(p, n):
            while True:
                req = self.cur.read_request(p)
                if req is None:
                    return
                p.send(todo["raw"], size)
        self.cur = self.only(serve=serve)
        for raw in raws:
            todo["raw"] = raw
            with self.subTest(raw[:80], size=size):
                c = self.client()
                c.send(GET.replace(b"GET", method))
                check(c, raw)
                c.close()
        until("exchanges over", lambda: self.lbd.service()["in_flight"] == 0)

    def test_bad_answers(self):
        def check(c, raw):
            a = c.answer()
            self.assertEqual((a.status, a.whole), (502, True))
            c.send(GET)  # nothing of it may be left for the next
            self.assertEqual(c.answer().status, 502)
        for size in (0, 1):
            self.answers(BAD_ANSWERS, size, check)

    def test_bad_chunks_are_seen_as_a_cut(self):
        def check(c, raw):
            try:
                a = c.answer()
                self.assertFalse(a.whole)
            except ConnectionResetError:
                pass
        for size in (0, 1):
            self.answers([CHUNKED + x for x in BAD_CHUNKS], size, check)

    def test_good_answers(self):
        for size in (0, 1):
            for raw, method, status, body in GOOD_ANSWERS:
                def check(c, raw, status=status, body=body, method=method):
                    for k in range(2):  # on one connection
                        a = c.answer(method == b"HEAD")
                        while a.status in (100, 103):
                            a = c.answer()
                        self.assertEqual((a.status, a.body, a.whole), (status, body, True))
                        if k == 0:
                            c.send(GET.replace(b"GET", method))
                self.answers([raw], size, check, method)
                self.assertEqual(self.cur.connections, 1)

    def test_pipelining_split_at_every_byte(self):
        """Requests of all framings behind one another, cut in two at each byte."""
        self.only(fn=lambda r: ok(r.target.encode() + b"|" + r.body))
        raw = (b"\r\nGET /api/v1/1 HTTP/1.1\r\nHost: t\r\n\r\nPOST /api/v1/2 HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc"
               b"PUT /api/v1/3 HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nde\r\n0\r\nT: u\r\n\r\n"
               b"OPTIONS http://t/api/v1/4 HTTP/1.1\r\nHost: t\r\n\r\n")
        c = self.client()
        for cut in range(1, len(raw)):
            c.send(raw[:cut])
            c.send(raw[cut:])
            self.assertEqual([c.answer().body for _ in range(4)],
                             [b"/api/v1/1|", b"/api/v1/2|abc", b"/api/v1/3|de", b"/api/v1/4|"], cut)

    def test_upgrade_required_says_to_what(self):
        self.only(fn=lambda r: b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n")
        a = self.lbd.get()
        self.assertEqual((a.status, a.get("upgrade"), a.get("connection")), (426, "websocket", "upgrade"))

    def test_largest_body(self):
        b = self.only(max_body=1000, fn=lambda r: ok(b"%d" % len(r.body)))
        self.assertEqual(self.lbd.get("/api/v1/x", "POST", body=b"x" * 1000).body, b"1000")
        c = self.client()
        c.send(b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n")
        a = c.answer()
        self.assertEqual((a.status, a.get("connection")), (413, "close"))
        self.assertEqual(len(b.requests), 1)
        chunk = b"3e8\r\n" + b"x" * 1000 + b"\r\n"
        head = b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
        c = self.client()
        c.send(head + chunk + b"0\r\n\r\n")
        self.assertEqual(c.answer().body, b"1000")
        for size in (0, 100):
            c = self.client()
            try:
                c.send(head + chunk * 3 + b"0\r\n\r\n", size)
            except OSError:
                pass
            self.assertEqual(c.answer().status, 413)
        until("exchanges over", lambda: self.lbd.service()["in_flight"] == 0)


class Trailers(Case):
    """Fields behind a chunked body, both ways."""
    workers = 1
    POST = (b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nTE: trailers\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n0\r\nX-Sum: up\r\nContent-Length: 9\r\nHost: evil\r\n\r\n")
    ANSWER = (b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: down\r\n"
              b"Set-Cookie: a=b\r\n\r\n")

    def raw_chunked(self, p):
        """Chunk data and the raw trailer section."""
        body = b""
        while True:
            n = int(p.line().split(b";")[0], 16)
            if n == 0:
                break
            body += p.exactly(n)
            self.assertEqual(p.exactly(2), b"\r\n")
        section = b""
        while True:
            line = p.line()
            if line == b"":
                return body, section
            section += line + b"\r\n"

    def exchange(self, size, **more):
        """What came of the trailers on both sides, of two requests on one connection."""
        seen = []

        def serve(p, n):
            while True:
                first = p.head()
                if first is None:
                    return
                seen.append((dict(first[1]), *self.raw_chunked(p)))
                p.send(self.ANSWER, size)
        self.only(serve=serve, **more)
        c = self.client()
        got = []
        for _ in range(2):
            c.send(self.POST, size)
            _, headers = c.head()
            got.append((dict(headers), *self.raw_chunked(c)))
        return seen, got

    def test_passed(self):
        for size in (0, 1):
            seen, got = self.exchange(size, pass_trailers=True)
            for headers, body, section in seen:
                self.assertEqual((body, section), (b"abc", b"X-Sum: up\r\n"))
                self.assertEqual((headers["te"], headers["connection"], headers["trailer"]), ("trailers", "TE", "X-Sum"))
            for headers, body, section in got:
                self.assertEqual((body, section, headers["trailer"]), (b"ok", b"X-Sum: down\r\n", "X-Sum"))

    def test_dropped(self):
        for size in (0, 1):
            seen, got = self.exchange(size)
            for headers, _, section in seen + got:
                self.assertEqual(section, b"")
                self.assertNotIn("trailer", headers)
                self.assertNotIn("te", headers)

    def test_to_a_client_without_chunks(self):
        self.only(fn=lambda r: self.ANSWER, pass_trailers=True)
        a = self.lbd.ask(b"GET /api/v1/x HTTP/1.0\r\n\r\n")
        self.assertEqual((a.body, a.get("trailer")), (b"ok", None))

    def test_repeated_with_the_request(self):
        """A request that is sent once more has its trailers again."""
        seen = []

        def serve(p, n):
            while True:
                if p.head() is None:
                    return
                seen.append(self.raw_chunked(p))
                if len(seen) == 1:
                    return  # no answer
                p.send(ok())
        one, two = self.backend("one", serve=serve), self.backend("two", serve=serve)
        self.lbd.push([one, two], pass_trailers=True)
        c = self.client()
        c.send(self.POST.replace(b"POST", b"PUT"))
        self.assertEqual(c.answer().status, 200)
        self.assertEqual(seen, [(b"abc", b"X-Sum: up\r\n")] * 2)


class Clocks(Case):
    workers = 1

    def test_an_answer_that_stalls(self):
        """First byte and the bytes after it have clocks of their own."""
        gone = threading.Event()

        def serve(p, n):
            self.cur.read_request(p)
            time.sleep(0.6)  # longer than a stall may last
            p.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
            gone.wait(30)
        self.cur = self.only(serve=serve, response_timeout_ms=20000, stall_timeout_ms=300)
        a = None
        try:
            a = self.lbd.get()
            self.assertFalse(a.whole)
        except ConnectionResetError:
            pass
        gone.set()

    def test_no_first_byte(self):
        gone = threading.Event()
        self.cur = self.only(serve=lambda p, n: (self.cur.read_request(p), gone.wait(30)), response_timeout_ms=300, stall_timeout_ms=20000)
        self.assertEqual(self.lbd.get().status, 504)
        gone.set()


class Keeping(Case):
    workers = 1

    def test_requests(self):
        b = self.only(keepalive_requests=3)
        for _ in range(9):
            self.assertEqual(self.lbd.get().status, 200)
        self.assertEqual(b.connections, 3)

    def test_none(self):
        b = self.only(keepalive_idle_ms=0)
        for _ in range(3):
            self.assertEqual(self.lbd.get().status, 200)
        self.assertEqual(b.connections, 3)

    def test_idle_time(self):
        ended = threading.Event()

        def serve(p, n):
            if self.cur.read_request(p) is not None:
                p.send(ok())
            if not p.more():
                ended.set()
        self.cur = self.only(serve=serve, keepalive_idle_ms=200)
        self.assertEqual(self.lbd.get().status, 200)
        self.assertTrue(ended.wait(10))

    def test_age(self):
        b = self.only(keepalive_time_ms=1)
        for _ in range(3):
            self.assertEqual(self.lbd.get("/api/v1/x", "POST", body=b"x").status, 200)
            time.sleep(0.01)
            self.assertEqual(self.lbd.get().status, 200)
        self.assertGreater(b.connections, 1)
        before = b.connections
        self.lbd.push([b], keepalive_time_ms=0)  # a new table's word is taken at once
        for _ in range(5):
            self.assertEqual(self.lbd.get().status, 200)
        self.assertLessEqual(b.connections, before + 1)

    def test_last_used_first(self):
        """Three at once make three connections; then one after the other uses one of them."""
        gate = threading.Barrier(3)
        used = []

        def serve(p, n):
            while True:
                req = self.cur.read_request(p)
                if req is None:
                    return
                if req.target.endswith("together"):
                    gate.wait(10)
                used.append(n)
                p.send(ok())
        self.cur = self.only(serve=serve)
        clients = [self.client() for _ in range(3)]
        for c in clients:
            c.send(GET.replace(b"/x ", b"/together "))
        for c in clients:
            self.assertEqual(c.answer().status, 200)
        self.assertEqual(sorted(used), [1, 2, 3])
        del used[:]
        for _ in range(5):
            self.assertEqual(self.lbd.get().status, 200)
        self.assertEqual(len(set(used)), 1)

    def test_a_new_instance_on_the_same_port(self):
        ended = threading.Semaphore(0)

        def serve(p, n):
            while self.cur.read_request(p) is not None:
                p.send(ok())
            ended.release()
        self.cur = self.only(serve=serve)
        self.assertEqual(self.lbd.get().status, 200)
        self.lbd.push(None, services=self.lbd.services([self.cur.spec(0, "the-next")]))
        self.assertTrue(ended.acquire(timeout=10))
        self.assertEqual(self.lbd.get().status, 200)
        self.assertEqual(self.cur.connections, 2)


class LineFeeds(Case):
    """bare_lf: true"""

    @classmethod
    def setUpClass(cls):
        port = free_port()
        cls.lbd = Lbd(workers=1, port=port, conf="bare_lf: true\n" + CONF % port)

    def test_heads_of_both_sides(self):
        b = self.only(fn=lambda r: b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok")
        for size in (0, 1):
            c = self.client()
            c.send(b"GET /api/v1/x HTTP/1.1\nHost: t\nA: b\n\nGET /api/v1/y HTTP/1.1\r\nHost: t\r\n\r\n", size)
            self.assertEqual([c.answer().body for _ in range(2)], [b"ok", b"ok"])
        self.assertEqual([r.target for r in b.requests], ["/api/v1/x", "/api/v1/y"] * 2)
        self.assertEqual(b.requests[0].get("a"), "b")  # the backend gets CRLF

    def test_chunks_stay_strict(self):
        self.only()
        c = self.client()
        c.send(b"POST /api/v1/x HTTP/1.1\nHost: t\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n")
        self.assertEqual(c.answer().status, 400)


if __name__ == "__main__":
    unittest.main(verbosity=2)
