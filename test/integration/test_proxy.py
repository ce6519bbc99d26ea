#!/usr/bin/python3
"""What a client gets through lbd is what it would get from the container directly; what is no API route is not
forwarded. HTTP details on raw sockets are in lbd_test.py."""
import base64
import json
import threading
import time

from lib import case, client
from lib.stack import ACTS_IMAGE, POSTGRES_IMAGE, Stack, until

JSON = (("Content-Type", "application/json"),)
# May differ between the two ways: made per message or per connection.
PER_HOP = {"date", "via", "connection", "keep-alive", "x-instance", "transfer-encoding", "content-length"}


def act(number, category, image="d2Fsa2VkIGEgc3RyYW5nZXIgaG9tZQ=="):
    return json.dumps({"actId": number, "username": "ravi", "timestamp": "05-11-2024:07-59-23", "caption": "x",
                       "categoryName": category, "imgB64": image}).encode()


class Proxy(case.Case):
    build = staticmethod(lambda: Stack(acts={
        "scale": "{ min: 2, max: 2, ignore: [/api/v1/_health, /api/v1/_crash] }"}, extra="""\
        app:
          image: @IMAGE@
          volumes: ["@LOG@:/log"]
          route: [/app, /deep/er]
          port: 80
          host_ports: @PORTS@
          health: { path: /_health, interval: 1s, timeout: 1s, fall: 1 }
          response_timeout: 5s
          scale: { min: 2, max: 4, every: 10m }
        """))
    images = (ACTS_IMAGE, POSTGRES_IMAGE)

    @classmethod
    def prepare(cls):
        cls.acts_port = cls.stack.host_first
        cls.app_port = cls.stack.other_first
        for name in ("empty", "full", "uploads"):
            assert cls.stack.post("/api/v1/categories", json.dumps([name]).encode(), headers=JSON).status == 201
        with client.Conn(cls.stack.port) as c:
            for n in range(105):
                assert c.request("POST", "/api/v1/acts", act(1000 + n, "full"), JSON).status == 201

    def both(self, method, target, body=None, headers=(), port=None):
        """The same request directly and through lbd; both answers, found equal."""
        direct = client.once(port or self.acts_port, method, target, body, headers)
        through = client.once(self.stack.port, method, target, body, headers)
        self.assertEqual((through.status, through.reason), (direct.status, direct.reason), f"{method} {target}")
        self.assertEqual(through.body, direct.body, f"{method} {target}")

        def rest(r):
            return sorted((n.lower(), v) for n, v in r.headers if n.lower() not in PER_HOP)
        self.assertEqual(rest(through), rest(direct), f"{method} {target}: headers")
        self.assertEqual(direct.get("Content-Length") if direct.status != 204 else None,
                         through.get("Content-Length") if through.status != 204 else None,
                         f"{method} {target}: Content-Length")
        return through

    def test_the_service_s_answers_unchanged(self):
        rows = [
            # method, target, body, status
            ("GET", "/api/v1/categories", None, 200),
            ("GET", "/api/v1/categories/empty/acts", None, 204),
            ("GET", "/api/v1/categories/nowhere/acts", None, 204),
            ("GET", "/api/v1/categories/full/acts", None, 413),
            ("GET", "/api/v1/categories/full/acts?start=1&end=100", None, 200),
            ("GET", "/api/v1/categories/full/acts?start=104&end=105", None, 200),
            ("GET", "/api/v1/categories/full/acts?start=1&end=101", None, 413),
            ("GET", "/api/v1/categories/full/acts?start=105&end=106", None, 400),
            ("GET", "/api/v1/categories/full/acts?start=2", None, 400),
            ("GET", "/api/v1/categories/full/acts/size", None, 200),
            ("GET", "/api/v1/categories/nowhere/acts/size", None, 400),
            ("GET", "/api/v1/acts/count", None, 200),
            ("GET", "/api/v1/acts", None, 405),
            ("DELETE", "/api/v1/acts/upvote", None, 405),
            ("DELETE", "/api/v1/categories/nowhere", None, 400),
            ("PUT", "/api/v1/categories", b"[]", 405),
            ("PATCH", "/api/v1/acts", b"{}", 405),
            ("POST", "/api/v1/categories", b'["full"]', 400),
            ("POST", "/api/v1/categories", b"{broken", 400),
            ("POST", "/api/v1/categories", b"", 400),
            ("POST", "/api/v1/acts/upvote", b"[99999999]", 400),
            ("GET", "/api/v1/_health", None, 200),
            ("GET", "/api/v1/_crash", None, 405),
            ("GET", "/api/v1/nowhere/at/all", None, 404),
        ]
        for method, target, body, status in rows:
            with self.subTest(f"{method} {target} {body}"):
                r = self.both(method, target, body, JSON if body else ())
                self.assertEqual(r.status, status)

    def test_options_as_a_browser_sends_it(self):
        r = self.both("OPTIONS", "/api/v1/acts", None, (
            ("Origin", "http://pages.example"), ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "content-type")))
        self.assertIn(r.status, (200, 204))
        self.assertEqual(r.get("Access-Control-Allow-Origin"), "*")

    def test_head_has_no_body_and_the_connection_goes_on(self):
        with client.Conn(self.stack.port) as c:
            head = c.request("HEAD", "/api/v1/categories")
            get = c.request("GET", "/api/v1/categories")
        with client.Conn(self.acts_port) as c:
            direct = c.request("HEAD", "/api/v1/categories")
        self.assertEqual((head.status, head.body), (direct.status, b""))
        self.assertEqual(get.status, 200)
        with client.Conn(self.stack.port) as c:
            self.assertEqual(c.request("HEAD", "/app/t/bytes?n=12345").get("Content-Length"), "12345")
            self.assertEqual(c.request("GET", "/app/x").status, 200)

    def test_5_mb_upload(self):
        image = base64.b64encode(bytes(range(256)) * 15360).decode()
        body = act(5000001, "uploads", image)
        self.assertGreater(len(body), 5 << 20)
        for port in (self.stack.port, self.acts_port):
            r = client.once(port, "POST", "/api/v1/acts", body, JSON)
            self.assertEqual(r.status, 201, r)
            got = client.once(self.stack.port, "GET", "/api/v1/categories/uploads/acts")
            self.assertEqual(json.loads(got.body)[0]["imgB64"], image)
            self.assertEqual(client.once(self.acts_port, "GET", "/api/v1/categories/uploads/acts").body, got.body)
            self.assertEqual(client.once(self.stack.port, "DELETE", "/api/v1/acts/5000001").status, 200)

    def test_chunked_upload(self):
        body = act(5000002, "uploads")
        parts = [body[:10], body[10:11], body[11:]]
        coded = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts) + b"0\r\n\r\n"
        for port in (self.stack.port, self.acts_port):
            r = client.once(port, "POST", "/api/v1/acts", coded, JSON + (("Transfer-Encoding", "chunked"),))
            self.assertEqual(r.status, 201, r)
            self.assertEqual(client.once(port, "DELETE", "/api/v1/acts/5000002").status, 200)

    def test_expect_100_continue(self):
        body = act(5000003, "uploads")
        for port in (self.stack.port, self.acts_port):
            with client.Conn(port) as c:
                c.send(b"POST /api/v1/acts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                       b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
                self.assertEqual(c.head()[0], 100, f"port {port}")
                c.send(body)
                self.assertEqual(c.response("POST").status, 201, f"port {port}")
            self.assertEqual(client.once(port, "DELETE", "/api/v1/acts/5000003").status, 200)

    def test_chunked_answer(self):
        r = self.both("GET", "/app/t/bytes?n=300000&chunked=1", port=self.app_port)
        self.assertEqual(len(r.body), 300000)

    def echo(self, raw):
        """Send a raw head without body; the head as the container got it, as lines."""
        with client.Conn(self.stack.port) as c:
            c.send(raw)
            r = c.response()
        self.assertEqual(r.status, 200, r)
        return r.text.split("\r\n")

    def test_targets_arrive_as_they_were_sent(self):
        for target in ("/app/t/echo", "/app/t/echo?start=1&end=100", "/app/t/echo?a=%20b+c&d=%C3%A9&e", "/app/t/echo?",
                       "/app/a%2Fb/t/echo", "/app//x///t/echo", "/app/%2e%2e/t/echo", "/app/KANNADA%E0%B2%95/t/echo",
                       "/app/a;b=c,d:e@f!$&'()*+=~/t/echo?/?x=[1]", "/app/" + "x" * 4000 + "/t/echo",
                       "/app/" + "d/" * 500 + "t/echo", "/deep/er/t/echo"):
            with self.subTest(target[:60]):
                lines = self.echo(f"GET {target} HTTP/1.1\r\nHost: any.example\r\n\r\n".encode())
                self.assertEqual(lines[0], f"GET {target} HTTP/1.1")

    def test_headers_that_arrive(self):
        lines = self.echo(b"GET /app/t/echo?secret=1 HTTP/1.1\r\nHost: some.example:8080\r\nX-Mine: 1\r\n"
                          b"Cookie: a=b\r\nConnection: keep-alive, X-Drop\r\nX-Drop: gone\r\nKeep-Alive: timeout=5\r\n"
                          b"TE: trailers\r\nProxy-Connection: keep-alive\r\nAccept-Encoding: gzip\r\n\r\n")
        got = {}
        for line in lines[1:]:
            if line:
                name, _, value = line.partition(":")
                self.assertNotIn(name.lower(), got, "a header twice")
                got[name.lower()] = value.strip()
        self.assertEqual(got.get("host"), "some.example:8080")
        self.assertEqual((got.get("x-mine"), got.get("cookie"), got.get("accept-encoding")), ("1", "a=b", "gzip"))
        for name in ("x-drop", "keep-alive", "te", "proxy-connection"):
            self.assertNotIn(name, got)
        self.assertEqual(got.get("x-forwarded-for"), "127.0.0.1")
        self.assertEqual(got.get("x-forwarded-proto"), "http")
        self.assertEqual(got.get("x-forwarded-host"), "some.example:8080")
        self.assertIn("1.1", got.get("via", ""))
        self.assertEqual([n for n, v in got.items() if "secret=1" in v], [], "a header repeats the URL")

    def test_any_host_is_served(self):
        for host in ("localhost", "10.0.0.1", "ec2-1-2-3-4.compute.example", "[::1]:80", "x"):
            with client.Conn(self.stack.port) as c:
                c.send(f"GET /app/x HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                self.assertEqual(c.response().status, 200, host)

    def test_what_is_no_route_is_not_forwarded(self):
        before = sum(self.stack.lbd_stats().values()), sum(self.stack.lbd_stats("app").values())
        for target in ("/api/v1x", "/api/v1x/y", "/api/v", "/api", "/api/v2/categories", "/API/V1/categories",
                       "//api/v1/categories", "/x/api/v1/categories", "/appx", "/deep", "/deep/erx", "/favicon.ico",
                       "/index.html", "/api/v1%2Fcategories", "/%61pi/v1/categories"):
            with self.subTest(target):
                self.assertEqual(self.stack.get(target).status, 404)
        for target in ("/", "/?x=1"):
            self.assertEqual(self.stack.get(target).status, 200)
        after = sum(self.stack.lbd_stats().values()), sum(self.stack.lbd_stats("app").values())
        self.assertEqual(after, before, "something was forwarded")

    def test_the_route_itself_and_every_depth(self):
        for target in ("/app", "/app/", "/app?x", "/app/a", "/app/a/b/c/d/e/f/g"):
            self.assertEqual(self.stack.get(target).status, 200, target)

    def test_what_counts(self):
        rows = [
            # method, target, counted
            ("GET", "/api/v1/categories", 1),
            ("GET", "/api/v1/categories?x=/api/v1/_health", 1),
            ("GET", "/api/v1/categories/_health-tips/acts", 1),
            ("GET", "/api/v1/categories/_health", 1),
            ("GET", "/api/v1/_healthy", 1),
            ("GET", "/api/v1/_health/x", 1),
            ("GET", "/api/v1/_count", 1),
            ("GET", "/api/v1/nowhere", 1),
            ("POST", "/api/v1/acts", 1),
            ("DELETE", "/api/v1/acts/1", 1),
            ("HEAD", "/api/v1/categories", 1),
            ("GET", "/api/v1/_health", 0),
            ("POST", "/api/v1/_health", 0),
            ("GET", "/api/v1/_health?x=1", 0),
            ("GET", "/api/v1/_crash", 0),
            ("OPTIONS", "/api/v1/acts", 0),
            ("GET", "/", 0),
            ("GET", "/api/v1x", 0),
            ("GET", "/favicon.ico", 0),
            ("GET", "/app/x", 0),
        ]

        def counted():
            return next(s["counted"] for s in self.raw_stats() if s["name"] == "acts")
        for method, target, want in rows:
            with self.subTest(f"{method} {target}"):
                before = counted()
                self.stack.direct(self.stack.port, method, target, b"" if method == "POST" else None)
                self.assertEqual(counted() - before, want)

    def raw_stats(self):
        from lib import wire  # pylint: disable=import-outside-toplevel
        with wire.Wire(self.stack.run_dir + "/lb.sock", "ctl") as w:
            return w.ask("stats.get")["services"]

    def test_the_page_of_the_orchestrator(self):
        r = self.stack.get("/")
        self.assertEqual(r.status, 200)
        self.assertIn("text/html", r.get("Content-Type"))
        self.assertGreater(len(r.body), 50)
        for cid in self.stack.ids().values():
            self.assertNotIn(cid[:12], r.text, "the public page shows container ids")

    def upload(self, total, watch=None):
        piece = bytes(range(256)) * 1024
        with client.Conn(self.stack.port, timeout=60) as c:
            c.send(b"POST /app/t/sink HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % total)
            sent = 0
            while sent < total:
                c.send(piece[:total - sent])
                sent += min(len(piece), total - sent)
                if watch is not None and sent % (4 << 20) == 0:
                    watch()
            return c.response("POST")

    def test_100_mb_upload_with_flat_memory(self):
        self.upload(1 << 20)
        base = self.stack.lbd.rss_kb()
        peak = [base]
        r = self.upload(100 << 20, lambda: peak.append(self.stack.lbd.rss_kb()))
        self.assertEqual(r.status, 201)
        self.assertTrue(r.text.startswith(f"bytes={100 << 20} "), r.text)
        print(f"      lbd {base} kB before, at most {max(peak)} kB during the upload", flush=True)
        self.assertLess(max(peak) - base, 8 << 10, "kB more than before")

    def test_a_client_that_reads_nothing_costs_no_memory(self):
        base = self.stack.lbd.rss_kb()
        conns = []
        for _ in range(8):
            c = client.Conn(self.stack.port, timeout=60)
            c.send(b"GET /app/t/bytes?n=100000000 HTTP/1.1\r\nHost: x\r\n\r\n")
            conns.append(c)
        end = time.monotonic() + 1.5
        peak = base
        while time.monotonic() < end:
            peak = max(peak, self.stack.lbd.rss_kb())
            time.sleep(0.05)
        for c in conns:
            c.close()
        self.assertLess(peak - base, 16 << 10, "kB more than before")
        self.assertEqual(self.stack.get("/app/x").status, 200)

    def test_a_hanging_request_holds_nobody_up(self):
        hung = []
        for _ in range(4):
            c = client.Conn(self.stack.port, timeout=30)
            c.send(b"GET /app/t/hang HTTP/1.1\r\nHost: x\r\n\r\n")
            hung.append(c)
        begin = time.monotonic()
        for _ in range(50):
            self.assertEqual(self.stack.get("/app/x").status, 200)
        self.assertLess(time.monotonic() - begin, 2.0)
        for c in hung:
            r = c.response()
            self.assertEqual(r.status, 504, r)
            c.close()
        self.assertLess(time.monotonic() - begin, 12.0, "the limit is 5 s")

    def test_an_answer_cut_short_is_not_made_whole(self):
        try:
            r = self.stack.get("/app/t/cut?n=1000")
            self.fail(f"a whole answer: {r}")
        except (OSError, client.HttpError) as e:
            self.assertRegex(str(e), "1000 of 2000|reset")

    def test_no_answer_at_all_is_502_after_one_more_try(self):
        port = self.app_port
        ids = self.stack.ids("app")
        r = self.stack.direct(self.stack.port, "POST", "/app/t/exit?code=3", b"x")
        self.assertEqual(r.status, 502, "a POST is not repeated")
        until(lambda: len(set(self.stack.ids("app").values()) - set(ids.values())) == 1 and
              len(self.stack.ids("app")) == 2, 20, "the one that ended replaced")
        self.assertIn(port, self.stack.ids("app"))

    def test_a_500_is_passed_on_and_never_repeated(self):
        for method in ("GET", "POST"):
            before = sum(self.stack.lbd_stats("app").values())
            r = self.stack.direct(self.stack.port, method, "/app/t/status?code=500", b"x" if method == "POST" else None)
            self.assertEqual((r.status, r.body), (500, b"told so\n"))
            self.assertEqual(sum(self.stack.lbd_stats("app").values()), before + 1, method)

    def test_statuses_pass_unchanged(self):
        for code in (200, 201, 204, 299, 301, 302, 304, 400, 401, 404, 418, 429, 500, 502, 503, 504, 599):
            self.both("GET", f"/app/t/status?code={code}", port=self.app_port)

    def test_clients_that_leave_do_no_harm(self):
        fds = self.stack.lbd.fds()
        for i in range(200):
            c = client.Conn(self.stack.port)
            c.send(b"GET /app/t/slow?ms=200 HTTP/1.1\r\nHost: x\r\n\r\n"[:20 + i % 40])
            c.close()
        until(lambda: self.stack.svc("app")["in_flight"] == 0, 10, "nothing in flight")
        until(lambda: self.stack.lbd.fds() <= fds + 8, 10, "descriptors given back")
        self.assertEqual(self.stack.get("/app/x").status, 200)

    def test_many_connections_at_once(self):
        conns = [client.Conn(self.stack.port, timeout=30) for _ in range(400)]
        answers = []

        def run(some):
            for c in some:
                answers.append(c.request("GET", "/app/x").status)
        threads = [threading.Thread(target=run, args=(conns[i::8],)) for i in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(60)
        for c in conns:
            c.close()
        self.assertEqual(answers, [200] * 400)


if __name__ == "__main__":
    case.main()
