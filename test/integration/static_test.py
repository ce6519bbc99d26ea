#!/usr/bin/python3
"""Static services on raw sockets: the real lbd and a directory full of traps."""
import hashlib
import os
import socket
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lbd_kit import Backend, Lbd, connect, until  # noqa: E402
from lib.wire import WireError  # noqa: E402

BIG = 192 << 20
SECRET = b"never to be seen"

# Targets below the route that must not lead to the secret, and their status.
ESCAPES = [
    ("/app/../secret.txt", 400),  # the front's own rule
    ("/../secret.txt", 400),
    ("/app/..%2fsecret.txt", 404),
    ("/app/..%2Fsecret.txt", 404),
    ("/app/%2e%2e/secret.txt", 404),
    ("/app/%2E%2E/secret.txt", 404),
    ("/app/.%2e/secret.txt", 404),
    ("/app/%2e%2e%2fsecret.txt", 404),
    ("/app/%2e%2e%5csecret.txt", 404),
    ("/app/..%5csecret.txt", 404),
    ("/app/..\\secret.txt", 404),
    ("/app/sub/..%2f..%2fsecret.txt", 404),
    ("/app/sub/%2e%2e/%2e%2e/secret.txt", 404),
    ("/app/%252e%252e/secret.txt", 404),
    ("/app/%c0%ae%c0%ae/secret.txt", 404),
    ("/app/%c0%af..%c0%afsecret.txt", 404),
    ("/app/%e0%80%ae%e0%80%ae/secret.txt", 404),
    ("/app//secret.txt", 404),
    ("/app//etc/passwd", 404),
    ("/app/%2fetc/passwd", 404),
    ("/app/sub//page.html", 404),
    ("/app/index.html%00", 404),
    ("/app/index.html%00.txt", 404),
    ("/app/%00", 404),
    ("/app/index.html/", 404),
    ("/app/index.html/x", 404),
    ("/app/link-out", 404),
    ("/app/link-out-relative", 404),
    ("/app/dir-out/secret.txt", 404),
    ("/app/link-absolute-inside", 404),
    ("/app/loop", 404),
    ("/app/.hidden", 404),
    ("/app/%2ehidden", 404),
    ("/app/.git/config", 404),
    ("/app/fifo", 404),
    ("/app/socket", 404),
    ("/app/empty-dir/", 404),
    ("/app/" + "a" * 300, 404),
    ("/app/" + "a/" * 2500, 414),
    ("/app/%zz", 400),
    ("/app/%", 400),
    ("/appx/index.html", 404),
    ("/app%2findex.html", 404),
]


def make_tree(root):
    site = os.path.join(root, "site")
    for d in ("sub", "empty-dir", ".git", "with space"):
        os.makedirs(os.path.join(site, d))
    files = {
        "../secret.txt": SECRET, ".hidden": SECRET, ".git/config": SECRET, "index.html": b"<!doctype html><p>home\n",
        "app.js": b"export const x = 1;\n", "style.css": b"p{}\n", "data.bin": bytes(range(256)) * 40,
        "empty.txt": b"", "sub/page.html": b"page\n", "sub/index.html": b"index of sub\n",
        "with space/\u00e4.txt": b"umlaut\n", "100%.txt": b"percent\n", "a+b&c=d.txt": b"signs\n",
    }
    for name, body in files.items():
        with open(os.path.join(site, name), "wb") as f:
            f.write(body)
    with open(os.path.join(site, "big.bin"), "wb") as f:
        f.truncate(BIG)
        for at in range(0, BIG, 7 << 20):
            f.seek(at)
            f.write(b"mark %d" % at)
    for name, to in (("link-out", "/etc/passwd"), ("link-out-relative", "../secret.txt"), ("dir-out", ".."),
                     ("link-absolute-inside", site + "/index.html"), ("loop", "loop"), ("link-inside", "sub/page.html")):
        os.symlink(to, os.path.join(site, name))
    os.mkfifo(os.path.join(site, "fifo"))
    s = socket.socket(socket.AF_UNIX)
    s.bind(os.path.join(site, "socket"))
    s.close()
    return site


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tmp = tempfile.TemporaryDirectory(prefix="static-", dir="/tmp")
        cls.site = make_tree(cls.tmp.name)
        cls.lbd = Lbd(workers=2)
        cls.backend = Backend("b")
        cls.push()

    @classmethod
    def services(cls, **more):
        return [{"name": "files", "routes": [{"prefix": "/app"}], "static": cls.site, "backends": [], **more},
                *cls.lbd.services([cls.backend])]

    @classmethod
    def push(cls, **more):
        cls.lbd.push(None, services=cls.services(**more))

    @classmethod
    def tearDownClass(cls):
        cls.backend.close()
        code, log = cls.lbd.stop(), cls.lbd.log().decode()
        cls.tmp.cleanup()
        if code != 0 or "Sanitizer" in log or "runtime error" in log:
            raise AssertionError("lbd ended with %s:\n%s" % (code, log))


class Files(Case):
    def test_content_and_type(self):
        for target, body, kind in (
                ("/app/", b"<!doctype html><p>home\n", "text/html; charset=utf-8"),
                ("/app/?query", b"<!doctype html><p>home\n", "text/html; charset=utf-8"),
                ("/app/index.html", b"<!doctype html><p>home\n", "text/html; charset=utf-8"),
                ("/app/app.js", b"export const x = 1;\n", "text/javascript; charset=utf-8"),
                ("/app/app.js?v=3/../x", b"export const x = 1;\n", "text/javascript; charset=utf-8"),
                ("/app/style.css", b"p{}\n", "text/css; charset=utf-8"),
                ("/app/data.bin", bytes(range(256)) * 40, "application/octet-stream"),
                ("/app/empty.txt", b"", "text/plain; charset=utf-8"),
                ("/app/sub/", b"index of sub\n", "text/html; charset=utf-8"),
                ("/app/link-inside", b"page\n", "application/octet-stream"),
                ("/app/with%20space/%c3%a4.txt", b"umlaut\n", "text/plain; charset=utf-8"),
                ("/app/100%25.txt", b"percent\n", "text/plain; charset=utf-8"),
                ("/app/a+b&c=d.txt", b"signs\n", "text/plain; charset=utf-8")):
            with self.subTest(target=target):
                a = self.lbd.get(target)
                self.assertEqual((a.status, a.body, a.get("content-type")), (200, body, kind))
                self.assertEqual(a.get("content-length"), str(len(body)))
                self.assertEqual(a.get("x-content-type-options"), "nosniff")
                self.assertIn("frame-ancestors", a.get("content-security-policy"))
                h = self.lbd.get(target, "HEAD")
                self.assertEqual((h.status, h.body), (200, b""))
                for name in ("content-length", "content-type", "etag", "last-modified", "accept-ranges"):
                    self.assertEqual(h.get(name), a.get(name), name)

    def test_no_escape(self):
        for target, want in ESCAPES:
            for method in ("GET", "HEAD"):
                with self.subTest(target=target, method=method):
                    a = self.lbd.get(target, method)
                    self.assertNotIn(SECRET, a.body)
                    self.assertNotIn(b"root:", a.body)
                    self.assertEqual(a.status, want)

    def test_folders_end_in_a_slash(self):
        for target, to in (("/app", "/app/"), ("/app?x=1", "/app/?x=1"), ("/app/sub", "/app/sub/"),
                           ("/app/with%20space", "/app/with%20space/"), ("/app/%73ub?a/b", "/app/%73ub/?a/b")):
            a = self.lbd.get(target)
            self.assertEqual((a.status, a.get("location")), (301, to), target)
        # a root route never redirects to another host
        self.lbd.push(None, services=self.services(routes=[{"prefix": "/"}]))
        try:
            for target in ("//sub", "//evil.example/%2e%2e/sub", "/\\sub", "/%5csub", "/%2fsub"):
                a = self.lbd.get(target)
                self.assertIn(a.status, (400, 404), target)
                self.assertIsNone(a.get("location"), target)
            self.assertEqual(self.lbd.get("/").body, b"<!doctype html><p>home\n")
        finally:
            self.push()

    def test_methods(self):
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"):
            for target in ("/app/index.html", "/app/nothing"):
                a = self.lbd.get(target, method, body=b"x" * 100 if method in ("POST", "PUT") else b"")
                self.assertEqual((a.status, a.get("allow")), (405, "GET, HEAD"), method)

    def test_ranges(self):
        data = bytes(range(256)) * 40
        n = len(data)
        for value, first, last in (("bytes=0-0", 0, 0), ("bytes=5-9", 5, 9), ("bytes=-3", n - 3, n - 1),
                                   ("bytes=10000-", 10000, n - 1), ("bytes=10-999999999", 10, n - 1)):
            a = self.lbd.get("/app/data.bin", headers="Range: %s\r\n" % value)
            self.assertEqual((a.status, a.get("content-range")), (206, "bytes %d-%d/%d" % (first, last, n)), value)
            self.assertEqual(a.body, data[first:last + 1], value)
            h = self.lbd.get("/app/data.bin", "HEAD", "Range: %s\r\n" % value)
            self.assertEqual((h.status, h.get("content-length")), (200, str(n)), value)
        for value in ("bytes=%d-" % n, "bytes=-0", "bytes=99999999999999999999-"):
            a = self.lbd.get("/app/data.bin", headers="Range: %s\r\n" % value)
            self.assertEqual((a.status, a.get("content-range")), (416, "bytes */%d" % n), value)
        for value in ("bytes=1-0", "bytes=0-1,3-4", "words=0-1", "bytes", "bytes=a-b"):
            a = self.lbd.get("/app/data.bin", headers="Range: %s\r\n" % value)
            self.assertEqual((a.status, a.body), (200, data), value)

    def test_validators(self):
        a = self.lbd.get("/app/data.bin")
        tag, date = a.get("etag"), a.get("last-modified")
        with self.subTest("known"):
            for headers in ("If-None-Match: %s\r\n" % tag, "If-None-Match: \"x\", W/%s\r\n" % tag,
                            "If-None-Match: *\r\n", "If-Modified-Since: %s\r\n" % date):
                for method in ("GET", "HEAD"):
                    b = self.lbd.get("/app/data.bin", method, headers)
                    self.assertEqual((b.status, b.body, b.get("etag")), (304, b"", tag), headers)
        b = self.lbd.get("/app/data.bin", headers="If-Range: %s\r\nRange: bytes=1-2\r\n" % tag)
        self.assertEqual(b.status, 206)
        b = self.lbd.get("/app/data.bin", headers="If-Match: \"other\"\r\n")
        self.assertEqual(b.status, 412)
        path = os.path.join(self.site, "changing.txt")
        with open(path, "w", encoding="ascii") as f:
            f.write("one")
        old = self.lbd.get("/app/changing.txt").get("etag")
        with open(path, "w", encoding="ascii") as f:
            f.write("two")
        b = self.lbd.get("/app/changing.txt", headers="If-None-Match: %s\r\n" % old)
        self.assertEqual((b.status, b.body), (200, b"two"))
        b = self.lbd.get("/app/changing.txt", headers="If-Range: %s\r\nRange: bytes=0-0\r\n" % old)
        self.assertEqual((b.status, b.body), (200, b"two"))

    def test_pipeline_and_keep_alive(self):
        p = self.lbd.client()
        targets = ["/app/style.css", "/app/data.bin", "/app/nothing", "/app/sub/", "/app", "/app/empty.txt"] * 5
        p.send("".join("GET %s HTTP/1.1\r\nHost: t\r\n\r\n" % t for t in targets).encode())
        self.assertEqual([p.answer().status for _ in targets], [200, 200, 404, 200, 301, 200] * 5)
        p.close()

    def test_counts_for_its_service(self):
        before = self.lbd.service("files")["requests"]
        for _ in range(3):
            self.lbd.get("/app/style.css")
        self.lbd.get("/app/nothing")
        until("counted", lambda: self.lbd.service("files")["requests"] == before + 4)
        until("ended", lambda: self.lbd.service("files")["in_flight"] == 0)
        page = self.lbd.get("/").body
        self.assertIn(b"<td>files</td><td class=\"ok\">ready</td>", page)
        self.assertEqual(self.lbd.get("/api/v1/x").body, b"b")

    def test_missing_directory(self):
        self.push(static="/nonexistent/directory")
        try:
            self.assertEqual(self.lbd.get("/app/index.html").status, 404)
            self.assertIn(b"static directory cannot be opened", self.lbd.log())
        finally:
            self.push()
        self.assertEqual(self.lbd.get("/app/index.html").status, 200)

    def test_bad_tables_are_refused(self):
        for more in ({"static": "relative"}, {"static": ""}, {"backends": [self.backend.spec(0)]}, {"static": 7}):
            with self.assertRaises(WireError, msg=str(more)):
                self.push(**more)
        self.push()

    def test_a_new_table_is_never_behind(self):
        """The route answers as soon as the push is acknowledged, and a request is never between two tables."""
        for i in range(60):
            self.push(static=self.site if i % 2 else self.site + "/sub")
            want = b"<!doctype html><p>home\n" if i % 2 else b"index of sub\n"
            self.assertEqual(self.lbd.get("/app/index.html").body, want)
        self.push()

    def test_saved_table(self):
        lbd = Lbd(workers=2, directory=None)
        lbd.push(None, services=[{"name": "files", "routes": [{"prefix": "/app"}], "static": self.site,
                                  "backends": []}])
        directory = lbd.dir
        lbd.stop()
        lbd = Lbd(workers=2, directory=directory)
        try:
            self.assertEqual(lbd.get("/app/sub/page.html").body, b"page\n")
        finally:
            self.assertEqual(lbd.stop(), 0)


class Large(Case):
    def test_whole_by_many_with_flat_memory(self):
        want = hashlib.sha256()
        with open(os.path.join(self.site, "big.bin"), "rb") as f:
            for block in iter(lambda: f.read(1 << 20), b""):
                want.update(block)
        self.lbd.get("/app/style.css")
        before = self.lbd.memory()[0]
        got, lock = [], threading.Lock()

        def fetch():
            p, h = self.lbd.client(), hashlib.sha256()
            p.send(b"GET /app/big.bin HTTP/1.1\r\nHost: t\r\n\r\n")
            line, _ = p.head()
            h.update(p.buf)
            left = BIG - len(p.buf)
            while left > 0:
                data = p.sock.recv(1 << 18)
                if not data:
                    break
                h.update(data)
                left -= len(data)
            p.close()
            with lock:
                got.append((line.split(" ")[1], left, h.hexdigest()))

        threads = [threading.Thread(target=fetch) for _ in range(3)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(50)
        self.assertEqual(got, [("200", 0, want.hexdigest())] * 3)
        self.assertLess(self.lbd.memory()[1] - before, 16 << 10, "KiB more than before")

    def test_ranges_of_it(self):
        for at in range(0, BIG, 21 << 20):
            mark = b"mark %d" % at
            a = self.lbd.get("/app/big.bin", headers="Range: bytes=%d-%d\r\n" % (at, at + len(mark) - 1))
            self.assertEqual((a.status, a.body), (206, mark))

    def test_clients_that_stop_reading_hold_up_nobody(self):
        before = self.lbd.descriptors()
        stuck = []
        for _ in range(20):
            s = connect(self.lbd.port)
            s.sendall(b"GET /app/big.bin HTTP/1.1\r\nHost: t\r\n\r\n")
            stuck.append(s)
        for _ in range(20):
            self.assertEqual(self.lbd.get("/app/style.css").status, 200)
        self.assertEqual(self.lbd.get("/api/v1/x").status, 200)
        for s in stuck:
            s.close()
        until("files closed", lambda: self.lbd.descriptors() <= before + 6)

    def test_cut_short_while_it_is_sent(self):
        path = os.path.join(self.site, "shrinking.bin")
        with open(path, "wb") as f:
            f.truncate(64 << 20)
        p = self.lbd.client()
        p.send(b"GET /app/shrinking.bin HTTP/1.1\r\nHost: t\r\n\r\n")
        self.assertIn("200", p.head()[0])
        os.truncate(path, 1 << 20)
        got = len(p.buf)
        try:
            while data := p.sock.recv(1 << 18):
                got += len(data)
        except ConnectionResetError:
            pass  # cut, and seen as cut
        self.assertLess(got, 64 << 20)
        p.close()
        self.assertEqual(self.lbd.get("/app/style.css").status, 200)


if __name__ == "__main__":
    unittest.main(verbosity=2)
