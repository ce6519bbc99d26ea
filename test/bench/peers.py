"""The proxies that the benchmarks and test/bench/strictness compare: lbd, HAProxy and nginx, with one configuration each
that means the same. Standard library only."""
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# What the limit of descriptors allows of connections that need two each (HAProxy refuses more).
CONNS_MAX = min(30000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2 - 100)
HEADERS = {  # what a browser sends: about 700 bytes
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Language": "en-GB,en;q=0.9,de;q=0.8,kn;q=0.7",
    "Accept-Encoding": "gzip, deflate, br",
    "Referer": "http://shop.example/catalogue/items?page=2&order=newest",
    "Cookie": "session=6f1c2d6c0b5e4a5d9a77; theme=dark; consent=1; lang=en; seen=" + "a" * 120,
    "Cache-Control": "max-age=0",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Site": "same-origin",
}


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def wait_for(ok, what, seconds=30):
    end = time.monotonic() + seconds
    while not ok():
        if time.monotonic() > end:
            sys.exit(f"{what} did not come within {seconds} s")
        time.sleep(0.02)


_next_port = [os.getpid() * 37 % 1000]  # two runs side by side begin apart


def free_port():
    """A port of 24100 to 25099 that nobody has: below those that the kernel gives to outgoing connections."""
    for _ in range(1000):
        _next_port[0] = (_next_port[0] + 1) % 1000
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", 24100 + _next_port[0]))
                return 24100 + _next_port[0]
            except OSError:
                continue
    sys.exit("no free port from 24100 to 25099")


def listening(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def accepts(path):
    with socket.socket(socket.AF_UNIX) as s:
        return s.connect_ex(path) == 0


def missing(*programs):
    return [p for p in programs if shutil.which(p) is None]


class Peer:
    """One running proxy. Its processes end with close()."""

    def __init__(self, name, command, port, log):
        self.name, self.port, self.log = name, port, log
        with open(log, "w", encoding="utf-8") as f:
            self.proc = subprocess.Popen(command, stdout=f, stderr=f)

    def wait_ready(self, ready=None):
        wait_for(lambda: self.proc.poll() is not None or (ready or (lambda: listening(self.port)))(), self.name)
        if self.proc.poll() is not None:
            with open(self.log, encoding="utf-8", errors="replace") as f:
                sys.exit(f"{self.name} ended: {f.read()}")

    def family(self):
        pids = [self.proc.pid]
        for p in pids:
            for task in os.listdir(f"/proc/{p}/task"):
                with open(f"/proc/{p}/task/{task}/children", encoding="ascii") as f:
                    pids += [int(c) for c in f.read().split()]
        return pids

    def cpu_ns(self):
        """User and system time of all processes and threads."""
        total = 0
        for p in self.family():
            for task in os.listdir(f"/proc/{p}/task"):
                with open(f"/proc/{p}/task/{task}/schedstat", encoding="ascii") as f:
                    total += int(f.read().split()[0])
        return total

    def rss_kb(self):
        total = 0
        for p in self.family():
            with open(f"/proc/{p}/status", encoding="ascii") as f:
                total += int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))
        return total

    def close(self):
        self.proc.send_signal(signal.SIGTERM)
        try:
            self.proc.wait(15)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()


def haproxy(tmp, name, port, backends, threads, log=False, pin=()):
    servers = "\n".join(f"  server s{p} 127.0.0.1:{p}" for p in backends)
    logging = ("  log stdout format raw local0\n", "  log global\n  option httplog\n") if log else ("", "")
    cfg = write(f"{tmp}/{name}.cfg", f"""global
  nbthread {threads}
  maxconn {CONNS_MAX}
{logging[0]}defaults
  mode http
{logging[1]}  timeout connect 1s
  timeout client 60s
  timeout server 30s
  timeout http-request 10s
  option forwardfor
  option abortonclose
  http-reuse always
frontend f
  bind 127.0.0.1:{port} backlog 4096
  use_backend b if {{ path_beg /api/v1/ }}
backend b
  balance roundrobin
{servers}
""")
    return Peer(name, [*pin, "haproxy", "-db", "-f", cfg], port, f"{tmp}/{name}.log")


def nginx(tmp, name, port, backends, threads, log=False, pin=()):
    os.makedirs(f"{tmp}/{name}", exist_ok=True)
    servers = "\n".join(f"    server 127.0.0.1:{p};" for p in backends)
    access = f"{tmp}/{name}/access.log combined buffer=64k flush=1s" if log else "off"
    cfg = write(f"{tmp}/{name}.conf", f"""daemon off;
worker_processes {threads};
pid {tmp}/{name}/pid;
error_log {tmp}/{name}/error.log;
worker_rlimit_nofile 40000;
events {{ worker_connections {2 * CONNS_MAX}; }}
http {{
  access_log {access};
  client_max_body_size 0;
  client_body_temp_path {tmp}/{name}/b;
  proxy_temp_path {tmp}/{name}/p;
  fastcgi_temp_path {tmp}/{name}/f; uwsgi_temp_path {tmp}/{name}/u; scgi_temp_path {tmp}/{name}/s;
  keepalive_requests 1000000000;
  upstream b {{
{servers}
    keepalive 512;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location /api/v1/ {{
      proxy_pass http://b;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_request_buffering off;
    }}
  }}
}}
""")
    return Peer(name, [*pin, "nginx", "-c", cfg], port, f"{tmp}/{name}.log")


def lbd(tmp, name, port, backends, threads, log=False, pin=(), build=f"{ROOT}/build/release"):
    os.makedirs(f"{tmp}/{name}", exist_ok=True)
    cfg = write(f"{tmp}/{name}/lbctl.yaml", f"""listen: 127.0.0.1:{port}
workers: {threads}
run_dir: {tmp}/{name}
state_dir: {tmp}/{name}
{f'access_log: {tmp}/{name}/access.log' if log else ''}
services:
  bench: {{ image: none }}
""")
    peer = Peer(name, [*pin, f"{build}/lb/lbd", "-c", cfg], port, f"{tmp}/{name}.log")
    try:
        peer.wait_ready(lambda: accepts(f"{tmp}/{name}/lb.sock"))
        peer.channel = push_table(f"{tmp}/{name}", backends)
    except BaseException:
        peer.close()
        raise
    return peer


def push_table(run_dir, backends):
    """The table that ctld would push, over lb.sock (docs/protocol.md). lbd keeps it while the channel is open."""
    table = {"generation": 1, "services": [{
        "name": "bench", "routes": [{"prefix": "/api/v1"}],
        "backends": [{"slot": i, "instance": f"b{i}", "address": "127.0.0.1", "port": p} for i, p in enumerate(backends)]}]}
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(30)
    s.connect(f"{run_dir}/lb.sock")
    f = s.makefile("rw")
    for n, (kind, body) in enumerate([("hello", {"proto": 1, "role": "ctl", "build": "bench"}), ("table.set", table)], 1):
        f.write(json.dumps({"v": 1, "id": n, "type": kind, "body": body}) + "\n")
        f.flush()
        while (answer := json.loads(f.readline())).get("re") != n:
            pass
        if "error" in answer:
            sys.exit(f"lbd refused {kind}: {answer['error']}")
    return s


PEERS = {"haproxy": haproxy, "nginx": nginx, "lbd": lbd}
