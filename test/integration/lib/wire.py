"""The daemons' own protocol (common/wire/proto.def), spoken by hand: JSON lines on a Unix socket."""
import json
import os
import socket
import time


class WireError(Exception):
    """The channel failed."""


class Refused(WireError):
    """The peer answered with an error."""


class Wire:
    def __init__(self, path, role, timeout=10):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        self.sock.connect(path)
        self.role, self.buf, self.last_id, self.events, self.timeout = role, b"", 0, [], timeout
        self.peer = self.ask("hello", self._hello())

    def _hello(self):
        return {"proto": 1, "role": self.role, "build": "test", "pid": os.getpid()}

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _send(self, message):
        self.sock.sendall(json.dumps(message).encode() + b"\n")

    def _read(self, deadline):
        while b"\n" not in self.buf:
            left = deadline - time.monotonic()
            if left <= 0:
                raise WireError("no answer in time")
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(1 << 20)
            except socket.timeout as e:
                raise WireError("no answer in time") from e
            if not data:
                raise WireError("channel closed by the peer")
            self.buf += data
        line, _, self.buf = self.buf.partition(b"\n")
        return json.loads(line)

    def ask(self, kind, body=None, timeout=None):
        """Send a request, return the answer's body; Refused with the peer's text when it does not want to."""
        self.last_id += 1
        mine = self.last_id
        self._send({"v": 1, "id": mine, "type": kind, "body": body or {}})
        deadline = time.monotonic() + (timeout or self.timeout)
        while True:
            message = self._read(deadline)
            if message.get("re") == mine:
                if "error" in message:
                    raise Refused(message["error"])
                return message.get("body")
            if message.get("type") == "hello" and "id" in message:
                self._send({"v": 1, "re": message["id"], "body": self._hello()})
            elif "id" in message:
                self._send({"v": 1, "re": message["id"], "error": "not for me"})
            else:
                self.events.append(message)


def raw(path, data, timeout=5, half=False):
    """Send bytes as they are, return everything that comes until the peer closes or the time is over."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(timeout)
        s.connect(path)
        out = b""
        try:
            s.sendall(data)
            if half:
                s.shutdown(socket.SHUT_WR)
            while True:
                piece = s.recv(65536)
                if not piece:
                    break
                out += piece
        except (socket.timeout, ConnectionError):
            pass
        return out
