"""The fake engine's HTTP face on a Unix socket, and the faults that stand between it and a client."""
import asyncio
import json
import os
import re
import time
import urllib.parse

from . import model

REASONS = {200: "OK", 201: "Created", 204: "No Content", 304: "Not Modified", 400: "Bad Request", 403: "Forbidden",
           404: "Not Found", 409: "Conflict", 500: "Internal Server Error", 503: "Service Unavailable"}
LOG_MAX = 200000


class Fault:
    """match: a pattern of "METHOD /path?query" without the version. kind: before the act delay (seconds), hang,
    status (status, message), cut, garbage; after it lost, hang-after, truncate (bytes), dribble (seconds a byte).
    The first `skip` hits pass; it is over after `times` hits, 0: never."""

    def __init__(self, number, match, kind, times=0, skip=0, seconds=0.0, status=500, message="told to fail", size=0):
        self.number, self.match, self.kind, self.times, self.skip = number, re.compile(match), kind, times, skip
        self.seconds, self.status, self.message, self.size = seconds, status, message, size
        self.hits = 0
        self.lifted = asyncio.Event()

    def takes(self, line):
        if self.lifted.is_set() or not self.match.search(line):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times and self.hits >= self.times:
            return False
        self.hits += 1
        return True


class Bent:
    """A stream's writer under a fault that comes after the act: it ends, or falls silent, `size` bytes on; or it
    gives one byte at a time."""

    def __init__(self, fault, writer):
        self.fault, self.writer, self.left, self.transport = fault, writer, fault.size, writer.transport
        self.waiting = b""

    def write(self, data):
        self.waiting += data

    async def drain(self):
        data, self.waiting = self.waiting, b""
        if self.fault.kind == "dribble":
            for i in range(len(data)):
                self.writer.write(data[i:i + 1])
                await self.writer.drain()
                await asyncio.sleep(self.fault.seconds)
            return
        self.writer.write(data[:self.left])
        await self.writer.drain()
        self.left -= len(data[:self.left])
        if self.left == 0 and self.fault.kind == "hang-after":
            await self.fault.lifted.wait()
        if self.left == 0:
            self.writer.transport.close()
            raise ConnectionError


class Server:
    def __init__(self, path, engine):
        self.path, self.engine = path, engine
        self.api, self.minimum, self.version = "1.41", "1.12", "20.10.24-fake"
        self.faults, self.last_fault = [], 0
        self.log = []
        self.connections = {}  # task -> [writer, request line]
        self.listener = self.back = None

    # ---- being there ----

    async def up(self):
        if self.listener is None:
            if os.path.exists(self.path):
                os.unlink(self.path)
            self.listener = await asyncio.start_unix_server(self._connection, self.path, limit=1 << 24, backlog=512)

    async def up_behind(self, path):
        """A second way in, for the test itself: no faults, no log, always there."""
        self.back = await asyncio.start_unix_server(lambda r, w: self._connection(r, w, True), path, limit=1 << 24)

    def down(self):
        """Nobody listens, all connections are cut, what was under way is given up where it stood."""
        if self.listener is not None:
            self.listener.close()
            self.listener = None
            if os.path.exists(self.path):
                os.unlink(self.path)
        self.cut("", True)

    def cut(self, pattern, give_up=False):
        n = 0
        for task, (writer, line) in list(self.connections.items()):
            if re.search(pattern, line):
                n += 1
                writer.transport.abort()
                if give_up:
                    task.cancel()
        return n

    def add_fault(self, **rule):
        self.last_fault += 1
        self.faults.append(Fault(self.last_fault, **rule))
        return self.last_fault

    def lift(self, number=None):
        for f in self.faults:
            if number in (None, f.number):
                f.lifted.set()
        self.faults = [f for f in self.faults if not f.lifted.is_set()]

    # ---- one connection ----

    async def _connection(self, reader, writer, behind=False):
        task = asyncio.current_task()
        if not behind:
            self.connections[task] = [writer, ""]
        try:
            while await self._request(reader, writer, task, behind):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass
        finally:
            self.connections.pop(task, None)
            writer.close()

    async def _request(self, reader, writer, task, behind):
        head = await reader.readuntil(b"\r\n\r\n")
        line, _, fields = head.decode("latin-1").partition("\r\n")
        low = fields.lower()
        method, target, _ = line.split(" ")
        body = b""
        at = low.find("content-length:")
        if at >= 0:
            body = await reader.readexactly(int(low[at + 15:].split("\r\n", 1)[0]))
        m = re.match(r"/v(\d+\.\d+)(/.*)", target)
        version, plain = (m.group(1), m.group(2)) if m else (None, target)
        short = f"{method} {plain}"
        entry = [time.monotonic(), short, 0]
        fault = None
        if not behind:
            self.connections[task][1] = short
            if len(self.log) < LOG_MAX:
                self.log.append(entry)
            fault = next((f for f in self.faults if f.takes(short)), None)
        if fault is not None and not await self._before(fault, writer, entry):
            return False
        if fault is not None and fault.kind == "status":
            status, payload = fault.status, {"message": fault.message}
        else:
            try:
                out = Bent(fault, writer) if fault is not None and fault.kind in BENT else writer  # only streams write
                status, payload = await self._route(method, plain, version, body, out)
            except model.Refused as e:
                status, payload = e.status, {"message": e.message}
                if version is not None and minor(version) < 24:  # plain words for old clients
                    payload = e.message.encode() + b"\n"
        entry[2] = status
        if payload is Ellipsis:
            return False  # a stream, which is over
        data = b"" if status in (204, 304) or payload is None else (
            payload if isinstance(payload, bytes) else model.dump(payload))
        kind = "text/plain; charset=utf-8" if isinstance(payload, bytes) else "application/json"
        close = "connection: close" in low
        raw = (f"HTTP/1.1 {status} {REASONS.get(status, 'Told')}\r\nApi-Version: {self.api}\r\n"
               f"Server: Docker/{self.version} (linux)\r\nContent-Type: {kind}\r\n"
               + (f"Content-Length: {len(data)}\r\n" if status not in (204, 304) else "")
               + ("Connection: close\r\n" if close else "") + "\r\n").encode()
        raw += data if method != "HEAD" else b""
        if fault is not None and not await self._after(fault, writer, raw):
            return False
        writer.write(raw)
        await writer.drain()
        return not close

    async def _before(self, f, writer, entry):
        entry.append(f.kind)
        if f.kind == "delay":
            await asyncio.sleep(f.seconds)
        elif f.kind == "hang":
            await f.lifted.wait()
            return False
        elif f.kind == "cut":
            writer.transport.abort()
            return False
        elif f.kind == "garbage":
            writer.write(b"\0\1\2 this is no HTTP\r\n\r\n" * 100)
            await writer.drain()
            return False
        return True

    @staticmethod
    async def _after(f, writer, raw):
        if f.kind == "lost":
            writer.transport.abort()
        elif f.kind == "hang-after":
            await f.lifted.wait()
        elif f.kind == "truncate":
            writer.write(raw[:f.size])
            await writer.drain()
        elif f.kind == "dribble":
            for i in range(len(raw)):
                writer.write(raw[i:i + 1])
                await writer.drain()
                await asyncio.sleep(f.seconds)
        else:
            return True
        return False

    # ---- the API ----

    def _check_version(self, version):
        if version is not None and minor(version) > minor(self.api):
            raise model.Refused(400, f"client version {version} is too new. Maximum supported API version is "
                                     f"{self.api}")
        if version is not None and minor(version) < minor(self.minimum):
            raise model.Refused(400, f"client version {version} is too old. Minimum supported API version is "
                                     f"{self.minimum}, please upgrade your client to a newer version")

    async def _route(self, method, target, version, body, writer):
        self._check_version(version)
        path, _, query = target.partition("?")
        q = dict(urllib.parse.parse_qsl(query))
        for m, pattern, fn in ROUTES:
            hit = re.fullmatch(pattern, path)
            if hit and method in m:
                data = None
                if body and fn not in (images_create,):
                    try:
                        data = json.loads(body)
                    except ValueError as e:
                        raise model.Refused(400, f"invalid JSON: {e}") from None
                return await fn(self, q, data, writer, *[urllib.parse.unquote(g) for g in hit.groups()])
        raise model.Refused(404, "page not found")


BENT = ("truncate", "dribble", "hang-after", "lost")


def minor(version):
    return int(version.split(".")[1])


async def ping(s, q, body, writer):
    return 200, b"OK"


async def version_(s, q, body, writer):
    return 200, {"Version": s.version, "ApiVersion": s.api, "MinAPIVersion": s.minimum, "Os": "linux", "Arch": "amd64",
                 "Platform": {"Name": "Fake"}, "Components": [{"Name": "Engine", "Version": s.version}]}


async def info(s, q, body, writer):
    return 200, {"ID": "FAKE", "Containers": len(s.engine.containers), "ServerVersion": s.version}


def filters_of(q):
    try:
        f = json.loads(q.get("filters") or "{}")
    except ValueError as e:
        raise model.Refused(400, f"invalid filter: {e}") from None
    return {k: list(v) for k, v in f.items()}  # lists, or objects of name: true


async def containers_list(s, q, body, writer):
    return 200, s.engine.list(q.get("all") in ("1", "true", "True"), filters_of(q))


async def containers_create(s, q, body, writer):
    c = await s.engine.create(q.get("name", ""), body or {})
    return 201, {"Id": c.id, "Warnings": []}


async def container_inspect(s, q, body, writer, ref):
    return 200, s.engine.inspect(ref)


async def container_start(s, q, body, writer, ref):
    return (204 if await s.engine.start(ref) else 304), None


async def container_stop(s, q, body, writer, ref):
    return (204 if await s.engine.stop(ref, float(q.get("t", "10"))) else 304), None


async def container_kill(s, q, body, writer, ref):
    await s.engine.kill(ref, q.get("signal"))
    return 204, None


async def container_pause(s, q, body, writer, ref):
    s.engine.pause(ref, True)
    return 204, None


async def container_unpause(s, q, body, writer, ref):
    s.engine.pause(ref, False)
    return 204, None


async def container_wait(s, q, body, writer, ref):
    return 200, {"Error": None, "StatusCode": await s.engine.wait(ref, q.get("condition", "not-running"))}


async def container_remove(s, q, body, writer, ref):
    await s.engine.remove(ref, q.get("force") in ("1", "true"))
    return 204, None


async def container_logs(s, q, body, writer, ref):
    s.engine.find(ref)
    line = b"a virtual program\n"
    return 200, b"\1\0\0\0" + len(line).to_bytes(4, "big") + line


async def networks_list(s, q, body, writer):
    return 200, [s.engine.network_row(n) for n in s.engine.networks]


async def networks_create(s, q, body, writer):
    return 201, s.engine.network_create(body or {})


async def network_get(s, q, body, writer, ref):
    name = s.engine.find_network(ref)
    if name is None:
        raise model.Refused(404, f"network {ref} not found")
    return 200, s.engine.network_row(name)


async def network_remove(s, q, body, writer, ref):
    s.engine.network_remove(ref)
    return 204, None


async def volumes_list(s, q, body, writer):
    return 200, {"Volumes": [{"Name": n, "Driver": "local", "Labels": None} for n in s.engine.volumes],
                 "Warnings": None}


async def volumes_create(s, q, body, writer):
    name = (body or {}).get("Name") or model.new_id()
    s.engine.volumes.setdefault(name, {})
    return 201, {"Name": name, "Driver": "local"}


async def volume_remove(s, q, body, writer, name):
    s.engine.volume_remove(name)
    return 204, None


async def images_create(s, q, body, writer):
    """A pull, or an import, which only notes the name."""
    e = s.engine
    if q.get("fromSrc"):
        e.images.add(f"{q.get('repo')}:{q.get('tag') or 'latest'}")
        return 200, {"status": "imported"}
    where, tag = q.get("fromImage", ""), q.get("tag") or "latest"
    if where != where.lower():
        raise model.Refused(400, "invalid reference format: repository name must be lowercase")
    if not re.fullmatch(r"[\w][\w.-]{0,127}|sha256:[0-9a-f]{64}", tag):
        raise model.Refused(400, "invalid tag format")
    host = where.split("/")[0] if "/" in where else ""
    if host.endswith(":1"):  # nobody listens there
        raise model.Refused(500, f'Get "http://{host}/v2/": dial tcp {host}: connect: connection refused')
    name = f"{where}@{tag}" if ":" in tag else f"{where}:{tag}"
    if e.registry.get(name) is None:
        raise model.Refused(404, f"pull access denied for {where}, repository does not exist or may require 'docker "
                                 "login': denied: requested access to the resource is denied")
    told = e.registry[name] if isinstance(e.registry[name], dict) else {"seconds": e.registry[name]}
    await start_stream(writer)
    await chunk(writer, model.dump({"status": f"Pulling from {where}", "id": tag}))
    left = total = told.get("seconds", 0)
    while left > 0:
        await chunk(writer, model.dump({"status": "Downloading", "id": "1a2b3c4d5e6f", "progressDetail": {
            "current": int((total - left) * 1000000), "total": int(total * 1000000)}}))
        await asyncio.sleep(min(left, 0.2))
        left -= 0.2
    if told.get("error"):
        await chunk(writer, model.dump({"errorDetail": {"message": told["error"]}, "error": told["error"]}))
        await chunk(writer, b"")
        return 200, ...
    e.images.add(name)
    await chunk(writer, model.dump({"status": f"Status: Downloaded newer image for {name}"}))
    await chunk(writer, b"")
    return 200, ...


async def image_get(s, q, body, writer, name):
    if not s.engine.has_image(name):
        raise model.Refused(404, f"no such image: {name}: No such image: {name}")
    return 200, {"Id": model.image_id(name), "RepoTags": [name], "Config": {}}


async def start_stream(writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    await writer.drain()


async def chunk(writer, data):
    if writer.transport.is_closing():
        raise ConnectionError
    writer.write(b"%x\r\n%s\r\n" % (len(data), data))
    await writer.drain()


async def events(s, q, body, writer):
    f = filters_of(q)

    def fits(e):
        if "container" not in f.get("type", ["container"]):
            return False
        return all(model.has_label(e["Actor"]["Attributes"], want) for want in f.get("label", []))
    queue = asyncio.Queue()
    await start_stream(writer)
    if q.get("since"):
        sec, _, nano = q["since"].partition(".")
        since = int(sec) * 10**9 + int((nano or "0").ljust(9, "0"))
        for e in list(s.engine.events):
            if e["timeNano"] >= since:
                queue.put_nowait(e)
    s.engine.listeners.add(queue)
    try:
        while not writer.transport.is_closing():
            try:
                e = await asyncio.wait_for(queue.get(), 0.5)  # to notice a client that has left
            except asyncio.TimeoutError:
                continue
            if fits(e):
                await chunk(writer, model.dump(e))
    finally:
        s.engine.listeners.discard(queue)
    return 200, ...


ID = r"/containers/([^/]+)"
ROUTES = [
    (("GET", "HEAD"), "/_ping", ping),
    (("GET",), "/version", version_),
    (("GET",), "/info", info),
    (("GET",), "/events", events),
    (("GET",), "/containers/json", containers_list),
    (("POST",), "/containers/create", containers_create),
    (("GET",), ID + "/json", container_inspect),
    (("GET",), ID + "/logs", container_logs),
    (("POST",), ID + "/start", container_start),
    (("POST",), ID + "/stop", container_stop),
    (("POST",), ID + "/kill", container_kill),
    (("POST",), ID + "/pause", container_pause),
    (("POST",), ID + "/unpause", container_unpause),
    (("POST",), ID + "/wait", container_wait),
    (("DELETE",), ID, container_remove),
    (("GET",), "/networks", networks_list),
    (("POST",), "/networks/create", networks_create),
    (("GET",), "/networks/([^/]+)", network_get),
    (("DELETE",), "/networks/([^/]+)", network_remove),
    (("GET",), "/volumes", volumes_list),
    (("POST",), "/volumes/create", volumes_create),
    (("DELETE",), "/volumes/([^/]+)", volume_remove),
    (("POST",), "/images/create", images_create),
    (("GET",), "/images/(.+)/json", image_get),
]
