"""lbd by itself: the real binary, tables pushed by hand, tiny scripted backends on raw sockets. Standard library only.

As a program it pushes a table:  lbd_kit.py push RUN_DIR/lb.sock SERVICE PREFIX ADDR:PORT...
"""
import hashlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib.wire import Wire  # noqa: E402

BUILD = os.environ.get("LBCTL_BUILD_DIR", "build/dev")
BASE_PORT = int(os.environ.get("LBCTL_TEST_LBD_PORT", "20000"))
CONF = "listen: 127.0.0.1:%d\nservices:\n  app:\n    image: app:latest\n    route: /api/v1\n    port: 80\n" \
       "    host_ports: 20990-20999\n    health: { path: /api/v1/_health }\n"
_next_port = [BASE_PORT + os.getpid() * 37 % 1000]  # two runs side by side begin apart


def free_port():
    """A port of our range that nobody has."""
    for _ in range(1000):
        _next_port[0] = BASE_PORT + (_next_port[0] + 1 - BASE_PORT) % 990  # the last ten are the host_ports of CONF
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", _next_port[0]))
                return _next_port[0]
            except OSError:
                continue
    raise RuntimeError("no free port")


def until(what, fn, timeout=10):
    deadline = time.monotonic() + timeout
    while True:
        value = fn()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("not in time: " + what)
        time.sleep(0.01)


def connect(port, timeout=15):
    s = socket.create_connection(("127.0.0.1", port), timeout=timeout)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


class Answer:
    def __init__(self, status, head, headers, body, whole):
        self.status, self.head, self.headers, self.body, self.whole = status, head, headers, body, whole

    def get(self, name, absent=None):
        values = [v for k, v in self.headers if k == name.lower()]
        return values[0] if values else absent


class Peer:
    """One connection with an HTTP reader, for either side."""

    def __init__(self, sock):
        self.sock, self.buf = sock, b""

    def send(self, data, slice_bytes=0):
        if slice_bytes == 0:
            self.sock.sendall(data)
            return
        for i in range(0, len(data), slice_bytes):
            self.sock.sendall(data[i:i + slice_bytes])
            time.sleep(0.0005)

    def more(self):
        data = self.sock.recv(1 << 16)
        self.buf += data
        return len(data) > 0

    def close(self):
        self.sock.close()

    def head(self):
        """First line and headers; None at the end of the connection."""
        while b"\r\n\r\n" not in self.buf:
            if not self.more():
                return None
        raw, _, self.buf = self.buf.partition(b"\r\n\r\n")
        lines = raw.decode("latin-1").split("\r\n")
        headers = [(k.lower(), v.strip()) for k, _, v in (x.partition(":") for x in lines[1:])]
        return lines[0], headers

    def exactly(self, n):
        while len(self.buf) < n:
            if not self.more():
                return None
        data, self.buf = self.buf[:n], self.buf[n:]
        return data

    def line(self):
        while b"\r\n" not in self.buf:
            if not self.more():
                return None
        raw, _, self.buf = self.buf.partition(b"\r\n")
        return raw

    def chunked(self):
        """(body, whole)"""
        body = b""
        while True:
            size = self.line()
            if size is None:
                return body, False
            n = int(size.split(b";")[0], 16)
            data = self.exactly(n + 2)
            if data is None or data[-2:] != b"\r\n":
                return body + (data or b""), False
            if n == 0:
                return body, True
            body += data[:-2]

    def rest(self):
        try:
            while self.more():
                pass
        except ConnectionResetError:
            return self.buf, False
        data, self.buf = self.buf, b""
        return data, True

    def answer(self, head_request=False):
        """The next final answer."""
        first = self.head()
        if first is None:
            return None
        line, headers = first
        status = int(line.split(" ")[1])
        h = dict(headers)
        body, whole = b"", True
        if head_request or status < 200 or status in (204, 304):
            pass
        elif h.get("transfer-encoding") == "chunked":
            body, whole = self.chunked()
        elif "content-length" in h:
            body = self.exactly(int(h["content-length"]))
            whole = body is not None
        else:
            body, whole = self.rest()
        return Answer(status, line, headers, body, whole)


class Request:
    def __init__(self, line, headers, body):
        self.method, self.target, self.version = line.split(" ")
        self.headers, self.body = headers, body

    def get(self, name):
        values = [v for k, v in self.headers if k == name]
        return values[0] if values else None


class Backend:
    """Answers every request by fn(request) -> bytes (a raw answer), and remembers it. serve(peer, n), if given, has the
    n-th connection to itself instead."""

    def __init__(self, name="b", fn=None, serve=None, port=None, backlog=1024):
        self.name, self.fn, self.serve = name, fn or self.plain, serve
        self.port = port or free_port()
        self.instance = "%s-%d" % (name, self.port)
        self.requests, self.connections, self.raw, self.peers = [], 0, b"", []
        self.lock = threading.Lock()
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(("127.0.0.1", self.port))
        self.sock.listen(backlog)
        threading.Thread(target=self._accept, daemon=True).start()

    def plain(self, req):
        body = self.name.encode()
        return b"HTTP/1.1 200 OK\r\nX-Backend: %s\r\nContent-Length: %d\r\n\r\n%s" % (body, len(body), body)

    def _accept(self):
        while True:
            try:
                s, _ = self.sock.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
                n = self.connections
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.peers.append(s)
            threading.Thread(target=self._guard, args=(s, n), daemon=True).start()

    def _guard(self, s, n):
        p = Peer(s)
        try:
            self.serve(p, n) if self.serve else self._serve(p)
        except OSError:
            pass
        finally:
            s.close()

    def read_request(self, p):
        first = p.head()
        if first is None:
            return None
        h = dict(first[1])
        body = b""
        if h.get("transfer-encoding") == "chunked":
            body, _ = p.chunked()
        elif "content-length" in h:
            body = p.exactly(int(h["content-length"]))
        req = Request(first[0], first[1], body)
        with self.lock:
            self.requests.append(req)
        return req

    def _serve(self, p):
        while True:
            req = self.read_request(p)
            if req is None:
                return
            raw = self.fn(req)
            if raw is None:
                return
            p.send(raw)

    def close(self):
        """The port refuses connections from now on; open ones are cut."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()
        for s in self.peers:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def spec(self, slot, instance=None):
        return {"slot": slot, "instance": instance or self.instance, "address": "127.0.0.1", "port": self.port}


class Lbd:
    def __init__(self, workers=2, conf=None, directory=None, port=None, args=(), wait=True, wrap=()):
        self.dir = directory or tempfile.mkdtemp(prefix="lbd-test-", dir="/tmp")
        self.port = port or free_port()
        self.conf = os.path.join(self.dir, "lbctl.yaml")
        with open(self.conf, "w", encoding="utf-8") as f:
            f.write(conf if conf is not None else CONF % self.port)
        self.sock = os.path.join(self.dir, "run", "lb.sock")
        self.log_path = os.path.join(self.dir, "log")
        self.log_file = open(self.log_path, "wb")
        self.generation, self.wire = 0, None
        self.proc = subprocess.Popen(
            [*wrap, os.path.join(BUILD, "lb", "lbd"), "-c", self.conf, "--state-dir", os.path.join(self.dir, "state"),
             "--run-dir", os.path.join(self.dir, "run"), "--workers", str(workers), *args],
            stdout=self.log_file, stderr=self.log_file)
        if wait:
            self.wait_ready()

    def wait_ready(self):
        until("lbd ready", lambda: b"ready" in self.log() or self.proc.poll() is not None, 20)
        if self.proc.poll() is not None:
            self.log_file.close()
            raise AssertionError("lbd ended: " + self.log().decode())
        self.wire = Wire(self.sock, "ctl", 30)

    def log(self):
        with open(self.log_path, "rb") as f:
            return f.read()

    def services(self, backends, **more):
        specs = [b if isinstance(b, dict) else b.spec(i) for i, b in enumerate(backends)]
        s = {"name": "app", "routes": [{"prefix": "/api/v1"}], "count_ignore": ["/api/v1/_health", "/api/v1/_crash"],
             "backends": specs}
        s.update(more)
        return [s]

    def push(self, backends, services=None, wire=None, **more):
        self.generation += 1
        got = (wire or self.wire).ask("table.set", {"generation": self.generation,
                                                    "services": services or self.services(backends, **more)})
        assert got["generation"] == self.generation, got
        return got

    def stats(self):
        return self.wire.ask("stats.get")

    def service(self, name="app"):
        return [s for s in self.stats()["services"] if s["name"] == name][0]

    def client(self):
        return Peer(connect(self.port))

    def ask(self, raw, head_request=False):
        """One request on a connection of its own."""
        p = self.client()
        try:
            p.send(raw)
            return p.answer(head_request)
        finally:
            p.close()

    def get(self, target="/api/v1/x", method="GET", headers="", body=b""):
        length = "Content-Length: %d\r\n" % len(body) if body else ""
        return self.ask(("%s %s HTTP/1.1\r\nHost: t\r\n%s%s\r\n" % (method, target, headers, length)).encode() + body,
                        method == "HEAD")

    def memory(self):
        """(resident, peak) in KiB"""
        with open("/proc/%d/status" % self.proc.pid, encoding="ascii") as f:
            rows = dict(x.split(":", 1) for x in f)
        return int(rows["VmRSS"].split()[0]), int(rows["VmHWM"].split()[0])

    def cpu_ticks(self):
        with open("/proc/%d/stat" % self.proc.pid, encoding="ascii") as f:
            return sum(int(x) for x in f.read().rsplit(")", 1)[1].split()[11:13])

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.proc.pid))

    def stop(self, sig=signal.SIGTERM, timeout=20):
        if self.wire is not None:
            self.wire.close()
            self.wire = None
        if self.proc.poll() is None:
            self.proc.send_signal(sig)
        code = self.proc.wait(timeout)
        self.log_file.close()
        return code


def digest(data):
    return hashlib.sha256(data).hexdigest()


def main(argv):
    if len(argv) < 5 or argv[1] != "push":
        sys.exit(__doc__)
    backends = []
    for i, text in enumerate(argv[5:]):
        host, _, port = text.rpartition(":")
        backends.append({"slot": i, "instance": text, "address": host, "port": int(port)})
    with Wire(argv[2], "ctl") as w:
        print(w.ask("table.set", {"generation": int(time.time() * 1000), "services": [
            {"name": argv[3], "routes": [{"prefix": argv[4]}], "backends": backends}]}))


if __name__ == "__main__":
    main(sys.argv)
