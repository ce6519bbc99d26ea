#!/usr/bin/python3
"""Many clients that are as slow as they can (in the head, in the body, at reading, with long Range fields): normal traffic is
answered all the while, the slow ones are cut by their clocks, and what they held returns. test/bench/slow_clients is the
measuring version, with slowhttptest.

usage: slow_clients_test.py [connections of each kind]
"""
import asyncio
import os
import resource
import shutil
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from churn_test import SANITIZED, WAIT_S, settled  # noqa: E402
from lbd_kit import CONF, Lbd, free_port, until  # noqa: E402

CLOCKS = "client_header_timeout: 3s\nclient_body_timeout: 3s\nclient_min_rate: 1000\nkeepalive_timeout: 30s\n"
DRIP_S = 0.5  # well below the clocks: a clock that any byte moves would never cut
PIECE, PIECES = b"x" * (1 << 16), 256  # more than the kernel takes for a client that does not read
HEAD = b"%s /api/v1/%s HTTP/1.1\r\nHost: t\r\n%s"
KINDS = {
    "head": (HEAD % (b"GET", b"x", b""), [b"X-%d: y\r\n" % i for i in range(200)]),
    "body": (HEAD % (b"POST", b"x", b"Content-Length: 100000\r\n\r\n"), [b"y"] * 200),
    "chunked body": (HEAD % (b"POST", b"x", b"Transfer-Encoding: chunked\r\n\r\n"), [b"1\r\ny\r\n"] * 200),
    "reading": (HEAD % (b"GET", b"big", b"\r\n"), []),
    "range": (HEAD % (b"GET", b"big", b"Range: bytes=0-" + b"".join(b",5-%d" % i for i in range(1000)) + b"\r\n\r\n"), []),
}


async def backend(r, w):
    try:
        while True:
            head = (await r.readuntil(b"\r\n\r\n")).lower()
            at = head.find(b"content-length: ")
            if at >= 0:
                await r.readexactly(int(head[at + 16:].split(b"\r\n")[0]))
            if b"transfer-encoding" in head:
                await r.readuntil(b"0\r\n\r\n")
            body = [PIECE] * PIECES if b"/big " in head else [b"ok"]
            w.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % sum(map(len, body)))
            for piece in body:
                w.write(piece)
                await w.drain()
    except (OSError, EOFError, asyncio.IncompleteReadError):
        pass
    finally:
        w.close()


class Slow:
    """Slow clients of one kind: they go on until they are cut."""

    def __init__(self, port, kind, n):
        self.port, self.kind, self.n, self.cut, self.late = port, kind, n, 0, 0

    async def run(self):
        await asyncio.gather(*(self.client() for _ in range(self.n)))

    async def client(self):
        begin, drips = KINDS[self.kind]
        r, w = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 16)
        w.transport.pause_reading()  # a slow reader reads nothing; the others need not
        try:
            w.write(begin)
            if drips:
                w.transport.resume_reading()
                answer = asyncio.ensure_future(r.read(4096))
                for d in drips:
                    w.write(d)
                    done, _ = await asyncio.wait([answer], timeout=DRIP_S)
                    if done:
                        break
                self.late += b" 408 " in answer.result() if answer.done() and not answer.exception() else 0
                self.cut += answer.done()
                answer.cancel()
            else:
                # Its clock resets it; an asyncio transport that does not read learns of that when it is asked.
                deadline = time.monotonic() + WAIT_S
                while time.monotonic() < deadline:
                    await asyncio.sleep(DRIP_S)
                    if self.reset(w):
                        self.cut += 1
                        break
        except OSError:
            self.cut += 1
        finally:
            w.transport.abort()

    @staticmethod
    def reset(w):
        """Has the other side reset the connection? (TCP_CLOSE in tcpi_state)"""
        return w.get_extra_info("socket").getsockopt(6, 11, 1)[0] == 7


class Normal:
    """One request after the other, each on time or not: all must be answered."""

    def __init__(self, port):
        self.port, self.answered, self.worst = port, 0, 0.0

    async def run(self, stop):
        r, w = await asyncio.open_connection("127.0.0.1", self.port)
        while not stop.is_set():
            began = time.monotonic()
            w.write(HEAD % (b"GET", b"x", b"\r\n"))
            head = await asyncio.wait_for(r.readuntil(b"\r\n\r\n"), WAIT_S)
            body = await asyncio.wait_for(r.readexactly(2), WAIT_S)
            if not head.startswith(b"HTTP/1.1 200 ") or body != b"ok":
                raise AssertionError("a normal request was answered %r" % head)
            self.worst = max(self.worst, time.monotonic() - began)
            self.answered += 1
            await asyncio.sleep(0.02)
        w.close()


async def run(per_kind):
    server = await asyncio.start_server(backend, "127.0.0.1", 0, backlog=4096)
    port = free_port()
    in_thread = asyncio.get_running_loop().run_in_executor
    lbd = await in_thread(None, lambda: Lbd(workers=1, port=port, conf=CLOCKS + CONF % port))
    lbd.push([{"slot": 0, "instance": "b", "address": "127.0.0.1", "port": server.sockets[0].getsockname()[1]}])
    at_rest, before, faults, stop = lbd.descriptors(), lbd.memory()[0], [], asyncio.Event()
    normal = Normal(lbd.port)
    traffic = asyncio.ensure_future(normal.run(stop))
    held = 0
    for kind in KINDS:
        # Those that do not read fill buffers of the kernel, some MiB each.
        slow, answered = Slow(lbd.port, kind, per_kind if KINDS[kind][1] else per_kind // 6), normal.answered
        task = asyncio.ensure_future(slow.run())
        while not task.done():
            await asyncio.wait([task], timeout=0.5)
            held = max(held, (await in_thread(None, lbd.stats))["connections"])
        await task
        print("%-12s %d slow ones, %d cut, %d of them told 408; meanwhile %d normal answers" % (
            kind, slow.n, slow.cut, slow.late, normal.answered - answered), flush=True)
        if slow.cut != slow.n:
            faults.append("%s: %d of %d were not cut" % (kind, slow.n - slow.cut, slow.n))
        if normal.answered == answered or traffic.done():
            faults.append("%s: normal traffic stood still" % kind)
    stop.set()
    await traffic
    peak, state = lbd.memory()[1], {}

    def returned():
        until("all gone", lambda: settled(lbd, state), WAIT_S)
        until("descriptors back", lambda: lbd.descriptors() <= at_rest + 2, WAIT_S)
        # Some buffers are kept for the next ones (worker.c); the rest goes back to the system.
        until("memory back", lambda: SANITIZED or lbd.memory()[0] - before < max(20000, (peak - before) // 2), WAIT_S)

    try:
        await in_thread(None, returned)
    except AssertionError as why:
        faults.append("%s: %s, %d descriptors, %d KiB" % (why, state, lbd.descriptors(), lbd.memory()[0]))
    print("%d connections at once, %d normal answers, the slowest after %.3f s; resident %d KiB before, %d at most, %d after" % (
        held, normal.answered, normal.worst, before, peak, lbd.memory()[0]))
    code = await in_thread(None, lbd.stop)
    if code != 0 or b"Sanitizer" in lbd.log() or b"runtime error" in lbd.log():
        faults.append("lbd ended with %d:\n%s" % (code, lbd.log().decode()))
    for fault in faults:
        print(fault)
    if not faults:
        shutil.rmtree(lbd.dir)
    return 1 if faults else 0


def main(argv):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    wanted = int(argv[0]) if argv else 600
    return asyncio.run(run(min(wanted, (hard - 200) // 4)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
