"""What the fake engine knows and does: containers, networks, volumes, images, events. Answers are those of Docker
20.10 in every word that a client may judge by; test_engine_contract.py holds both against each other."""
import asyncio
import collections
import hashlib
import json
import os
import time

from . import program

EVENTS_MAX = 2000
TERM = {"TERM", "SIGTERM", "15", "INT", "SIGINT", "2", "QUIT", "SIGQUIT", "3"}


class Refused(Exception):
    """The engine says no."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status, self.message = status, message


def api_time(t):
    """Wall-clock seconds as the engine writes them; None: the zero time."""
    if t is None:
        return "0001-01-01T00:00:00Z"
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(t)) + f".{int(t % 1 * 1e9):09d}Z"


class Container:
    def __init__(self, cid, name, body, address):
        self.id, self.name, self.body, self.address = cid, name, body, address
        self.labels = body.get("Labels") or {}
        self.host = body.get("HostConfig") or {}
        self.env = dict(e.partition("=")[::2] for e in body.get("Env") or [])
        self.created = time.time()
        self.started = self.finished = None
        self.state, self.exit_code, self.error = "created", 0, ""
        self.program = None
        self.gone = asyncio.Event()
        self.stopped = asyncio.Event()
        self.busy = asyncio.Lock()  # starts and removals of one container come one after the other
        self.removing = False

    @property
    def network(self):
        return self.host.get("NetworkMode") or "bridge"

    @property
    def running(self):
        return self.state in ("running", "paused")

    def bindings(self):
        """[(inside, host ip, host port)] of the published ports."""
        out = []
        for inside, places in (self.host.get("PortBindings") or {}).items():
            for p in places or []:
                if p.get("HostPort"):
                    out.append((int(inside.split("/")[0]), p.get("HostIp") or "0.0.0.0", int(p["HostPort"])))
        return out

    def inside(self):
        ports = {int(p.split("/")[0]) for p in self.body.get("ExposedPorts") or {}}
        return sorted(ports | {b[0] for b in self.bindings()})

    def status(self):
        ago = "Less than a second"
        if self.state == "created":
            return "Created"
        if self.state == "exited":
            return f"Exited ({self.exit_code}) {ago} ago"
        if self.state == "removing":
            return "Removal In Progress"
        if self.state == "dead":
            return "Dead"
        return f"Up {ago}" + (" (Paused)" if self.state == "paused" else "")


class Engine:
    def __init__(self, images):
        self.containers = {}  # by id
        self.networks = {"bridge": {"Id": new_id(), "Labels": {}}, "host": {"Id": new_id(), "Labels": {}},
                         "none": {"Id": new_id(), "Labels": {}}}
        self.volumes = {}
        self.images = set(images)  # "*": every name is there
        self.registry = {}         # name -> seconds that its pull takes, or {seconds, error}; None: no such image
        self.events = collections.deque(maxlen=EVENTS_MAX)
        self.listeners = set()  # asyncio queues
        self.history = []       # facts about containers that are gone
        self.timing = {"create": 0.005, "start": 0.03, "remove": 0.01}
        self.disk_full = False
        self.addresses = 0
        self.base = 64 + os.getpid() % 128

    # ---- events ----

    def emit(self, action, c, **more):
        now = time.time_ns()
        labels = dict(c.labels, image=c.body.get("Image", ""), name=c.name, **more)
        event = {"status": action, "id": c.id, "from": c.body.get("Image", ""), "Type": "container", "Action": action,
                 "Actor": {"ID": c.id, "Attributes": labels}, "scope": "local", "time": now // 10**9, "timeNano": now}
        self.events.append(event)
        for q in list(self.listeners):
            q.put_nowait(event)

    # ---- finding ----

    def find(self, ref):
        ref = ref.lstrip("/")
        c = self.containers.get(ref)
        if c is None:
            c = next((x for x in self.containers.values() if x.name == ref), None)
        if c is None and len(ref) >= 4:
            hits = [x for x in self.containers.values() if x.id.startswith(ref)]
            c = hits[0] if len(hits) == 1 else None
        if c is None:
            raise Refused(404, f"No such container: {ref}")
        return c

    def has_image(self, name):
        return "*" in self.images or name in self.images or name + ":latest" in self.images

    def find_network(self, ref):
        for name, net in self.networks.items():
            if name == ref or net["Id"].startswith(ref):
                return name
        return None

    # ---- containers ----

    async def create(self, name, body):
        await asyncio.sleep(self.timing["create"])
        if not body.get("Image"):
            raise Refused(400, "No command specified")
        if not self.has_image(body["Image"]):
            image = body["Image"] if ":" in body["Image"] else body["Image"] + ":latest"
            raise Refused(404, f"No such image: {image}")
        for m in (body.get("HostConfig") or {}).get("Mounts") or []:
            if m.get("Type") == "bind" and not os.path.exists(m.get("Source", "")):
                raise Refused(400, 'invalid mount config for type "bind": bind source path does not exist: '
                              + m.get("Source", ""))
        other = next((c for c in self.containers.values() if c.name == name), None)
        if other is not None:
            raise Refused(409, f'Conflict. The container name "/{name}" is already in use by container "{other.id}". '
                          "You have to remove (or rename) that container to be able to reuse that name.")
        if self.disk_full:
            raise Refused(500, "mkdir /var/lib/docker/overlay2/" + new_id() + "-init: no space left on device")
        self.addresses += 1
        n = self.addresses
        address = f"127.{self.base}.{n // 250 % 250 + 1}.{n % 250 + 1}"
        c = Container(new_id(), name or "fake_" + new_id()[:8], body, address)
        self.containers[c.id] = c
        for b in c.host.get("Binds") or []:
            if not b.startswith("/"):
                self.volumes.setdefault(b.split(":")[0], {})
        self.emit("create", c)
        return c

    async def start(self, ref):
        c = self.find(ref)
        async with c.busy:
            if c.state == "paused":
                raise Refused(409, "cannot start a paused container, try unpause instead")
            if c.running:
                return False
            if c.removing or c.state == "dead":
                raise Refused(409, "container is marked for removal and cannot be started")
            await asyncio.sleep(self.timing["start"])
            if self.find_network(c.network) is None:
                raise Refused(404, f"network {c.network} not found")
            if self.disk_full:
                raise Refused(500, "failed to create task for container: mkdir /run/containerd/io.containerd: "
                              "no space left on device")
            await self._run(c)
            return True

    def _check_ports(self, c):
        """The engine's own view comes first: a port that another running container has."""
        mine = {(ip, port) for _, ip, port in c.bindings()}
        for other in self.containers.values():
            for _, ip, port in other.bindings() if other.running and other is not c else []:
                if any(port == p and (ip == i or "0.0.0.0" in (ip, i)) for i, p in mine):
                    raise Refused(500, "driver failed programming external connectivity on endpoint "
                                  f"{c.name} ({new_id()}): Bind for {ip}:{port} failed: port is already allocated")

    async def _run(self, c):
        self._check_ports(c)
        published = [(ip, port) for _, ip, port in c.bindings()]
        p = program.Program(c.id, c.labels.get("lbctl.token", ""), c.env,
                            published + [(c.address, port) for port in c.inside()], lambda code: self._died(c, code))
        try:
            await p.start()
        except OSError:
            where = next(((ip, port) for ip, port in published if not can_bind(ip, port)), published[:1] or [("?", 0)])
            ip, port = where if isinstance(where, tuple) else where[0]
            raise Refused(500, f"driver failed programming external connectivity on endpoint {c.name} ({new_id()}): "
                          f"Error starting userland proxy: listen tcp4 {ip}:{port}: bind: address already in use"
                          ) from None
        c.program, c.state, c.started, c.finished, c.exit_code, c.error = p, "running", time.time(), None, 0, ""
        c.stopped.clear()
        self.emit("start", c)

    def _died(self, c, code):
        c.state, c.exit_code, c.finished = "exited", code, time.time()
        self.emit("die", c, exitCode=str(code))
        c.stopped.set()

    def signal(self, c, sig):
        sig = sig.upper()
        self.emit("kill", c, signal=sig)
        if sig in ("KILL", "SIGKILL", "9"):
            c.program.end(137)
        elif sig in TERM and c.state != "paused":
            c.program.terminate()

    async def kill(self, ref, sig):
        c = self.find(ref)
        if not c.running:
            raise Refused(409, f"Cannot kill container: {ref}: Container {c.id} is not running")
        self.signal(c, sig or "KILL")
        if (sig or "KILL").upper() in ("KILL", "SIGKILL", "9"):
            await c.stopped.wait()

    async def stop(self, ref, grace):
        c = self.find(ref)
        if not c.running:
            return False
        if c.state == "paused":  # the kernel delivers the signal, but a frozen process cannot act on it
            self.emit("kill", c, signal="15")
        else:
            self.signal(c, str(c.body.get("StopSignal") or "SIGTERM"))
        try:
            await asyncio.wait_for(c.stopped.wait(), grace)
        except asyncio.TimeoutError:
            if c.running:
                self.signal(c, "KILL")
        await c.stopped.wait()
        self.emit("stop", c)
        return True

    def pause(self, ref, yes):
        c = self.find(ref)
        if not c.running:
            raise Refused(409, f"Container {c.id} is not running")
        if yes and c.state == "paused":
            raise Refused(409, f"Container {c.id} is already paused")
        if not yes and c.state != "paused":
            raise Refused(500, f"Container {c.id} is not paused")
        c.state = "paused" if yes else "running"
        (c.program.pause if yes else c.program.unpause)()
        self.emit("pause" if yes else "unpause", c)

    async def remove(self, ref, force):
        c = self.find(ref)
        if c.removing:
            raise Refused(409, f"removal of container {ref} is already in progress")
        if c.running and not force:
            if c.state == "paused":
                raise Refused(409, f"You cannot remove a paused container {c.id}. Unpause and then stop the container "
                              "before attempting removal or force remove")
            raise Refused(409, f"You cannot remove a running container {c.id}. Stop the container before attempting "
                          "removal or force remove")
        c.removing = True
        async with c.busy:
            if c.running:
                self.signal(c, "KILL")
                await c.stopped.wait()
            c.state = "removing"
            await asyncio.sleep(self.timing["remove"])
            self._forget(c)

    def _forget(self, c):
        self.note(c)
        self.containers.pop(c.id, None)
        self.emit("destroy", c)
        c.gone.set()

    def note(self, c):
        if c.program is not None:
            self.history.append(self.facts(c))

    async def wait(self, ref, condition):
        c = self.find(ref)
        if condition == "removed":
            await c.gone.wait()
        elif c.running or condition == "next-exit":
            await c.stopped.wait()
        return c.exit_code

    # ---- what it shows ----

    def networks_of(self, c):
        net = self.networks.get(c.network)
        up = c.running
        return {c.network: {"NetworkID": net["Id"] if net and up else "", "EndpointID": "e" * 64 if up else "",
                            "Gateway": "127.0.0.1" if up else "", "IPAddress": c.address if up else "",
                            "IPPrefixLen": 8 if up else 0, "MacAddress": "", "Aliases": None, "Links": None}}

    def row(self, c):
        ports = [{"IP": ip, "PrivatePort": inside, "PublicPort": port, "Type": "tcp"}
                 for inside, ip, port in c.bindings()] if c.running else []
        return {"Id": c.id, "Names": ["/" + c.name], "Image": c.body["Image"], "ImageID": image_id(c.body["Image"]),
                "Command": "/app", "Created": int(c.created), "Ports": ports, "Labels": c.labels, "State": c.state,
                "Status": c.status(), "HostConfig": {"NetworkMode": c.network},
                "NetworkSettings": {"Networks": self.networks_of(c)}, "Mounts": []}

    def list(self, everything, filters):
        rows = []
        for c in sorted(self.containers.values(), key=lambda x: -x.created):
            if everything or c.running:
                if all(has_label(c.labels, want) for want in filters.get("label", [])):
                    rows.append(self.row(c))
        return rows

    def inspect(self, ref):
        c = self.find(ref)
        state = {"Status": c.state, "Running": c.running, "Paused": c.state == "paused", "Restarting": False,
                 "OOMKilled": False, "Dead": c.state == "dead", "Pid": os.getpid() if c.running else 0,
                 "ExitCode": c.exit_code, "Error": c.error, "StartedAt": api_time(c.started),
                 "FinishedAt": api_time(c.finished)}
        ports = {f"{inside}/tcp": [{"HostIp": ip, "HostPort": str(port)}] for inside, ip, port in c.bindings()}
        return {"Id": c.id, "Created": api_time(c.created), "Path": "/app", "Args": [], "State": state,
                "Image": image_id(c.body["Image"]), "Name": "/" + c.name, "RestartCount": 0,
                "HostConfig": c.host, "Mounts": [],
                "Config": dict(c.body, Hostname=c.id[:12], Labels=c.labels, HostConfig=None),
                "NetworkSettings": {"Networks": self.networks_of(c), "Ports": ports if c.running else {}}}

    def facts(self, c):
        f = {"id": c.id, "name": c.name, "labels": c.labels, "state": c.state, "exit_code": c.exit_code,
             "created": c.created, "started": c.started, "finished": c.finished}
        if c.program is not None:
            f.update(c.program.facts())
        return f

    # ---- networks, volumes, images ----

    def network_row(self, name):
        return {"Name": name, "Id": self.networks[name]["Id"], "Driver": "bridge", "Scope": "local",
                "Labels": self.networks[name]["Labels"], "Containers": {}}

    def network_create(self, body):
        name = body.get("Name") or ""
        if name in self.networks and body.get("CheckDuplicate", True):
            raise Refused(409, f"network with name {name} already exists")
        if name not in self.networks:
            self.networks[name] = {"Id": new_id(), "Labels": body.get("Labels") or {}}
        return {"Id": self.networks[name]["Id"], "Warning": ""}

    def network_remove(self, ref):
        name = self.find_network(ref)
        if name is None:
            raise Refused(404, f"network {ref} not found")
        if any(c.running and c.network == name for c in self.containers.values()):
            raise Refused(403, f"error while removing network: network {name} id {self.networks[name]['Id']} has "
                          "active endpoints")
        del self.networks[name]

    def volume_remove(self, name):
        if name not in self.volumes:
            raise Refused(404, f"get {name}: no such volume")
        del self.volumes[name]

    # ---- restart ----

    def died_with_engine(self, keep):
        """The engine's process ends: containers go with it (the default of a real one), or live on."""
        self.events.clear()
        self.listeners.clear()
        for c in list(self.containers.values()):
            if c.removing:
                c.removing, c.state = False, "dead" if c.state == "removing" else c.state
            c.busy = asyncio.Lock()
            if c.running and not keep:
                c.program.end(137)


def has_label(labels, want):
    key, eq, value = want.partition("=")
    return key in labels and (not eq or labels[key] == value)


def can_bind(ip, port):
    try:
        program.bound(ip, port).close()
        return True
    except OSError:
        return False


def new_id():
    return os.urandom(32).hex()


def image_id(name):
    return "sha256:" + hashlib.sha256(name.encode()).hexdigest()


def dump(obj):
    return json.dumps(obj, separators=(",", ":")).encode() + b"\n"
