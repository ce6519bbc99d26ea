"""A relay in front of the engine's socket that can be told to misbehave."""
import os
import re
import socket
import threading


class Relay:
    """mode: pass, slice (answers byte by byte), hang (takes all, says nothing), truncate (answers to requests like
    `only` end after `limit` bytes), answer (the engine is not asked; `answers` are (pattern of the request line, bytes))."""

    def __init__(self, path, target):
        self.path, self.target = path, target
        self.mode, self.limit, self.only, self.answers = "pass", 0, "", []
        self.requests, self.lock, self.open, self.listener = [], threading.Lock(), set(), None
        self.listen()

    def listen(self):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen(128)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def away(self):
        """As if the engine had ended: nobody listens, all connections are closed."""
        os.unlink(self.path)
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()

    def cut(self):
        with self.lock:
            for s in list(self.open):
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def close(self):
        self.away()

    def seen(self, pattern):
        with self.lock:
            return [r for r in self.requests if re.search(pattern, r)]

    def _accept(self, listener):
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        with self.lock:
            self.open.add(conn)
        try:
            self._talk(conn)
        except OSError:
            pass
        finally:
            with self.lock:
                self.open.discard(conn)
            conn.close()

    def _talk(self, conn):
        head = b""
        while b"\r\n\r\n" not in head:
            data = conn.recv(65536)
            if not data:
                return
            head += data
        line = head.split(b"\r\n", 1)[0].decode()
        with self.lock:
            self.requests.append(line)
        if self.mode == "hang":
            while conn.recv(65536):
                pass
            return
        if self.mode == "answer":
            for pattern, data in self.answers:
                if re.search(pattern, line):
                    conn.sendall(data)
                    return
        self._relay(conn, head, line)

    def _relay(self, conn, head, line):
        up = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            up.connect(self.target)
            up.sendall(head)
            threading.Thread(target=self._pump_up, args=(conn, up), daemon=True).start()
            left = self.limit if self.mode == "truncate" and re.search(self.only, line) else None
            while True:
                data = up.recv(65536)
                if not data:
                    return
                if self.mode == "hang":
                    continue
                if left is not None:
                    data = data[:left]
                    left -= len(data)
                if self.mode == "slice":
                    for i in range(len(data)):
                        conn.sendall(data[i:i + 1])
                else:
                    conn.sendall(data)
                if left == 0:
                    return
        finally:
            try:
                conn.shutdown(socket.SHUT_RDWR)
                up.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            up.close()

    def _pump_up(self, conn, up):
        try:
            while True:
                data = conn.recv(65536)
                if not data:
                    break
                up.sendall(data)
            up.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def http(status, body, extra=""):
    data = body.encode()
    return (f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{extra}"
            f"Content-Length: {len(data)}\r\n\r\n").encode() + data
