"""One running product of a test's own: a project with its directory, ports, lbd, ctld and containers."""
import atexit
import ctypes
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import textwrap
import time

from . import client, engine, wire

SOURCE = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
BUILD = os.path.abspath(os.environ.get("LBCTL_BUILD_DIR", os.path.join(SOURCE, "build/dev")))
PORT_FIRST, PORT_STEP, PORT_BLOCKS = 23000, 40, 25

ACTS_IMAGE = os.environ.get("LBCTL_TEST_ACTS_IMAGE", "acts:latest")
USERS_IMAGE = os.environ.get("LBCTL_TEST_USERS_IMAGE", "users:latest")
POSTGRES_IMAGE = os.environ.get("LBCTL_TEST_POSTGRES_IMAGE", "lbctl-postgres:latest")

_count = 0
_libc = ctypes.CDLL(None)


class Timeout(AssertionError):
    pass


def until(condition, timeout, what, every=0.03):
    """Wait until condition() is true and return its value; Timeout names what was waited for."""
    deadline = time.monotonic() + timeout
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
        except (OSError, wire.WireError, client.HttpError) as e:
            last = e
        if time.monotonic() > deadline:
            raise Timeout(f"not within {timeout} s: {what}" + (f" (last error: {last})" if last else ""))
        time.sleep(every)


def program(name):
    """The path of a program of the build directory."""
    for sub in ("lb", "ctl", "ctl/lbctl", "acts-service", "test", "test/integration", "bin", "."):
        path = os.path.join(BUILD, sub, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def missing(images=(), needs_engine=True):
    """Why no stack can run here, or None."""
    for name in ("lbd", "ctld", "lbctl", "misbehave"):
        if program(name) is None:
            return f"the program {name} is not built below {BUILD}"
    if needs_engine and not engine.available():
        return f"no container engine answers at {engine.SOCKET}; deploy/up or test/run starts one"
    for image in images:
        if not engine.has_image(image):
            return f"the image {image} is missing; deploy/up builds it"
    return None


def port_free(port, host="127.0.0.1"):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((host, port))
            return True
        except OSError:
            return False


class Ports:
    """A block of 40 ports that no other test process uses: the lock goes with the process."""

    def __init__(self):
        directory = "/tmp/lbt-ports"
        os.makedirs(directory, exist_ok=True)
        for block in range(PORT_BLOCKS):
            f = open(f"{directory}/{block}", "a", encoding="ascii")
            try:
                fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                f.close()
                continue
            first = PORT_FIRST + block * PORT_STEP
            if all(port_free(p) for p in range(first, first + PORT_STEP)):
                self.lock, self.first = f, first
                return
            f.close()
        raise Timeout("no free block of ports between 23000 and 23999")

    def free(self):
        self.lock.close()


def app_image():
    """The misbehaving test application as an image; made when its program is new."""
    path = program("misbehave")
    with open(path, "rb") as f:
        tag = "lbt-app:" + hashlib.sha256(f.read()).hexdigest()[:12]
    if not engine.has_image(tag):
        engine.import_program(tag, path)
    return tag


def _die_with_parent():
    _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Daemon:
    def __init__(self, name, argv, log):
        self.name, self.log = name, log
        with open(log, "ab") as out:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                            start_new_session=True, preexec_fn=_die_with_parent)

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process.poll() is None

    def kill(self):
        """SIGKILL, as a crash would."""
        self.process.kill()
        self.process.wait(10)

    def stop(self, timeout=20):
        """SIGTERM; the exit code, or None when it had to be killed."""
        self.process.terminate()
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def rss_kb(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as f:
            for line in f:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1])
        return 0

    def sanitized(self):
        """Built with a sanitizer, which needs memory of its own."""
        with open(f"/proc/{self.pid}/maps", encoding="ascii", errors="replace") as f:
            return re.search(r"lib(a|t|ub)san", f.read()) is not None

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))


class Stack:
    """Use as a context manager, or start() and close(). The configuration is made from parts:

    app={...}   a service `app` of the misbehaving application, routed at /api/v1
    acts={...}  the services `postgres` and `acts` of the assignment
    users={...} with acts: the service `users` too, on port users_port, and acts asks it at each upload
    extra       more lines below `services:`; @IMAGE@, @PORTS@ (ten more) and @LOG@ are replaced

    The dictionaries override keys of the service (scale, health, drain, environment, ...)."""

    def __init__(self, app=None, acts=None, extra="", workers=4, listen=None, host_first=None, docker=None, users=None,
                 runtime="docker"):
        global _count
        _count += 1
        self.runtime = runtime
        self.project = f"lbt-{os.getpid()}-{_count}"
        self.dir = tempfile.mkdtemp(prefix=self.project + ".", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.run_dir, self.state_dir = self.dir + "/run", self.dir + "/state"
        self.log_dir = self.dir + "/log"
        for d in (self.run_dir, self.state_dir, self.log_dir):
            os.mkdir(d)
        os.chmod(self.log_dir, 0o777)
        self.ports = Ports()
        self.port = listen or self.ports.first
        self.host_first = host_first or self.ports.first + 10
        self.other_first = self.ports.first + 20  # for `extra`
        self.users_port = self.ports.first + 30
        self.service = "acts" if acts is not None else "app"
        self.config = self.dir + "/lbctl.yaml"
        self.lbd = self.ctld = None
        self.daemons = []
        self.foreign = []
        self._marks = {}
        self._cli = None
        self.docker = (docker or engine.FRONT or engine.SOCKET).replace("@DIR@", self.dir)
        self.write_config(self._text(app, acts, users, extra, workers))
        atexit.register(self.close)
        self.closed = False

    # ---- configuration ----

    def _text(self, app, acts, users, extra, workers):
        text = textwrap.dedent(f"""\
            listen: 127.0.0.1:{self.port}
            workers: {workers}
            project: {self.project}
            run_dir: {self.run_dir}
            state_dir: {self.state_dir}
            docker: unix://{self.docker}
            runtime: {self.runtime}
            log_level: debug
            services:
            """)
        if app is not None:
            keys = {
                "image": app_image(),
                "volumes": f"[{self.log_dir}:/log]",
                "route": "/api/v1",
                "port": "80",
                "host_ports": f"{self.host_first}-{self.host_first + 9}",
                "stop_grace_period": "5s",
                "health": "{ path: /api/v1/_health, interval: 1s, timeout: 1s, fall: 1, rise: 1, start_period: 20s }",
                "scale": "{ min: 1, max: 10, every: 10m, per: 20, ignore: [/api/v1/_health, /api/v1/_crash] }",
                "drain": "10s",
            }
            if self.runtime == "process":
                keys.pop("volumes")
                keys["image"], keys["command"] = None, f"[{program('misbehave')}]"
            text += service_text("app", {**keys, **app})
        if acts is not None:
            self.password_file = self.dir + "/postgres-password"
            with open(self.password_file, "w", encoding="ascii") as f:
                f.write(os.urandom(12).hex() + "\n")
            os.chmod(self.password_file, 0o644)
            secret = f"{self.password_file}:/run/secrets/postgres-password:ro"
            text += service_text("postgres", {
                "image": POSTGRES_IMAGE,
                "environment": "{ POSTGRES_USER: app, POSTGRES_DB: app, "
                               "POSTGRES_PASSWORD_FILE: /run/secrets/postgres-password }",
                "volumes": f"[{self.project}-data:/var/lib/postgresql/data, {secret}]",
                "stop_signal": "SIGINT",
                "stop_grace_period": "30s",
                "port": "5432",
                "health": "{ tcp: true, interval: 1s, timeout: 1s, fall: 5, start_period: 60s }",
            })
            keys = {
                "image": ACTS_IMAGE,
                "environment": "{ ACTS_DB_HOST: postgres, ACTS_DB_USER: app, ACTS_DB_NAME: app, "
                               f'ACTS_USERS_URL: "{"" if users is None else "http://users/api/v1/users"}", '
                               "ACTS_DB_PASSWORD_FILE: /run/secrets/postgres-password }",
                "volumes": f"[{secret}]",
                "mem_limit": "256m",
                "stop_grace_period": "10s",
                "depends_on": "[postgres]",
                "route": "/api/v1",
                "port": "80",
                "host_ports": f"{self.host_first}-{self.host_first + 9}",
                "publish": "127.0.0.1",
                "health": "{ path: /api/v1/_health, interval: 1s, timeout: 1s, fall: 1, rise: 1, start_period: 30s }",
                "scale": "{ min: 1, max: 10, every: 10m, per: 20, ignore: [/api/v1/_health, /api/v1/_crash] }",
                "drain": "30s",
            }
            if self.runtime == "process":
                text = self._as_processes(text, keys)
            text += service_text("acts", {**keys, **acts})
        if users is not None:
            keys = {
                "image": USERS_IMAGE,
                "environment": "{ USERS_DB_HOST: postgres, USERS_DB_USER: app, USERS_DB_NAME: app, "
                               "USERS_DB_PASSWORD_FILE: /run/secrets/postgres-password }",
                "volumes": f"[{secret}]",
                "stop_grace_period": "5s",
                "depends_on": "[postgres]",
                "route": "/api/v1/users",
                "port": "80",
                "host_ports": f"{self.users_port}",
                "publish": "127.0.0.1",
                "health": "{ path: /, interval: 1s, timeout: 1s, fall: 3, rise: 1, start_period: 30s }",
                "scale": "{ min: 1, max: 1 }",
                "drain": "5s",
            }
            if self.runtime == "process":
                self._as_process(keys, "users", "USERS")
            text += service_text("users", {**keys, **users})
        for word, value in (("@PORTS@", f"{self.other_first}-{self.other_first + 9}"), ("@LOG@", self.log_dir),
                            ("@IMAGE@", app_image() if "@IMAGE@" in extra else "")):
            extra = extra.replace(word, value)
        return text + textwrap.indent(textwrap.dedent(extra), "  ")

    def _as_process(self, keys, name, prefix):
        keys["image"], keys["command"] = None, f"[{program(name)}]"
        keys.pop("volumes")
        users = f"http://127.0.0.1:{self.users_port}/api/v1/users" if "users/api" in keys["environment"] else ""
        keys["environment"] = (
            f"{{ {prefix}_DB_HOST: 127.0.0.1, {prefix}_DB_PORT: {self.db_port}, {prefix}_DB_USER: app, "
            f"{prefix}_DB_NAME: app, {prefix}_DB_PASSWORD_FILE: {self.password_file}"
            + (f', ACTS_USERS_URL: "{users}" }}' if prefix == "ACTS" else " }"))
        keys.pop("mem_limit", None)

    def _as_processes(self, text, keys):
        """The text so far with a private PostgreSQL in place of the container, and acts' keys for a process."""
        self.db_port = self.ports.first + 39
        head = text[:text.index("  postgres:")]
        self._as_process(keys, "acts", "ACTS")
        return head + service_text("postgres", {
            "command": f"[{SOURCE}/deploy/images/postgres/entrypoint.sh, -p, \"{self.db_port}\", -c, "
                       f"listen_addresses=127.0.0.1, -c, unix_socket_directories={self.dir}/pg]",
            "environment": f"{{ POSTGRES_USER: app, POSTGRES_DB: app, PGDATA: {self.dir}/pg, "
                           f"POSTGRES_PASSWORD_FILE: {self.password_file} }}",
            "stop_signal": "SIGINT",
            "stop_grace_period": "30s",
            "port": str(self.db_port),
            "health": "{ tcp: true, interval: 1s, timeout: 1s, fall: 5, start_period: 60s }",
        })

    def instances(self, service):
        """Process runtime: {id: (meta, pid or None)} as its directories say."""
        found = {}
        base = self.state_dir + "/instances"
        for i in os.listdir(base):
            try:
                with open(f"{base}/{i}/meta.json", encoding="utf-8") as f:
                    meta = json.load(f)
                with open(f"{base}/{i}/pid", encoding="ascii") as f:
                    pid = int(f.read().split()[0])
            except OSError:
                pid = None
            if not i.startswith(".") and meta["service"] == service:
                found[i] = (meta, pid)
        return found

    def remove_instances(self):
        """Process runtime: what a test leaves behind is no container that could be found by its label."""
        for d in self.daemons:
            if d.name == "ctld" and d.alive():
                d.stop()
        subprocess.run([program("ctld"), "--config", self.config, "--remove-instances"], timeout=120, check=False,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def write_config(self, text):
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(text)

    # ---- processes ----

    def start_lbd(self):
        self.lbd = Daemon("lbd", [program("lbd"), "--config", self.config], self.dir + "/lbd.log")
        self.daemons.append(self.lbd)

    def start_ctld(self):
        self.ctld = Daemon("ctld", [program("ctld"), "--config", self.config], self.dir + "/ctld.log")
        self.daemons.append(self.ctld)

    def start(self, wait=90):
        """Start both and wait until everything is as wished and a request passes."""
        self.start_lbd()
        self.start_ctld()
        self.wait_ok(wait)
        return self

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            print(self.tail(), flush=True)
            self.close()
            raise

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.closed:
            return
        self.closed = True
        atexit.unregister(self.close)
        self._drop_cli()
        bad = self._end_daemons()
        if self.runtime == "process":
            self.remove_instances()
        else:
            for cid in self.foreign:
                engine.remove(cid)
            engine.clean(self.project)
        self.ports.free()
        if not os.environ.get("LBCTL_TEST_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)
        if bad:
            raise AssertionError("\n".join(bad))

    def _end_daemons(self):
        """SIGTERM; what is wrong with how they ended, and what sanitizers found."""
        bad = []
        for d in self.daemons:
            if d.alive():
                code = d.stop()
                if code != 0:
                    bad.append(f"{d.name} after SIGTERM: " + ("had to be killed" if code is None else f"code {code}"))
        for name in ("lbd", "ctld"):
            path = f"{self.dir}/{name}.log"
            if not os.path.exists(path):
                continue
            with open(path, encoding="utf-8", errors="replace") as f:
                text = f.read()
            at = re.search(r"(ERROR|WARNING): (Address|Leak|Thread|Memory)Sanitizer|runtime error:", text)
            if at:
                bad.append(f"{name}:\n{text[max(0, at.start() - 200):at.start() + 6000]}")
        return bad

    def mark_logs(self):
        """From here on tail() shows."""
        for name in ("lbd", "ctld"):
            path = f"{self.dir}/{name}.log"
            self._marks[name] = os.path.getsize(path) if os.path.exists(path) else 0

    def tail(self, limit=6000):
        out = ""
        for name in ("ctld", "lbd"):
            path = f"{self.dir}/{name}.log"
            if not os.path.exists(path):
                continue
            with open(path, "rb") as f:
                f.seek(self._marks.get(name, 0))
                text = f.read().decode(errors="replace")
            if len(text) > limit:
                text = "...\n" + text[-limit:]
            out += f"---- {name} ({path})\n{text}"
        for c in engine.containers(self.project + "-") if self.runtime != "process" else ():
            out += f"---- {c['Names'][0]} {c['Id'][:12]} {c['State']}: {c['Status']}\n"
            if c["State"] != "running":
                out += engine.logs(c["Id"], 15)
        return out

    # ---- what is there ----

    def _drop_cli(self):
        if self._cli is not None:
            self._cli.close()
            self._cli = None

    def ask(self, kind, body=None, timeout=10):
        """A request to ctld over its socket, on a kept channel; a channel to a ctld that has gone is opened anew."""
        for last in (False, True):
            fresh = self._cli is None
            try:
                if fresh:
                    self._cli = wire.Wire(self.run_dir + "/ctl.sock", "cli")
                return self._cli.ask(kind, body, timeout)
            except wire.Refused:
                raise
            except (OSError, wire.WireError):
                self._drop_cli()
                if fresh or last:
                    raise
        return None

    def status(self):
        return self.ask("status.get")

    def svc(self, name=None):
        name = name or self.service
        for s in self.status()["services"]:
            if s["name"] == name:
                return s
        raise Timeout(f"the status has no service {name}")

    def slots(self, state="ready", name=None):
        """{port: slot object} of the slots in that state."""
        return {s["port"]: s for s in self.svc(name)["slots"] if s["state"] == state}

    def ids(self, name=None):
        """{port: container id} of the ready ones."""
        return {p: s["id"] for p, s in self.slots(name=name).items()}

    def wait_ok(self, timeout=30):
        def good():
            for d in (self.lbd, self.ctld):
                if not d.alive():
                    raise Timeout(f"{d.name} ended with exit code {d.process.returncode}")
            st = self.status()
            return st if st["state"] == "ok" else None
        st = until(good, timeout, "status ok")
        until(lambda: client.once(self.port, "GET", "/").status == 200, 10, "GET / through lbd")
        return st

    def wait_ready(self, n, timeout=30, name=None, settled=True):
        """Wait until exactly n are ready, and with `settled` nothing else of the service is left."""
        def good():
            s = self.svc(name)
            busy = [x for x in s["slots"] if x["state"] not in ("empty", "ready")]
            return s if s["ready"] == n and s["wish"] == n and not (settled and busy) else None
        until(good, timeout, f"{n} ready instances of {name or self.service}")
        return self.slots(name=name)

    def scale(self, n, timeout=40, wait=True, name=None):
        self.ask("scale.set", {"service": name or self.service, "replicas": n})
        return self.wait_ready(n, timeout, name) if wait else None

    def auto(self, name=None):
        self.ask("scale.set", {"service": name or self.service, "auto": True})

    def reset(self, name=None):
        self.ask("service.reset", {"service": name or self.service})

    def exists(self, iid):
        """The runtime has the instance, running or not."""
        if self.runtime == "process":
            return os.path.exists(f"{self.state_dir}/instances/{iid}/meta.json")
        return engine.exists(iid) is not None

    def running(self, iid):
        if self.runtime == "process":
            return any(c["Id"] == iid and c["State"] == "running" for c in self._processes())
        return engine.running(iid)

    def _processes(self, service=None):
        """The process runtime's instances in the engine's words."""
        out = []
        for name in {s["name"] for s in self.status()["services"]} if service is None else (service,):
            for iid, (meta, pid) in self.instances(name).items():
                up = pid is not None and os.path.exists(f"/proc/{pid}")
                out.append({"Id": iid, "Names": ["/" + iid], "State": "running" if up else "exited",
                            "Ports": [{"PublicPort": meta["port"]}]})
        return out

    def ours(self, service=None):
        """Containers of the project as the engine has them, in any state."""
        if self.runtime == "process":
            return self._processes(service)
        return engine.containers(f"{self.project}-{service}-" if service else self.project + "-")

    def published(self, service=None):
        """{host port: [ids of running containers]} as the engine has them."""
        out = {}
        for c in self.ours(service or self.service):
            if c["State"] != "running":
                continue
            for port in {p["PublicPort"] for p in c["Ports"] if "PublicPort" in p}:
                out.setdefault(port, []).append(c["Id"])
        return out

    def exactly(self, n, service=None, timeout=20):
        """Wait until the engine has exactly n containers of the service, all running, one each on the first n
        ports, the same ones that ctld names."""
        want = {self.host_first + i for i in range(n)}

        def good():
            have = self.published(service)
            all_there = len(self.ours(service or self.service)) == n
            ids = self.ids(service)
            return all_there and set(have) == want and {p: [i] for p, i in ids.items()} == have
        try:
            until(good, timeout, f"exactly {n} containers")
        except Timeout as e:
            names = [(c["Names"][0], c["State"]) for c in self.ours(service or self.service)]
            raise Timeout(f"{e}; the engine has {names}, ctld says {self.ids(service)}") from None
        return self.ids(service)

    def table(self):
        """The table that ctld pushes now, as the status tells it (generation 0)."""
        services = []
        for s in self.status()["services"]:
            if s["routes"]:
                services.append({
                    "name": s["name"],
                    "routes": [{"prefix": r} for r in s["routes"]],
                    "count_ignore": ["/api/v1/_health", "/api/v1/_crash"],
                    "backends": [{"slot": x["slot"], "instance": x["token"], "address": "127.0.0.1", "port": x["port"]}
                                 for x in s["slots"] if x["state"] == "ready"]})
        return {"generation": 0, "services": services}

    # ---- requests ----

    def get(self, target, **kw):
        return client.once(self.port, "GET", target, **kw)

    def post(self, target, body=b"", **kw):
        return client.once(self.port, "POST", target, body, **kw)

    def direct(self, port, method, target, body=None, **kw):
        return client.once(port, method, target, body, **kw)

    def lbd_stats(self, name=None):
        """{slot: requests} straight from lbd."""
        with wire.Wire(self.run_dir + "/lb.sock", "ctl") as w:
            stats = w.ask("stats.get")
        for s in stats["services"]:
            if s["name"] == (name or self.service):
                return {b["slot"]: b["requests"] for b in s["backends"]}
        return {}

    def lbctl(self, *args, timeout=20):
        """Run the program; its CompletedProcess with text output."""
        return subprocess.run([program("lbctl"), "--config", self.config, *args], capture_output=True, text=True,
                              timeout=timeout, check=False)

    # ---- the application's log ----

    def app_log(self, cid):
        """[(monotonic ms, event, rest)] of an instance of the test application."""
        path = f"{self.log_dir}/{cid[:12]}.log"
        if not os.path.exists(path):
            return []
        out = []
        with open(path, encoding="utf-8", errors="replace") as f:
            for line in f:
                t, _, rest = line.rstrip("\n").partition(" ")
                event, _, more = rest.partition(" ")
                if t.isdigit():
                    out.append((int(t), event, more))
        return out


def service_text(name, keys):
    return f"  {name}:\n" + "".join(f"    {k}: {v}\n" for k, v in keys.items() if v is not None)
