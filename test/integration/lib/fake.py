"""The fake engine (test/fake_engine) in a process of its own, told what to do over its control socket."""
import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading

from . import engine

PROGRAM = os.path.join(os.path.dirname(__file__), "../../fake_engine/fake_engine.py")
_libc = ctypes.CDLL(None)


class FakeError(Exception):
    pass


class Fake:
    """Every operation of fake_engine.py is a method: fault(match=, kind=, ...), lift(), away(), back(), restart(),
    cut(), version(), mode(ref, ...), exit(ref, code), containers(), history(), log() ..."""

    def __init__(self, images=()):
        self.dir = tempfile.mkdtemp(prefix=f"lbt-{os.getpid()}-fake.", dir="/tmp")
        self.path, control = self.dir + "/engine.sock", self.dir + "/control.sock"
        argv = ["/usr/bin/python3", PROGRAM, "--socket", self.path, "--control", control]
        for i in images:
            argv += ["--image", i]
        with open(self.dir + "/fake.log", "ab") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                                            start_new_session=True,
                                            preexec_fn=lambda: _libc.prctl(1, signal.SIGKILL))
        if self.process.stdout.readline() != b"ready\n":
            raise FakeError(f"the fake engine did not start; see {self.dir}/fake.log")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(60)
        self.sock.connect(control)
        self.file = self.sock.makefile("rwb")
        self.lock = threading.Lock()
        self.before = engine.SOCKET, engine.FRONT
        engine.SOCKET, engine.FRONT = self.path + ".behind", self.path

    def ask(self, op, **args):
        with self.lock:
            self.file.write(json.dumps({"op": op, **args}).encode() + b"\n")
            self.file.flush()
            answer = json.loads(self.file.readline())
        if "error" in answer:
            raise FakeError(answer["error"])
        return answer["ok"]

    def __getattr__(self, op):
        return lambda *a, **kw: self.ask(op, **dict(zip(_ORDER.get(op, ()), a)), **kw)

    def calls(self, pattern="", since=0):
        """Lines "METHOD /path?query" of the log that match."""
        return [e[1] for e in self.ask("log", since=since) if re.search(pattern, e[1])]

    def close(self):
        engine.SOCKET, engine.FRONT = self.before
        self.sock.close()
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        with open(self.dir + "/fake.log", encoding="utf-8", errors="replace") as f:
            said = f.read()
        for name in os.listdir(self.dir):
            os.unlink(os.path.join(self.dir, name))
        os.rmdir(self.dir)
        if said:
            raise FakeError(f"the fake engine had trouble of its own:\n{said[-4000:]}")


_ORDER = {"fault": ("match", "kind"), "lift": ("number",), "mode": ("ref", "mode"), "exit": ("ref", "code"),
          "cut": ("pattern",), "version": ("api", "minimum"), "restart": ("seconds", "keep"), "hits": ("number",),
          "disk_full": ("yes",)}
