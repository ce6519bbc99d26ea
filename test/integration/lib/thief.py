"""A foreign program on a port of ours."""
import contextlib
import socket
import threading


class Thief:
    """A foreign program on a port: answers everything, health checks too, with 200."""

    def __init__(self, port):
        self.requests = []  # the first lines of what it got
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(("127.0.0.1", port))
        self.sock.listen(64)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), conn:
                conn.settimeout(5)
                line = conn.recv(65536).split(b"\r\n")[0].decode("latin-1")
                if line:
                    self.requests.append(line)
                conn.sendall(b"HTTP/1.1 200 OK\r\nX-Instance: thief\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
