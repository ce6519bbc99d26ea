#!/usr/bin/python3
"""Connections that are opened and dropped at random phases: nothing may leak and nobody else may notice.

usage: churn_test.py [--connections 3000] [--seed 1] [--at-once 150]

A client is dropped while connecting, in the head, in the body, while it waits, while it receives, in a tunnel, or idle; by
a reset or by an ordinary close. Backends drop their side at random too. $LBCTL_TEST_CONNECTIONS sets the number; 20000 is the
full run.
"""
import argparse
import asyncio
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lbd_kit import BUILD, CONF, Lbd, free_port, until  # noqa: E402

SANITIZED = any(x in BUILD for x in ("asan", "tsan"))
WAIT_S = 60  # ends a hang, measures nothing
BIG = b"x" * 300000
# Bytes that a connection may cost for good: far less than the smallest object that is kept for one (some 200 bytes).
LEAK_BYTES = 100
LEAK_FLOOR_KB = 8192  # buffers that are kept for the next ones: how many depends on what came together
RESET = struct.pack("ii", 1, 0)
PHASES = ["connecting", "silent", "head", "body", "chunked body", "waiting", "receiving", "tunnel", "idle", "half closed", "pipelined",
          "unwilling to read"]
HEAD = b"%s /api/v1/%s HTTP/1.1\r\nHost: t\r\nUser-Agent: churn\r\n%s\r\n"
UPGRADE = b"Connection: upgrade\r\nUpgrade: x\r\n"


class Backend:
    """Answers by the path; now and then it goes away in the middle."""

    def __init__(self, seed):
        self.random, self.served, self.dropped, self.tasks = random.Random(seed), 0, 0, set()

    async def start(self):
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0, backlog=4096)
        return server.sockets[0].getsockname()[1]

    async def serve(self, r, w):
        self.tasks.add(asyncio.current_task())
        try:
            while await self.one(r, w):
                pass
        except (OSError, EOFError, asyncio.IncompleteReadError, ValueError):
            pass
        finally:
            self.tasks.discard(asyncio.current_task())
            w.close()

    async def body(self, r, head):
        if b"transfer-encoding: chunked" in head:
            while True:
                n = int((await r.readuntil(b"\r\n")).split(b";")[0], 16)
                await r.readexactly(n + 2)
                if n == 0:
                    return
        at = head.find(b"content-length: ")
        if at >= 0:
            await r.readexactly(int(head[at + 16:].split(b"\r\n")[0]))

    def drop(self, w):
        if self.random.random() >= 0.05:
            return False
        self.dropped += 1
        if self.random.random() < 0.5:
            w.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        return True

    async def one(self, r, w):
        head = (await r.readuntil(b"\r\n\r\n")).lower()
        if self.drop(w):
            return False
        await self.body(r, head)
        path = head.split(b" ")[1]
        self.served += 1
        if path.endswith(b"/late"):
            await asyncio.sleep(self.random.random() * 0.2)
        if self.drop(w):
            return False
        if path.endswith(b"/tunnel"):
            w.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
            while True:
                data = await r.read(4096)
                if not data or self.drop(w):
                    return False
                w.write(data)
                await w.drain()
        if path.endswith(b"/big"):
            w.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BIG))
            w.write(BIG[:len(BIG) // 2])
            await w.drain()
            if self.drop(w):
                return False
            w.write(BIG[len(BIG) // 2:])
        elif path.endswith(b"/events"):
            w.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(20):
                w.write(b"5\r\nhello\r\n")
                await w.drain()
                await asyncio.sleep(0.005)
            w.write(b"0\r\n\r\n")
        else:
            w.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await w.drain()
        return True


class Churn:
    """Clients of all kinds, at most `at_once` at a time."""

    def __init__(self, port, seed, at_once):
        self.port, self.seed, self.at_once = port, seed, at_once
        self.phases, self.hung = dict.fromkeys(PHASES, 0), []

    async def run(self, first, count, times=1):
        limit = asyncio.Semaphore(self.at_once * times)
        await asyncio.gather(*(self.client(limit, first + i) for i in range(count)))

    async def client(self, limit, n):
        async with limit:
            rnd = random.Random("%d/%d" % (self.seed, n))
            phase = rnd.choice(PHASES)
            self.phases[phase] += 1
            s = socket.socket()
            s.setblocking(False)
            try:
                await asyncio.wait_for(self.talk(asyncio.get_running_loop(), s, phase, rnd), WAIT_S)
            except TimeoutError:
                self.hung.append("%d (%s)" % (n, phase))
            except OSError:
                pass  # cut by the backend
            finally:
                if rnd.random() < 0.5:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                s.close()

    async def talk(self, loop, s, phase, rnd):
        async def pause(most=0.05):
            if rnd.random() < 0.7:
                await asyncio.sleep(rnd.random() * most)

        async def ask(method, path, fields=b""):
            await loop.sock_sendall(s, HEAD % (method, path, fields))

        async def hear(n):
            while n > 0:
                data = await loop.sock_recv(s, min(n, 65536))
                if not data:
                    return
                n -= len(data)

        if phase == "connecting":
            try:
                s.connect(("127.0.0.1", self.port))
            except BlockingIOError:
                pass
            return
        await loop.sock_connect(s, ("127.0.0.1", self.port))
        if phase == "silent":
            await pause()
        elif phase == "head":
            raw = HEAD % (b"GET", b"x", b"A: b\r\n" * rnd.randrange(0, 50))
            await loop.sock_sendall(s, raw[:rnd.randrange(1, len(raw))])
            await pause()
        elif phase == "body":
            n = rnd.choice([10, 5000, 200000])
            await ask(b"POST", b"x", b"Content-Length: %d\r\n" % n)
            await loop.sock_sendall(s, b"y" * rnd.randrange(0, n))
            await pause()
        elif phase == "chunked body":
            await ask(b"PUT", b"x", b"Transfer-Encoding: chunked\r\n")
            raw = b"ff\r\n" + b"z" * 255 + b"\r\n"
            await loop.sock_sendall(s, (raw * 50)[:rnd.randrange(1, 50 * len(raw))])
            await pause()
        elif phase == "waiting":
            await ask(rnd.choice([b"GET", b"POST"]), b"late")
            await pause(0.3)
        elif phase == "receiving":
            await ask(b"GET", rnd.choice([b"big", b"big", b"events"]))
            await hear(rnd.randrange(1, len(BIG)) if rnd.random() < 0.9 else 1 << 30)
        elif phase == "tunnel":
            await ask(b"GET", b"tunnel", UPGRADE)
            await hear(60)  # less than the head of the 101
            for _ in range(rnd.randrange(0, 4)):
                await loop.sock_sendall(s, b"p" * rnd.choice([1, 1000]))
                await hear(1)
                await pause(0.02)
        elif phase == "idle":
            for _ in range(rnd.randrange(1, 4)):
                await ask(b"GET", b"x")
                await hear(20)
            await pause()
        elif phase == "half closed":
            await ask(b"GET", rnd.choice([b"x", b"late", b"big"]))
            s.shutdown(socket.SHUT_WR)
            await hear(rnd.choice([1, 1 << 30]))
        elif phase == "pipelined":
            await loop.sock_sendall(s, HEAD % (b"GET", b"late", b"") * rnd.randrange(2, 10))
            await hear(rnd.randrange(1, 200))
        elif phase == "unwilling to read":
            await loop.sock_sendall(s, HEAD % (b"GET", b"big", b"") * 3)
            await pause(0.2)


def settled(lbd, state):
    """Is everybody gone, and nothing under way? `state` keeps what was seen last."""
    st = state["stats"] = lbd.stats()
    s = [x for x in st["services"] if x["name"] == "app"][0]
    return st["connections"] == 0 and s["in_flight"] == 0 and all(b["in_flight"] == 0 for b in s["backends"])


def main(argv):
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("--connections", type=int, default=int(os.environ.get("LBCTL_TEST_CONNECTIONS", "3000")))
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--at-once", type=int, default=150)
    o = p.parse_args(argv)
    return asyncio.run(run(o))


async def run(o):
    backends = [Backend(o.seed + i) for i in range(2)]
    ports = [await b.start() for b in backends]
    port = free_port()
    in_thread = asyncio.get_running_loop().run_in_executor
    # Short clocks, so that the end of the silent ones is seen too.
    lbd = await in_thread(None, lambda: Lbd(workers=2, port=port, conf="client_header_timeout: 2s\nclient_body_timeout: 2s\n"
                                            "keepalive_timeout: 2s\n" + CONF % port))
    lbd.push([{"slot": i, "instance": "b%d" % i, "address": "127.0.0.1", "port": x} for i, x in enumerate(ports)])
    churn = Churn(lbd.port, o.seed, o.at_once)
    began = time.monotonic()

    async def quiet():
        def wait():
            state = {}
            try:
                until("all connections gone", lambda: settled(lbd, state), WAIT_S)
                until("idle backend connections gone", lambda: lbd.descriptors() <= at_rest, WAIT_S)
            except AssertionError:
                print("what is left: %s, %d descriptors" % (state["stats"], lbd.descriptors()))
                print(subprocess.run(["ss", "-tnp"], capture_output=True, text=True).stdout)
                raise
            return lbd.memory()[0]

        return await in_thread(None, wait)

    at_rest = lbd.descriptors() + 2
    third = o.connections // 3
    await churn.run(0, third, 2)  # pools and buffers reach their size
    before = await quiet()
    await churn.run(third, o.connections - third)
    after = await quiet()
    answer = await in_thread(None, lbd.get)
    grown, allowed = after - before, LEAK_FLOOR_KB + (o.connections - third) * LEAK_BYTES // 1024
    served = sum(b.served for b in backends)
    print("%d connections (%s), %d requests served, %d dropped by backends, %.1f s; resident %d KiB, then %d KiB; %d descriptors" % (
        o.connections, ", ".join("%s %d" % x for x in churn.phases.items()), served, sum(b.dropped for b in backends),
        time.monotonic() - began, before, after, lbd.descriptors()))
    code = await in_thread(None, lbd.stop)
    log = lbd.log().decode()
    faults = []
    if answer is None or answer.status not in (200, 502):  # 502: the backend dropped the last one too
        faults.append("afterwards lbd answers %s" % (answer and answer.status))
    if not SANITIZED and grown > allowed:
        faults.append("memory grew by %d KiB, %d at most" % (grown, allowed))
    if churn.hung:
        faults.append("clients that waited for ever: " + ", ".join(churn.hung[:20]))
    if served < o.connections // 3:
        faults.append("only %d requests were served" % served)
    if code != 0 or "Sanitizer" in log or "runtime error" in log:
        faults.append("lbd ended with %d:\n%s" % (code, log))
    for fault in faults:
        print(fault)
    if not faults:
        shutil.rmtree(lbd.dir)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
