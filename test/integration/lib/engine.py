"""The container engine through its REST API on a Unix socket, independent of the product's own client."""
import http.client
import io
import json
import os
import socket
import tarfile
import urllib.parse

SOCKET = os.environ.get("LBCTL_TEST_DOCKER", "/var/run/docker.sock")
FRONT = None  # where ctld asks, when that is another way to the same engine


class EngineError(Exception):
    def __init__(self, status, text):
        super().__init__(f"engine answered {status}: {text}")
        self.status = status


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("docker", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def call(method, path, body=None, query=None, timeout=60, content_type="application/json"):
    """One request; the decoded JSON (or text) of a 2xx or 304 answer, else EngineError."""
    status, text = ask(method, path, body, query, timeout, content_type)
    if not (200 <= status < 300 or status == 304):
        raise EngineError(status, text.strip())
    try:
        return json.loads(text)
    except ValueError:
        return text


def ask(method, path, body=None, query=None, timeout=60, content_type="application/json"):
    """One request; status and text of the answer, whatever it is."""
    if query:
        path += "?" + urllib.parse.urlencode(query)
    conn = _UnixConnection(SOCKET, timeout)
    try:
        headers = {"Host": "docker"}
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers["Content-Type"] = content_type
        conn.request(method, path, data, headers)
        answer = conn.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        conn.close()


def available():
    try:
        return call("GET", "/_ping", timeout=5).strip() == "OK"
    except (OSError, EngineError, http.client.HTTPException):
        return False


def has_image(name):
    try:
        call("GET", f"/images/{name}/json")
        return True
    except EngineError as e:
        if e.status == 404:
            return False
        raise


def import_program(tag, path):
    """An image FROM scratch with one static program."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        tar.add(path, arcname="app")
    repo, _, version = tag.partition(":")
    call("POST", "/images/create", raw.getvalue(), content_type="application/x-tar",
         query={"fromSrc": "-", "repo": repo, "tag": version, "changes": 'ENTRYPOINT ["/app"]'})


def containers(prefix=None):
    """All containers in any state; with a prefix only those whose name begins so."""
    found = call("GET", "/containers/json", query={"all": "1"})
    if prefix is None:
        return found
    return [c for c in found if any(n.lstrip("/").startswith(prefix) for n in c["Names"])]


def inspect(cid):
    return call("GET", f"/containers/{cid}/json")


def exists(cid):
    try:
        return inspect(cid)
    except EngineError as e:
        if e.status == 404:
            return None
        raise


def running(cid):
    found = exists(cid)
    return bool(found and found["State"]["Running"])


def create(name, image, labels=None, env=None):
    """A container of nobody's, without a network."""
    return call("POST", "/containers/create", {"Image": image, "Labels": labels or {}, "Env": env or [],
                                               "HostConfig": {"NetworkMode": "none"}}, query={"name": name})["Id"]


def start(cid):
    call("POST", f"/containers/{cid}/start")


def kill(cid, signal="KILL"):
    call("POST", f"/containers/{cid}/kill", query={"signal": signal})


def pause(cid):
    call("POST", f"/containers/{cid}/pause")


def remove(cid):
    try:
        call("DELETE", f"/containers/{cid}", query={"force": "1", "v": "1"})
    except EngineError as e:
        if e.status not in (404, 409):  # gone, or being removed by somebody else
            raise


def logs(cid, tail=60):
    """The last lines of a container's output, without the stream's frame heads."""
    try:
        conn = _UnixConnection(SOCKET, 20)
        conn.request("GET", f"/containers/{cid}/logs?stdout=1&stderr=1&tail={tail}", headers={"Host": "docker"})
        raw = conn.getresponse().read()
        conn.close()
    except OSError as e:
        return f"(no logs: {e})"
    out = b""
    while len(raw) >= 8:
        n = int.from_bytes(raw[4:8], "big")
        out += raw[8:8 + n]
        raw = raw[8 + n:]
    return out.decode(errors="replace")


def clean(project):
    """Remove containers, networks and volumes whose name is the project's own or begins with it and a dash."""
    for c in containers(project + "-"):
        remove(c["Id"])
    for net in call("GET", "/networks"):
        if net["Name"] == project or net["Name"].startswith(project + "-"):
            try:
                call("DELETE", f"/networks/{net['Id']}")
            except EngineError as e:
                if e.status != 404:
                    raise
    for vol in call("GET", "/volumes").get("Volumes") or []:
        if vol["Name"].startswith(project + "-"):
            try:
                call("DELETE", f"/volumes/{vol['Name']}", query={"force": "1"})
            except EngineError as e:
                if e.status != 404:
                    raise


def clean_leftovers():
    """Sweep what killed test runs left behind: projects are named lbt-PID-..., and that process has gone."""
    found = {n.lstrip("/") for c in containers("lbt-") for n in c["Names"]}
    found |= {n["Name"] for n in call("GET", "/networks") if n["Name"].startswith("lbt-")}
    found |= {v["Name"] for v in call("GET", "/volumes").get("Volumes") or [] if v["Name"].startswith("lbt-")}
    for project in {"-".join(n.split("-")[:3]) for n in found}:
        pid = project.split("-")[1]
        if not pid.isdigit():
            continue
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if b"python" in f.read():
                    continue
        except OSError:
            pass
        clean(project)
