#!/usr/bin/python3
"""lbd's peers reset their connection right behind some bytes: whoever waits for more must learn of it at once.

The kernel announces such a reset together with the bytes and never again, so every place that waits for the rest of a
message has to look. Each case is tried often, because bytes and reset must come in one wake-up; a miss hangs until a
clock ends it, and the clocks here are long."""
import os
import socket
import struct
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lbd_kit import until  # noqa: E402
from lbd_test import Case  # noqa: E402

TIMES = 60
SOON = 12  # seconds; the shortest clock that would end a hung one is 30
RESET = struct.pack("ii", 1, 0)
GET = b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n"
UPGRADE = b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()


class Resets(Case):
    def setUp(self):
        super().setUp()
        self.began = time.monotonic()

    def tearDown(self):
        super().tearDown()
        self.assertLess(time.monotonic() - self.began, SOON * 2)

    def over(self):
        until("exchanges over", lambda: self.lbd.service()["in_flight"] == 0 and self.lbd.stats()["connections"] == 0, SOON)

    def backend_resets(self, sent, request=GET):
        """What does a client see of a backend that says this and resets?"""
        def serve(p, n):
            p.head()
            p.send(sent)
            reset(p.sock)

        self.only(serve=serve, response_timeout_ms=30000)
        seen = []
        for _ in range(TIMES):
            c = self.lbd.client()
            c.sock.settimeout(SOON)
            c.send(request)
            try:
                a = c.answer()
                if a is not None and a.status == 101:
                    a = (c.rest(), None)[1]
                seen.append("nothing" if a is None else str(a.status) if a.whole else "cut")
            except ConnectionResetError:
                seen.append("cut")
            c.close()
        self.over()
        return seen

    def client_resets(self, sent, serve):
        """A client says this and resets: is everything over soon?"""
        self.only(serve=serve, tunnel_timeout_ms=600000)
        for _ in range(TIMES):
            c = self.lbd.client()
            c.send(sent)
            reset(c.sock)
        self.over()

    def test_backend_in_a_body_with_a_length(self):
        seen = self.backend_resets(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
        self.assertEqual(set(seen) - {"cut", "502"}, set())  # 502: the reset overtook the bytes

    def test_backend_in_a_chunked_body(self):
        seen = self.backend_resets(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        self.assertEqual(set(seen) - {"cut", "502"}, set())

    def test_backend_in_a_body_until_the_end(self):
        seen = self.backend_resets(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        self.assertEqual(set(seen) - {"cut", "502"}, set())  # not a whole one: it did not end, it broke

    def test_backend_in_a_head(self):
        seen = self.backend_resets(b"HTTP/1.1 200 OK\r\nContent-Le")
        self.assertEqual(set(seen), {"502"})

    def test_backend_after_an_interim_answer(self):
        seen = self.backend_resets(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        self.assertEqual(set(seen) - {"cut", "502", "103"}, set())

    def test_backend_in_a_tunnel(self):
        self.backend_resets(SWITCHED + b"hello", UPGRADE)

    def test_client_in_a_head(self):
        self.client_resets(GET[:25], serve=None)

    def test_client_in_a_body(self):
        self.client_resets(b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\n\r\nhalf",
                           lambda p, n: [p.head(), p.rest()])

    def test_client_in_a_chunked_body(self):
        self.client_resets(b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
                           lambda p, n: [p.head(), p.rest()])

    def test_client_behind_its_whole_request(self):
        self.client_resets(GET, lambda p, n: [p.head(), p.rest()])

    def test_client_behind_its_whole_body(self):
        self.client_resets(b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nbody",
                           lambda p, n: [p.head(), p.rest()])

    def test_a_client_that_is_there_is_only_looked_at(self):
        self.only(fn=lambda r: time.sleep(1.5) or b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        c = self.client()
        for _ in range(2):
            c.send(GET)
            self.assertEqual(c.answer().body, b"ok")

    def test_client_in_a_tunnel(self):
        def serve(p, n):
            p.head()
            p.send(SWITCHED)
            p.rest()

        self.only(serve=serve, tunnel_timeout_ms=600000)
        for _ in range(TIMES):
            c = self.lbd.client()
            c.send(UPGRADE)
            self.assertIn("101", c.head()[0])
            c.send(b"hello")
            reset(c.sock)
        self.over()


if __name__ == "__main__":
    unittest.main(verbosity=2)
