#!/usr/bin/python3
"""The same generated, valid exchanges through lbd and through nginx to a backend that notes what it sees: what the backend
saw and what the client got must be equal, once the header edits that docs/clients.md lists are taken out.

usage: differential_test.py [--count 2000] [--first 0] [--seed 1] [--threads 4]

--count 100000 is the full run (some minutes). A difference names the exchange: --first N --count 1 tries it alone.
"""
import argparse
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lbd_kit import Lbd, connect, digest, free_port, until  # noqa: E402
from lib import peers  # noqa: E402
from lib.exchanges import Exchange  # noqa: E402

SKIP = 77
SHOWN_MAX = 12
WAIT_S = 60  # ends a hang, measures nothing
# RFC 9110 7.6.1: what belongs to one connection. nginx passes some of them on; they are compared with neither.
HOP = {"connection", "keep-alive", "te", "trailer", "upgrade", "proxy-connection", "transfer-encoding"}
NGINX = """daemon off;
master_process off;
pid {dir}/nginx.pid;
error_log {dir}/nginx.err;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  ignore_invalid_headers off; underscores_in_headers on;
  large_client_header_buffers 8 64k; client_header_buffer_size 64k; client_max_body_size 0;
  keepalive_requests 1000000;
  upstream backend {{ server 127.0.0.1:{backend}; keepalive 16; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://backend;
      proxy_http_version 1.1; proxy_request_buffering off; proxy_next_upstream off; proxy_redirect off;
      proxy_buffer_size 64k; proxy_buffers 8 64k;
      proxy_set_header Host $http_host; proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_pass_header Date; proxy_pass_header Server;
    }}
  }}
}}
"""


class Wire:
    """A reader of messages that notes them as they are, and takes nothing for granted."""

    def __init__(self, sock):
        self.sock, self.buf = sock, bytearray()

    def more(self):
        data = self.sock.recv(1 << 17)
        self.buf += data
        return bool(data)

    def upto(self, mark):
        at = 0
        while True:
            i = self.buf.find(mark, at)
            if i >= 0:
                data = bytes(self.buf[:i])
                del self.buf[:i + len(mark)]
                return data
            at = max(0, len(self.buf) - len(mark))
            if not self.more():
                return None

    def exactly(self, n):
        while len(self.buf) < n:
            if not self.more():
                raise EOFError("the body ends early")
        data = bytes(self.buf[:n])
        del self.buf[:n]
        return data

    def head(self):
        raw = self.upto(b"\r\n\r\n")
        if raw is None:
            return None
        lines = raw.split(b"\r\n")
        fields = []
        for line in lines[1:]:
            k, colon, v = line.partition(b":")
            if not colon or not k or k != k.strip():
                raise ValueError("bad field %r" % line)
            fields.append((k.decode("latin-1"), v.strip(b" \t")))
        return lines[0], fields

    def chunks(self):
        out = []
        while True:
            n = int(self.upto(b"\r\n").split(b";")[0], 16)
            if n == 0:
                while self.upto(b"\r\n"):
                    pass
                return b"".join(out)
            out.append(self.exactly(n))
            if self.exactly(2) != b"\r\n":
                raise ValueError("chunk without end")

    def body(self, fields, bodiless, until_close):
        h = {k.lower(): v for k, v in fields}
        if bodiless:
            return b""
        if "transfer-encoding" in h:
            if h["transfer-encoding"].lower() != b"chunked" or "content-length" in h:
                raise ValueError("two framings")
            return self.chunks()
        if "content-length" in h:
            return self.exactly(int(h["content-length"]))
        if until_close:
            while self.more():
                pass
            data, self.buf = bytes(self.buf), bytearray()
            return data
        return b""


class Recorder:
    """The backend of one proxy."""

    def __init__(self, make):
        self.make, self.seen, self.faults = make, {}, []
        self.port = free_port()
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(("127.0.0.1", self.port))
        self.sock.listen(512)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            s, _ = self.sock.accept()
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        w = Wire(s)
        n = None
        try:
            while True:
                n = None
                first = w.head()
                if first is None:
                    if w.buf:
                        raise ValueError("the connection ends inside a head: %r" % bytes(w.buf[:100]))
                    return
                h = {k.lower(): v for k, v in first[1]}
                n = int(h["x-case"])
                e = self.make(n)
                if h.get("expect", b"").lower() == b"100-continue":
                    s.sendall(e.answer.interim)
                body = w.body(first[1], False, False)
                if n in self.seen:
                    self.faults.append("exchange %d came twice" % n)
                self.seen[n] = (first[0].decode("latin-1"), first[1], body)
                for part in e.cut(e.answer.raw):
                    s.sendall(part)
                if e.answer.closes:
                    return
        except (OSError, EOFError, ValueError, KeyError) as why:
            self.faults.append("backend, exchange %s: %r" % (n, why))
        finally:
            s.close()


def groups(make, first, count):
    """Runs of exchanges, each for one connection of a client: (exchanges, pipelined at once)."""
    n, end = first, first + count
    while n < end:
        run = []
        want = 1 + (n * 7919) % 9
        while n < end and len(run) < want:
            run.append(make(n))
            n += 1
            if not run[-1].request.persists:
                break
        yield run, n % 3 == 0 and not any(e.request.expects for e in run)


class Client:
    """Sends runs of exchanges to one proxy, and notes the answers."""

    def __init__(self, port):
        self.port, self.got, self.faults, self.connections, self.reused = port, {}, [], 0, 0

    def _answer(self, w, e):
        interims = 0
        while True:
            first = w.head()
            if first is None:
                raise EOFError("no answer")
            version, status, reason = (first[0].split(b" ", 2) + [b""])[:3]
            status = int(status)
            if status >= 200:
                break
            interims += 1
        bodiless = e.request.method == "HEAD" or status in (204, 304)
        body = w.body(first[1], bodiless, True)
        self.got[e.n] = (version, status, reason, first[1], body, interims)
        h = {k.lower(): v.lower() for k, v in first[1]}
        framed = bodiless or "content-length" in h or "transfer-encoding" in h
        stays = h.get("connection") == b"keep-alive" if e.request.minor == 0 else h.get("connection") != b"close"
        return framed and stays

    def _connect(self):
        self.connections += 1
        return Wire(connect(self.port, WAIT_S))

    def _one_by_one(self, run):
        w = None
        for e in run:
            if w is None:
                w = self._connect()
            else:
                self.reused += 1
            for part in e.cut(e.request.raw):
                w.sock.sendall(part)
            if not self._answer(w, e):
                w.sock.close()
                w = None
        if w is not None:
            w.sock.close()

    def _at_once(self, run):
        while run:
            w = self._connect()
            sender = threading.Thread(target=self._send_all, args=(w.sock, b"".join(e.request.raw for e in run)), daemon=True)
            sender.start()
            while run:
                e = run.pop(0)
                stays = self._answer(w, e)
                if not stays:
                    break  # the rest was not taken: it goes to another connection
                self.reused += len(run) > 0
            sender.join(WAIT_S)
            w.sock.close()

    @staticmethod
    def _send_all(sock, data):
        try:
            sock.sendall(data)
        except OSError:
            pass

    def work(self, todo):
        while True:
            item = todo.get()
            if item is None:
                return
            run, pipelined = item
            try:
                (self._at_once if pipelined else self._one_by_one)(list(run))
            except (OSError, EOFError, ValueError, KeyError, IndexError) as why:
                missing = [e.n for e in run if e.n not in self.got]
                self.faults.append("client, exchange %s%s: %r" % (missing[:1], " (pipelined)" if pipelined else "", why))


def grouped(fields):
    """The order of fields of different names means nothing (RFC 9110 5.3)."""
    out = {}
    for k, v in fields:
        out.setdefault(k.lower(), []).append(v)
    return out


def request_via_lbd(e, seen):
    """What the backend saw, without what docs/clients.md says that lbd adds; those are checked here."""
    q, (line, fields, body) = e.request, seen
    faults = []
    h = grouped(fields)
    sent = grouped(q.headers)

    def drop(name, want):
        got = h.pop(name, None)
        if got != want:
            faults.append("%s is %r, not %r" % (name, got, want))

    for name in HOP - {"transfer-encoding"}:
        if name in h:
            faults.append("%s was passed on" % name)
    for name in q.named:
        if name.lower() in h:
            faults.append("%s, named in Connection, was passed on" % name)
    drop("via", sent.get("via", []) + [b"1.%d lbctl" % q.minor])
    drop("x-forwarded-proto", sent.get("x-forwarded-proto", [b"http"])[:1])
    drop("x-forwarded-host", sent.get("x-forwarded-host", [q.host.encode()])[:1])
    drop("x-forwarded-for", [b", ".join(sent.get("x-forwarded-for", []) + [b"127.0.0.1"])])
    drop("expect", sent.get("expect"))
    drop("content-length", None if q.chunked or "content-length" not in sent else [b"%d" % len(q.body)])
    drop("transfer-encoding", [b"chunked"] if q.chunked else None)
    # All other fields keep their order, and their names their case.
    ours = {"host", "via", "content-length", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"}
    gone = HOP | ours | {x.lower() for x in q.named}
    kept = [(k, v) for k, v in q.headers if k.lower() not in gone]
    if [(k, v) for k, v in fields if k.lower() not in ours and k.lower() not in HOP] != kept:
        faults.append("the fields that pass have changed")
    return (line, h, body), faults


def request_via_nginx(e, seen):
    q, (line, fields, body) = e.request, seen
    gone = HOP | {x.lower() for x in q.named} | {"via", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-for", "expect",
                                                 "content-length"}
    return line, {k: v for k, v in grouped(fields).items() if k not in gone}, body


def answer_of(e, got):
    """What the client got, without what belongs to the connection."""
    version, status, reason, fields, body, _ = got
    gone = HOP | {x.lower() for x in e.answer.named}
    return version, status, reason, {k: v for k, v in grouped(fields).items() if k not in gone}, body


def answer_faults(e, got):
    """What lbd alone must keep to: nothing of the backend's connection reaches the client, fields keep their order."""
    a, (_, _, _, fields, body, interims) = e.answer, got
    faults = []
    gone = HOP | {x.lower() for x in a.named}
    names = [k.lower() for k, _ in fields]
    for name in gone - {"connection", "transfer-encoding"}:
        if name in names:
            faults.append("%s was passed on" % name)
    passed = [(k, v) for k, v in fields if k.lower() not in gone | {"content-length"}]
    if passed != [(k, v) for k, v in a.headers if k.lower() not in gone | {"content-length"}]:
        faults.append("the fields that pass have changed")
    if body != a.body:
        faults.append("the body has changed")
    if interims != (1 if e.request.expects else 0):
        faults.append("%d interim answers" % interims)
    return faults


def short(x):
    text = repr(x)
    return text if len(text) < 1500 else text[:700] + " ... " + text[-700:]


def unlike(a, b):
    """Where two records differ."""
    out = []
    for x, y in zip(a, b):
        if isinstance(x, dict):
            for k in sorted(set(x) | set(y)):
                if x.get(k) != y.get(k):
                    out.append("field %s: %s, but nginx: %s" % (k, short(x.get(k)), short(y.get(k))))
        elif x != y:
            out.append("%s, but nginx: %s" % (short(x) if len(x if isinstance(x, bytes) else "") < 200 else digest(x), short(y)))
    return out


def compare(e, lbd, nginx, lbd_client, nginx_client):
    out = []
    for name, backend, client in (("lbd", lbd, lbd_client), ("nginx", nginx, nginx_client)):
        if e.n not in client.got:
            out.append("%s did not answer" % name)
        elif e.n not in backend.seen:
            out.append("%s answered %d by itself" % (name, client.got[e.n][1]))
    if out:
        return out
    ours, faults = request_via_lbd(e, lbd.seen[e.n])
    out += ["request: " + x for x in faults + unlike(ours, request_via_nginx(e, nginx.seen[e.n]))]
    out += ["answer: " + x for x in answer_faults(e, lbd_client.got[e.n]) +
            unlike(answer_of(e, lbd_client.got[e.n]), answer_of(e, nginx_client.got[e.n]))]
    return out


def run_all(todo, client, threads):
    q = queue.Queue(threads * 4)
    ts = [threading.Thread(target=client.work, args=(q,), daemon=True) for _ in range(threads)]
    for t in ts:
        t.start()
    for item in todo:
        q.put(item)
    for _ in ts:
        q.put(None)
    for t in ts:
        t.join()


class Nginx:
    def __init__(self, backend):
        self.dir, self.port = tempfile.mkdtemp(prefix="lbd-differential-", dir="/tmp"), free_port()
        conf = os.path.join(self.dir, "nginx.conf")
        with open(conf, "w", encoding="ascii") as f:
            f.write(NGINX.format(dir=self.dir, port=self.port, backend=backend))
        self.proc = subprocess.Popen([peers.find("nginx"), "-c", conf, "-p", self.dir, "-e", os.path.join(self.dir, "nginx.err")],
                                     stderr=subprocess.DEVNULL)
        until("nginx listens", self.listens, 20)

    def listens(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        self.proc.send_signal(signal.SIGTERM)
        self.proc.wait(20)
        shutil.rmtree(self.dir)


def main(argv):
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("--count", type=int, default=int(os.environ.get("LBCTL_TEST_EXCHANGES", "2000")))
    p.add_argument("--first", type=int, default=0)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=4)
    o = p.parse_args(argv)
    if peers.find("nginx") is None:
        print("skipped: no nginx; test/run unpacks Debian's into build/peers")
        return SKIP
    began = time.monotonic()
    lbd, total, shown = Lbd(), 0, 0

    def make(n):
        return Exchange(o.seed, n)

    recorders = [Recorder(make), Recorder(make)]
    lbd.push([{"slot": 0, "instance": "recorder", "address": "127.0.0.1", "port": recorders[0].port}])
    nginx = Nginx(recorders[1].port)
    clients = [Client(lbd.port), Client(nginx.port)]
    at, end = o.first, o.first + o.count
    while at < end and shown < SHOWN_MAX:
        block = min(2000, end - at)
        for client in clients:
            run_all(groups(make, at, block), client, o.threads)
        for side, what in ((recorders, "lbd nginx"), (clients, "lbd nginx")):
            for x, name in zip(side, what.split()):
                for fault in x.faults:
                    shown += 1
                    print("%s: %s" % (name, fault))
                x.faults.clear()
        for n in range(at, at + block):
            found = compare(make(n), *recorders, *clients)
            total += 1
            if found:
                shown += 1
                if shown <= SHOWN_MAX:
                    print("exchange %d (--seed %d --first %d --count 1):\n  %s" % (n, o.seed, n, "\n  ".join(found)))
        for x in recorders:
            x.seen.clear()
        for x in clients:
            x.got.clear()
        at += block
    nginx.stop()
    code = lbd.stop()
    if code != 0:
        print("lbd ended with %d:\n%s" % (code, lbd.log().decode()))
        return 1
    shutil.rmtree(lbd.dir)
    print("%d exchanges, seed %d, %d and %d connections, %d and %d requests on used ones, %d differences, %.1f s" % (
        total, o.seed, clients[0].connections, clients[1].connections, clients[0].reused, clients[1].reused, shown,
        time.monotonic() - began))
    return 1 if shown else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
