#!/usr/bin/python3
"""Contract test of acts and users: the real programs, several of them, against a real PostgreSQL started here.

Usage: acts_test.py PATH-OF-ACTS [unittest arguments]     (users is beside acts)
"""
import base64
import concurrent.futures
import http.client
import http.server
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse

from lib import contract

ACTS = USERS = None
SANITIZED = False
PG_BIN = "/usr/lib/postgresql/15/bin"
PASSWORD = "secret with 'quotes' and blanks"
IMAGE = "d2Fsa2VkIGEgc3RyYW5nZXIgaG9tZQ=="
TIME = "05-11-2024:07-59-23"
API = "/api/v1"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, check, seconds=15):
    """Poll until check() is true; for states that only polling shows."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if check():
            return
        time.sleep(0.01)
    raise AssertionError(f"not within {seconds} s: {what}")


class Postgres:
    """A private cluster, run by an unprivileged user."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="acts-pg-")
        self.data = os.path.join(self.dir, "data")
        self.port = free_port()
        self.proc = None
        self.user = "postgres" if os.geteuid() == 0 else None
        password_file = os.path.join(self.dir, "password")
        with open(password_file, "w", encoding="ascii") as f:
            f.write(PASSWORD + "\n")
        os.chmod(password_file, 0o644)
        self.password_file = password_file
        if self.user:
            user = pwd.getpwnam(self.user)
            os.chown(self.dir, user.pw_uid, user.pw_gid)
        self.run("initdb", "-D", self.data, "-U", "app", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8",
                 "--no-sync", f"--pwfile={password_file}")
        self.start()
        self.psql("CREATE DATABASE app", database="postgres")

    def run(self, program, *args, **more):
        return subprocess.run([os.path.join(PG_BIN, program), *args], user=self.user, cwd="/", check=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more).stdout

    def start(self, **settings):
        """After a kill a child of the old server may hold its shared memory for a moment, and the new one refuses."""
        settings = {"listen_addresses": "127.0.0.1", "fsync": "off", "max_connections": 60, **settings}

        def is_up():
            if self.proc is None or self.proc.poll() is not None:
                self.launch(settings)
            return self.is_up()
        self.proc = None
        wait_for("PostgreSQL accepts connections", is_up, 60)

    def launch(self, settings):
        with open(os.path.join(self.dir, "log"), "a", encoding="ascii") as log:
            self.proc = subprocess.Popen(
                [os.path.join(PG_BIN, "postgres"), "-D", self.data, "-p", str(self.port), "-k", self.dir,
                 *(x for key, value in settings.items() for x in ("-c", f"{key}={value}"))],
                user=self.user, cwd="/", stdout=log, stderr=log)

    def is_up(self):
        return subprocess.run([os.path.join(PG_BIN, "pg_isready"), "-q", "-h", self.dir, "-p", str(self.port)],
                              check=False).returncode == 0

    def psql(self, sql, database="app"):
        return subprocess.run(
            ["psql", "-h", self.dir, "-p", str(self.port), "-U", "app", "-d", database, "-Atqc", sql],
            env={"PGPASSWORD": PASSWORD, "PATH": os.environ["PATH"]}, check=True, stdout=subprocess.PIPE,
            text=True).stdout.strip()

    def stop(self, signo=signal.SIGINT):
        self.proc.send_signal(signo)
        self.proc.wait(30)

    def log(self):
        with open(os.path.join(self.dir, "log"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def processes(self):
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.proc.pid)], stdout=subprocess.PIPE,
                                  text=True, check=False).stdout.split()
        return [self.proc.pid] + [int(p) for p in children]

    def signal_all(self, signo):
        for pid in self.processes():
            try:
                os.kill(pid, signo)
            except ProcessLookupError:
                pass

    def kill(self):
        self.signal_all(signal.SIGKILL)
        self.proc.wait(30)

    def close(self):
        if self.proc.poll() is None:
            self.signal_all(signal.SIGCONT)
            self.stop(signal.SIGQUIT)
        shutil.rmtree(self.dir, ignore_errors=True)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


class Acts:
    """One running acts."""
    prefix, health, main = "ACTS", "/_health", "/acts/count"  # the second waits for a connection of the pool

    @property
    def program(self):
        return ACTS

    def __init__(self, pg, wait=True, limit_files=None, **env):
        self.env = {f"{self.prefix}_{key}": value for key, value in {
            "PORT": "0", "BIND": "127.0.0.1", "DB_HOST": "127.0.0.1", "DB_PORT": str(pg.port), "DB_USER": "app",
            "DB_PASSWORD_FILE": pg.password_file}.items()}
        for key in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if key in os.environ:
                self.env[key] = os.environ[key]
        self.env.update(env)
        fd, self.log_path = tempfile.mkstemp(prefix="acts-log-")
        self.log = os.fdopen(fd, "wb")
        self.began = time.monotonic()
        limit = ["prlimit", f"--nofile={limit_files}:{limit_files}"] if limit_files else []
        self.proc = subprocess.Popen([*limit, self.program], env={"PATH": os.environ["PATH"], **self.env}, stderr=self.log,
                                     stdout=self.log)
        wait_for("acts has started", lambda: "started" in self.text() or self.proc.poll() is not None, 10)
        assert self.proc.poll() is None, self.text()
        self.port = int(re.search(r"started: .*port=(\d+)", self.text()).group(1))
        if wait:
            wait_for("it is healthy", lambda: self.get(self.health).status in (200, 204), 15)

    def text(self):
        with open(self.log_path, encoding="utf-8") as f:
            return f.read()

    def call(self, method, path, body=None, headers=None, timeout=20):
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        try:
            conn.request(method, path if path == "/" else API + path, body=body, headers=headers or {})
            r = conn.getresponse()
            return Answer(r.status, r.headers, r.read())
        finally:
            conn.close()

    def get(self, path, **more):
        return self.call("GET", path, **more)

    def post(self, path, body=None, **more):
        return self.call("POST", path, body, **more)

    def delete(self, path, **more):
        return self.call("DELETE", path, **more)

    def raw(self, data, timeout=5):
        """Send bytes as they are, return all that comes until the end."""
        with socket.create_connection(("127.0.0.1", self.port), timeout) as s:
            s.sendall(data)
            got = b""
            try:
                while True:
                    part = s.recv(65536)
                    if not part:
                        return got
                    got += part
            except (TimeoutError, ConnectionResetError):
                return got

    def memory_kb(self, what="VmRSS"):
        with open(f"/proc/{self.proc.pid}/status", encoding="ascii") as f:
            return int(re.search(what + r":\s+(\d+)", f.read()).group(1))

    def stop(self):
        """SIGTERM; the exit status, after which the log must show no complaint of a sanitizer."""
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
        status = self.proc.wait(20)
        self.log.close()
        text = self.text()
        os.unlink(self.log_path)
        assert "Sanitizer" not in text and "runtime error" not in text, text
        return status


class Users(Acts):
    """One running users. It has no health route; the list of users tells as much."""
    prefix, health, main = "USERS", "/users", "/users"

    @property
    def program(self):
        return USERS


def act(act_id, category, **more):
    a = {"actId": act_id, "username": "meera", "timestamp": TIME, "caption": "any", "categoryName": category,
         "imgB64": IMAGE}
    for key, value in more.items():
        if value is None:
            del a[key]
        else:
            a[key] = value
    return a


def quote(name):
    return urllib.parse.quote(name, safe="")


class Ids:
    """Numbers that no other test uses."""
    last = 10_000_000
    lock = threading.Lock()

    @classmethod
    def new(cls, n=1):
        with cls.lock:
            cls.last += n
            return cls.last - n + 1


PG = None


class ContractCase(unittest.TestCase):
    """One acts for the whole class; categories are named after the test."""

    @classmethod
    def setUpClass(cls):
        cls.acts = Acts(PG)

    @classmethod
    def tearDownClass(cls):
        assert cls.acts.stop() == 0

    def category(self, name=None):
        name = name or self.id()
        self.assertEqual(self.acts.post("/categories", [name]).status, 201)
        return name

    def fill(self, category, n, **more):
        first = Ids.new(n)
        for i in range(n):
            self.assertEqual(self.acts.post("/acts", act(first + i, category, **more)).status, 201)
        return first

    def list(self, category, query=""):
        return self.acts.get(f"/categories/{quote(category)}/acts{query}")


class Table(unittest.TestCase):
    """Every row of the contract, users asked live; the programs' memory is judged by a sanitizer where there is one."""

    def test_every_row(self):
        PG.psql("CREATE DATABASE contract", database="postgres")
        u = Users(PG, USERS_DB_NAME="contract")
        a = Acts(PG, ACTS_DB_NAME="contract", ACTS_USERS_URL=f"http://127.0.0.1:{u.port}")
        ports = {"acts": a.port, "acts!": a.port, "users": u.port, "users!": u.port}
        for _ in range(2):  # the rows clean up behind themselves
            faults, seen = contract.walk(contract.table(), ports)
            self.assertEqual(faults, [], f"{len(faults)} of {len(seen)} rows")
        self.assertEqual((a.stop(), u.stop()), (0, 0))
        PG.psql("DROP DATABASE contract", database="postgres")


class Names(unittest.TestCase):
    """users, several of them on one database."""

    @classmethod
    def setUpClass(cls):
        cls.all = [Users(PG) for _ in range(3)]

    @classmethod
    def tearDownClass(cls):
        assert [u.stop() for u in cls.all] == [0] * 3

    def add(self, name, by=0):
        return self.all[by].post("/users", {"username": name, "password": contract.SHA1}).status

    def test_one_name_at_once(self):
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            for i in range(50):
                got = list(pool.map(lambda k, i=i: self.add(f"race {i}", k), range(3)))
                self.assertEqual(sorted(got), [201, 400, 400])
        self.assertEqual([n for n in self.all[1].get("/users").json if n.startswith("race ")],
                         [f"race {i}" for i in range(50)])

    def test_deleted_through_another(self):
        self.assertEqual(self.add("short"), 201)
        self.assertEqual(self.all[1].delete("/users/short").status, 200)
        self.assertEqual(self.all[2].delete("/users/short").status, 400)
        self.assertEqual(self.add("short"), 201)

    def test_counter_is_shared_and_apart_from_acts(self):
        a = Acts(PG)
        self.assertEqual(self.all[0].delete("/_count").status, 200)
        a.delete("/_count")
        for u in self.all:
            u.get("/users")
        self.assertEqual([u.get("/_count").json for u in self.all], [[3]] * 3)
        self.assertEqual(a.get("/_count").json, [0])
        self.assertEqual(a.stop(), 0)

    def test_a_name_of_any_length_is_found_by_its_whole_text(self):
        long = "m" * 200_000
        self.assertEqual([self.add(long), self.add(long), self.add(long + "m")], [201, 400, 201])
        self.assertIn(long, self.all[1].get("/users").json)

    def test_root_serves_without_a_database(self):
        class Nowhere:
            port, password_file = free_port(), PG.password_file
        u = Users(Nowhere, wait=False)
        for path, want in [("/", 200), ("/users", 503), ("/_count", 503), ("/_health", 404), ("/_crash", 404)]:
            self.assertEqual(u.get(path).status, want, path)
        self.assertEqual(u.stop(), 0)

    def test_help_shows_its_own_variables(self):
        got = subprocess.run([USERS, "--help"], check=True, stdout=subprocess.PIPE, text=True).stdout
        self.assertIn("USERS_DB_HOST", got)
        self.assertNotIn("USERS_USERS_URL", got)
        got = subprocess.run([USERS], env={}, stderr=subprocess.PIPE, check=False, timeout=10)
        self.assertEqual(got.returncode, 64)
        self.assertIn("USERS_DB_HOST", got.stderr.decode())


class Categories(ContractCase):
    def test_add_and_list(self):
        name = self.category("tree care")
        self.assertEqual(self.acts.post("/categories", [name]).status, 400)
        self.assertEqual(self.acts.get("/categories").json[name], 0)

    def test_bad_bodies(self):
        for body in ["[]", '["a","b"]', '[""]', "[7]", '{"name":"x"}', '"x"', "", "[", "null", '["a"', '["a\\u0000"]',
                     b'["\xff"]', "[[]]", '["a"] ["b"]']:
            with self.subTest(body=body):
                self.assertEqual(self.acts.post("/categories", body).status, 400)

    def test_any_name(self):
        for name in ["acts", "_health-tips", "a/b", "..", ".", "?x=1#y", "n" * 5000, "quote ' and \"", "50%", "ಕನ್ನಡ",
                     "\U0001f418", " blank ", "a+b", "Tree care", "\\", "upvote", "tab\tand\nline"]:
            with self.subTest(name=name[:20]):
                self.category(name)
                self.assertEqual(self.acts.post("/categories", [name]).status, 400)
                self.fill(name, 1)
                self.assertEqual(self.list(name).json[0]["categoryName"], name)
                self.assertEqual(self.acts.get(f"/categories/{quote(name)}/acts/size").json, [1])
                self.assertEqual(self.acts.get("/categories").json[name], 1)
                self.assertEqual(self.acts.delete(f"/categories/{quote(name)}").status, 200)
                self.assertEqual(self.acts.delete(f"/categories/{quote(name)}").status, 400)

    def test_delete_takes_its_acts(self):
        name = self.category()
        other = self.category(name + " other")
        total = self.acts.get("/acts/count").json[0]
        first = self.fill(name, 3)
        self.assertEqual(self.acts.get("/acts/count").json, [total + 3])
        self.assertEqual(self.acts.delete(f"/categories/{quote(name)}").status, 200)
        self.assertEqual(self.acts.get("/acts/count").json, [total])
        self.assertEqual(self.acts.post("/acts", act(first, other)).status, 201)

    def test_missing(self):
        for path in ["nothing", "", "%FF", "%00", "a%00b"]:
            with self.subTest(path=path):
                self.assertEqual(self.acts.get(f"/categories/{path}/acts").status, 204)
                self.assertEqual(self.acts.get(f"/categories/{path}/acts/size").status, 400)
                self.assertEqual(self.acts.delete(f"/categories/{path or 'none'}").status, 400)
        self.assertEqual(self.acts.get("/categories/%zz/acts").status, 400)


class Uploads(ContractCase):
    def test_valid_ids(self):
        name = self.category()
        for text in ["0", "1733000000123", "9007199254740993", "18446744073709551615", "9" * 40, "8" * 5000]:
            with self.subTest(id=text[:50]):
                body = json.dumps(act(1, name)).replace('"actId": 1', f'"actId": {text}')
                self.assertEqual(self.acts.post("/acts", body).status, 201)
                self.assertEqual(self.acts.post("/acts", body).status, 400)
                got = self.list(name).body.decode()
                self.assertIn(f'"actId": {text},', got)
                self.assertEqual(self.acts.post("/acts/upvote", f"[{text}]").status, 200)
                self.assertEqual(self.acts.delete(f"/acts/{text}").status, 200)
                self.assertEqual(self.acts.delete(f"/acts/{text}").status, 400)
        one = Ids.new()
        self.assertEqual(self.acts.post("/acts", act(str(one), name)).status, 201)
        self.assertEqual(self.list(name).json[0]["actId"], one)

    def test_id_is_unique_over_categories(self):
        a, b = self.category(self.id() + "a"), self.category(self.id() + "b")
        one = self.fill(a, 1)
        self.assertEqual(self.acts.post("/acts", act(one, b)).status, 400)

    def test_fields(self):
        name = self.category()
        long = base64.b64encode(bytes(range(256))).decode()
        lines = [long[i:i + 76] for i in range(0, len(long), 76)]
        good = [("timestamp", "29-02-2024:00-00-00"), ("timestamp", "31-12-1999:59-59-23"),
                ("timestamp", "01-01-2031:00-00-00"), ("imgB64", "YWJj"), ("imgB64", "YWI="), ("imgB64", long),
                ("imgB64", "\n".join(lines) + "\n"), ("imgB64", "\r\n".join(lines) + "\r\n"), ("caption", ""),
                ("caption", "c" * 100_000), ("caption", "\U0001f418 '\"\n\t\\"), ("username", "O'Neil; DROP TABLE")]
        for key, value in good:
            with self.subTest(key=key, value=value[:40]):
                one = Ids.new()
                self.assertEqual(self.acts.post("/acts", act(one, name, **{key: value})).status, 201)
                got = self.list(name).json
                mine = [a for a in got if a["actId"] == one][0]
                want = re.sub("[\r\n]", "", value) if key == "imgB64" else value
                self.assertEqual(mine[key], want)
                self.assertEqual(set(mine), {"actId", "username", "timestamp", "caption", "upvotes", "categoryName",
                                             "imgB64"})
        bad = [("actId", -1), ("actId", 1.5), ("actId", True), ("actId", "x"), ("actId", []), ("actId", ""),
               ("timestamp", "29-02-2023:00-00-00"), ("timestamp", "31-04-2024:10-10-10"),
               ("timestamp", "13-13-2024:10-10-10"), ("timestamp", "00-05-2024:10-10-10"),
               ("timestamp", "05-11-2024:07-10-45"), ("timestamp", "05-11-2024:60-00-00"),
               ("timestamp", "5-11-2024:7-9-3"), ("timestamp", "2024-11-05T23:59:07"),
               ("timestamp", "05/11/2024:07-59-23"), ("timestamp", " " + TIME), ("timestamp", TIME + " "),
               ("timestamp", TIME + "x"), ("timestamp", ""), ("timestamp", 5), ("imgB64", ""), ("imgB64", "\r\n\n"),
               ("imgB64", "YWJ"), ("imgB64", "YW=j"), ("imgB64", "YWJj="), ("imgB64", "YW*j"), ("imgB64", "YW j"),
               ("imgB64", "YW-_"), ("imgB64", "data:image/png;base64,YWJj"), ("imgB64", 7), ("upvotes", 0),
               ("upvotes", 5), ("upvotes", "0"), ("caption", 7), ("caption", "a\0"), ("categoryName", name.upper()),
               ("categoryName", ""), ("username", ""), ("username", 7)]
        for key, value in bad:
            with self.subTest(key=key, value=value):
                self.assertEqual(self.acts.post("/acts", act(Ids.new(), name, **{key: value})).status, 400)
        for key in act(1, name):
            with self.subTest(missing=key):
                self.assertEqual(self.acts.post("/acts", act(Ids.new(), name, **{key: None})).status, 400)
            body = json.dumps(act(Ids.new(), name)).replace(json.dumps(act(1, name)[key]), "null", 1)
            if key != "actId":
                with self.subTest(null=key):
                    self.assertEqual(self.acts.post("/acts", body).status, 400)
        self.assertEqual(self.acts.post("/acts", json.dumps(act(Ids.new(), name))[:-1] + ', "upvotes": null}').status,
                         400)

    def test_whole_bodies(self):
        name = self.category()
        text = json.dumps(act(Ids.new(), name))
        for body in ["", "[]", "null", text[:-1], text + text, text[: len(text) // 2], "[" + text + "]"]:
            with self.subTest(body=body[:20]):
                self.assertEqual(self.acts.post("/acts", body).status, 400)
        more = dict(reversed(list(act(Ids.new(), name).items())), extra={"a": [1, {"b": None}]})
        self.assertEqual(self.acts.post("/acts", more).status, 201)
        for kind in ["application/json", "application/json;charset=utf-8", "application/json; charset=UTF-8",
                     "text/plain", "application/x-www-form-urlencoded", None]:
            with self.subTest(kind=kind):
                headers = {"Content-Type": kind} if kind else {}
                self.assertEqual(self.acts.post("/acts", act(Ids.new(), name), headers=headers).status, 201)

    def test_large_pictures(self):
        name = self.category()
        picture = base64.b64encode(os.urandom(5 << 20)).decode()
        first = self.fill(name, 3, imgB64=picture)
        got = self.list(name)
        self.assertEqual(got.status, 200)
        self.assertEqual([a["actId"] for a in got.json], [first + 2, first + 1, first])
        self.assertTrue(all(a["imgB64"] == picture for a in got.json))
        self.assertEqual(self.acts.call("HEAD", f"/categories/{quote(name)}/acts").status, 200)
        # A client that reads slowly, then goes away in the middle, and one of HTTP/1.0.
        with socket.create_connection(("127.0.0.1", self.acts.port)) as s:
            s.sendall(f"GET {API}/categories/{quote(name)}/acts HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            self.assertTrue(s.recv(1000))
        old = self.acts.raw(f"GET {API}/categories/{quote(name)}/acts HTTP/1.0\r\n\r\n".encode())
        self.assertEqual(json.loads(old.split(b"\r\n\r\n", 1)[1])[2]["imgB64"], picture)
        self.assertEqual(self.acts.delete(f"/categories/{quote(name)}").status, 200)

    def test_too_large(self):
        name = self.category()
        one = act(Ids.new(), name, imgB64="A" * (16 << 20))
        self.assertEqual(self.acts.post("/acts", one).status, 413)
        largest = len(json.dumps(act(Ids.new(), name, imgB64="")))
        fits = act(Ids.new(), name, imgB64="A" * (((16 << 20) - largest) // 4 * 4))
        before = self.acts.memory_kb("VmRSS")
        self.assertEqual(self.acts.post("/acts", fits).status, 201)
        if not SANITIZED:  # as it came, in one piece, and on its way to the database: a few copies, and given back
            self.assertLess(self.acts.memory_kb("VmHWM") - before, 5 * 16 * 1024)
            wait_for("the memory is given back", lambda: self.acts.memory_kb("VmRSS") < before + 16 * 1024)
        self.assertEqual(self.acts.get("/_health").status, 200)
        self.assertEqual(self.acts.delete(f"/categories/{quote(name)}").status, 200)

    def test_expect_continue_and_chunked(self):
        name = self.category()
        body = json.dumps(act(Ids.new(), name)).encode()
        head = f"POST {API}/acts HTTP/1.1\r\nHost: a\r\nConnection: close\r\n".encode()
        with socket.create_connection(("127.0.0.1", self.acts.port), 5) as s:
            s.sendall(head + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
            self.assertEqual(s.recv(1000), b"HTTP/1.1 100 Continue\r\n\r\n")
            s.sendall(body)
            self.assertIn(b" 201 ", s.recv(1000))
        body = json.dumps(act(Ids.new(), name)).encode()
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 7]), body[i:i + 7]) for i in range(0, len(body), 7))
        got = self.acts.raw(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
        self.assertIn(b" 201 ", got)


class Lists(ContractCase):
    def test_empty(self):
        name = self.category()
        self.assertEqual(self.list(name).status, 204)
        self.assertEqual(self.list(name).body, b"")
        self.assertEqual(self.acts.get(f"/categories/{quote(name)}/acts/size").json, [0])
        self.assertEqual(self.list(name, "?start=1&end=1").status, 204)

    def test_order(self):
        name = self.category()
        first = Ids.new(3)
        for i, at in enumerate(["02-02-2023:00-00-00", "31-01-2024:00-00-00", "01-03-2023:00-00-00"]):
            self.assertEqual(self.acts.post("/acts", act(first + i, name, timestamp=at)).status, 201)
        self.assertEqual([a["timestamp"][:10] for a in self.list(name).json], ["31-01-2024", "01-03-2023", "02-02-2023"])

    def test_ranges(self):
        name = self.category()
        first = self.fill(name, 100)
        newest = [first + i for i in reversed(range(101))]
        self.assertEqual([a["actId"] for a in self.list(name).json], newest[1:])
        self.fill(name, 1)
        self.assertEqual(self.list(name).status, 413)
        self.assertEqual(self.acts.get(f"/categories/{quote(name)}/acts/size").json, [101])
        for query, want in [("?start=1&end=100", newest[:100]), ("?start=2&end=101", newest[1:]),
                            ("?start=101&end=101", newest[100:]), ("?start=7&end=7", [newest[6]])]:
            with self.subTest(query=query):
                got = self.list(name, query)
                self.assertEqual(got.status, 200)
                self.assertEqual([a["actId"] for a in got.json], want)
        for query, status in [("?start=1&end=101", 413), ("?start=1&end=102", 400), ("?start=102&end=102", 400),
                              ("?start=0&end=5", 400), ("?start=5&end=4", 400), ("?start=2", 400), ("?end=2", 400),
                              ("?start=&end=", 400), ("?start=a&end=b", 400), ("?start=1.0&end=2", 400),
                              ("?start=-1&end=2", 400), ("?start=" + "1" * 30 + "&end=" + "1" * 30, 400)]:
            with self.subTest(query=query):
                self.assertEqual(self.list(name, query).status, status)
                self.assertEqual(self.list("no such", query).status, 204)
        # After deleting the newest the ranks move up.
        self.assertEqual(self.acts.delete(f"/acts/{newest[0]}").status, 200)
        self.assertEqual([a["actId"] for a in self.list(name, "?start=1&end=2").json], newest[1:3])
        self.assertEqual(self.list(name).status, 200)


class Methods(ContractCase):
    ALLOWED = {"/categories": "GET POST", "/categories/x": "DELETE", "/categories/x/acts": "GET",
               "/categories/x/acts/size": "GET", "/acts": "POST", "/acts/7001": "DELETE", "/acts/upvote": "POST",
               "/acts/count": "GET", "/_count": "GET DELETE", "/_health": "GET", "/_crash": "POST"}

    def test_forbidden(self):
        for path, allowed in self.ALLOWED.items():
            for method in ["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "TRACE", "BREW"]:
                if method in allowed.split() or (method == "HEAD" and "GET" in allowed):
                    continue
                for slash in ["", "/"]:
                    for body in [None, "{broken"] if method not in ("HEAD", "TRACE", "BREW") else [None]:
                        with self.subTest(path=path, method=method, body=body):
                            got = self.acts.call(method, path + slash, body)
                            self.assertEqual(got.status, 405)
                            self.assertEqual(set(got.headers["Allow"].split(", ")) - {"HEAD", "OPTIONS"},
                                             set(allowed.split()))
                            self.assertEqual(got.headers["Access-Control-Allow-Origin"], "*")

    def test_preflight(self):
        for path in self.ALLOWED:
            got = self.acts.call("OPTIONS", path, headers={"Origin": "http://x", "Access-Control-Request-Method": "POST",
                                                           "Access-Control-Request-Headers": "content-type"})
            self.assertEqual((got.status, got.body), (204, b""))
            for method in ["GET", "POST", "DELETE", "OPTIONS"]:
                self.assertIn(method, got.headers["Access-Control-Allow-Methods"])
            for header in ["Content-Type", "Accept", "Origin", "X-Requested-With", "Authorization"]:
                self.assertIn(header, got.headers["Access-Control-Allow-Headers"])
        self.assertEqual(self.acts.call("OPTIONS", "/nothing").status, 404)

    def test_unknown(self):
        got = self.acts.get("/nothing")
        self.assertEqual(got.status, 404)
        self.assertEqual(got.headers["Access-Control-Allow-Origin"], "*")
        self.assertEqual(self.acts.get("/").status, 200)

    def test_head(self):
        self.category()
        got, full = self.acts.call("HEAD", "/categories"), self.acts.get("/categories")
        self.assertEqual((got.status, got.body), (200, b""))
        self.assertEqual(got.headers["Content-Length"], str(len(full.body)))

    def test_bodies_where_none_belongs(self):
        name = self.category()
        one = self.fill(name, 1)
        for method, path in [("GET", "/categories"), ("GET", f"/categories/{quote(name)}/acts"), ("GET", "/_health"),
                             ("DELETE", f"/acts/{one}"), ("DELETE", f"/categories/{quote(name)}")]:
            self.assertEqual(self.acts.call(method, path, "{}").status, 200, path)

    def test_upvote(self):
        name = self.category()
        one = self.fill(name, 1)
        for body in [f"[{one}]", f'["{one}"]']:
            self.assertEqual(self.acts.post("/acts/upvote", body).status, 200)
        self.assertEqual(self.list(name).json[0]["upvotes"], 2)
        for body in [f"[{one},{one}]", "[]", f'["{one}x"]', str(one), "{}", "[-1]", "[1.0]", "[99999999]", "", "[null]"]:
            with self.subTest(body=body):
                self.assertEqual(self.acts.post("/acts/upvote", body).status, 400)

    def test_delete(self):
        for path in ["/acts/abc", "/acts/-1", "/acts/99999999", "/acts/1.0", "/acts/%20"]:
            self.assertEqual(self.acts.delete(path).status, 400)


class RawHttp(ContractCase):
    """What evhttp lets through, on a raw socket."""

    def test_refused(self):
        get = b"GET /api/v1/categories HTTP/1.1\r\n"
        post = b"POST /api/v1/categories HTTP/1.1\r\nHost: a\r\n"
        for name, data, want in [
                ("no host", get + b"\r\n", 400),
                ("two hosts", get + b"Host: a\r\nHost: b\r\n\r\n", 400),
                ("two lengths", post + b"Content-Length: 3\r\nContent-Length: 5\r\n\r\n[1]", 400),
                ("signed length", post + b"Content-Length: +3\r\n\r\n[1]", 400),
                ("negative length", post + b"Content-Length: -3\r\n\r\n[1]", 400),
                ("blank before the colon", post + b"Content-Length : 3\r\n\r\n", 400),
                ("empty field name", get + b"Host: a\r\n: x\r\n\r\n", 400),
                ("length and chunked", post + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
                ("stacked codings", post + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
                ("blank in the target", b"GET /api/v1/ca tegories HTTP/1.1\r\nHost: a\r\n\r\n", 400),
                ("no target", b"GET HTTP/1.1\r\nHost: a\r\n\r\n", 400),
                ("absolute form", b"GET http://b/api/v1/nothing HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n", 404),
                ("version 2", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400),
                ("CONNECT", b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
                ("a large head", get + b"Host: a\r\nX: " + b"y" * 40000 + b"\r\n\r\n", 431),
                ("many fields", get + b"Host: a\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
        ]:
            with self.subTest(name=name):
                got = self.acts.raw(data, timeout=3)
                self.assertTrue(got.startswith(b"HTTP/1."), got)
                self.assertEqual(int(got.split(b" ", 2)[1]), want)
                self.assertEqual(got.count(b"Access-Control-Allow-Origin: *\r\n"), 1)
        self.assertEqual(self.acts.get("/_health").status, 200)

    def test_a_head_without_end_is_answered_while_it_comes(self):
        """431, and nothing that the client still sends takes the answer away from it; on both programs."""
        users = Users(PG)
        for port in (self.acts.port, users.port):
            for first in (b"", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"):
                with self.subTest(port=port, first=first), socket.create_connection(("127.0.0.1", port), 20) as s:
                    s.sendall(first + b"GET / HTTP/1.1\r\nHost: a\r\n")
                    try:
                        for _ in range(1000):
                            s.sendall(b"X: " + b"y" * 1000 + b"\r\n")
                    except (BrokenPipeError, ConnectionResetError):
                        pass
                    s.shutdown(socket.SHUT_WR)
                    got = b""
                    while part := s.recv(65536):
                        got += part
                    self.assertEqual([x.split(b" ", 1)[0] for x in got.split(b"HTTP/1.1 ")[1:]],
                                     ([b"200"] if first else []) + [b"431"])
        self.assertEqual(self.acts.get("/_health").status, 200)
        self.assertEqual(users.stop(), 0)

    def test_unread_body_is_no_request(self):
        inner = b"GET /api/v1/_health HTTP/1.1\r\nHost: a\r\n\r\n"
        for verb in [b"BREW", b"HEAD", b"TRACE"]:
            with self.subTest(verb=verb):
                got = self.acts.raw(verb + b" /api/v1/acts HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(inner)
                                    + inner)
                self.assertEqual(got.count(b"HTTP/1.1 "), 1)

    def test_pipelined(self):
        one = b"GET /api/v1/_health HTTP/1.1\r\nHost: a\r\n\r\n"
        got = self.acts.raw(one * 5 + one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        self.assertEqual(got.count(b"HTTP/1.1 200"), 6)

    def test_garbage(self):
        for data in [b"\0" * 100, b"\r\n\r\n", b"GET", os.urandom(2000), b"GET / HTTP/1.1\r\nHost: a\r\n" + b"\xff" * 100]:
            with socket.create_connection(("127.0.0.1", self.acts.port)) as s:
                s.sendall(data)
        self.assertEqual(self.acts.get("/_health").status, 200)

    def test_a_slow_head_is_cut(self):
        with socket.create_connection(("127.0.0.1", self.acts.port), 30) as s:
            began = time.monotonic()
            try:
                for byte in b"GET /api/v1/_health HTTP/1.1\r\nX: " + b"y" * 100:
                    s.sendall(bytes([byte]))
                    s.settimeout(0.5)
                    try:
                        if s.recv(1) == b"":
                            break
                    except TimeoutError:
                        pass
            except (BrokenPipeError, ConnectionResetError):
                pass
            self.assertLess(time.monotonic() - began, 14)


class Counter(unittest.TestCase):
    def test_exact_over_two(self):
        a, b = Acts(PG), Acts(PG)
        try:
            a.post("/categories", ["counted"])
            self.assertEqual(b.delete("/_count").status, 200)
            self.assertEqual([a.get("/_count").json, b.get("/_count").json], [[0], [0]])
            a.get("/categories")
            b.get("/categories/counted/acts")
            a.get("/acts/count")
            b.post("/categories", ["counted"])
            a.post("/acts", "broken")
            b.delete("/acts/upvote")
            for path in ["/_count", "/_health", "/", "/nothing"]:
                a.get(path)
            a.call("PUT", "/_count")
            a.call("OPTIONS", "/acts")
            self.assertEqual([a.get("/_count").json, b.get("/_count").json], [[6], [6]])
            with concurrent.futures.ThreadPoolExecutor(16) as pool:
                list(pool.map(lambda i: (a, b)[i % 2].get("/acts/count"), range(400)))
            self.assertEqual([a.get("/_count").json, b.get("/_count").json], [[406], [406]])
            self.assertEqual(a.delete("/_count", body="{}").status, 200)
            self.assertEqual(b.get("/_count").json, [0])
        finally:
            self.assertEqual((a.stop(), b.stop()), (0, 0))


class Several(unittest.TestCase):
    """Four on one database."""

    @classmethod
    def setUpClass(cls):
        cls.all = [Acts(PG) for _ in range(4)]
        cls.all[0].post("/categories", ["shared"])

    @classmethod
    def tearDownClass(cls):
        assert [a.stop() for a in cls.all] == [0] * 4

    def test_one_id_at_once(self):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for k in range(500):
                one = Ids.new()
                who = self.all if k % 5 == 0 else (self.all[k % 4], self.all[(k + 1 + k // 4 % 3) % 4])
                got = list(pool.map(lambda a, i=one: a.post("/acts", act(i, "shared")).status, who))
                self.assertEqual(sorted(got), [201] + [400] * (len(who) - 1))

    def test_one_category_at_once(self):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for i in range(30):
                got = list(pool.map(lambda a, i=i: a.post("/categories", [f"race {i}"]).status, self.all))
                self.assertEqual(sorted(got), [201, 400, 400, 400])

    def test_upvotes(self):
        one = Ids.new()
        self.all[0].post("/categories", ["upvoted"])
        self.assertEqual(self.all[1].post("/acts", act(one, "upvoted")).status, 201)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            got = list(pool.map(lambda i: self.all[i % 4].post("/acts/upvote", [one]).status, range(200)))
        self.assertEqual(got, [200] * 200)
        for a in self.all:
            self.assertEqual(a.get("/categories/upvoted/acts").json[0]["upvotes"], 200)

    def test_upload_while_the_category_goes(self):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for i in range(20):
                name = f"going {i}"
                self.assertEqual(self.all[0].post("/categories", [name]).status, 201)
                first = Ids.new(6)
                ups = [pool.submit(self.all[k % 3].post, "/acts", act(first + k, name)) for k in range(6)]
                gone = pool.submit(self.all[3].delete, f"/categories/{quote(name)}")
                self.assertEqual(gone.result().status, 200)
                self.assertLessEqual({u.result().status for u in ups}, {201, 400})
                left = int(PG.psql(f"SELECT count(*) FROM acts.act a JOIN acts.category c ON c.id = a.category_id "
                                   f"WHERE c.name = '{name}'"))
                self.assertEqual(left, 0)

    def test_crash_of_one(self):
        a, b = Acts(PG), self.all[0]
        self.assertEqual(a.post("/categories", ["before the crash"]).status, 201)
        got = a.post("/_crash")
        self.assertEqual((got.status, got.body), (200, b""))
        for method, path in [("GET", "/_health"), ("GET", "/categories"), ("POST", "/acts"), ("DELETE", "/_count"),
                             ("POST", "/_crash"), ("GET", "/"), ("GET", "/nothing"), ("OPTIONS", "/acts"),
                             ("PUT", "/acts"), ("BREW", "/acts")]:
            self.assertEqual(a.call(method, path).status, 500, f"{method} {path}")
        self.assertEqual(b.get("/_health").status, 200)
        self.assertEqual(a.stop(), 0)
        a = Acts(PG)
        self.assertIn("before the crash", a.get("/categories").json)
        self.assertEqual(a.stop(), 0)


class Session:
    """A transaction of somebody else: psql on pipes."""

    def __init__(self):
        self.proc = subprocess.Popen(["psql", "-h", PG.dir, "-p", str(PG.port), "-U", "app", "-d", "app", "-Atq"],
                                     env={"PGPASSWORD": PASSWORD, "PATH": os.environ["PATH"]}, text=True,
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def say(self, sql):
        """Returns when it is done."""
        self.proc.stdin.write(f"{sql}; SELECT 'done';\n")
        self.proc.stdin.flush()
        assert self.proc.stdout.readline() == "done\n", sql

    def close(self):
        self.proc.stdin.close()
        self.proc.wait(10)
        self.proc.stdout.close()


class Together(unittest.TestCase):
    """Uploads that wait for the database share a statement; nobody must see it."""

    def setUp(self):
        self.acts = Acts(PG, ACTS_DB_POOL="1", ACTS_DB_TIMEOUT_MS="20000")
        self.name = self.id()
        self.assertEqual(self.acts.post("/categories", [self.name]).status, 201)
        self.other = Session()

    def tearDown(self):
        self.other.close()
        self.assertEqual(self.acts.stop(), 0)

    def hold(self, session, one):
        """An upload of that id waits until the session's transaction ends."""
        session.say(f"BEGIN; INSERT INTO acts.act (id_key, id, category_id, ts, username, caption, image) "
                    f"SELECT '{one}', '{one}', id, 1, 'x', 'x', 'x' FROM acts.category WHERE name = '{self.name}'")

    @staticmethod
    def counted():
        return int(PG.psql("SELECT coalesce(sum(hits), 0) FROM acts.pulse"))

    def queue(self, pool, bodies):
        """All of them are in acts, and the only connection to the database is taken by an upload that waits."""
        one, before = Ids.new(), self.counted()
        self.hold(self.other, one)
        first = pool.submit(self.acts.post, "/acts", act(one, self.name))
        wait_for("the first one waits", lambda: self.waiting("WITH c AS%") == 1)
        rest = [pool.submit(self.acts.post, "/acts", b) for b in bodies]
        wait_for("all are there", lambda: self.counted() >= before + 1 + len(bodies))
        return [first, *rest]

    @staticmethod
    def waiting(query):
        return int(PG.psql(f"SELECT count(*) FROM pg_stat_activity WHERE query LIKE '{query}' AND wait_event_type = 'Lock'"))

    def statements(self, category):
        return int(PG.psql(f"SELECT count(DISTINCT a.xmin::text) FROM acts.act a JOIN acts.category c "
                           f"ON c.id = a.category_id WHERE c.name = '{category}'"))

    def test_each_has_its_own_answer(self):
        second, taken, twice, long = f"{self.name} \u00e9", Ids.new(), Ids.new(), "9" * 70
        self.assertEqual(self.acts.post("/categories", [second]).status, 201)
        self.assertEqual(self.acts.post("/acts", act(taken, second)).status, 201)
        large = base64.b64encode(bytes(100_000)).decode()
        good = [act(Ids.new(), self.name, caption=f"good {i}") for i in range(8)]
        rows = [*((b, 201) for b in good), (act(taken, self.name), 400), (act(Ids.new(), "no such one"), 400),
                (act(long, second), 201), (act(Ids.new(), second, caption="", username="\U0001f600"), 201),
                (act(Ids.new(), self.name, imgB64=large), 201), (act(Ids.new(), "nor this"), 400)]
        pair = [act(twice, self.name, caption="one"), act(twice, second, caption="two")]
        with concurrent.futures.ThreadPoolExecutor(len(rows) + 3) as pool:
            got = self.queue(pool, [b for b, _ in rows] + pair)
            self.other.say("ROLLBACK")
            status = [g.result().status for g in got]
        self.assertEqual(status[:-2], [201] + [want for _, want in rows])
        self.assertEqual(sorted(status[-2:]), [201, 400])
        here, there = (self.acts.get(f"/categories/{quote(n)}/acts").json for n in (self.name, second))
        self.assertEqual(sorted(a["caption"] for a in here if a["caption"].startswith("good")),
                         [f"good {i}" for i in range(8)])
        self.assertEqual([a["imgB64"] for a in here if len(a["imgB64"]) > 1000], [large])
        stored = [a["caption"] for a in here + there if a["actId"] == twice]
        self.assertEqual(stored, ["one" if status[-2] == 201 else "two"])
        self.assertIn(("", "\U0001f600"), {(a["caption"], a["username"]) for a in there})
        self.assertIn(int(long), {a["actId"] for a in there})
        self.assertLess(self.statements(self.name), len(here))

    def test_one_that_fails_does_not_spoil_the_others(self):
        doomed, remover = f"{self.name} doomed", Session()
        self.assertEqual(self.acts.post("/categories", [doomed]).status, 201)
        bodies = [act(Ids.new(), name) for name in (self.name, doomed, self.name)]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            got = self.queue(pool, bodies)
            remover.say(f"BEGIN; DELETE FROM acts.category WHERE name = '{doomed}'")
            self.other.say("ROLLBACK")
            wait_for("the others wait together", lambda: self.waiting("WITH a AS MATERIALIZED%") == 1)
            remover.say("COMMIT")
            answers = [g.result() for g in got]
        remover.close()
        self.assertEqual([a.status for a in answers], [201, 201, 400, 201])
        self.assertIn(b"no such category", answers[2].body)

    def test_an_end_of_the_connection_is_told_to_all(self):
        ids, blocker = [Ids.new() for _ in range(3)], Session()
        self.hold(blocker, ids[1])
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            got = self.queue(pool, [act(i, self.name) for i in ids])
            self.other.say("ROLLBACK")
            wait_for("they wait together", lambda: self.waiting("WITH a AS MATERIALIZED%") == 1)
            PG.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'WITH a AS MATERIALIZED%'")
            self.assertEqual([g.result().status for g in got], [201, 503, 503, 503])
        blocker.say("ROLLBACK")
        blocker.close()
        self.assertEqual(len(self.acts.get(f"/categories/{quote(self.name)}/acts").json), 1)

    def test_who_is_late_is_told_so(self):
        self.assertEqual(self.acts.stop(), 0)
        self.acts = Acts(PG, ACTS_DB_POOL="1", ACTS_DB_TIMEOUT_MS="4000")
        ids, blocker = [Ids.new() for _ in range(3)], Session()
        self.hold(blocker, ids[1])
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            got = self.queue(pool, [act(i, self.name) for i in ids])
            self.other.say("ROLLBACK")
            self.assertEqual([g.result().status for g in got], [201, 503, 503, 503])
        blocker.say("ROLLBACK")
        blocker.close()
        wait_for("serves again", lambda: self.acts.post("/acts", act(Ids.new(), self.name)).status == 201)


class Life(unittest.TestCase):
    """Start, stop, and a database with troubles."""

    def test_ten_at_once_on_an_empty_database(self):
        PG.psql("CREATE DATABASE fresh", database="postgres")
        ten = [Acts(PG, wait=False, ACTS_DB_NAME="fresh", ACTS_DB_POOL="1") for _ in range(10)]
        try:
            for a in ten:
                wait_for("healthy", lambda a=a: a.get("/_health").status == 200)
            self.assertEqual(ten[0].get("/categories").status, 204)
            self.assertEqual(ten[9].get("/acts/count").json, [0])
            self.assertEqual(PG.psql("SELECT count(*) FROM acts.migration").strip(), PG.psql(
                "SELECT max(version) FROM acts.migration"))
        finally:
            self.assertEqual([a.stop() for a in ten], [0] * 10)
            PG.psql("DROP DATABASE fresh", database="postgres")

    def test_start_is_quick(self):
        times = []
        for _ in range(5):
            a = Acts(PG)
            times.append(time.monotonic() - a.began)
            self.assertLess(a.memory_kb(), 32 * 1024 * (8 if SANITIZED else 1))
            self.assertEqual(a.stop(), 0)
        print(f"\nstart to healthy: median {sorted(times)[2] * 1000:.0f} ms", file=sys.stderr)

    def test_health_leaves_no_rows(self):
        a = Acts(PG)
        for _ in range(300):
            self.assertEqual(a.get("/_health").status, 200)
        self.assertLessEqual(int(PG.psql("SELECT count(*) FROM acts.pulse")), 32)
        self.assertLess(int(PG.psql("SELECT pg_relation_size('acts.pulse')")), 256 * 1024)
        self.assertEqual(a.stop(), 0)

    def test_names_are_resolved(self):
        a = Acts(PG, ACTS_DB_HOST="localhost")
        self.assertEqual(a.stop(), 0)
        a = Acts(PG, ACTS_DB_HOST=PG.dir)
        self.assertEqual(a.stop(), 0)

    def test_no_database(self):
        class Nowhere:
            port, password_file = free_port(), PG.password_file
        a = Acts(Nowhere, wait=False)
        for path, want in [("/_health", 500), ("/categories", 503), ("/_count", 503), ("/", 200), ("/nothing", 404)]:
            self.assertEqual(a.get(path).status, want, path)
        self.assertEqual(a.call("PUT", "/acts").status, 405)
        self.assertEqual(a.post("/acts", "broken").status, 400)
        self.assertEqual(a.stop(), 0)

    def test_wrong_password(self):
        a = Acts(PG, wait=False, ACTS_DB_PASSWORD="wrong", ACTS_DB_PASSWORD_FILE="")
        wait_for("says why", lambda: "password authentication failed" in a.text())
        self.assertEqual(a.get("/_health").status, 500)
        self.assertEqual(a.stop(), 0)

    def test_database_restarts(self):
        a = Acts(PG)
        a.post("/categories", ["kept"])
        for how in [PG.stop, PG.kill]:
            one = Ids.new()
            self.assertEqual(a.post("/acts", act(one, "kept")).status, 201)
            how()
            began = time.monotonic()
            self.assertEqual(a.get("/_health").status, 500)
            self.assertEqual(a.get("/categories").status, 503)
            self.assertLess(time.monotonic() - began, 5)
            PG.start()
            wait_for("healthy again", lambda: a.get("/_health").status == 200, 10)
            got = a.get("/categories/kept/acts")
            self.assertEqual(got.status, 200, (got.body, a.text()[-2000:]))
            self.assertEqual(got.json[0]["actId"], one)
            self.assertEqual(a.post("/acts/upvote", [one]).status, 200)
        self.assertEqual(a.stop(), 0)

    def test_no_answered_upload_is_lost(self):
        """The server is killed again and again under load: every 201 is still there afterwards."""
        two = [Acts(PG), Acts(PG)]
        two[0].post("/categories", ["durable"])
        stored, other, stop = [], set(), threading.Event()

        def load(a):
            while not stop.is_set():
                one = Ids.new()
                status = a.post("/acts", act(one, "durable")).status
                if status == 201:
                    stored.append(one)
                else:
                    other.add(status)

        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            loads = [pool.submit(load, two[i % 2]) for i in range(6)]
            try:
                for _ in range(3):
                    before = len(stored)
                    wait_for("uploads", lambda before=before: len(stored) > before + 50)
                    PG.kill()
                    PG.start()
                before = len(stored)
                wait_for("uploads again", lambda: len(stored) > before + 50)
            finally:
                stop.set()
            for done in loads:
                done.result()
        there = set(PG.psql("SELECT id FROM acts.act").split())
        self.assertEqual([i for i in stored if str(i) not in there], [])
        self.assertLessEqual(other, {503})
        self.assertEqual([a.stop() for a in two], [0, 0])

    def test_database_hangs(self):
        a = Acts(PG, ACTS_DB_TIMEOUT_MS="1000")
        a.get("/categories")
        PG.signal_all(signal.SIGSTOP)
        try:
            for path, want, limit in [("/_health", 500, 1.5), ("/categories", 503, 2.5), ("/_health", 500, 1.5),
                                      ("/acts/count", 503, 2.5)]:
                began = time.monotonic()
                self.assertEqual(a.get(path).status, want)
                self.assertLess(time.monotonic() - began, limit, path)
        finally:
            PG.signal_all(signal.SIGCONT)
        wait_for("healthy again", lambda: a.get("/_health").status == 200, 10)
        wait_for("serves again", lambda: a.get("/categories").status in (200, 204), 10)
        self.assertEqual(a.stop(), 0)

    def test_database_is_read_only(self):
        a = Acts(PG)
        a.post("/categories", ["read-only"])
        PG.psql("ALTER DATABASE app SET default_transaction_read_only = on", database="postgres")
        PG.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'acts'",
                database="postgres")
        try:
            wait_for("unhealthy", lambda: a.get("/_health").status == 500)
            self.assertEqual(a.post("/acts", act(Ids.new(), "read-only")).status, 503)
        finally:
            PG.psql("ALTER DATABASE app SET default_transaction_read_only = off", database="postgres")
            PG.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'acts'",
                    database="postgres")
        wait_for("healthy again", lambda: a.get("/_health").status == 200)
        self.assertEqual(a.post("/acts", act(Ids.new(), "read-only")).status, 201)
        self.assertEqual(a.stop(), 0)

    def test_database_is_made_anew(self):
        PG.psql("CREATE DATABASE anew", database="postgres")
        a = Acts(PG, ACTS_DB_NAME="anew")
        self.assertEqual(a.post("/categories", ["x"]).status, 201)
        PG.psql("DROP DATABASE anew WITH (FORCE)", database="postgres")
        PG.psql("CREATE DATABASE anew", database="postgres")
        wait_for("healthy again", lambda: a.get("/_health").status == 200)
        wait_for("serves", lambda: a.get("/categories").status == 204)
        PG.psql("DROP SCHEMA acts CASCADE", database="anew")
        self.assertEqual(a.get("/categories").status, 500)
        wait_for("the schema is back", lambda: a.get("/categories").status == 204)
        self.assertEqual(a.stop(), 0)
        PG.psql("DROP DATABASE anew", database="postgres")

    def test_database_is_out_of_connections(self):
        PG.stop()
        PG.start(max_connections=3, superuser_reserved_connections=0, max_wal_senders=0)
        try:
            a = Acts(PG)
            with concurrent.futures.ThreadPoolExecutor(8) as pool:  # a pool of four, but only two are to be had
                got = list(pool.map(lambda i: a.get("/categories").status, range(200)))
            self.assertLessEqual(set(got), {200, 204})
            self.assertEqual(a.get("/_health").status, 200)
            late = Acts(PG, wait=False)
            for path, want in [("/_health", 500), ("/categories", 503)]:
                began = time.monotonic()
                self.assertEqual(late.get(path).status, want)
                self.assertLess(time.monotonic() - began, 4)
            self.assertEqual(a.stop(), 0)
            wait_for("the other is healthy", lambda: late.get("/_health").status == 200, 10)
            self.assertIn(late.get("/categories").status, (200, 204))
            self.assertEqual(late.stop(), 0)
        finally:
            PG.stop()
            PG.start()

    @unittest.skipUnless(os.geteuid() == 0, "mounts a small file system")
    def test_disk_is_full(self):
        small = os.path.join(PG.dir, "small")
        os.mkdir(small)
        mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "none", small], check=False,
                               stderr=subprocess.DEVNULL)
        if mount.returncode != 0:
            os.rmdir(small)
            self.skipTest("may not mount a small file system")
        try:
            shutil.chown(small, PG.user, PG.user)
            PG.psql(f"CREATE TABLESPACE small LOCATION '{small}'", database="postgres")
            PG.psql("CREATE DATABASE small TABLESPACE small", database="postgres")
            a = Acts(PG, ACTS_DB_NAME="small")
            a.post("/categories", ["full"])
            picture, stored, status = "A" * (1 << 20), [], 201
            while status == 201 and len(stored) < 100:
                one = Ids.new()
                status = a.post("/acts", act(one, "full", imgB64=picture)).status
                if status == 201:
                    stored.append(one)
            self.assertEqual(status, 503)
            self.assertGreater(len(stored), 3)
            self.assertEqual(a.get("/categories").json, {"full": len(stored)})
            self.assertIn(a.get("/_health").status, (200, 500))  # its row is there already: it may still be written
            subprocess.run(["mount", "-o", "remount,size=96m", small], check=True)
            self.assertEqual(a.post("/acts", act(Ids.new(), "full", imgB64=picture)).status, 201)
            wait_for("healthy", lambda: a.get("/_health").status == 200)
            self.assertEqual(a.stop(), 0)
            PG.psql("DROP DATABASE small", database="postgres")
            PG.psql("DROP TABLESPACE small", database="postgres")
        finally:
            subprocess.run(["umount", "-l", small], check=False)

    def test_memory_is_short(self):
        """Bodies that do not fit are refused or cut off; the process stays, and serves what fits."""
        a = Acts(PG)
        a.post("/categories", ["short"])
        with open(f"/proc/{a.proc.pid}/status", encoding="ascii") as f:
            size = int(re.search(r"VmSize:\s+(\d+)", f.read()).group(1)) * 1024
        if size > 1 << 40:
            self.assertEqual(a.stop(), 0)
            self.skipTest("a sanitizer takes terabytes of addresses")
        subprocess.run(["prlimit", f"--as={size + (24 << 20)}", "--pid", str(a.proc.pid)], check=True)
        large = json.dumps(act(Ids.new(), "short", imgB64="A" * (12 << 20)))

        def upload(_):
            try:
                return a.post("/acts", large).status
            except (OSError, http.client.HTTPException):
                return 0

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            got = set(pool.map(upload, range(8)))
        self.assertLessEqual(got, {0, 201, 400, 413, 500, 503})
        self.assertIsNone(a.proc.poll(), a.text())
        self.assertEqual(a.get("/_health").status, 200)
        self.assertEqual(a.post("/acts", act(Ids.new(), "short")).status, 201)
        self.assertEqual(a.stop(), 0)

    def test_a_hundred_pictures_are_one_query(self):
        a = Acts(PG)
        a.post("/categories", ["pictures"])
        picture = base64.b64encode(os.urandom(15_000)).decode()
        for _ in range(100):
            self.assertEqual(a.post("/acts", act(Ids.new(), "pictures", imgB64=picture)).status, 201)
        PG.psql("ALTER SYSTEM SET log_min_duration_statement = 0", database="postgres")
        PG.psql("SELECT pg_reload_conf()", database="postgres")
        try:
            wait_for("it is logged", lambda: a.get("/acts/count").status == 200 and "execute ACTS_TOTAL" in PG.log())
            before = len(PG.log())
            got = a.get("/categories/pictures/acts")
            self.assertEqual((got.status, len(got.json)), (200, 100))
            wait_for("the list is logged", lambda: "execute ACTS_LIST" in PG.log()[before:])
            asked = re.findall(r"execute (\w+):", PG.log()[before:])
            self.assertEqual([q for q in asked if q != "PULSE"], ["ACTS_LIST"])
        finally:
            PG.psql("ALTER SYSTEM RESET log_min_duration_statement", database="postgres")
            PG.psql("SELECT pg_reload_conf()", database="postgres")
        self.assertEqual(a.stop(), 0)

    def test_pool_is_as_large_as_told(self):
        for size in (1, 3):
            a = Acts(PG, ACTS_DB_POOL=str(size))
            with concurrent.futures.ThreadPoolExecutor(12) as pool:
                got = set(pool.map(lambda i, a=a: a.get("/categories").status, range(120)))
            self.assertLessEqual(got, {200, 204})
            open_now = int(PG.psql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'acts'"))
            self.assertLessEqual(open_now, size + 1)  # and one for health and counting
            self.assertGreaterEqual(open_now, 2)
            self.assertEqual(a.stop(), 0)

    def test_queue_is_bounded(self):
        a = Acts(PG, ACTS_DB_POOL="1", ACTS_DB_QUEUE="2", ACTS_DB_TIMEOUT_MS="1500")
        a.post("/categories", ["locked"])
        lock = subprocess.Popen(["psql", "-h", PG.dir, "-p", str(PG.port), "-U", "app", "-d", "app", "-qc",
                                 "BEGIN", "-c", "LOCK acts.category", "-c", "SELECT pg_sleep(60)"],
                                env={"PGPASSWORD": PASSWORD, "PATH": os.environ["PATH"]}, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)
        wait_for("locked", lambda: PG.psql(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'") == "1")
        try:
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                got = [(g.status, g.body) for g in pool.map(lambda i: a.get("/categories"), range(8))]
            self.assertEqual({g[0] for g in got}, {503})
            self.assertTrue(any(b"waiting" in g[1] for g in got))
            self.assertTrue(any(b"in time" in g[1] for g in got))
            self.assertEqual(a.get("/_health").status, 200)  # does not wait behind the pool
        finally:
            PG.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'")
            lock.wait(10)
        wait_for("serves again", lambda: a.get("/categories").status == 200)
        self.assertEqual(a.stop(), 0)

    def test_stop_finishes_what_runs(self):
        a = Acts(PG, ACTS_DB_TIMEOUT_MS="9000")
        name = "finished"
        a.post("/categories", [name])
        lock = subprocess.Popen(["psql", "-h", PG.dir, "-p", str(PG.port), "-U", "app", "-d", "app", "-qc",
                                 "BEGIN", "-c", "LOCK acts.act", "-c", "SELECT pg_sleep(120)"],
                                env={"PGPASSWORD": PASSWORD, "PATH": os.environ["PATH"]}, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)
        wait_for("locked", lambda: PG.psql(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'") == "1")
        idle = http.client.HTTPConnection("127.0.0.1", a.port, timeout=5)
        idle.request("GET", API + "/_health")
        idle.getresponse().read()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            up = pool.submit(a.post, "/acts", act(Ids.new(), name))
            wait_for("upload waits", lambda: PG.psql(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") == "1")
            a.proc.send_signal(signal.SIGTERM)
            wait_for("stopping", lambda: "stopping" in a.text())
            with self.assertRaises(OSError):
                socket.create_connection(("127.0.0.1", a.port), 1)
            self.assertEqual(idle.sock.recv(1), b"")
            idle.close()
            PG.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'")
            self.assertEqual(up.result().status, 201)
        lock.wait(10)
        self.assertEqual(a.stop(), 0)

    def test_too_many_connections_in_one_go(self):
        """More than may be open are waiting when the program looks: none, or not enough, of them are old enough to
        make room."""
        for before in (0, 10, 60, 130):
            with self.subTest(before=before):
                a = Acts(PG, limit_files=200)
                crowd = [socket.create_connection(("127.0.0.1", a.port), 5) for _ in range(before)]
                try:
                    self.assertEqual(a.get("/_health").status, 200)
                    a.proc.send_signal(signal.SIGSTOP)
                    for _ in range(150):
                        crowd.append(socket.create_connection(("127.0.0.1", a.port), 5))
                    a.proc.send_signal(signal.SIGCONT)
                    self.assertEqual(a.get("/_health").status, 200)
                finally:
                    for s in crowd:
                        s.close()
                self.assertEqual(a.stop(), 0)

    def test_too_many_connections(self):
        a = Acts(PG, limit_files=200)
        idle, slow = [], []
        try:
            for _ in range(150):  # more than may be open: the longest idle makes room
                idle.append(socket.create_connection(("127.0.0.1", a.port), 5))
            self.assertEqual(a.get("/_health").status, 200)
            for _ in range(150):  # the same with heads that never end
                slow.append(socket.create_connection(("127.0.0.1", a.port), 5))
                try:
                    slow[-1].sendall(b"GET / HTTP/1.1\r\nX: ")
                except OSError:
                    pass
            self.assertEqual(a.get("/_health").status, 200)
            self.assertLess(len(os.listdir(f"/proc/{a.proc.pid}/fd")), 160)
        finally:
            for s in idle + slow:
                s.close()
        self.assertEqual(a.get("/acts/count").status, 200)
        self.assertEqual(a.stop(), 0)

    def test_out_of_descriptors(self):
        a = Acts(PG, wait=False, limit_files=40)  # fewer than connections that are allowed
        idle = [socket.create_connection(("127.0.0.1", a.port), 5) for _ in range(60)]
        wait_for("says so", lambda: "accept failed" in a.text())
        for s in idle:
            s.close()
        wait_for("healthy", lambda: a.get("/_health").status == 200)
        self.assertEqual(a.stop(), 0)

    def test_bad_environment(self):
        good = {"ACTS_DB_HOST": "127.0.0.1", "ACTS_DB_USER": "app"}
        for more, why in [({"ACTS_PORT": "x"}, "ACTS_PORT"), ({"ACTS_DB_HOST": ""}, "ACTS_DB_HOST"),
                          ({"ACTS_MAX_BODY": "-1"}, "ACTS_MAX_BODY"), ({"ACTS_USERS_URL": "ftp://x"}, "ACTS_USERS_URL"),
                          ({"ACTS_BIND": "nowhere"}, "ACTS_BIND")]:
            got = subprocess.run([ACTS], env={**good, **more}, stderr=subprocess.PIPE, check=False, timeout=10)
            self.assertEqual(got.returncode, 64, more)
            self.assertIn(why, got.stderr.decode())
        self.assertEqual(subprocess.run([ACTS, "x"], check=False, stderr=subprocess.DEVNULL).returncode, 64)
        got = subprocess.run([ACTS, "--help"], check=True, stdout=subprocess.PIPE, text=True)
        self.assertIn("ACTS_DB_PASSWORD_FILE", got.stdout)


class UsersStub(http.server.BaseHTTPRequestHandler):
    answer = (204, b"")
    seen = []

    def do_GET(self):
        UsersStub.seen.append((self.path, self.headers["Origin"]))
        status, body = UsersStub.answer
        if status == 0:
            time.sleep(2)
            return
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class UserCheck(unittest.TestCase):
    def test_live_check(self):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), UsersStub)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        a = Acts(PG, ACTS_USERS_URL=f"http://127.0.0.1:{port}", ACTS_USERS_ORIGIN="http://acts.example",
                 ACTS_USERS_TIMEOUT_MS="500")
        name = "checked"
        a.post("/categories", [name])

        def upload(user, **more):
            return a.post("/acts", act(Ids.new(), name, username=user, **more)).status

        try:
            for answer, user, want in [((204, b""), "ann", 400), ((200, b'["bob", "ann"]'), "ann", 201),
                                       ((200, b'["anna", "an", "ANN"]'), "ann", 400),
                                       ((200, '["ಮೀರಾ"]'.encode()), "ಮೀರಾ", 201), ((200, b"[]"), "ann", 400),
                                       ((200, b'"ann"'), "ann", 503), ((500, b""), "ann", 503),
                                       ((404, b'["ann"]'), "ann", 503), ((0, b""), "ann", 503)]:
                with self.subTest(answer=answer):
                    UsersStub.answer = answer
                    UsersStub.seen.clear()
                    self.assertEqual(upload(user), want)
                    self.assertEqual(UsersStub.seen, [("/api/v1/users", "http://acts.example")])
            UsersStub.answer = (200, b'["ann"]')
            UsersStub.seen.clear()
            self.assertEqual(upload("ann", imgB64="*"), 400)
            for path in ["/categories", f"/categories/{name}/acts", "/_health", "/acts/count"]:
                a.get(path)
            self.assertEqual(UsersStub.seen, [])
            self.assertEqual(upload("ann"), 201)
            self.assertEqual(upload("ann"), 201)
            self.assertEqual(len(UsersStub.seen), 2)
        finally:
            server.shutdown()
            server.server_close()
        total = a.get("/acts/count").json
        self.assertEqual(upload("ann"), 503)
        self.assertEqual(a.get("/acts/count").json, total)
        self.assertEqual(a.stop(), 0)


def is_sanitized(program):
    with open(program, "rb") as f:
        return b"__asan_init" in f.read()


def main():
    global ACTS, USERS, PG, SANITIZED
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    ACTS = os.path.abspath(sys.argv[1])
    SANITIZED = is_sanitized(ACTS)
    USERS = os.path.join(os.path.dirname(ACTS), os.path.basename(ACTS).replace("acts", "users"))
    if not os.path.exists(os.path.join(PG_BIN, "postgres")):
        print("skipped: PostgreSQL 15 is not installed (package postgresql-15)")
        sys.exit(77)
    PG = Postgres()
    try:
        result = unittest.main(argv=[sys.argv[0], *sys.argv[2:]], exit=False).result
    finally:
        PG.close()
    sys.exit(0 if result.wasSuccessful() else 1)


if __name__ == "__main__":
    main()
