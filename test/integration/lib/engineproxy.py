"""A relay before the engine's socket that fails on command."""
import os
import re
import socket
import threading

from . import engine

REQUEST = re.compile(rb"(?:^|\r\n\r\n|\})(GET|POST|DELETE|HEAD) (\S+) HTTP/1\.1\r\n")


class EngineProxy:
    """mode: pass; refuse (nobody listens, connections are cut); hang (takes requests, passes nothing on); garbage
    (answers that are no HTTP); fail (500 with JSON to everything). With `swallow` set to a pattern, a request whose
    "METHOD /path" matches is passed on, its answer is not: the connection is cut instead. `log` has every request."""

    def __init__(self, path):
        self.path = path
        self.mode = "pass"
        self.swallow = None
        self.swallowed = []
        self.log = []
        self._lock = threading.Lock()
        self._pairs = set()
        self._listener = None
        self._listen()

    def _listen(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.bind(self.path)
        s.listen(64)
        self._listener = s
        threading.Thread(target=self._accept, args=(s,), daemon=True).start()

    def set(self, mode):
        before, self.mode = self.mode, mode
        if mode == "refuse" and before != "refuse":
            self._shut_listener()
            os.unlink(self.path)
        if mode in ("refuse", "garbage", "fail"):
            self.cut()
        if before == "refuse" and mode != "refuse":
            self._listen()
        if before == "hang":
            self.cut()

    def _shut_listener(self):
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()

    def cut(self, only=None):
        """Cut all connections, or those whose last request matches."""
        with self._lock:
            pairs = [p for p in self._pairs if only is None or re.search(only, p.last)]
        for p in pairs:
            p.cut()
        return len(pairs)

    def close(self):
        self.mode = "refuse"
        self._shut_listener()
        self.cut()

    def requests(self, pattern):
        return [r for r in list(self.log) if re.search(pattern, r)]

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                _Pair(self, client)
            except OSError:
                client.close()


class _Pair:
    def __init__(self, proxy, client):
        self.proxy, self.client, self.last, self.mute = proxy, client, "", False
        self.engine = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.engine.connect(engine.SOCKET)
        with proxy._lock:
            proxy._pairs.add(self)
        for target in (self._up, self._down):
            threading.Thread(target=target, daemon=True).start()

    def cut(self):
        for s in (self.client, self.engine):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        with self.proxy._lock:
            self.proxy._pairs.discard(self)

    def _up(self):
        p = self.proxy
        try:
            while True:
                data = self.client.recv(65536)
                if not data:
                    break
                for method, path in REQUEST.findall(data):
                    self.last = f"{method.decode()} {path.decode()}"
                    p.log.append(self.last)
                    if p.swallow and re.search(p.swallow, self.last):
                        p.swallowed.append(self.last)
                        self.mute = True
                if p.mode == "hang":
                    continue
                if p.mode == "garbage":
                    self.client.sendall(b"\0\1\2 this is no HTTP\r\n\r\n" * 100)
                    break
                if p.mode == "fail":
                    self.client.sendall(b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\n"
                                        b"Content-Length: 22\r\n\r\n{\"message\":\"told to\"}\n")
                    continue
                self.engine.sendall(data)
        except OSError:
            pass
        self.cut()

    def _down(self):
        try:
            while True:
                data = self.engine.recv(65536)
                if not data or self.mute:
                    break
                if self.proxy.mode in ("pass",):
                    self.client.sendall(data)
        except OSError:
            pass
        self.cut()
