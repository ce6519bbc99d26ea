"""HTTP clients: one strict connection, and threads of steady traffic that record everything they see."""
import socket
import threading
import time


class HttpError(Exception):
    """The connection failed or the answer was no HTTP; `sent` tells whether a request byte may have been sent."""


class Response:
    def __init__(self, status, reason, headers, body):
        self.status, self.reason, self.headers, self.body = status, reason, headers, body

    def get(self, name, default=None):
        """A header's value, lists joined."""
        found = [v for n, v in self.headers if n.lower() == name.lower()]
        return ", ".join(found) if found else default

    @property
    def text(self):
        return self.body.decode(errors="replace")

    def __repr__(self):
        return f"<{self.status} {self.reason} {self.headers} {self.body[:200]!r}>"


class Conn:
    """A kept-alive connection. Requests are sent exactly as given: nothing is added but Host and Content-Length."""

    def __init__(self, port, host="127.0.0.1", timeout=15):
        self.sock = socket.create_connection((host, port), timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.host, self.port = host, port
        self.buf = b""
        self.interim = []  # statuses of 1xx answers
        self.must_close = False

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.sock.sendall(data)

    def request(self, method, target, body=None, headers=()):
        head = f"{method} {target} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
        names = [n.lower() for n, _ in headers]
        for n, v in headers:
            head += f"{n}: {v}\r\n"
        if body is not None and "content-length" not in names and "transfer-encoding" not in names:
            head += f"Content-Length: {len(body)}\r\n"
        self.send(head.encode() + b"\r\n" + (body or b""))
        return self.response(method)

    def _more(self):
        data = self.sock.recv(262144)
        if not data:
            raise HttpError("closed by the peer" + (f" after {self.buf[:80]!r}" if self.buf else ""))
        self.buf += data

    def _line(self):
        while b"\r\n" not in self.buf:
            self._more()
        line, _, self.buf = self.buf.partition(b"\r\n")
        return line

    def _exactly(self, n):
        parts, have = [self.buf], len(self.buf)
        while have < n:
            data = self.sock.recv(min(1 << 20, n - have))
            if not data:
                raise HttpError(f"body ends after {have} of {n} bytes")
            parts.append(data)
            have += len(data)
        whole = b"".join(parts)
        self.buf = whole[n:]
        return whole[:n]

    def head(self):
        while b"\r\n\r\n" not in self.buf:
            self._more()
        raw, _, self.buf = self.buf.partition(b"\r\n\r\n")
        lines = raw.decode("latin-1").split("\r\n")
        parts = lines[0].split(" ", 2)
        if not parts[0].startswith("HTTP/1.") or len(parts) < 2 or not parts[1].isdigit():
            raise HttpError(f"not HTTP: {lines[0]!r}")
        headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon:
                raise HttpError(f"bad header line {line!r}")
            headers.append((name, value.strip()))
        return int(parts[1]), parts[2] if len(parts) > 2 else "", headers

    def response(self, method="GET"):
        while True:
            status, reason, headers = self.head()
            if status >= 200:
                break
            self.interim.append(status)
        low = {n.lower(): v for n, v in headers}
        if low.get("connection", "").lower() == "close":
            self.must_close = True
        body = b""
        if method == "HEAD" or status in (204, 304):
            pass
        elif low.get("transfer-encoding", "").lower() == "chunked":
            while True:
                size = int(self._line().split(b";")[0], 16)
                if size == 0:
                    while self._line():
                        pass
                    break
                body += self._exactly(size)
                if self._line() != b"":
                    raise HttpError("chunk longer than announced")
        elif "content-length" in low:
            body = self._exactly(int(low["content-length"]))
        else:
            self.must_close = True
            while True:
                data = self.sock.recv(262144)
                if not data:
                    break
                self.buf += data
            body, self.buf = self.buf, b""
        return Response(status, reason, headers, body)


def once(port, method, target, body=None, headers=(), timeout=15):
    with Conn(port, timeout=timeout) as c:
        return c.request(method, target, body, tuple(headers) + (("Connection", "close"),))


class Record:
    __slots__ = ("begin", "end", "status", "error", "instance", "kept")

    def __init__(self, begin, end, status, error, instance, kept):
        self.begin, self.end, self.status, self.error = begin, end, status, error
        self.instance, self.kept = instance, kept

    def __repr__(self):
        what = self.error or self.status
        how = "kept connection" if self.kept else "new connection"
        return f"{what} at {self.begin:.3f}..{self.end:.3f} ({how}, by {self.instance})"


class Traffic:
    """Threads that ask all the time: half keep their connection, half open a new one for each request. Times are
    time.monotonic(), the clock of the test application's log too."""

    def __init__(self, port, target="/api/v1/t/any", threads=4, pause=0.004, timeout=15):
        self.port, self.target, self.pause, self.timeout = port, target, pause, timeout
        self.records = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(i % 2 == 0,), daemon=True) for i in range(threads)]

    def __enter__(self):
        for t in self._threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._stop.set()
        for t in self._threads:
            t.join(self.timeout + 5)
        return self.records

    def _run(self, keep):
        conn = None
        while not self._stop.is_set():
            begin = time.monotonic()
            kept = conn is not None
            try:
                if conn is None:
                    conn = Conn(self.port, timeout=self.timeout)
                r = conn.request("GET", self.target)
                self.records.append(Record(begin, time.monotonic(), r.status, None, r.get("X-Instance"), kept))
                if not keep or conn.must_close:
                    conn.close()
                    conn = None
            except (OSError, HttpError) as e:
                error = f"{type(e).__name__}: {e}"
                self.records.append(Record(begin, time.monotonic(), 0, error, None, kept))
                if conn is not None:
                    conn.close()
                    conn = None
            self._stop.wait(self.pause)

    def failures(self, good=lambda r: 200 <= r.status < 300):
        return [r for r in list(self.records) if not good(r)]


def burst(port, target, total, connections, method="GET"):
    """`total` requests from that many parallel kept-alive connections: [(status, instance)], [errors]. Status 0
    stands for a failure."""
    left = [total]
    lock = threading.Lock()
    seen, errors = [], []

    def run():
        conn = None
        while True:
            with lock:
                if left[0] == 0:
                    break
                left[0] -= 1
            try:
                if conn is None:
                    conn = Conn(port, timeout=30)
                r = conn.request(method, target)
                seen.append((r.status, r.get("X-Instance")))
                if conn.must_close:
                    conn.close()
                    conn = None
            except (OSError, HttpError) as e:
                errors.append(str(e))
                seen.append((0, None))
                if conn is not None:
                    conn.close()
                conn = None
        if conn is not None:
            conn.close()

    threads = [threading.Thread(target=run, daemon=True) for _ in range(connections)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120)
    return seen, errors
