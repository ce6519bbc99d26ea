#!/usr/bin/python3
"""Routes of lbd: hosts and prefixes over several services, what they do to messages, pages and maintenance."""
import os
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lbd_test import Case, ok  # noqa: E402


def edit(op, name, value=""):
    return {"op": op, "name": name, "value": value}


class RouteCase(Case):
    def setUp(self):
        super().setUp()
        self.dir = tempfile.mkdtemp(prefix="lbd-routes-", dir="/tmp")

    def tearDown(self):
        super().tearDown()
        shutil.rmtree(self.dir)

    def file(self, name, data):
        path = os.path.join(self.dir, name)
        with open(path, "wb") as f:
            f.write(data)
        return path

    def routes(self, *routes, fn=None, **more):
        """One backend behind these routes."""
        b = self.backend(fn=fn)
        self.lbd.push(None, services=[{"name": "app", "routes": list(routes), "backends": [b.spec(0)], **more}])
        return b

    def ask(self, target, host="t", method="GET", headers="", minor=1):
        line = "Host: %s\r\n" % host if host is not None else ""
        return self.lbd.ask(("%s %s HTTP/1.%d\r\n%s%s\r\n" % (method, target, minor, line, headers)).encode(), method == "HEAD")

    def counted(self):
        return self.lbd.service()["counted"]


class Hosts(RouteCase):
    def test_the_most_specific_host_then_the_longest_prefix(self):
        places = {"www": [{"host": "www.example.org", "prefix": "/"}], "api": [{"host": "www.example.org", "prefix": "/api"}],
                  "sub": [{"host": "*.example.org", "prefix": "/"}], "any": [{"prefix": "/api/v1"}, {"prefix": "/x"}]}
        backends = {name: self.backend(name) for name in places}
        self.lbd.push(None, services=[{"name": n, "routes": r, "backends": [backends[n].spec(0)]} for n, r in places.items()])
        for host, target, want in (
                ("www.example.org", "/", "www"), ("WWW.Example.Org", "/x", "www"), ("www.example.org:8080", "/apix", "www"),
                ("www.example.org", "/api/v1", "api"), ("www.example.org.", "/api", "api"), ("m.example.org", "/api/v1/x", "sub"),
                ("a.b.example.org", "/", "sub"), ("example.org", "/api/v1/x", "any"), ("", "/api/v1", "any"), (None, "/x", "any"),
                ("example.org", "/y", 404), ("badexample.org", "/", 200), ("[::1]:80", "/x/y", "any")):
            a = self.ask(target, host, minor=1 if host is not None else 0)
            if isinstance(want, int):
                self.assertEqual(a.status, want, (host, target))
            else:
                self.assertEqual((a.status, a.body.decode()), (200, want), (host, target))
        a = self.lbd.ask(b"GET http://m.example.org/api/v1 HTTP/1.1\r\nHost: m.example.org\r\n\r\n")
        self.assertEqual(a.body, b"sub")

    def test_root_without_a_route_is_lbds_own_page(self):
        self.routes({"host": "www.example.org", "prefix": "/"}, {"prefix": "/api/v1"})
        self.assertIn(b"lbctl", self.ask("/", "other").body)
        self.assertEqual(self.ask("/", "www.example.org").body, b"b")
        self.assertEqual(self.ask("/unknown", "other").status, 404)

    def test_files_by_host(self):
        self.file("a.txt", b"of one")
        other = tempfile.mkdtemp(dir=self.dir)
        with open(os.path.join(other, "a.txt"), "wb") as f:
            f.write(b"of any")
        cached = [edit("set", "Cache-Control", "max-age=60")]
        self.lbd.push(None, services=[
            {"name": "one", "routes": [{"host": "localhost", "prefix": "/f", "response_headers": cached}], "static": self.dir, "backends": []},
            {"name": "any", "routes": [{"prefix": "/f"}], "static": other, "backends": []}])
        a = self.ask("/f/a.txt", "localhost:1")
        self.assertEqual((a.body, a.get("cache-control")), (b"of one", "max-age=60"))
        self.assertEqual(self.ask("/f/a.txt", "other").body, b"of any")
        self.assertEqual(self.ask("/f/a.txt", None, minor=0).body, b"of any")

    def test_a_bad_table_is_refused_and_the_old_one_serves_on(self):
        self.routes({"prefix": "/a"})
        for route in ({"prefix": "/b", "host": "a b"}, {"prefix": "/b", "rewrite": "b"},
                      {"prefix": "/b", "request_headers": [edit("set", "Transfer-Encoding", "x")]},
                      {"prefix": "/b", "response_headers": [edit("add", "X", "a\r\nb")]},
                      {"prefix": "/b", "redirect": {"to": "/x\n", "status": 301}}):
            with self.assertRaises(Exception):
                self.routes(route)
            self.lbd.generation += 1
            self.assertEqual(self.ask("/a").status, 200)


class Changes(RouteCase):
    def test_headers_both_ways(self):
        b = self.routes({"prefix": "/a", "request_headers": [edit("remove", "Cookie"), edit("set", "X-A", "new"), edit("add", "X-B", "2"),
                                                             edit("set", "Host", "inner.example")],
                         "response_headers": [edit("remove", "Server"), edit("set", "X-Frame-Options", "DENY"), edit("add", "X-B", "r")]},
                        {"prefix": "/b"}, fn=lambda r: ok(b"ok", b"Server: x\r\nX-Frame-Options: a\r\nX-B: q\r\n"))
        headers = "Cookie: a\r\ncookie: b\r\nX-A: old\r\nx-a: older\r\nX-B: 1\r\n"
        a = self.ask("/a/x", headers=headers)
        got = b.requests[-1]
        self.assertEqual([v for k, v in got.headers if k == "x-a"], ["new"])
        self.assertEqual([v for k, v in got.headers if k == "x-b"], ["1", "2"])
        self.assertEqual([v for k, v in got.headers if k == "host"], ["inner.example"])
        self.assertEqual((got.get("cookie"), got.get("x-forwarded-host")), (None, "t"))
        self.assertEqual((a.get("server"), a.get("x-frame-options")), (None, "DENY"))
        self.assertEqual([v for k, v in a.headers if k == "x-b"], ["q", "r"])
        a = self.ask("/b/x", headers=headers)  # the other route changes nothing
        self.assertEqual((a.get("server"), b.requests[-1].get("cookie"), b.requests[-1].get("host")), ("x", "a", "t"))

    def test_changes_hold_on_a_kept_connection_with_a_pipeline(self):
        b = self.routes({"prefix": "/a", "rewrite": "/"}, {"prefix": "/b", "rewrite": "/v2"}, {"prefix": "/c"},
                        fn=lambda r: ok(r.target.encode() + b"|" + r.body))
        c = self.client()
        raw = b"".join(b"POST %s HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nhi" % t for t in (b"/a/x?q", b"/b/x", b"/c/x", b"/a"))
        c.send(raw, 3)
        self.assertEqual([c.answer().body for _ in range(4)], [b"/x?q|hi", b"/v2/x|hi", b"/c/x|hi", b"/|hi"])
        self.assertEqual([r.get("x-forwarded-prefix") for r in b.requests], ["/a", None, None, "/a"])

    def test_changes_survive_a_retry_and_a_push(self):
        dead, b = self.backend("dead"), self.backend("b", fn=lambda r: ok(r.target.encode()))
        dead.close()
        service = {"name": "app", "routes": [{"prefix": "/a", "rewrite": "/", "request_headers": [edit("add", "X-A", "1")],
                                              "response_headers": [edit("add", "X-R", "1")]}], "backends": [dead.spec(0), b.spec(1)]}
        for _ in range(4):
            self.lbd.push(None, services=[service])
            a = self.ask("/a/x")
            self.assertEqual((a.status, a.body, a.get("x-r"), b.requests[-1].get("x-a")), (200, b"/x", "1", "1"))

    def test_long_heads_still_fit(self):
        b = self.routes({"prefix": "/a", "request_headers": [edit("add", "X-%d" % i, "v" * 1000) for i in range(7)]})
        self.assertEqual(self.ask("/a", headers="X-Long: %s\r\n" % ("x" * 31000)).status, 200)
        self.assertEqual(len(b.requests[-1].get("x-long")), 31000)


class Own(RouteCase):
    def test_redirects(self):
        b = self.routes({"prefix": "/old", "redirect": {"to": "https://new.example", "status": 308, "keep_path": True}},
                        {"prefix": "/one", "redirect": {"to": "/two", "status": 302}},
                        {"prefix": "/rel", "redirect": {"to": "/", "status": 307, "keep_path": True}})
        before = self.counted()
        for target, status, want in (("/old", 308, "https://new.example"), ("/old/a/b?c=d", 308, "https://new.example/a/b?c=d"),
                                     ("/one/x?y=1&z", 302, "/two?y=1&z"), ("/rel//evil.example", 307, "/evil.example"),
                                     ("/rel/\\evil.example", 307, "/evil.example")):
            a = self.ask(target)
            self.assertEqual((a.status, a.get("location"), a.body), (status, want, b""), target)
        self.assertEqual(self.ask("/old", method="HEAD").status, 308)
        self.assertEqual(self.ask("/old/" + "x" * 31500).status, 308)
        self.assertEqual(b.connections, 0)
        self.assertEqual(self.counted(), before)  # no instance is needed for it
        c = self.client()
        c.send(b"GET /one HTTP/1.1\r\nHost: t\r\n\r\nGET /old HTTP/1.1\r\nHost: t\r\n\r\n", 1)
        self.assertEqual([c.answer().status for _ in range(2)], [302, 308])

    def test_fixed_answers(self):
        self.routes({"prefix": "/robots.txt", "respond": {"status": 200, "body": "User-agent: *\n"}},
                    {"prefix": "/gone", "respond": {"status": 410, "type": "text/html", "body": "<p>Weg"},
                     "response_headers": [edit("set", "Cache-Control", "no-store")]},
                    {"prefix": "/empty", "respond": {"status": 204}})
        a = self.ask("/robots.txt")
        self.assertEqual((a.status, a.body, a.get("content-type")), (200, b"User-agent: *\n", "text/plain; charset=utf-8"))
        a = self.ask("/gone/x", method="POST", headers="Content-Length: 0\r\n")
        self.assertEqual((a.status, a.body, a.get("content-type"), a.get("cache-control")), (410, b"<p>Weg", "text/html", "no-store"))
        c = self.client()
        c.send(b"GET /empty HTTP/1.1\r\nHost: t\r\n\r\nHEAD /gone HTTP/1.1\r\nHost: t\r\n\r\nGET /gone HTTP/1.1\r\nHost: t\r\n\r\n")
        self.assertEqual([c.answer().status, c.answer(True).get("content-length"), c.answer().body], [204, "6", b"<p>Weg"])

    def test_error_pages(self):
        dead = self.backend("dead")
        dead.close()
        html = b"<!doctype html><p>" + b"x" * 30000
        pages = [{"status": 502, "file": self.file("502.html", html)}, {"status": 503, "file": self.file("503.json", b"{}")},
                 {"status": 504, "file": self.file("large.html", b"x" * 40000)}, {"status": 404, "file": self.file("404.html", b"own 404")},
                 {"status": 400, "file": os.path.join(self.dir, "missing")}]
        live = self.backend(fn=lambda r: b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")
        self.file("there.txt", b"there")
        self.lbd.push(None, services=[
            {"name": "dead", "routes": [{"prefix": "/dead", "response_headers": [edit("add", "X-R", "1")]}], "backends": [dead.spec(0)],
             "error_pages": pages},
            {"name": "none", "routes": [{"prefix": "/none"}], "backends": [], "error_pages": pages},
            {"name": "files", "routes": [{"prefix": "/files"}], "backends": [], "static": self.dir, "error_pages": pages},
            {"name": "app", "routes": [{"prefix": "/live"}], "backends": [live.spec(0)], "error_pages": pages}])
        a = self.ask("/dead")
        self.assertEqual((a.status, a.body, a.get("content-type"), a.get("x-r")), (502, html, "text/html; charset=utf-8", "1"))
        a = self.ask("/none")
        self.assertEqual((a.status, a.body, a.get("content-type"), a.get("retry-after")), (503, b"{}", "application/json", "1"))
        self.assertEqual(self.ask("/live").body, b"busy")  # an instance's own answer
        self.assertEqual((self.ask("/files/x").body, self.ask("/files/there.txt").body), (b"own 404", b"there"))
        self.assertEqual(self.ask("/nowhere").body, b"404 no such route\n")  # of no service
        self.assertIn(b"page not read", self.lbd.log())
        self.assertIn(b"large.html", self.lbd.log())

    def test_maintenance(self):
        b = self.backend()
        service = {"name": "app", "routes": [{"prefix": "/a"}], "backends": [b.spec(0)]}
        self.lbd.push(None, services=[service])
        self.assertEqual(self.ask("/a").status, 200)
        before = self.lbd.service()
        self.lbd.push(None, services=[dict(service, maintenance=True, maintenance_retry_s=300)])
        a = self.ask("/a")
        self.assertEqual((a.status, a.get("retry-after"), a.body), (503, "300", b"503 under maintenance\n"))
        self.lbd.push(None, services=[dict(service, maintenance=True, maintenance_page=self.file("m.html", b"<p>back soon"))])
        a = self.ask("/a", method="POST", headers="Content-Length: 0\r\n")
        self.assertEqual((a.status, a.get("retry-after"), a.body), (503, "60", b"<p>back soon"))
        after = self.lbd.service()
        self.assertEqual((after["counted"], after["errors"]), (before["counted"], before["errors"]))
        self.assertEqual(len(after["backends"]), 1)  # still there: its requests end, its drain is asked for as ever
        self.assertEqual(len(b.requests), 1)
        self.lbd.push(None, services=[service])
        self.assertEqual(self.ask("/a").status, 200)


if __name__ == "__main__":
    unittest.main(verbosity=2)
