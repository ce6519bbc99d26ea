"""A virtual program: what a container of the fake engine runs. It behaves as test/integration/app/misbehave.c does, so
that a test can run on either engine; each answer carries the container's short id and its instance token. It alone has
MIS_HEALTHY_AFTER_MS (health checks fail for so long), MIS_HOST (400 to requests without that text in their header) and the
mode "sick" (only health checks fail)."""
import asyncio
import socket
import time
import urllib.parse

HEAD_MAX = 65536


class Program:
    """One started container. `ended(code)` is called once, when the program ends by itself or by a signal."""

    def __init__(self, cid, token, env, places, ended):
        self.cid, self.token, self.env, self.places, self.ended = cid, token, env, places, ended
        self.mode = "ok"
        self.latency = 0.0
        self.paused = asyncio.Event()
        self.paused.set()  # set: runs
        self.servers, self.visitors, self.tasks = [], set(), set()
        self.in_flight = self.requests = self.probes = self.late = self.open_at_term = 0
        self.term_at = self.last_end = None
        self.began = time.monotonic()
        self.first_good = self.first_request = self.first_bad = None  # answers to probes, and the first arrival
        self.after_bad = 0  # arrivals more than a second after the first bad answer
        self.over = False

    async def start(self):
        """Listen everywhere, or raise OSError with nothing left open."""
        if "MIS_FAIL_AT_START" in self.env:
            self.later(0.01, self.end, 3)
            return
        late = int(self.env.get("MIS_LISTEN_DELAY_MS", "0")) / 1000
        socks = []
        try:
            for host, port in self.places:
                socks.append(bound(host, port))
        except OSError:
            for s in socks:
                s.close()
            raise
        if late:  # like a real one: its ports are the engine's from the start, but nobody answers
            self.task(self._listen_late(socks, late))
        else:
            await self._listen(socks)

    async def _listen_late(self, socks, late):
        await asyncio.sleep(late)
        if self.over:
            for s in socks:
                s.close()
        else:
            await self._listen(socks)

    async def _listen(self, socks):
        loop = asyncio.get_running_loop()
        for s in socks:
            self.servers.append(await loop.create_server(lambda: Visitor(self), sock=s, backlog=512))

    def task(self, coro):
        t = asyncio.ensure_future(coro)
        self.tasks.add(t)
        t.add_done_callback(self.tasks.discard)

    def later(self, seconds, fn, *args):
        async def wait():
            await asyncio.sleep(seconds)
            fn(*args)
        self.task(wait())

    # ---- what the engine does to it ----

    def pause(self):
        self.paused.clear()
        for v in list(self.visitors):
            v.hold(True)

    def unpause(self):
        self.paused.set()
        for v in list(self.visitors):
            v.hold(False)

    def terminate(self):
        """SIGTERM or the like."""
        if self.over or self.term_at is not None:
            return
        self.term_at = time.monotonic()
        self.open_at_term = sum(1 for v in self.visitors if v.user)
        if self.env.get("MIS_TERM") == "ignore":
            return
        self.task(self._leave(int(self.env.get("MIS_LINGER_MS", "300")) / 1000))

    async def _leave(self, linger):
        await asyncio.sleep(linger)
        while self.in_flight > 0:
            await asyncio.sleep(0.005)
        self.end(0)

    def end(self, code):
        """The process is gone: everything it had open is closed at once."""
        if self.over:
            return
        self.over = True
        self._deaf()
        for t in list(self.tasks):
            t.cancel()
        self.ended(code)

    def _deaf(self):
        for s in self.servers:
            s.close()
        self.servers = []
        for v in list(self.visitors):
            v.drop()

    # ---- what it answers ----

    def facts(self):
        return {"first_good": self.first_good, "first_request": self.first_request, "first_bad": self.first_bad,
                "after_bad": self.after_bad, "requests": self.requests, "probes": self.probes, "late": self.late, "in_flight": self.in_flight,
                "term_at": self.term_at, "last_end": self.last_end, "open_at_term": self.open_at_term,
                "mode": self.mode}

    def set_mode(self, mode):
        self.mode = mode
        if mode == "deaf":
            self._deaf()

    def answer(self, target):
        """(status, body, seconds to wait before it, what to do afterwards); None: never an answer."""
        path, _, query = target.partition("?")
        path = path.rstrip("/")
        q = dict(urllib.parse.parse_qsl(query))
        wait, after = self.latency, None
        if self.mode == "silent":
            return None
        if self.mode == "slow":
            wait += 1.5
        health = path.endswith("/_health")
        unripe = time.monotonic() - self.began < int(self.env.get("MIS_HEALTHY_AFTER_MS", "0")) / 1000
        if self.mode == "fail" or (health and (self.mode == "sick" or unripe)):
            if health and self.first_good is not None:
                self.first_bad = self.first_bad or time.monotonic()
            return 500, b"told to fail\n", wait, None
        if health:
            self.first_good = self.first_good or time.monotonic()
            return 200, b"", wait, None
        if path.endswith("/_crash"):
            return 200, b"", wait, lambda: self.set_mode("fail")
        word = path.rpartition("/t/")[2] if "/t/" in path else ""
        if word == "mode":
            after = lambda: self.set_mode(q.get("set", "ok"))  # noqa: E731
        elif word == "slow":
            wait += int(q.get("ms", "0")) / 1000
        elif word == "hang":
            return None
        elif word == "exit":
            self.later(0, self.end, int(q.get("code", "0")))
            return None
        elif word == "status":
            return int(q.get("code", "200")), b"as told\n", wait, None
        elif word == "bytes":
            return 200, b"x" * int(q.get("n", "0")), wait, None
        elif word == "arrivals":
            return 200, b"%d" % (self.requests - 1), wait, None
        return 200, self.cid[:12].encode() + b"\n", wait, after


class Visitor(asyncio.Protocol):
    """One connection to a program: HTTP/1.1 with keep-alive; request bodies are read and dropped."""

    def __init__(self, program):
        self.p, self.buf, self.busy, self.user, self.transport, self.skip = program, b"", False, False, None, 0
        self.chunked = False

    def connection_made(self, transport):
        self.transport = transport
        if self.p.over:
            transport.abort()
            return
        self.p.visitors.add(self)
        if not self.p.paused.is_set():
            transport.pause_reading()

    def connection_lost(self, exc):
        self.p.visitors.discard(self)

    def hold(self, yes):
        if self.transport.is_closing():
            return
        if yes:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def drop(self):
        self.transport.abort()

    def data_received(self, data):
        self.buf += data
        if not self.busy:
            self._next()

    def _next(self):
        if self.skip:
            n = min(self.skip, len(self.buf))
            self.buf, self.skip = self.buf[n:], self.skip - n
            if self.skip:
                return
        if self.chunked:
            at = self.buf.find(b"0\r\n\r\n")
            if at < 0:
                self.buf = self.buf[-4:]
                return
            self.buf, self.chunked = self.buf[at + 5:], False
        at = self.buf.find(b"\r\n\r\n")
        if at < 0:
            if len(self.buf) > HEAD_MAX:
                self.drop()
            return
        head, self.buf = self.buf[:at], self.buf[at + 4:]
        self._request(head)

    def _request(self, head):
        p = self.p
        line, _, fields = head.partition(b"\r\n")
        words = line.split(b" ")
        if len(words) != 3:
            self.drop()
            return
        low = fields.lower()
        self.chunked = b"transfer-encoding: chunked" in low
        at = low.find(b"content-length:")
        if at >= 0:
            self.skip = int(low[at + 15:].split(b"\r\n", 1)[0])
        target = words[1].decode("latin-1")
        if p.env.get("MIS_HOST", "").encode() not in fields:
            self._send(words[0], 400, b"not my name\n", True, None, True)
            return
        probe = target.partition("?")[0].endswith("/_health")
        if probe:
            p.probes += 1
        else:
            self.user = True
            p.requests += 1
            p.first_request = p.first_request or time.monotonic()
            p.after_bad += p.first_bad is not None and time.monotonic() - p.first_bad > 1
            if p.term_at is not None:
                p.late += 1
        close = b"connection: close" in low or words[2] == b"HTTP/1.0"
        answer = p.answer(target)
        if answer is None:
            self.busy = True
            return
        status, body, wait, after = answer
        if wait <= 0 and p.paused.is_set():
            self._send(words[0], status, body, close, after, probe)
            return
        self.busy = True
        p.in_flight += 1
        p.task(self._send_later(words[0], status, body, close, after, probe, wait))

    async def _send_later(self, method, status, body, close, after, probe, wait):
        try:
            await asyncio.sleep(wait)
            await self.p.paused.wait()
        finally:
            self.p.in_flight -= 1
        self.busy = False
        if not self.transport.is_closing():
            self._send(method, status, body, close, after, probe)

    def _send(self, method, status, body, close, after, probe):
        p = self.p
        head = (f"HTTP/1.1 {status} As-Told\r\nX-Instance: {p.cid[:12]}\r\nX-Token: {p.token}\r\n"
                f"Content-Length: {len(body)}\r\n" + ("Connection: close\r\n" if close else "") + "\r\n").encode()
        self.transport.write(head + (body if method != b"HEAD" else b""))
        if not probe:
            p.last_end = time.monotonic()
        if close:
            self.transport.close()
        if after:
            after()
        if not close and self.buf:
            asyncio.get_running_loop().call_soon(self._again)

    def _again(self):
        if not self.busy and not self.transport.is_closing():
            self._next()


def bound(host, port):
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((host, port))
        s.listen(512)
    except OSError:
        s.close()
        raise
    s.setblocking(False)
    return s
