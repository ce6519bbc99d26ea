#!/usr/bin/python3
"""What ctld believes of an engine, asked of the real one and of the fake one in the same words, so that the fake cannot
lie. Arguments: OnFake or OnReal; none: both."""
import contextlib
import json
import os
import socket
import threading
import time

from lib import case, client, engine, fake, stack
from lib.stack import until

_count = 0


class Stream:
    """The engine's events of one project, as they come."""

    def __init__(self, project, since=None):
        filters = json.dumps({"label": [f"lbctl.project={project}"], "type": ["container"]})
        query = {"filters": filters, **({"since": since} if since else {})}
        self.conn = engine._UnixConnection(engine.SOCKET, 30)
        self.conn.request("GET", "/events?" + engine.urllib.parse.urlencode(query), headers={"Host": "docker"})
        self.sock = self.conn.sock
        self.answer = self.conn.getresponse()
        self.seen, self.over = [], False
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        with contextlib.suppress(OSError, ValueError, engine.http.client.HTTPException, AttributeError):
            while True:
                line = self.answer.readline()
                if not line:
                    break
                self.seen.append(json.loads(line))
        self.over = True

    def actions(self, cid):
        return [e["Action"] for e in self.seen if e["Actor"]["ID"] == cid]

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join(5)
        self.conn.close()


class Contract:
    """The cases. self.image is an image of the test application."""

    def setUp(self):
        global _count
        _count += 1
        self.project = f"lbt-{os.getpid()}-c{_count}"
        self.ports = stack.Ports()
        self.port = self.ports.first
        self.addCleanup(self.ports.free)
        self.addCleanup(engine.clean, self.project)

    def body(self, slot=0, port=None, network=None, env=(), **host):
        inside = {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]} if port else {}
        return {"Image": self.image, "Env": list(env), "ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGTERM",
                "Labels": {"lbctl.project": self.project, "lbctl.service": "app", "lbctl.slot": str(slot),
                           "lbctl.token": f"t{slot}", "lbctl.port": str(port or 0)},
                "HostConfig": {"NetworkMode": network or "bridge", "PortBindings": inside, **host}}

    def make(self, name="a", **kw):
        return engine.call("POST", "/containers/create", self.body(**kw), {"name": f"{self.project}-{name}"})["Id"]

    def says(self, status, words, method, path, body=None, **query):
        got, text = engine.ask(method, path, body, query)
        self.assertEqual(got, status, text)
        plain = path.startswith("/v1.") and int(path[4:].split("/")[0]) < 24  # an old client gets plain words
        self.assertIn(words.lower(), (text if plain else json.loads(text)["message"]).lower())

    def row(self, cid):
        filters = json.dumps({"label": [f"lbctl.project={self.project}"]})
        rows = engine.call("GET", "/containers/json", query={"all": "1", "filters": filters})
        return next((r for r in rows if r["Id"] == cid), None)

    def answers(self, port, path="/x/_health"):
        return until(lambda: client.once(port, "GET", path), 10, f"an answer on port {port}")

    # ---- version ----

    def test_ping_version_negotiation(self):
        self.assertEqual(engine.ask("GET", "/_ping"), (200, "OK"))
        v = engine.call("GET", "/version")
        for word in ("ApiVersion", "MinAPIVersion", "Version"):
            self.assertRegex(v[word], r"^\d+\.\d+")
        newest, oldest = v["ApiVersion"], v["MinAPIVersion"]
        self.assertEqual(engine.call("GET", f"/v{newest}/version")["ApiVersion"], newest)
        self.assertEqual(engine.ask("GET", f"/v{oldest}/containers/json")[0], 200)
        above, below = f"1.{int(newest[2:]) + 1}", f"1.{int(oldest[2:]) - 1}"
        self.says(400, f"client version {above} is too new. Maximum supported API version is {newest}", "GET",
                  f"/v{above}/containers/json")
        self.says(400, f"client version {below} is too old. Minimum supported API version is {oldest}", "GET",
                  f"/v{below}/containers/json")
        self.says(404, "page not found", "GET", "/nothing/here")

    # ---- one life ----

    def test_life(self):
        s = Stream(self.project)
        self.addCleanup(s.close)
        cid = self.make(port=self.port)
        self.assertRegex(cid, "^[0-9a-f]{64}$")
        r = self.row(cid)
        self.assertEqual((r["State"], r["Names"], r["Labels"]["lbctl.token"], r["Status"]),
                         ("created", [f"/{self.project}-a"], "t0", "Created"))
        self.assertEqual(r["NetworkSettings"]["Networks"]["bridge"]["IPAddress"], "")
        self.assertEqual(engine.ask("POST", f"/containers/{cid}/stop")[0], 304)
        self.says(409, "is not running", "POST", f"/containers/{cid}/kill", signal="KILL")
        self.assertEqual(engine.ask("POST", f"/containers/{cid}/start"), (204, ""))
        self.assertEqual(engine.ask("POST", f"/containers/{cid}/start"), (304, ""))
        self.assertEqual(self.answers(self.port).status, 200)
        self.assertEqual(client.once(self.port, "GET", "/x/y").get("X-Instance"), cid[:12])
        r, i = self.row(cid), engine.inspect(cid)
        address = i["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
        self.assertRegex(address, r"^\d+\.\d+\.\d+\.\d+$")
        self.assertEqual(r["NetworkSettings"]["Networks"]["bridge"]["IPAddress"], address)
        self.assertEqual(r["State"], "running")
        self.assertRegex(r["Status"], "^Up ")
        self.assertEqual([(p["IP"], p["PrivatePort"], p["PublicPort"]) for p in r["Ports"]],
                         [("127.0.0.1", 80, self.port)])
        self.assertEqual((i["State"]["Status"], i["State"]["Running"], i["Name"]),
                         ("running", True, f"/{self.project}-a"))
        with client.Conn(80, address) as c:
            self.assertEqual(c.request("GET", "/x/_health").status, 200)
        self.says(409, "cannot remove a running container", "DELETE", f"/containers/{cid}")
        self.assertEqual(engine.ask("POST", f"/containers/{cid}/stop", query={"t": "5"}), (204, ""))
        self.assertEqual(engine.ask("POST", f"/containers/{cid}/stop")[0], 304)
        r = self.row(cid)
        self.assertEqual(r["State"], "exited")
        self.assertRegex(r["Status"], r"^Exited \(0\) ")
        self.assertEqual(r["NetworkSettings"]["Networks"]["bridge"]["IPAddress"], "")
        self.assertEqual(r["Ports"], [])
        self.assertTrue(stack.port_free(self.port))
        self.assertEqual(engine.ask("DELETE", f"/containers/{cid}", query={"force": "1", "v": "1"}), (204, ""))
        self.assertIsNone(self.row(cid))
        until(lambda: "destroy" in s.actions(cid), 10, "the event of its end")
        want = ["create", "start", "die", "stop", "destroy"]
        self.assertEqual([a for a in s.actions(cid) if a in want], want)
        for e in s.seen:
            self.assertEqual((e["Type"], e["Actor"]["Attributes"]["lbctl.slot"]), ("container", "0"))
            self.assertGreater(e["timeNano"], 1600000000 * 10**9)

    def test_what_is_not_there(self):
        none = "f" * 64
        for method, tail in (("GET", "/json"), ("POST", "/start"), ("POST", "/stop"), ("POST", "/kill"),
                             ("POST", "/pause"), ("POST", "/wait"), ("DELETE", "")):
            with self.subTest(method + tail):
                self.says(404, f"No such container: {none}", method, f"/containers/{none}{tail}")

    def test_create_is_refused(self):
        cid = self.make()
        self.says(409, f'The container name "/{self.project}-a" is already in use by container "{cid}"', "POST",
                  "/containers/create", self.body(), name=f"{self.project}-a")
        self.says(404, "No such image: lbt-no-such:latest", "POST", "/containers/create",
                  dict(self.body(), Image="lbt-no-such:latest"), name=f"{self.project}-b")
        mount = {"Type": "bind", "Source": "/lbt/not/there", "Target": "/x"}
        self.says(400, "bind source path does not exist: /lbt/not/there", "POST", "/containers/create",
                  self.body(Mounts=[mount]), name=f"{self.project}-c")
        self.assertEqual(len(engine.containers(self.project)), 1)

    def test_pulls_that_cannot_be(self):
        """What an engine says of them without a registry."""
        nowhere = "127.0.0.1:1/lbt-no-such"  # nobody listens there
        digest = "sha256:" + "a" * 64
        for tag in ("1", "latest", digest):
            self.says(500, "connection refused", "POST", "/images/create", fromImage=nowhere, tag=tag)
        self.says(400, "repository name must be lowercase", "POST", "/images/create", fromImage="lbt-No-Such", tag="1")
        for tag in ("sha256:zz", "a b"):
            self.says(400, "invalid tag format", "POST", "/images/create", fromImage=nowhere, tag=tag)
        self.says(404, f"No such image: {nowhere}:1", "POST", "/containers/create",
                  dict(self.body(), Image=nowhere + ":1"), name=f"{self.project}-b")

    def test_images_are_looked_at(self):
        self.assertIn("Id", engine.call("GET", f"/images/{engine.urllib.parse.quote(self.image, safe='')}/json"))
        for name in ("127.0.0.1:1/lbt-no-such:1", "lbt-no-such:1", "lbt-no-such@sha256:" + "a" * 64):
            self.says(404, f"No such image: {name}", "GET",
                      f"/images/{engine.urllib.parse.quote(name, safe='')}/json")

    def test_list_filters(self):
        ids = [self.make(f"s{n}", slot=n) for n in range(3)]
        engine.start(ids[1])

        def listed(every, *labels):
            query = {"filters": json.dumps({"label": [f"lbctl.project={self.project}", *labels]})}
            if every:
                query["all"] = "1"
            return {r["Id"] for r in engine.call("GET", "/containers/json", query=query)}
        self.assertEqual(listed(True), set(ids))
        self.assertEqual(listed(False), {ids[1]})
        self.assertEqual(listed(True, "lbctl.slot=2"), {ids[2]})
        self.assertEqual(listed(True, "lbctl.slot"), set(ids))
        self.assertEqual(listed(True, "lbctl.other"), set())
        self.assertEqual(listed(True, "lbctl.slot=9"), set())

    # ---- ends ----

    def test_exit_codes(self):
        cases = (("itself", lambda c, p: client.once(p, "GET", "/x/t/exit?code=7"), 7),
                 ("kill", lambda c, p: engine.kill(c), 137),
                 ("term", lambda c, p: engine.kill(c, "TERM"), 0),
                 ("stop", lambda c, p: engine.call("POST", f"/containers/{c}/stop", query={"t": "5"}), 0))
        for name, act, code in cases:
            with self.subTest(name):
                s = Stream(self.project)
                cid = self.make(name, port=self.port)
                engine.start(cid)
                self.answers(self.port)
                with contextlib.suppress(OSError, client.HttpError):
                    act(cid, self.port)
                until(lambda: self.row(cid)["State"] == "exited", 10, "its end")  # noqa: B023
                self.assertRegex(self.row(cid)["Status"], rf"^Exited \({code}\) ")
                self.assertEqual(engine.inspect(cid)["State"]["ExitCode"], code)
                until(lambda: "die" in s.actions(cid), 10, "the event of its end")  # noqa: B023
                e = next(e for e in s.seen if e["Action"] == "die")
                self.assertEqual(e["Actor"]["Attributes"]["exitCode"], str(code))
                s.close()
                engine.start(cid)  # and it can be started again
                self.answers(self.port)
                engine.remove(cid)

    def test_one_that_ignores_the_signal(self):
        cid = self.make(env=["MIS_TERM=ignore"], port=self.port)
        engine.start(cid)
        self.answers(self.port)
        begin = time.monotonic()
        self.assertEqual(engine.ask("POST", f"/containers/{cid}/stop", query={"t": "1"}), (204, ""))
        self.assertGreater(time.monotonic() - begin, 0.9)
        self.assertRegex(self.row(cid)["Status"], r"^Exited \(137\)")

    def test_one_that_ends_at_once(self):
        cid = self.make(env=["MIS_FAIL_AT_START=1"])
        self.assertEqual(engine.ask("POST", f"/containers/{cid}/start")[0], 204)
        until(lambda: self.row(cid)["State"] == "exited", 10, "its end")
        self.assertRegex(self.row(cid)["Status"], r"^Exited \(3\)")

    def test_pause(self):
        cid = self.make(port=self.port)
        engine.start(cid)
        self.answers(self.port)
        self.assertEqual(engine.ask("POST", f"/containers/{cid}/pause"), (204, ""))
        self.assertEqual(self.row(cid)["State"], "paused")
        self.assertTrue(engine.inspect(cid)["State"]["Running"])
        self.says(409, "already paused", "POST", f"/containers/{cid}/pause")
        self.says(409, "cannot start a paused container", "POST", f"/containers/{cid}/start")
        with self.assertRaises(OSError):  # taken, but not answered
            client.once(self.port, "GET", "/x/_health", timeout=0.5)
        self.assertEqual(engine.ask("POST", f"/containers/{cid}/unpause"), (204, ""))
        self.assertEqual(self.answers(self.port).status, 200)
        engine.pause(cid)
        self.assertEqual(engine.ask("POST", f"/containers/{cid}/kill", query={"signal": "KILL"}), (204, ""))
        until(lambda: self.row(cid)["State"] == "exited", 10, "a paused one can be killed")
        engine.start(cid)
        engine.pause(cid)
        self.assertEqual(engine.ask("POST", f"/containers/{cid}/stop", query={"t": "1"})[0], 204)
        self.assertEqual(self.row(cid)["State"], "exited")

    def test_wait_and_forced_removal(self):
        cid = self.make(port=self.port)
        engine.start(cid)
        got = []
        t = threading.Thread(target=lambda: got.append(
            engine.ask("POST", f"/containers/{cid}/wait", query={"condition": "removed"})))
        t.start()
        s = Stream(self.project)
        self.addCleanup(s.close)
        time.sleep(0.3)
        self.assertEqual(got, [])
        self.assertEqual(engine.ask("DELETE", f"/containers/{cid}", query={"force": "1"}), (204, ""))
        t.join(20)
        self.assertEqual((got[0][0], json.loads(got[0][1])["StatusCode"]), (200, 137))
        until(lambda: "destroy" in s.actions(cid), 10, "the event of its end")
        self.assertEqual([a for a in s.actions(cid) if a in ("die", "destroy")], ["die", "destroy"])
        self.assertTrue(stack.port_free(self.port))

    # ---- ports ----

    def test_port_of_another_container(self):
        a, b = self.make("a", port=self.port), self.make("b", slot=1, port=self.port)
        engine.start(a)
        self.says(500, "port is already allocated", "POST", f"/containers/{b}/start")
        self.assertEqual(self.row(b)["State"], "created")
        engine.remove(a)
        self.assertEqual(engine.ask("POST", f"/containers/{b}/start")[0], 204)
        self.assertEqual(self.answers(self.port).get("X-Instance"), b[:12])

    def test_port_of_another_program(self):
        cid = self.make(port=self.port)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("127.0.0.1", self.port))
            s.listen()
            self.says(500, "address already in use", "POST", f"/containers/{cid}/start")
            self.assertEqual(self.row(cid)["State"], "created")
        self.assertEqual(engine.ask("POST", f"/containers/{cid}/start")[0], 204)
        self.assertEqual(self.answers(self.port).get("X-Instance"), cid[:12])

    # ---- networks and volumes ----

    def test_networks(self):
        name = self.project
        self.says(404, f"network {name} not found", "GET", f"/networks/{name}")
        cid = self.make(network=name)  # it is looked for at the start only
        self.says(404, f"network {name} not found", "POST", f"/containers/{cid}/start")
        body = {"Name": name, "Driver": "bridge", "CheckDuplicate": True, "Labels": {"lbctl.project": name}}
        nid = engine.call("POST", "/networks/create", body)["Id"]
        self.says(409, f"network with name {name} already exists", "POST", "/networks/create", body)
        got = engine.call("GET", f"/networks/{name}")
        self.assertEqual((got["Name"], got["Id"], got["Labels"]), (name, nid, {"lbctl.project": name}))
        self.assertIn(name, [n["Name"] for n in engine.call("GET", "/networks")])
        self.assertEqual(engine.ask("POST", f"/containers/{cid}/start")[0], 204)
        self.assertTrue(engine.inspect(cid)["NetworkSettings"]["Networks"][name]["IPAddress"])
        self.says(403, "has active endpoints", "DELETE", f"/networks/{name}")
        engine.remove(cid)
        self.assertEqual(engine.ask("DELETE", f"/networks/{name}")[0], 204)
        self.says(404, "not found", "DELETE", f"/networks/{name}")

    def test_volumes(self):
        name = self.project + "-data"
        cid = self.make(Binds=[f"{name}:/data"])
        self.assertIn(name, [v["Name"] for v in engine.call("GET", "/volumes")["Volumes"]])
        engine.remove(cid)
        self.assertIn(name, [v["Name"] for v in engine.call("GET", "/volumes")["Volumes"]], "named ones stay")
        self.assertEqual(engine.ask("DELETE", f"/volumes/{name}")[0], 204)
        self.says(404, "no such volume", "DELETE", f"/volumes/{name}")

    # ---- events ----

    def test_events_since(self):
        a = self.make("a")
        s = Stream(self.project)
        b = self.make("b", slot=1)
        until(lambda: s.seen, 10, "an event")
        last = s.seen[-1]["timeNano"] + 1
        s.close()
        c = self.make("c", slot=2)
        s = Stream(self.project, f"{last // 10**9}.{last % 10**9:09d}")
        until(lambda: s.actions(c), 10, "the event that nobody listened to")
        self.assertEqual((s.actions(a), s.actions(b), s.actions(c)), ([], [], ["create"]))
        s.close()


class OnFake(Contract, case.Case):
    needs_engine = False
    image = "lbt-app:fake"

    @classmethod
    def setUpClass(cls):
        cls.fake = fake.Fake(images=[cls.image])

    @classmethod
    def tearDownClass(cls):
        cls.fake.close()

    def setUp(self):
        super().setUp()
        engine.SOCKET = engine.FRONT  # the way that clients come

    def test_restart_takes_containers_with_it(self):
        cid = self.make(port=self.port)
        engine.start(cid)
        s = Stream(self.project)
        self.fake.restart(0.1, keep=False)
        until(lambda: s.over, 10, "the end of the event stream")
        self.assertEqual((self.row(cid)["State"], engine.inspect(cid)["State"]["ExitCode"]), ("exited", 137))
        self.assertTrue(stack.port_free(self.port))

    def test_restart_keeps_containers(self):
        cid = self.make(port=self.port)
        engine.start(cid)
        self.answers(self.port)
        with client.Conn(self.port) as c:
            self.fake.restart(0.1, keep=True)
            self.assertEqual(c.request("GET", "/x").get("X-Instance"), cid[:12])
        self.assertEqual(self.row(cid)["State"], "running")


class OnReal(Contract, case.Case):
    @classmethod
    def setUpClass(cls):
        cls.image = stack.app_image()


if __name__ == "__main__":
    case.main()
