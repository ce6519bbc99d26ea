#!/usr/bin/python3
"""lbd on raw sockets: the real binary between scripted clients and scripted backends."""
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lbd_kit import BUILD, Backend, Lbd, connect, digest, free_port, until  # noqa: E402
from lib.wire import WireError  # noqa: E402

SANITIZED = any(x in BUILD for x in ("asan", "tsan"))


class Case(unittest.TestCase):
    """One lbd for a class; what it logs and how it ends is checked too."""
    workers = 2
    args = ()

    @classmethod
    def setUpClass(cls):
        cls.lbd = Lbd(workers=cls.workers, args=cls.args)

    @classmethod
    def tearDownClass(cls):
        code, log = cls.lbd.stop(), cls.lbd.log().decode()
        if code != 0 or "Sanitizer" in log or "runtime error" in log:
            raise AssertionError("lbd ended with %s:\n%s" % (code, log))

    def setUp(self):
        self.closing = []

    def tearDown(self):
        for x in self.closing:
            x.close()

    def backend(self, name="b", fn=None, serve=None, **kw):
        b = Backend(name, fn, serve, **kw)
        self.closing.append(b)
        return b

    def only_closing_after(self, delay):
        """One backend that closes each connection so long after its answer."""
        def serve(p, n):
            while self.cur.read_request(p) is not None:
                p.send(ok())
                p.sock.settimeout(delay)
                try:
                    if not p.more():
                        return
                except socket.timeout:
                    return
                p.sock.settimeout(15)
        self.cur = self.only(serve=serve)

    def only(self, name="b", fn=None, serve=None, **more):
        """A backend that has the service to itself."""
        b = self.backend(name, fn, serve)
        self.lbd.push([b], **more)
        return b

    def client(self):
        c = self.lbd.client()
        self.closing.append(c)
        return c


def ok(body=b"ok", extra=b""):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s" % (len(body), extra, body)


class Forwarding(Case):
    def test_methods_and_targets_byte_identical(self):
        b = self.only()
        targets = ["/api/v1", "/api/v1/", "/api/v1/a/b/c", "/api/v1//x//", "/api/v1/x?a=%20&b=/../", "/api/v1/%2e%2e/%2F%zz",
                   "/api/v1/a;b=c,d:e@f!$&'()*+", "/api/v1/_health-tips", "/api/v1?x"]
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "x-Y~1"):
            for t in targets:
                self.assertEqual(self.lbd.get(t, method).status, 200, (method, t))
                self.assertEqual((b.requests[-1].method, b.requests[-1].target), (method, t))

    def test_bodies(self):
        b = self.only()
        for body in (b"", b"x", b"\x00\xff" * 5000, b"z" * 70000):
            for method in ("POST", "DELETE", "GET", "PROPFIND"):
                self.lbd.get("/api/v1/b", method, "Content-Type: application/json;charset=utf-8\r\n", body)
                self.assertEqual(digest(b.requests[-1].body), digest(body))
                self.assertEqual(b.requests[-1].get("content-type"), "application/json;charset=utf-8")

    def test_headers_to_the_backend(self):
        b = self.only()
        self.lbd.get("/api/v1/h", "GET", "X-Forwarded-For: 9.9.9.9\r\nConnection: keep-alive, X-Secret\r\nX-Secret: 1\r\n"
                     "Keep-Alive: 3\r\nTE: trailers\r\nProxy-Connection: x\r\nCookie: a=b\r\n")
        h = b.requests[-1].headers
        names = [k for k, _ in h]
        for gone in ("connection", "keep-alive", "te", "proxy-connection", "x-secret", "upgrade"):
            self.assertNotIn(gone, names)
        self.assertEqual(dict(h)["host"], "t")
        self.assertEqual(dict(h)["x-forwarded-for"], "9.9.9.9, 127.0.0.1")  # loopback is trusted
        self.assertEqual(dict(h)["x-forwarded-proto"], "http")
        self.assertEqual(dict(h)["x-forwarded-host"], "t")
        self.assertEqual(dict(h)["via"], "1.1 lbctl")
        self.assertEqual(dict(h)["cookie"], "a=b")

    def test_statuses_and_answer_headers(self):
        for status in (200, 201, 202, 301, 400, 401, 404, 405, 413, 418, 500, 503, 599):
            self.only(fn=lambda r, s=status: b"HTTP/1.1 %d Odd Words\r\nX-One: a\r\nx-one: b\r\nConnection: X-Gone\r\n"
                      b"X-Gone: 1\r\nSet-Cookie: a=b; c\r\nContent-Length: 2\r\n\r\nhi" % s)
            a = self.lbd.get()
            self.assertEqual((a.status, a.body), (status, b"hi"))
            self.assertIn("Odd Words", a.head)
            self.assertEqual([v for k, v in a.headers if k == "x-one"], ["a", "b"])
            self.assertEqual(a.get("set-cookie"), "a=b; c")
            self.assertIsNone(a.get("x-gone"))

    def test_routes(self):
        b = self.only()
        self.lbd.push(None, services=[
            dict(self.lbd.services([b])[0], name="app"),
            {"name": "users", "routes": [{"prefix": "/api/v1/users"}], "backends": []}])
        for target, want in (("/api/v1/x", 200), ("/api/v1", 200), ("/api/v1x", 404), ("/api", 404), ("/api/v1/users", 503),
                             ("/api/v1/users/a", 503), ("/api/v1/usersx", 200), ("/favicon.ico", 404), ("/API/v1", 404),
                             ("/api/v1/../x", 400), ("/api/v1/users/..", 400), ("//api/v1/x", 404), ("/x/../api/v1", 400),
                             ("/api/v1/%75sers", 200)):
            a = self.lbd.get(target)
            self.assertEqual(a.status, want, target)
            self.assertTrue(a.whole)
        self.assertEqual(self.lbd.get("/api/v1/users").get("retry-after"), "1")
        self.assertNotIn("/api/v1/users", [r.target for r in b.requests])

    def test_own_page(self):
        b = self.only()
        a = self.lbd.get("/")
        self.assertEqual(a.status, 200)
        self.assertIn("text/html", a.get("content-type"))
        self.assertIn(b"app", a.body)
        self.assertNotIn(b.instance.encode(), a.body)
        self.assertEqual(self.lbd.get("/", "HEAD").status, 200)
        self.assertEqual(self.lbd.get("/?x=1").status, 200)
        self.assertEqual(self.lbd.get("/", "POST", body=b"x").status, 405)
        self.assertEqual(self.lbd.ask(b"GET http://t HTTP/1.1\r\nHost: t\r\n\r\n").status, 200)
        self.assertEqual(self.lbd.ask(b"OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n").status, 200)
        self.assertEqual(len(b.requests), 0)

    def test_absolute_form(self):
        b = self.only()
        self.assertEqual(self.lbd.ask(b"GET http://t:8/api/v1/a?b HTTP/1.1\r\nHost: t:8\r\n\r\n").status, 200)
        self.assertEqual((b.requests[-1].target, b.requests[-1].get("host")), ("/api/v1/a?b", "t:8"))

    def test_counting(self):
        before = self.lbd.service()["counted"] if self.lbd.generation else 0
        self.only()
        sent = [("/api/v1/acts", "GET"), ("/api/v1/_health", "GET"), ("/api/v1/_crash", "POST"), ("/api/v1/_health-tips", "GET"),
                ("/api/v1/_health/", "GET"), ("/api/v1/_health?x", "GET"), ("/api/v1/acts", "OPTIONS"), ("/", "GET"), ("/x", "GET"),
                ("/api/v1/_count", "GET"), ("/api/v1x", "GET")]
        before = self.lbd.service()["counted"]
        for target, method in sent:
            self.lbd.get(target, method)
        self.assertEqual(self.lbd.service()["counted"] - before, 4)  # acts, _health-tips, _health/, _count

    def test_counted_even_if_it_fails_and_first_ms(self):
        self.lbd.push([], services=self.lbd.services([]))
        first = self.lbd.service()
        self.assertEqual(self.lbd.service()["first_ms"], 0)
        t0 = time.clock_gettime(time.CLOCK_MONOTONIC) * 1000
        self.assertEqual(self.lbd.get().status, 503)
        t1 = time.clock_gettime(time.CLOCK_MONOTONIC) * 1000
        s = self.lbd.service()
        events = [e["body"]["services"][0] for e in self.lbd.wire.events if e["type"] == "ev.stats" and e["body"]["services"]]
        firsts = [x["first_ms"] for x in [s] + events if x["counted"] == first["counted"] + 1 and x["first_ms"] != 0]
        self.assertEqual(s["counted"] - first["counted"], 1)
        self.assertEqual(len(firsts), 1)
        self.assertTrue(t0 - 1 <= firsts[0] <= t1 + 1, (t0, firsts, t1))
        self.assertEqual(s["errors"] - first["errors"], 1)


class Messages(Case):
    """Framing, in both directions."""

    def test_pipelining_in_order(self):
        self.only(fn=lambda r: ok(r.target.encode()))
        c = self.client()
        c.send(b"".join(b"GET /api/v1/%d HTTP/1.1\r\nHost: t\r\n\r\n" % i for i in range(100)))
        for i in range(100):
            self.assertEqual(c.answer().body, b"/api/v1/%d" % i)

    def test_pipelined_while_connecting_is_a_request_of_its_own(self):
        b = self.only(fn=lambda r: ok(r.target.encode() + b"|" + r.body))
        c = self.client()
        c.send(b"POST /api/v1/1 HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhelloPOST /api/v1/2 HTTP/1.1\r\nHost: t\r\n"
               b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\nGET /api/v1/3 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        self.assertEqual([c.answer().body for _ in range(3)], [b"/api/v1/1|hello", b"/api/v1/2|ab", b"/api/v1/3|"])
        self.assertEqual(c.rest(), (b"", True))
        self.assertEqual(len(b.requests), 3)

    def test_split_at_every_byte(self):
        self.only(fn=lambda r: ok(r.target.encode() + b"|" + r.body))
        raw = (b"POST /api/v1/1 HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nA: b\r\n\r\n"
               b"GET /api/v1/2 HTTP/1.1\r\nHost: t\r\n\r\n")
        c = self.client()
        c.send(raw, 1)
        self.assertEqual([c.answer().body for _ in range(2)], [b"/api/v1/1|abcde", b"/api/v1/2|"])

    def test_answers_split_at_every_byte(self):
        def serve(p, n):
            while self.cur.read_request(p) is not None:
                p.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a\r\nabc\r\n2\r\nde\r\n0\r\nT: x\r\n\r\n", 1)
        self.cur = self.only(serve=serve)
        c = self.client()
        for _ in range(3):
            c.send(b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n")
            self.assertEqual((lambda a: (a.body, a.whole))(c.answer()), (b"abcde", True))
        self.assertEqual(self.cur.connections, 1)

    def test_bodiless_answers_keep_the_connection(self):
        kinds = {"/api/v1/204": b"HTTP/1.1 204 No Content\r\n\r\n", "/api/v1/304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
                 "/api/v1/200": ok(b"body")}
        b = self.only(fn=lambda r: b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" if r.method == "HEAD" else kinds[r.target])
        c = self.client()
        for method, target, status, body in (("GET", "/api/v1/204", 204, b""), ("HEAD", "/api/v1/200", 200, b""),
                                             ("GET", "/api/v1/304", 304, b""), ("GET", "/api/v1/200", 200, b"body")):
            c.send(b"%s %s HTTP/1.1\r\nHost: t\r\n\r\n" % (method.encode(), target.encode()))
            a = c.answer(method == "HEAD")
            self.assertEqual((a.status, a.body), (status, body))
        self.assertEqual(b.connections, 1)

    def test_heads_that_shrink_and_grow(self):
        """A new head is put in front of the body where the old one was, if it fits there; and else beside it."""
        for extra in (b"", b"Keep-Alive: timeout=5, max=1000\r\n", b"Connection: X-Gone\r\nX-Gone: %s\r\n" % (b"y" * 300)):
            for n in (1, 100, 16000, 20000, 100000):
                body = bytes(i * 7 % 251 for i in range(n))
                self.only(fn=lambda r, body=body, extra=extra: ok(body, extra))
                for wish in (b"", b"Connection: close\r\n"):
                    c = self.client()
                    c.send(b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n%s\r\n" % wish)
                    a = c.answer()
                    self.assertEqual((a.status, a.body), (200, body))
                    self.assertNotIn("x-gone", {k.lower() for k, _ in a.headers})

    def test_http_1_0(self):
        self.only(fn=lambda r: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                  if r.target.endswith("c") else ok(b"len"))
        c = self.client()
        c.send(b"GET /api/v1/c HTTP/1.0\r\n\r\n")
        a = c.answer()
        self.assertEqual((a.body, a.get("transfer-encoding"), a.get("connection")), (b"abc", None, "close"))
        c = self.client()
        for _ in range(2):
            c.send(b"GET /api/v1/l HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            a = c.answer()
            self.assertEqual((a.body, a.get("connection")), (b"len", "keep-alive"))
        c.send(b"GET /api/v1/l HTTP/1.0\r\n\r\n")
        self.assertEqual(c.answer().get("connection"), "close")
        self.assertEqual(c.rest(), (b"", True))

    def test_close_delimited_answer(self):
        def serve(p, n):
            self.cur.read_request(p)
            p.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end")
        self.cur = self.only(serve=serve)
        c = self.client()
        for _ in range(2):
            c.send(b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n")
            a = c.answer()
            self.assertEqual((a.body, a.whole), (b"until the end", True))

    def test_cut_answers_are_seen_as_cut(self):
        cuts = [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nsho"]
        for raw in cuts:
            def serve(p, n, raw=raw):
                self.cur.read_request(p)
                p.send(raw)
            self.cur = self.only(serve=serve)
            c = self.client()
            c.send(b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n")
            try:
                self.assertFalse(c.answer().whole)
            except ConnectionResetError:
                pass

    def test_more_than_announced_does_not_leak(self):
        def serve(p, n):
            while self.cur.read_request(p) is not None:
                p.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        self.cur = self.only(serve=serve)
        c = self.client()
        for _ in range(5):
            c.send(b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n")
            self.assertEqual(c.answer().body, b"ok")
        self.assertEqual(self.cur.connections, 5)

    def test_bad_answers_are_502(self):
        bad = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
               b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
               b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
               b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", b"HTTP/2.0 200 OK\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
               b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
               b"HTTP/1.1 200 OK\r\nA: " + b"x" * 40000 + b"\r\n\r\n"]
        for raw in bad:
            def serve(p, n, raw=raw):
                self.cur.read_request(p)
                p.send(raw)
                p.more()
            self.cur = self.only(serve=serve)
            a = self.lbd.get()
            self.assertEqual(a.status, 502, raw[:60])
            self.assertTrue(a.whole)
            self.assertEqual(len(self.cur.requests), 1)

    def test_interim_answers(self):
        def serve(p, n):
            while self.cur.read_request(p) is not None:
                p.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + ok())
        self.cur = self.only(serve=serve)
        c = self.client()
        for _ in range(2):
            c.send(b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n")
            self.assertEqual([c.answer().status for _ in range(3)], [103, 102, 200])
        c.send(b"GET /api/v1/x HTTP/1.0\r\n\r\n")
        self.assertEqual(c.answer().status, 200)

    def test_expect_continue_end_to_end(self):
        go = threading.Event()

        def serve(p, n):
            first = p.head()
            self.assertEqual(dict(first[1])["expect"], "100-continue")
            go.wait(5)
            p.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.assertEqual(p.exactly(5), b"hello")
            p.send(ok(b"taken"))
        self.only(serve=serve)
        c = self.client()
        c.send(b"PUT /api/v1/x HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        c.sock.settimeout(0.2)
        with self.assertRaises(socket.timeout):  # nobody but the backend says 100
            c.more()
        c.sock.settimeout(10)
        go.set()
        self.assertEqual(c.answer().status, 100)
        c.send(b"hello")
        self.assertEqual(c.answer().body, b"taken")

    def test_expect_refused(self):
        def serve(p, n):
            p.head()
            p.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
            p.more()
        self.only(serve=serve)
        c = self.client()
        c.send(b"PUT /api/v1/x HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 5000000\r\n\r\n")
        a = c.answer()
        self.assertEqual((a.status, a.body, a.get("connection")), (413, b"big", "close"))

    def test_early_answer_reaches_a_client_that_still_sends(self):
        def serve(p, n):
            p.head()
            p.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
            time.sleep(0.05)
        self.only(serve=serve)
        c = self.client()
        c.send(b"PUT /api/v1/x HTTP/1.1\r\nHost: t\r\nContent-Length: 20000000\r\n\r\n")
        try:
            for _ in range(200):
                c.send(b"x" * 100000)
        except OSError:
            pass
        a = c.answer()
        self.assertEqual((a.status, a.body), (413, b"big"))

    def test_events_are_not_held_back(self):
        for head in (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
                     b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"):
            step = threading.Semaphore(0)

            def serve(p, n, head=head, step=step):
                self.cur.read_request(p)
                p.send(head)
                for i in range(3):
                    step.acquire(timeout=5)
                    e = b"data: %d\n\n" % i
                    p.send(b"%x\r\n%s\r\n" % (len(e), e) if b"chunked" in head else e)
                if b"chunked" in head:
                    p.send(b"0\r\n\r\n")
            self.cur = self.only(serve=serve)
            c = self.client()
            c.send(b"GET /api/v1/e HTTP/1.1\r\nHost: t\r\n\r\n")
            self.assertIsNotNone(c.head())
            for i in range(3):
                step.release()
                t0 = time.monotonic()
                self.assertEqual(int(c.line(), 16), 9)
                self.assertEqual(c.exactly(11), b"data: %d\n\n\r\n" % i)
                self.assertLess(time.monotonic() - t0, 0.1 if not SANITIZED else 1)

    def test_upgrade_tunnel(self):
        def serve(p, n):
            first = p.head()
            h = dict(first[1])
            self.assertEqual((h["connection"], h["upgrade"]), ("upgrade", "websocket"))
            p.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")
            while p.more():
                data, p.buf = p.buf, b""
                p.send(data.upper())
            p.send(b"bye")
        self.only(serve=serve)
        c = self.client()
        c.send(b"GET /api/v1/ws HTTP/1.1\r\nHost: t\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\nearly")
        first = c.head()
        self.assertIn("101", first[0])
        self.assertEqual(dict(first[1])["upgrade"], "websocket")
        self.assertEqual(c.exactly(10), b"helloEARLY")
        self.assertEqual(self.lbd.service()["in_flight"], 1)
        c.send(b"GET /not-a-request")
        self.assertEqual(c.exactly(18), b"GET /NOT-A-REQUEST")
        c.sock.shutdown(socket.SHUT_WR)
        self.assertEqual(c.rest(), (b"bye", True))
        until("tunnel ended", lambda: self.lbd.service()["in_flight"] == 0)

    def test_half_closed_client_gets_its_answer(self):
        self.only()
        c = self.client()
        c.send(b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n")
        c.sock.shutdown(socket.SHUT_WR)
        self.assertEqual(c.answer().status, 200)

    def test_half_closed_client_with_a_pipeline(self):
        self.only(fn=lambda r: time.sleep(0.05) or ok(r.target.encode()))
        c = self.client()
        c.send(b"".join(b"GET /api/v1/%d HTTP/1.1\r\nHost: t\r\n\r\n" % i for i in range(5)))
        c.sock.shutdown(socket.SHUT_WR)
        self.assertEqual([c.answer().body for _ in range(5)], [b"/api/v1/%d" % i for i in range(5)])
        self.assertEqual(c.rest(), (b"", True))

    def test_a_client_that_is_gone_ends_the_backends_work(self):
        ended = threading.Event()

        def serve(p, n):
            self.cur.read_request(p)
            p.more()  # until lbd closes
            ended.set()
        self.cur = self.only(serve=serve)
        c = self.lbd.client()
        c.send(b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n")
        until("in flight", lambda: len(self.cur.requests) == 1)
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        c.close()
        self.assertTrue(ended.wait(2))
        ended.clear()
        c = self.lbd.client()
        c.send(b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n")
        until("in flight", lambda: len(self.cur.requests) == 2)
        c.close()  # might be half a close: it gets some seconds
        self.assertTrue(ended.wait(8))
        until("nothing in flight", lambda: self.lbd.service()["in_flight"] == 0)

    def test_clients_that_leave(self):
        b = self.only(fn=lambda r: (time.sleep(0.1), ok(b"x" * 100000))[1])
        for i in range(200):
            c = self.lbd.client()
            c.send(b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n"[:20 + i % 30])
            if i % 3 == 0:
                c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            c.close()
        until("no connections", lambda: self.lbd.stats()["connections"] == 0, 20)
        until("nothing in flight", lambda: self.lbd.service()["in_flight"] == 0, 20)
        self.assertEqual(self.lbd.get().status, 200)
        b.close()

    def test_slow_requests_do_not_hold_up_new_ones(self):
        """However many are under way: what comes is only put behind them, not made to wait for them."""
        go = threading.Event()
        self.only(fn=lambda r: (r.target.endswith("slow") and go.wait(60), ok(r.target.encode()))[1])
        slow, quick = ([self.client() for _ in range(n)] for n in (100, 40))
        for c in slow:
            c.send(b"GET /api/v1/slow HTTP/1.1\r\nHost: t\r\n\r\n")
        until("100 in flight", lambda: self.lbd.service()["in_flight"] == 100, 30)
        for _ in range(3):
            for c in quick:
                c.send(b"GET /api/v1/q HTTP/1.1\r\nHost: t\r\n\r\n")
            self.assertEqual({c.answer().body for c in quick}, {b"/api/v1/q"})
        self.assertEqual(self.lbd.service()["in_flight"], 100)
        go.set()
        self.assertEqual({c.answer().body for c in slow}, {b"/api/v1/slow"})

    def test_large_heads(self):
        b = self.only()
        big = "X-Big: %s\r\n" % ("v" * 30000)
        self.assertEqual(self.lbd.get("/api/v1/x", "GET", big).status, 200)
        self.assertEqual(len(b.requests[-1].get("x-big")), 30000)
        self.assertEqual(self.lbd.get("/api/v1/x", "GET", big * 2).status, 431)
        self.assertEqual(self.lbd.get("/api/v1/x", "GET", "A: b\r\n" * 120).status, 431)
        self.assertEqual(self.lbd.get("/api/v1/" + "x" * 40000).status, 414)
        self.assertEqual(len(b.requests), 1)


SMUGGLING = [
    # name, raw (after it, a second request follows on the wire), statuses allowed
    ("two lengths", b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde"),
    ("list of lengths", b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nContent-Length: 5, 5\r\n\r\nabcde"),
    ("plus length", b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nContent-Length: +5\r\n\r\nabcde"),
    ("negative length", b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nContent-Length: -1\r\n\r\nabcde"),
    ("hex length", b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nContent-Length: 0x5\r\n\r\nabcde"),
    ("length and coding", b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("coding and length", b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
    ("gzip, chunked", b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("mixed case with tabs", b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: GZip\t,\tChunked\r\n\r\n0\r\n\r\n"),
    ("xchunked", b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    ("chunked twice", b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("chunked and identity", b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("vertical tab before chunked", b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    ("blank before colon", b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nContent-Length : 5\r\n\r\nabcde"),
    ("blank before colon of coding", b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    ("empty name", b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n: v\r\n\r\n"),
    ("colon only", b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n:\r\n\r\n"),
    ("NUL in value", b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\nA: b\x00c\r\n\r\n"),
    ("bare CR in value", b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\nA: b\rTransfer-Encoding: chunked\r\n\r\n"),
    ("bare LF lines", b"GET /api/v1/x HTTP/1.1\nHost: t\n\n"),
    ("bare LF in the middle", b"GET /api/v1/x HTTP/1.1\r\nHost: t\nA: b\r\n\r\n"),
    ("folding", b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\nA: b\r\n c\r\n\r\n"),
    ("folded coding", b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    ("no Host", b"GET /api/v1/x HTTP/1.1\r\n\r\n"),
    ("two Hosts", b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\nHost: u\r\n\r\n"),
    ("Host unlike authority", b"GET http://a/api/v1/x HTTP/1.1\r\nHost: b\r\n\r\n"),
    ("blank in target", b"GET /api/v1/x y HTTP/1.1\r\nHost: t\r\n\r\n"),
    ("fragment", b"GET /api/v1/x#y HTTP/1.1\r\nHost: t\r\n\r\n"),
    ("chunk size 0x", b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n"),
    ("chunk size plus", b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n"),
    ("chunk size blank before", b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n 3\r\nabc\r\n0\r\n\r\n"),
    ("chunk size blank after", b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n"),
    ("chunk size overflow", b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n"),
    ("chunk data too long", b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n"),
    ("chunk with bare LF", b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n"),
    ("LF in chunk extension", b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3;\nx\r\nabc\r\n0\r\n\r\n"),
    ("chunked in 1.0", b"POST /api/v1/x HTTP/1.0\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("version 1.2", b"GET /api/v1/x HTTP/1.2\r\nHost: t\r\n\r\n"),
    ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("CONNECT", b"CONNECT t:80 HTTP/1.1\r\nHost: t:80\r\n\r\n"),
    ("TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    ("no version", b"GET /api/v1/x\r\n\r\n"),
    ("control byte in name", b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\nA\x01: b\r\n\r\n"),
    ("climbing path", b"GET /api/v1/x/../../y HTTP/1.1\r\nHost: t\r\n\r\n"),
]
SECOND = b"GET /api/v1/smuggled HTTP/1.1\r\nHost: t\r\n\r\n"


class Smuggling(Case):
    def run_all(self, slice_bytes, rows):
        b = self.only()
        for name, raw in rows:
            with self.subTest(name, slice=slice_bytes):
                c = self.lbd.client()
                try:
                    c.send(raw + SECOND, slice_bytes)
                except OSError:
                    pass  # refused before it was all sent
                a = c.answer()
                self.assertIsNotNone(a, name)
                self.assertIn(a.status, (400, 405, 505), name)
                self.assertEqual(a.get("connection"), "close")
                self.assertEqual(c.rest()[0], b"", name)
                c.close()
        until("exchanges over", lambda: self.lbd.service()["in_flight"] == 0)
        return b

    def test_whole(self):
        b = self.run_all(0, SMUGGLING)
        self.assertEqual([r.target for r in b.requests], [])

    def test_byte_by_byte(self):
        # Chunked bodies have been forwarded in part when the fault shows; heads never.
        b = self.run_all(1, SMUGGLING)
        self.assertEqual([r.target for r in b.requests if r.target != "/api/v1/x"], [])

    def test_leftovers_of_a_body_are_a_request(self):
        """What is not the body is answered on its own, in order, and never taken for a part of it."""
        b = self.only(fn=lambda r: ok(r.target.encode() + b"|" + r.body))
        c = self.client()
        c.send(b"GET /api/v1/1 HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nbody" + SECOND)
        self.assertEqual(c.answer().body, b"/api/v1/1|body")
        self.assertEqual(c.answer().body, b"/api/v1/smuggled|")
        self.assertEqual(len(b.requests), 2)


class Balance(Case):
    workers = 4

    def load(self, total, threads, during=None):
        left = [total]
        lock = threading.Lock()
        bad = []

        def run():
            c = self.lbd.client()
            while True:
                with lock:
                    if left[0] == 0:
                        break
                    left[0] -= 1
                c.send(b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n")
                a = c.answer()
                if a is None or a.status != 200:
                    bad.append(a)
            c.close()
        ts = [threading.Thread(target=run) for _ in range(threads)]
        for t in ts:
            t.start()
        while during and any(t.is_alive() for t in ts):
            during()
            time.sleep(0.2)
        for t in ts:
            t.join()
        self.assertEqual(bad, [])

    def test_strict_order(self):
        bs = [self.backend(x) for x in "ABC"]
        self.lbd.push(bs)
        got = b"".join(self.lbd.get().body for _ in range(9))
        self.assertIn(got, (b"ABCABCABC", b"BCABCABCA", b"CABCABCAB"))
        c = self.client()
        for _ in range(30):
            c.send(b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nhi")
            c.answer()
        self.assertEqual([len(b.requests) for b in bs], [13, 13, 13])

    def test_exact_over_workers(self):
        bs = [self.backend(x) for x in "ABC"]
        self.lbd.push(bs)
        self.load(3000, 64)
        self.assertEqual([len(b.requests) for b in bs], [1000, 1000, 1000])

    def test_exact_while_tables_are_pushed(self):
        bs = [self.backend(x) for x in "ABC"]
        self.lbd.push(bs)
        self.load(3000, 64, lambda: self.lbd.push(bs))
        self.assertEqual([len(b.requests) for b in bs], [1000, 1000, 1000])
        until("nothing in flight", lambda: [x["in_flight"] for x in self.lbd.service()["backends"]] == [0, 0, 0], 20)

    def test_cursor_survives_a_push(self):
        bs = [self.backend(x) for x in "ABC"]
        self.lbd.push(bs)
        got = b""
        for _ in range(30):
            self.lbd.push(bs)
            got += self.lbd.get().body
        self.assertEqual(sorted(got.count(x) for x in (b"A", b"B", b"C")), [10, 10, 10])


class Faults(Case):
    def test_refused_goes_to_the_next(self):
        dead, good = self.backend("dead"), self.backend("good")
        self.lbd.push([dead, good])
        dead.close()
        for method in ("GET", "POST"):
            for _ in range(6):
                self.assertEqual(self.lbd.get("/api/v1/x", method, body=b"abc").body, b"good")
        s = self.lbd.service()
        self.assertGreaterEqual(s["retries"], 1)
        until("hint", lambda: self.lbd.stats() and any(
            e["type"] == "ev.backend" and e["body"]["reason"] == "refused" and e["body"]["instance"] == dead.instance
            for e in self.lbd.wire.events))

    def test_all_refuse(self):
        bs = [self.backend(x) for x in "AB"]
        self.lbd.push(bs)
        for b in bs:
            b.close()
        self.assertEqual(self.lbd.get().status, 502)

    def test_accepts_and_closes_like_a_port_forwarder(self):
        """docker-proxy without an application behind it: the handshake succeeds, then the connection is closed."""
        empty, good = self.backend("empty", serve=lambda p, n: None), self.backend("good")
        self.lbd.push([empty, good])
        for _ in range(10):
            self.assertEqual(self.lbd.get().body, b"good")
        # It is known to be suspect now: what must not be repeated goes elsewhere.
        for _ in range(5):
            self.assertEqual(self.lbd.get("/api/v1/x", "POST", body=b"abc").body, b"good")

    def test_post_is_never_executed_twice(self):
        seen = []

        def serve(p, n):
            while True:
                r = self.cur.read_request(p)
                if r is None:
                    return
                seen.append(r.method)
                if len(seen) == 1:
                    return
                p.send(ok())
        self.cur = self.backend("x", serve=serve)
        other = self.backend("y", fn=lambda r: seen.append(r.method) or ok())
        self.lbd.push([self.cur, other])
        while not seen:
            a = self.lbd.get("/api/v1/x", "POST", body=b"abc")
            if seen == ["POST"] and len(self.cur.requests) == 0:
                seen.clear()  # it went to the other one first
        self.assertEqual(a.status, 502)
        self.assertEqual(seen, ["POST"])

    def test_get_is_repeated_once(self):
        calls = []

        def serve(p, n):
            self.backends[0].read_request(p)
            calls.append(1)
        self.backends = [self.backend("x", serve=serve)]
        self.lbd.push(self.backends)
        self.assertEqual(self.lbd.get().status, 502)
        self.assertEqual(len(calls), 2)

    def test_put_with_a_small_body_is_repeated(self):
        def serve(p, n):
            r = self.cur.read_request(p)
            if n == 1:
                return
            p.send(ok(r.body))
        self.cur = self.only(serve=serve)
        self.assertEqual(self.lbd.get("/api/v1/x", "PUT", body=b"abc").body, b"abc")
        self.assertEqual([r.body for r in self.cur.requests], [b"abc", b"abc"])

    def test_a_500_is_not_repeated(self):
        b = self.only(fn=lambda r: b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(self.lbd.get().status, 500)
        self.assertEqual(len(b.requests), 1)
        until("hint", lambda: self.lbd.stats() and any(
            e["type"] == "ev.backend" and e["body"]["reason"] == "5xx" and e["body"]["instance"] == b.instance
            for e in self.lbd.wire.events))

    def test_pooled_connection_closed_at_reuse(self):
        """The backend closes each connection some time after its answer; requests come at that very moment."""
        delay = 0.02
        self.only_closing_after(delay)
        c = self.client()
        for i in range(300):
            c.send(b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n")
            self.assertEqual(c.answer().status, 200)
            time.sleep(delay + (i % 21 - 10) * 0.0002)

    def test_first_byte_late(self):
        b = self.only(fn=lambda r: time.sleep(1.5) or ok(), response_timeout_ms=300)
        t0 = time.monotonic()
        a = self.lbd.get()
        self.assertEqual(a.status, 504)
        self.assertLess(time.monotonic() - t0, 1.2)
        self.assertEqual(len(b.requests), 1)

    def test_stuck_in_the_middle(self):
        def serve(p, n):
            self.cur.read_request(p)
            p.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            p.more()
        self.cur = self.only(serve=serve, response_timeout_ms=300)
        c = self.client()
        c.send(b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n")
        try:
            self.assertFalse(c.answer().whole)
        except ConnectionResetError:
            pass

    def test_connect_late(self):
        """A listener whose backlog is full takes no handshake."""
        full = socket.socket()
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        stuffing = []
        for _ in range(4):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(("127.0.0.1", port))
            stuffing.append(s)
        spec = {"slot": 0, "instance": "full", "address": "127.0.0.1", "port": port}
        try:
            self.lbd.push([spec], connect_timeout_ms=200)
            t0 = time.monotonic()
            self.assertEqual(self.lbd.get().status, 504)
            self.assertLess(time.monotonic() - t0, 1.5)
            good = self.backend("good")
            self.lbd.push([spec, good], connect_timeout_ms=200)
            for _ in range(4):
                self.assertEqual(self.lbd.get("/api/v1/x", "POST", body=b"a").body, b"good")
        finally:
            for s in stuffing + [full]:
                s.close()

    def test_slow_head_is_cut(self):
        self.only()
        c = self.client()
        t0 = time.monotonic()
        c.send(b"GET /api/v1/x HTTP/1.1\r\n")
        c.sock.settimeout(0.5)
        a = None
        while a is None and time.monotonic() - t0 < 15:
            try:
                c.send(b"A: b\r\n")
                a = c.answer()
            except socket.timeout:
                pass
        self.assertEqual(a.status, 408)
        self.assertLess(time.monotonic() - t0, 12)


class Drain(Case):
    def test_receipts(self):
        go = threading.Event()
        old = self.backend("old", fn=lambda r: (go.wait(10), ok(b"old"))[1])
        new = self.backend("new", fn=lambda r: ok(b"new"))
        self.lbd.push([old])
        ask = lambda timeout: self.lbd.wire.ask("drain.wait", {"service": "app", "instance": old.instance, "timeout_ms": timeout})
        with self.assertRaises(WireError):
            ask(100)  # still in the table
        c = self.client()
        c.send(b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n")
        until("in flight", lambda: len(old.requests) == 1)
        gen = self.lbd.push([new])["generation"]
        r = ask(200)
        self.assertEqual((r["drained"], r["known"], r["in_flight"], r["in_flight_at_mark"], r["after_mark"], r["generation"]),
                         (False, True, 1, 1, 0, gen))
        self.assertEqual([self.lbd.get().body for _ in range(4)], [b"new"] * 4)
        threading.Timer(0.3, go.set).start()
        t0 = time.monotonic()
        r = ask(5000)
        self.assertLess(time.monotonic() - t0, 2)
        self.assertEqual((r["drained"], r["in_flight"], r["after_mark"]), (True, 0, 0))
        self.assertGreaterEqual(r["took_ms"], 200)
        self.assertEqual(c.answer().body, b"old")
        self.assertTrue(ask(1)["drained"])
        self.assertEqual(len(old.requests), 1)

    def test_new_instance_on_the_same_port(self):
        first = self.backend("first")
        self.lbd.push([first])
        c = self.client()
        for _ in range(4):
            c.send(b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n")
            c.answer()
        self.lbd.push([first.spec(0, "second")])
        c.send(b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n")
        self.assertEqual(c.answer().status, 200)
        self.assertEqual(first.connections, 2)  # none of the departed instance's connections was used again
        r = self.lbd.wire.ask("drain.wait", {"service": "app", "instance": first.instance, "timeout_ms": 100})
        self.assertEqual((r["drained"], r["known"]), (True, True))
        self.assertEqual([b["requests"] for b in self.lbd.service()["backends"]], [1])

    def test_unknown_and_returned(self):
        r = self.lbd.wire.ask("drain.wait", {"service": "app", "instance": "never", "timeout_ms": 100})
        self.assertEqual((r["drained"], r["known"]), (True, False))
        b, other = self.backend("b"), self.backend("o")
        self.lbd.push([b])
        self.lbd.get()
        self.lbd.push([other])
        self.lbd.push([b, other])
        with self.assertRaises(WireError):
            self.lbd.wire.ask("drain.wait", {"service": "app", "instance": b.instance, "timeout_ms": 100})
        self.assertEqual(self.lbd.service()["backends"][0]["requests"], 1)  # the same record as before

    def test_refusals(self):
        b = self.only()
        ask = self.lbd.wire.ask
        with self.assertRaisesRegex(WireError, "not larger"):
            ask("table.set", {"generation": 1, "services": []})
        with self.assertRaisesRegex(WireError, "no address"):
            ask("table.set", {"generation": 10**6, "services": [{"name": "a", "routes": [], "backends": [
                {"slot": 0, "instance": "i", "address": "nowhere", "port": 1}]}]})
        self.assertEqual(self.lbd.get().body, b.name.encode())


class BigBodies(Case):
    def test_upload_and_download_with_flat_memory(self):
        size = (100 if SANITIZED else 1024) << 20
        block = os.urandom(1 << 16)

        def serve(p, n):
            while True:
                first = p.head()
                if first is None:
                    return
                if first[0].startswith("GET"):
                    p.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
                    for _ in range(size // len(block)):
                        p.send(block)
                    continue
                left = size - len(p.buf)
                p.buf = b""
                while left > 0:
                    left -= len(p.sock.recv(min(left, 1 << 18)))
                p.send(ok(b"done"))
        self.only(serve=serve)
        self.lbd.get("/")
        start = self.lbd.memory()[0]
        c = self.client()
        c.send(b"PUT /api/v1/up HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // len(block)):
            c.send(block)
        self.assertEqual(c.answer().body, b"done")
        c.send(b"GET /api/v1/down HTTP/1.1\r\nHost: t\r\n\r\n")
        first = c.head()
        self.assertIn("200", first[0])
        left = size - len(c.buf)
        c.buf = b""
        while left > 0:
            left -= len(c.sock.recv(min(left, 1 << 18)))
        peak = self.lbd.memory()[1]
        print("memory: %d KiB before, %d KiB at most, %d MiB up and down" % (start, peak, size >> 20))
        if not SANITIZED:
            self.assertLess(peak - start, 1024)

    def test_slow_reader_holds_the_backend_back(self):
        sent = [0]

        def serve(p, n):
            self.cur.read_request(p)
            p.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (200 << 20))
            try:
                while True:
                    sent[0] += p.sock.send(b"x" * 65536)
            except OSError:
                pass
        self.cur = self.only(serve=serve)
        c = self.client()
        c.send(b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n")
        c.head()
        until("stuck", lambda: (lambda a: (time.sleep(0.3), sent[0] == a)[1])(sent[0]), 20)
        self.assertLess(sent[0], 64 << 20)
        c.close()
        until("aborted", lambda: self.lbd.service()["in_flight"] == 0)


class Life(unittest.TestCase):
    def test_saved_table_serves_at_once(self):
        b = Backend("b")
        l = Lbd()
        l.push([b])
        self.assertEqual(l.get().status, 200)
        until("saved", lambda: os.path.exists(os.path.join(l.dir, "state", "table.json")))
        l.proc.kill()
        l.proc.wait()
        l = Lbd(directory=l.dir, port=l.port)
        self.assertEqual(l.get().status, 200)
        self.assertEqual(l.stats()["generation"], 1)
        # A new ctld may begin at 1 again.
        self.assertEqual(l.wire.ask("table.set", {"generation": 1, "services": l.services([b])})["generation"], 1)
        self.assertEqual(l.stop(), 0)
        # A broken configuration does not keep it down: it was told before where to listen.
        l2 = Lbd(directory=l.dir, port=l.port, conf="services: [\n")
        self.assertIn(b"going on with the saved table", l2.log())
        self.assertEqual(l2.get().status, 200)
        self.assertEqual(l2.stop(), 0)
        # A broken table file neither.
        with open(os.path.join(l.dir, "state", "table.json"), "w", encoding="utf-8") as f:
            f.write('{"table": {"generation": -1')
        l3 = Lbd(directory=l.dir, port=l.port)
        self.assertEqual(l3.get().status, 503)
        self.assertEqual(l3.stop(), 0)
        b.close()

    def test_broken_configuration_and_nothing_saved(self):
        l = Lbd(conf="listen: x\nservices: []\n", wait=False)
        self.assertEqual(l.proc.wait(10), 64)
        self.assertIn(b"lbctl.yaml:", l.log())

    def test_port_in_use(self):
        b = Backend("b")
        l = Lbd(port=b.port, wait=False)
        self.assertEqual(l.proc.wait(10), 1)
        self.assertIn(b"in use by", l.log())
        self.assertIn(b"(pid %d)" % os.getpid(), l.log())
        b.close()

    def test_a_second_lbd_is_refused(self):
        l = Lbd()
        other = Lbd(port=l.port, wait=False)  # another directory, the same port: SO_REUSEPORT must not let it in
        self.assertEqual(other.proc.wait(10), 1)
        self.assertIn(b"in use by lbd", other.log())
        self.assertEqual(l.get("/").status, 200)
        self.assertEqual(l.stop(), 0)

    def test_stop_finishes_what_is_in_flight(self):
        b = Backend("b", fn=lambda r: (time.sleep(0.5), ok(b"whole"))[1])
        l = Lbd()
        l.push([b])
        idle, busy = l.client(), l.client()
        idle.send(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        idle.answer()
        busy.send(b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n")
        until("in flight", lambda: len(b.requests) == 1)
        l.proc.send_signal(signal.SIGTERM)
        self.assertEqual(idle.rest(), (b"", True))
        a = busy.answer()
        self.assertEqual((a.body, a.get("connection")), (b"whole", "close"))
        self.assertEqual(l.stop(), 0)
        b.close()

    def test_second_signal_ends_at_once(self):
        b = Backend("b", fn=lambda r: (time.sleep(5), ok())[1])
        l = Lbd()
        l.push([b])
        c = l.client()
        c.send(b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n")
        until("in flight", lambda: len(b.requests) == 1)
        l.proc.send_signal(signal.SIGHUP)
        until("hangup is only logged", lambda: b"nothing to reload" in l.log())
        l.proc.send_signal(signal.SIGTERM)
        until("stopping", lambda: b"stopping" in l.log())
        t0 = time.monotonic()
        self.assertEqual(l.stop(), 0)
        self.assertLess(time.monotonic() - t0, 3)
        b.close()

    def test_out_of_descriptors(self):
        b = Backend("b")
        l = Lbd(wrap=("prlimit", "--nofile=300:300"))
        l.push([b])
        held = []
        for _ in range(400):
            try:
                held.append(connect(l.port, 5))
            except OSError:
                break
        until("said so", lambda: b"no more connections for now" in l.log())
        before = l.cpu_ticks()
        time.sleep(1)
        self.assertLess(l.cpu_ticks() - before, 30)  # hundredths of a second: it does not spin
        for s in held:
            s.close()
        until("serves again", lambda: l.get().status == 200, 20)
        until("descriptors are back", lambda: l.descriptors() < 100)
        self.assertEqual(l.stop(), 0)
        b.close()

    def test_usage(self):
        lbd = os.path.join(BUILD, "lb", "lbd")
        run = lambda *a: subprocess.run([lbd, *a], capture_output=True, text=True, timeout=10)
        self.assertEqual(run("--help").returncode, 0)
        self.assertIn("usage: lbd", run("--help").stdout)
        self.assertRegex(run("--version").stdout, r"^lbd \d")
        self.assertEqual(run("--frob").returncode, 64)
        self.assertEqual(run("-c", "/nonexistent.yaml", "--state-dir", "/tmp/none-%d" % os.getpid()).returncode, 64)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, max(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    unittest.main(verbosity=2)
