#!/usr/bin/python3
"""Who is the client: trusted proxies, Forwarded, request ids and the PROXY protocol on raw sockets."""
import os
import re
import signal
import socket
import struct
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lbd_kit import CONF, Lbd, Peer, free_port, until  # noqa: E402
from lbd_test import Case  # noqa: E402

SIG = b"\r\n\r\n\0\r\nQUIT\n"
GET = b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n"


def v2(src, dst="192.0.2.2", command=1, tlv=b""):
    if ":" in src:
        body = socket.inet_pton(socket.AF_INET6, src) * 2 + struct.pack(">HH", 1, 2)
        family = 0x21
    else:
        body = socket.inet_aton(src) + socket.inet_aton(dst) + struct.pack(">HH", 1, 2)
        family = 0x11
    body += tlv
    return SIG + bytes([0x20 | command, family]) + struct.pack(">H", len(body)) + body


class TrustCase(Case):
    """127.0.0.1 is a trusted proxy, the other addresses of 127/8 are strangers."""
    workers = 1

    @classmethod
    def setUpClass(cls):
        cls.plain, cls.proxy = free_port(), free_port()
        conf = ("listen: ['127.0.0.1:%d', '127.0.0.1:%d proxy']\ntrusted_proxies: [127.0.0.1, 10.0.0.0/8]\n"
                "forwarded_header: true\nrequest_id: true\n" % (cls.plain, cls.proxy))
        cls.lbd = Lbd(workers=1, conf=conf + "services:" + CONF.split("services:")[1], port=cls.plain)

    def peer(self, port, source="127.0.0.1"):
        s = socket.create_connection(("127.0.0.1", port), timeout=15, source_address=(source, 0))
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.closing.append(s)
        return Peer(s)

    def seen(self, port, raw, source="127.0.0.1"):
        """What the backend saw of one request."""
        b = self.only()
        p = self.peer(port, source)
        p.send(raw)
        self.assertEqual(p.answer().status, 200)
        return b.requests[-1]

    def closed(self, port, raw, source="127.0.0.1"):
        p = self.peer(port, source)
        p.send(raw)
        try:
            return p.answer()
        except ConnectionResetError:
            return None


class Headers(TrustCase):
    claims = (b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\n"
              b"X-Forwarded-Host: h\r\nForwarded: for=9.9.9.9;proto=https\r\nX-Request-Id: theirs-1\r\n\r\n")

    def test_a_trusted_proxy_is_continued(self):
        r = self.seen(self.plain, self.claims)
        self.assertEqual(r.get("x-forwarded-for"), "9.9.9.9, 127.0.0.1")
        self.assertEqual((r.get("x-forwarded-proto"), r.get("x-forwarded-host")), ("https", "h"))
        self.assertEqual(r.get("forwarded"), 'for=9.9.9.9;proto=https, for=127.0.0.1;proto=http;host="t"')
        self.assertEqual([v for k, v in r.headers if k == "x-request-id"], ["theirs-1"])

    def test_a_stranger_is_not(self):
        r = self.seen(self.plain, self.claims, source="127.0.0.7")
        self.assertEqual(r.get("x-forwarded-for"), "127.0.0.7")
        self.assertEqual((r.get("x-forwarded-proto"), r.get("x-forwarded-host")), ("http", "t"))
        self.assertEqual(r.get("forwarded"), 'for=127.0.0.7;proto=http;host="t"')
        ids = [v for k, v in r.headers if k == "x-request-id"]
        self.assertEqual(len(ids), 1)
        self.assertRegex(ids[0], "^[0-9a-f]{32}$")

    def test_ids_differ_and_bad_ones_are_replaced(self):
        b = self.only()
        c = self.peer(self.plain)
        for i in range(50):
            c.send(GET)
            self.assertEqual(c.answer().status, 200)
        for bad in (b"", b"a b", b"x" * 65, b"caf\xc3\xa9"):
            c.send(b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\nX-Request-Id: %s\r\n\r\n" % bad)
            self.assertEqual(c.answer().status, 200)
        ids = [r.get("x-request-id") for r in b.requests]
        self.assertEqual(len(set(ids)), 54)
        for x in ids:
            self.assertTrue(re.match("^[0-9a-f]{32}$", x), x)

    def test_a_repeated_request_keeps_its_id(self):
        seen = []

        def serve(p, n):
            seen.append(dict(p.head()[1])["x-request-id"])
            if n > 1:
                p.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                p.more()

        a, b = self.backend("a", serve=serve), self.backend("b", serve=lambda p, n: serve(p, n + 1))
        self.lbd.push([a, b])
        for _ in range(2):
            p = self.peer(self.plain)
            p.send(GET)
            self.assertEqual(p.answer().status, 200)
        self.assertEqual(len(seen), 3)
        self.assertEqual(len(set(seen)), 2)


class ProxyIn(TrustCase):
    def test_the_client_is_whom_the_header_names(self):
        rows = [
            ("v1", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "192.0.2.1"),
            ("v1 IPv6", b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n", "2001:db8::1"),
            ("v1 unknown", b"PROXY UNKNOWN\r\n", "127.0.0.1"),
            ("v2", v2("192.0.2.1"), "192.0.2.1"),
            ("v2 IPv6", v2("2001:db8::1", tlv=b"\4\0\1x"), "2001:db8::1"),
            ("v2 local", v2("192.0.2.1", command=0), "127.0.0.1"),
        ]
        for name, head, client in rows:
            with self.subTest(name):
                self.assertEqual(self.seen(self.proxy, head + GET).get("x-forwarded-for"), client)

    def test_byte_by_byte_and_a_pipeline(self):
        b = self.only()
        for head in (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", v2("192.0.2.1")):
            p = self.peer(self.proxy)
            p.send(head + GET, 1)
            self.assertEqual(p.answer().status, 200)
            p.send(GET * 2)
            self.assertEqual([p.answer().status for _ in range(2)], [200, 200])
        self.assertEqual({r.get("x-forwarded-for") for r in b.requests}, {"192.0.2.1"})

    def test_whom_it_names_is_trusted_only_by_its_own_address(self):
        claim = b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n"
        self.assertEqual(self.seen(self.proxy, v2("192.0.2.1") + claim).get("x-forwarded-for"), "192.0.2.1")
        self.assertEqual(self.seen(self.proxy, v2("10.1.1.1") + claim).get("x-forwarded-for"), "9.9.9.9, 10.1.1.1")

    def test_strangers_speak_plainly(self):
        self.assertEqual(self.seen(self.proxy, GET, source="127.0.0.7").get("x-forwarded-for"), "127.0.0.7")
        for head in (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", v2("192.0.2.1")):
            self.assertEqual(self.closed(self.proxy, head + GET, source="127.0.0.7").status, 400)
        self.assertEqual(self.closed(self.plain, b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + GET).status, 400)

    def test_no_header_or_a_bad_one_is_the_end(self):
        for raw in (GET, b"PROXY TCP5 a b 1 2\r\n" + GET, SIG + b"\x31\x11\0\0", v2("192.0.2.1", tlv=b"x" * 5000), b"\r\n\r\n\r\n"):
            self.assertIsNone(self.closed(self.proxy, raw), raw[:20])

    def test_half_a_header_does_not_hold_up_a_stop(self):
        lbd = Lbd(workers=1, conf=self.conf_of(port := free_port()), port=port)
        p = Peer(socket.create_connection(("127.0.0.1", port), timeout=15))
        try:
            p.send(b"PROXY TCP4 ")
            until("accepted", lambda: lbd.stats()["connections"] == 1)
            began = time.monotonic()
            self.assertEqual(lbd.stop(signal.SIGTERM), 0)
            self.assertLess(time.monotonic() - began, 5)
        finally:
            p.close()

    @staticmethod
    def conf_of(port):
        return "listen: '127.0.0.1:%d proxy'\nservices:" % port + CONF.split("services:")[1]


class ProxyOut(TrustCase):
    """send_proxy: connections to backends begin with a PROXY header and serve one client."""

    def told(self, version=1, **more):
        """A backend that takes the header off and answers what it said, with the number of the connection."""
        def serve(p, n):
            if version == 1:
                line = p.line()
                if line is None:
                    return
                said = line.decode()
            else:
                head = p.exactly(16)
                if head is None:
                    return
                self.assertEqual(head[:12], SIG)
                body = p.exactly(struct.unpack(">H", head[14:])[0])
                self.assertEqual(head[12:14], b"\x21\x11")
                said = "PROXY TCP4 %s %s %d %d" % (socket.inet_ntoa(body[:4]), socket.inet_ntoa(body[4:8]), *struct.unpack(">HH", body[8:]))
            while self.cur.read_request(p) is not None:
                text = ("%d %s" % (n, said)).encode()
                p.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
            self.ended.release()
        self.ended = threading.Semaphore(0)
        self.cur = self.only(serve=serve, send_proxy=version, keepalive_idle_ms=60000, **more)
        return self.cur

    def ask(self, p):
        p.send(b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n")
        return p.answer().body.decode()

    def test_each_client_has_its_own(self):
        for version in (1, 2):
            b = self.told(version)
            one, two = self.peer(self.plain), self.peer(self.plain, "127.0.0.7")
            want = ["%d PROXY TCP4 %s 127.0.0.1 %d %d" % (n, host, c.sock.getsockname()[1], self.plain)
                    for n, host, c in ((1, "127.0.0.1", one), (2, "127.0.0.7", two))]
            for _ in range(3):
                self.assertEqual([self.ask(one), self.ask(two)], want)
            self.assertEqual(b.connections, 2)
            one.close()
            self.assertTrue(self.ended.acquire(timeout=10))  # its connection ends with it
            self.assertEqual(self.ask(two), want[1])

    def test_a_pipeline_is_one_client(self):
        b = self.told()
        p = self.peer(self.plain)
        p.send(b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n" * 5)
        self.assertEqual(len({p.answer().body for _ in range(5)}), 1)
        self.assertEqual(b.connections, 1)

    def test_whom_a_proxy_in_front_names(self):
        self.told()
        p = self.peer(self.proxy)
        p.send(b"PROXY TCP4 203.0.113.9 192.0.2.2 1 2\r\n")
        self.assertIn(" PROXY TCP4 203.0.113.9 127.0.0.1 ", self.ask(p))

    def test_a_client_of_two_services(self):
        b = self.told()
        other = self.backend("plain")
        self.lbd.push(None, services=[dict(self.lbd.services([b])[0], send_proxy=1),
                                      {"name": "other", "routes": [{"prefix": "/o"}], "backends": [other.spec(0)]}])
        p = self.peer(self.plain)
        for _ in range(3):
            self.assertTrue(self.ask(p).startswith("1 PROXY"))
            p.send(b"GET /o HTTP/1.1\r\nHost: t\r\n\r\n")
            self.assertEqual(p.answer().body, b"plain")
        self.assertEqual((b.connections, other.connections), (1, 1))

    def test_a_dead_one_is_made_anew(self):
        def serve(p, n):
            said = p.line()
            if said is not None and self.cur.read_request(p) is not None:
                p.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n%02d" % n)
        self.cur = self.only(serve=serve, send_proxy=1)
        p = self.peer(self.plain)
        for n in range(1, 6):
            self.assertEqual(self.ask(p), "%02d" % n)

    def test_switched_on_and_off(self):
        plain = self.backend("plain", fn=lambda r: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        self.lbd.push([plain])
        p = self.peer(self.plain)
        self.assertEqual(self.ask(p), "ok")
        plain.close()
        port = plain.port
        self.told()
        b = self.cur
        self.assertNotEqual(port, b.port)
        self.assertTrue(self.ask(p).startswith("1 PROXY"))
        self.lbd.push([b])  # the same backend, without: what began with a header is not used for it
        self.assertTrue(self.ended.acquire(timeout=10))


if __name__ == "__main__":
    unittest.main(verbosity=2)
