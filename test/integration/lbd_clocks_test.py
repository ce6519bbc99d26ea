#!/usr/bin/python3
"""lbd's clocks as the configuration sets them, and what it does when descriptors run out, on raw sockets."""
import os
import resource
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lbd_kit import CONF, Backend, Lbd, free_port, until  # noqa: E402
from lbd_test import Case, ok  # noqa: E402

POST = b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n"


class Clocks(Case):
    @classmethod
    def setUpClass(cls):
        port = free_port()
        cls.lbd = Lbd(workers=1, port=port, conf="client_header_timeout: 400ms\nclient_body_timeout: 500ms\n"
                      "client_min_rate: 1000\nkeepalive_timeout: 300ms\n" + CONF % port)

    def elapsed(self, fn, least, most, began=None):
        """began: before the clock can have started, or a slow machine measures too little."""
        began = began or time.monotonic()
        value = fn()
        took = time.monotonic() - began
        self.assertGreaterEqual(took, least)
        self.assertLess(took, most)
        return value

    def drip(self, c, data, every, ended):
        """Send byte by byte until the other side ends it."""
        def run():
            try:
                for i in range(len(data)):
                    if ended.wait(every):
                        return
                    c.send(data[i:i + 1])
            except OSError:
                pass
        threading.Thread(target=run, daemon=True).start()

    def test_head(self):
        c, ended, began = self.client(), threading.Event(), time.monotonic()
        self.drip(c, b"GET /api/v1/x HTTP/1.1\r\nHost: " + b"t" * 200, 0.05, ended)
        a = self.elapsed(c.answer, 0.35, 8, began)
        ended.set()
        self.assertEqual(a.status, 408)

    def test_silent_body(self):
        self.only()
        c, began = self.client(), time.monotonic()
        c.send(POST + b"x")
        self.assertEqual(self.elapsed(c.answer, 0.45, 8, began).status, 408)

    def test_silent_body_of_a_patient_service(self):
        self.only(client_body_timeout_ms=1500)
        c, began = self.client(), time.monotonic()
        c.send(POST + b"x")
        self.assertEqual(self.elapsed(c.answer, 1.4, 20, began).status, 408)

    def test_dripping_body(self):
        self.only()
        c, ended, began = self.client(), threading.Event(), time.monotonic()
        c.send(POST)
        self.drip(c, b"x" * 1000, 0.02, ended)  # 50 bytes a second
        a = self.elapsed(c.answer, 0.45, 8, began)
        ended.set()
        self.assertEqual(a.status, 408)

    def test_slow_but_fast_enough(self):
        b = self.only()
        c = self.client()
        c.send(b"POST /api/v1/x HTTP/1.1\r\nHost: t\r\nContent-Length: 3000\r\n\r\n")
        for _ in range(15):  # 2000 bytes a second for 1.5 s
            c.send(b"x" * 200)
            time.sleep(0.1)
        self.assertEqual(c.answer().status, 200)
        self.assertEqual(len(b.requests[-1].body), 3000)

    def test_a_slow_backend_is_not_the_clients_fault(self):
        def serve(p, n):
            p.head()
            p.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")
            for _ in range(8):
                time.sleep(0.1)
                p.send(b"x")

        self.only(serve=serve)
        self.assertEqual(self.lbd.get().body, b"x" * 8)

    def test_keep_alive(self):
        self.only()
        began = time.monotonic()
        self.assertFalse(self.elapsed(self.client().more, 0.25, 8, began))
        began, c = time.monotonic(), self.client()
        c.send(b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n")
        self.assertEqual(c.answer().status, 200)
        self.assertFalse(self.elapsed(c.more, 0.25, 8, began))

    def test_tunnel(self):
        def serve(p, n):
            p.head()
            p.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
            while p.more():
                p.send(p.buf)
                p.buf = b""

        self.only(serve=serve, tunnel_timeout_ms=400)
        c = self.client()
        c.send(b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        self.assertIn("101", c.head()[0])
        for _ in range(6):  # longer than the time-out in all
            time.sleep(0.1)
            c.send(b"ping")
            self.assertEqual(c.exactly(4), b"ping")

        def end():
            try:
                return c.more()
            except ConnectionResetError:
                return False

        self.assertFalse(self.elapsed(end, 0.35, 2))


class Descriptors(unittest.TestCase):
    @staticmethod
    def is_saving(lbd):
        fds, state = "/proc/%d/fd" % lbd.proc.pid, os.path.join(lbd.dir, "state")
        for fd in os.listdir(fds):
            try:
                path = os.readlink(os.path.join(fds, fd))
            except FileNotFoundError:
                return True
            if path.startswith(state) and not path.endswith("lock"):
                return True
        return not os.path.exists(os.path.join(state, "table.json"))

    @staticmethod
    def used(lbd):
        return {int(x) for x in os.listdir("/proc/%d/fd" % lbd.proc.pid)}

    def test_idle_connections_make_room(self):
        """Connections kept for later requests are given up before a request or a client is."""
        slow = threading.Event()

        def serve(p, n):
            while p.head() is not None:
                slow.wait(10)
                p.send(ok())

        b = Backend("b", serve=serve)
        lbd = Lbd(workers=1, wrap=("prlimit", "--nofile=300:300"))
        clients = []
        try:
            lbd.push([b])
            # Many idle connections to the backend: requests that are under way at the same time.
            clients = [lbd.client() for _ in range(80)]
            for c in clients:
                c.send(b"GET /api/v1/x HTTP/1.1\r\nHost: t\r\n\r\n")
            until("all under way", lambda: lbd.service()["in_flight"] == 80)
            slow.set()
            for c in clients:
                self.assertEqual(c.answer().status, 200)
            until("table saved", lambda: not self.is_saving(lbd))  # its files are descriptors too
            self.assertGreater(lbd.descriptors(), 160)
            # No number below the limit is free: whatever needs a descriptor must first give one up. More clients fill
            # the gaps: with a limit at a gap, all that is given up would lie above it.
            used = self.used(lbd)
            while len(used) <= max(used):
                clients.append(lbd.client())
                until("accepted", lambda: len(self.used(lbd)) > len(used))  # noqa: B023
                used = self.used(lbd)
            with_idle = len(used)
            resource.prlimit(lbd.proc.pid, resource.RLIMIT_NOFILE, (max(used) + 1, 300))
            self.assertEqual(lbd.get().status, 200)
            self.assertLess(lbd.descriptors(), with_idle - 60)
        finally:
            for c in clients:
                c.close()
            code = lbd.stop()
            b.close()
        self.assertEqual(code, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
