"""runtime_docker and the probes against the real engine, straight and through a relay that cuts, hangs and lies."""
import json
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
import unittest

from lib import engine, stack
from runtime.driver import Driver
from runtime.relay import Relay, http

IMAGE = "lbt-runtime:latest"
PORT = int(os.environ.get("LBCTL_TEST_RUNTIME_PORTS", "21000"))
PROJECT = f"lbt-{os.getpid()}-rt"

CONF = """
listen: 127.0.0.1:{listen}
project: {project}
docker: unix://{socket}
run_dir: {dir}
state_dir: {dir}
services:
  web:
    image: {image}
    port: 80
    host_ports: {port}-{last}
    environment: {{ A: "1", B: "x y" }}
    labels: {{ team: red }}
    volumes: ["{project}-data:/data", "{dir}:/host:ro"]
    tmpfs: ["/run:size=1m", /scratch]
    mem_limit: 64m
    cpus: 0.5
    shm_size: 1m
    read_only: true
    init: true
    user: "0:0"
    stop_signal: SIGTERM
    stop_grace_period: 1500ms
    scale: {{ min: 1, max: 10 }}
  stubborn: {{ image: "{image}", environment: {{ MIS_TERM: ignore }} }}
  fails: {{ image: "{image}", environment: {{ MIS_FAIL_AT_START: "1" }} }}
  noimage: {{ image: "lbt-no-such-image:latest" }}
  noprogram: {{ image: "{image}", entrypoint: /nothere }}
  novolume: {{ image: "{image}", volumes: ["/lbt/does/not/exist:/x:ro"] }}
"""


class RuntimeCase(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="lbt-rt-")
        self.relay = Relay(f"{self.dir}/engine.sock", engine.SOCKET)
        conf = f"{self.dir}/lbctl.yaml"
        with open(conf, "w", encoding="utf-8") as f:
            f.write(CONF.format(listen=PORT + 99, project=PROJECT, socket=self.relay.path, dir=self.dir, image=IMAGE,
                                port=PORT, last=PORT + 9))
        self.d = Driver(stack.program("runtime_driver"), conf)

    def tearDown(self):
        try:
            self.assertEqual(self.d.close(), 0, "".join(self.d.log))
        finally:
            self.relay.close()
            engine.clean(PROJECT)
            shutil.rmtree(self.dir)

    def must(self, result, *command):
        answer = self.d.ask(*command)
        self.assertEqual(answer["result"], result, f"{command}: {answer}")
        return answer

    def create(self, service="web", slot=0, generation=1, port=0):
        return self.must("ok", "create", service, slot, generation, port)["id"]

    def started(self, *args, **named):
        cid = self.create(*args, **named)
        self.must("ok", "start", cid)
        return cid

    def rows(self):
        return {r["id"]: r for r in self.must("ok", "list")["rows"]}

    def up(self, want, timeout=10):
        return stack.until(lambda: (i := self.d.ask("info"))["up"] is want and i, timeout, f"engine up: {want}")


class Operations(RuntimeCase):
    def test_whole_life(self):
        first = self.d.ask("info")
        self.assertEqual((first["up"], first["api"], first["error"]), (False, "", ""))
        cid = self.create(slot=3, generation=7, port=PORT + 3)
        self.assertEqual(self.rows()[cid] | {"conf_hash": "?"},
                         {"id": cid, "name": f"{PROJECT}-web-3-7", "service": "web", "slot": 3, "generation": 7,
                          "token": "t3.7", "conf_hash": "?", "state": "created", "address": "", "port": PORT + 3,
                          "exit_code": 0})
        address = self.must("ok", "start", cid)["address"]
        self.assertEqual(self.must("ok", "start", cid)["address"], address)  # again: as good
        networks = engine.inspect(cid)["NetworkSettings"]["Networks"]
        self.assertEqual(networks[PROJECT]["IPAddress"], address)
        self.assertEqual((self.rows()[cid]["state"], self.rows()[cid]["address"]), ("running", address))
        stack.until(lambda: self.d.ask("probe", "http", "127.0.0.1", PORT + 3, "/", 1000)["result"] == "ok", 5,
                    "a good probe of the published port")
        self.must("ok", "probe", "tcp", address, 80, "/", 1000)
        self.must("ok", "stop", cid, 3000)
        self.must("ok", "stop", cid, 3000)
        self.must("ok", "stop", cid, 0)
        self.assertEqual((self.rows()[cid]["state"], self.rows()[cid]["address"]), ("exited", ""))
        self.must("refused", "probe", "http", "127.0.0.1", PORT + 3, "/", 1000)
        self.must("ok", "remove", cid)
        for command in (("remove", cid), ("stop", cid, 0), ("stop", cid, 1000), ("start", cid)):
            self.must("gone", *command)
        self.assertEqual(self.rows(), {})
        for action in ("create", "start", "die", "destroy"):
            self.d.wait_hint(hint=action, id=cid, service="web", slot=3)
        info = self.d.ask("info")
        version = engine.call("GET", "/version")
        self.assertEqual((info["up"], info["engine"]), (True, version["Version"]))
        self.assertTrue(info["api"] in (version["ApiVersion"], "1.47"), info)

    def test_what_the_container_is_made_of(self):
        made = engine.inspect(self.create(slot=1, port=PORT + 1))
        conf, host = made["Config"], made["HostConfig"]
        self.assertTrue({"A=1", "B=x y"} <= set(conf["Env"]))
        self.assertEqual({k: v for k, v in conf["Labels"].items() if k not in ("lbctl.confhash",)},
                         {"team": "red", "lbctl.project": PROJECT, "lbctl.service": "web", "lbctl.slot": "1",
                          "lbctl.generation": "1", "lbctl.token": "t1.1", "lbctl.port": str(PORT + 1)})
        self.assertEqual((conf["User"], conf["StopSignal"], conf["StopTimeout"]), ("0:0", "SIGTERM", 2))
        want = {"NetworkMode": PROJECT, "Memory": 64 << 20, "NanoCpus": 500000000, "PidsLimit": 2048,
                "ShmSize": 1 << 20, "ReadonlyRootfs": True, "Init": True, "Binds": [f"{PROJECT}-data:/data"],
                "SecurityOpt": ["no-new-privileges"], "Tmpfs": {"/run": "size=1m", "/scratch": ""},
                "LogConfig": {"Type": "json-file", "Config": {"max-size": "10485760", "max-file": "3"}},
                "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(PORT + 1)}]}}
        self.assertEqual({k: host[k] for k in want}, want)
        self.assertEqual(host["RestartPolicy"]["Name"], "no")
        self.assertEqual([(m["Type"], m["Source"], m["Target"], m["ReadOnly"]) for m in host["Mounts"]],
                         [("bind", self.dir, "/host", True)])
        self.assertIn("web", made["NetworkSettings"]["Networks"][PROJECT]["Aliases"])

    def test_refusals(self):
        self.create(generation=1)
        self.assertIn("already in use", self.must("conflict", "create", "web", 0, 1, 0)["error"])
        self.assertIn("No such image", self.must("no-image", "create", "noimage", 0, 1, 0)["error"])
        self.assertIn("/lbt/does/not/exist", self.must("refused", "create", "novolume", 0, 1, 0)["error"])
        cid = self.create("noprogram")
        self.assertIn("/nothere", self.must("refused", "start", cid)["error"])
        for bad in ("../../networks", "x", "a?b=c"):
            self.must("refused", "start", bad)
        self.assertEqual(len(self.rows()), 2)

    def test_exit_code(self):
        cid = self.started("fails")
        stack.until(lambda: self.rows()[cid]["state"] == "exited", 5, "the end of the container")
        self.assertEqual(self.rows()[cid]["exit_code"], 3)

    def test_port_of_another_container(self):
        first, second = self.started(generation=1, port=PORT), self.create(generation=2, port=PORT)
        self.must("port-busy", "start", second)
        self.must("ok", "stop", first, 0)
        self.must("ok", "start", second)

    def test_port_of_another_program(self):
        cid = self.create(port=PORT + 2)
        with socket.create_server(("127.0.0.1", PORT + 2)):
            self.must("port-busy", "start", cid)
        self.must("ok", "start", cid)

    def test_stop(self):
        # The upper bounds tell a wait for the grace time (8 s, or the engine's own 10 s) from none; the engine itself
        # may take seconds on a loaded machine.
        rows = [("term is enough", "web", False, 8000, 0, 7000), ("at once", "stubborn", False, 0, 0, 7000),
                ("grace, then kill", "stubborn", False, 1000, 900, 8000), ("paused", "web", True, 8000, 0, 7000),
                ("paused, at once", "web", True, 0, 0, 7000), ("paused and stubborn", "stubborn", True, 1000, 0, 8000)]
        for i, (name, service, paused, grace, least, most) in enumerate(rows):
            with self.subTest(name):
                cid = self.started(service, generation=i + 1)
                if paused:
                    engine.pause(cid)
                    self.assertEqual(self.rows()[cid]["state"], "paused")
                took = self.must("ok", "stop", cid, grace)["took_ms"]
                self.assertEqual(self.rows()[cid]["state"], "exited")
                self.assertTrue(least <= took <= most, f"took {took} ms")

    def test_remove(self):
        for i, paused in enumerate((False, True)):
            cid = self.started("stubborn", generation=i + 1)
            if paused:
                engine.pause(cid)
            both = [self.d.send("remove", cid), self.d.send("remove", cid)]
            results = [self.d.wait(k)["result"] for k in both]
            self.assertTrue(set(results) <= {"ok", "gone"}, results)
            self.assertIsNone(engine.exists(cid))

    def test_network_is_made_once(self):
        keys = [self.d.send("create", "web", i, 1, 0) for i in range(6)]
        self.assertEqual([self.d.wait(k)["result"] for k in keys], ["ok"] * 6)
        found = [n for n in engine.call("GET", "/networks") if n["Name"] == PROJECT]
        self.assertEqual([n["Labels"] for n in found], [{"lbctl.project": PROJECT}])
        self.assertEqual(len(self.relay.seen("POST .*/networks/create")), 1)

    def test_foreign_network_is_joined(self):
        engine.call("POST", "/networks/create", {"Name": PROJECT, "Labels": {"whose": "mine"}})
        self.started()
        self.assertEqual(engine.call("GET", f"/networks/{PROJECT}")["Labels"], {"whose": "mine"})
        self.assertEqual(self.relay.seen("POST .*/networks/create"), [])

    def test_network_lost_after_create(self):
        cid = self.create()
        engine.call("DELETE", f"/networks/{PROJECT}")
        self.assertNotEqual(self.must("ok", "start", cid)["address"], "")

    def test_only_our_own_are_listed(self):
        mine = self.create()
        engine.create(f"{PROJECT}-foreign", IMAGE, {"team": "blue"})
        engine.create(f"{PROJECT}-other", IMAGE, {"lbctl.project": PROJECT + "2", "lbctl.service": "web"})
        engine.create(f"{PROJECT}-bad", IMAGE, {"lbctl.project": PROJECT, "lbctl.slot": "x"})
        self.assertEqual(list(self.rows()), [mine])
        self.d.wait_log("containers with bad labels left alone: count=1")

    def test_close_with_calls_outstanding(self):
        for i in range(5):
            self.d.send("create", "web", i, 1, 0)
            self.d.send("list")
            self.d.send("probe", "http", "127.0.0.1", PORT + 9, "/", 1000)
        self.assertEqual(self.d.close(), 0)


class Trouble(RuntimeCase):
    def test_engine_goes_and_comes(self):
        cid = self.started()
        self.up(True)
        self.d.wait_hint(hint="resync")
        before = len(self.d.hints)
        self.relay.away()
        answer = self.d.ask("list")
        self.assertEqual(answer["result"], "unknown", answer)
        self.assertLess(answer["took_ms"], 1000)
        self.assertIn("No such file", self.up(False)["error"])
        self.d.wait_hint(since=before, hint="away")
        for command in (("create", "web", 1, 1, 0), ("start", cid), ("stop", cid, 0), ("remove", cid)):
            answer = self.must("unknown", *command)
            self.assertLess(answer["took_ms"], 1000)
        engine.kill(cid)
        self.relay.listen()
        info = self.up(True)  # without any call
        self.assertEqual(info["error"], "")
        self.d.wait_hint(since=before, hint="resync")
        self.d.wait_hint(since=before, hint="die", id=cid)  # replayed by the engine
        self.assertEqual(self.rows()[cid]["state"], "exited")

    def test_engine_hangs(self):
        cid = self.started()
        self.relay.mode = "hang"
        begin = time.monotonic()
        answer = self.must("unknown", "list")
        self.assertTrue(4900 <= answer["took_ms"] <= 5600, answer)
        self.assertIn("timed out", self.up(False)["error"])
        self.assertLess(time.monotonic() - begin, 9)
        self.assertLess(self.must("unknown", "start", cid)["took_ms"], 4000)
        self.relay.mode = "pass"
        self.relay.cut()
        self.up(True)
        self.assertEqual(self.rows()[cid]["state"], "running")

    def test_one_hanging_call_is_not_an_engine_that_is_away(self):
        cid = self.started()
        self.up(True)
        self.relay.mode, self.relay.answers = "answer", [("POST .*/stop", b"")]
        gone = self.must("unknown", "stop", cid, 5000)  # the connection is closed without an answer
        self.assertIn("empty reply", gone["error"].lower())
        self.assertEqual(len(self.rows()), 1)
        self.assertTrue(self.d.ask("info")["up"])
        self.assertNotIn("engine away", "".join(self.d.log))

    def test_stream_is_cut(self):
        cid = self.started()
        for _ in range(3):
            self.d.wait_hint(hint="resync")
            before = len(self.d.hints)
            self.relay.cut()
            begin = time.monotonic()
            self.d.wait_hint(since=before, hint="resync")
            self.assertLess(time.monotonic() - begin, 2)
        engine.kill(cid)
        self.d.wait_hint(since=before, hint="die", id=cid)

    def test_answers_byte_by_byte(self):
        self.relay.mode = "slice"
        cid = self.started()
        self.assertEqual(self.rows()[cid]["state"], "running")
        self.must("ok", "stop", cid, 0)
        self.must("ok", "remove", cid)
        self.d.wait_hint(hint="destroy", id=cid)

    def test_truncated_answers(self):
        cid = self.create(generation=1)
        self.up(True)
        self.d.wait_hint(hint="resync")
        for limit in (1, 20, 100, 400):
            self.relay.mode, self.relay.limit = "truncate", limit
            key = self.d.send("list")
            self.assertEqual(self.d.wait(key)["result"], "unknown", limit)
            self.relay.mode = "pass"
            self.rows()
        self.relay.mode, self.relay.limit, self.relay.only = "truncate", 150, "/containers/create"
        self.must("unknown", "create", "web", 0, 2, 0)
        self.relay.mode = "pass"
        self.assertEqual({r["generation"] for r in self.rows().values()}, {1, 2})  # it happened all the same
        self.assertIn(cid, self.rows())

    def test_lies(self):
        self.up(True)
        big = json.dumps([{"Id": "ab", "Padding": "x" * 1000}] * 17500)
        rows = [("engine broken", http(500, '{"message":"boom"}'), "refused", "boom"),
                ("a gateway", http(502, "Bad Gateway"), "unknown", "Bad Gateway"),
                ("not a list", http(200, "{}"), "unknown", "no JSON array"),
                ("no JSON", http(200, "[{"), "unknown", "no JSON"),
                ("too long", http(200, big), "unknown", "longer than"),
                ("a redirect", http(301, "", "Location: /x\r\n"), "unknown", ""),
                ("no HTTP", b"220 smtp ready\r\n", "unknown", "")]
        for name, data, result, says in rows:
            with self.subTest(name):
                self.relay.mode, self.relay.answers = "answer", [("/containers/json", data)]
                answer = self.must(result, "list")
                self.assertIn(says, answer["error"])
        self.relay.mode = "pass"
        self.up(True)
        self.assertEqual(self.rows(), {})


class Versions(RuntimeCase):
    def say(self, newest, oldest):
        self.relay.mode = "answer"
        body = json.dumps({"Version": "99", "ApiVersion": newest, "MinAPIVersion": oldest})
        self.relay.answers = [("GET /version", http(200, body)),
                              ("GET /v[0-9.]*/containers/json", http(200, "[]"))]

    def test_ranges(self):
        rows = [("1.52", "1.44", "1.47", None), ("1.40", "1.12", "1.40", None),
                ("1.29", "1.12", None, "update the engine"), ("1.70", "1.60", None, "update lbctl")]
        for newest, oldest, api, says in rows:
            with self.subTest(newest):
                self.relay.away()
                self.must("unknown", "list")
                self.say(newest, oldest)
                self.relay.listen()
                if api is None:
                    self.assertIn(says, self.must("unknown", "list")["error"])
                    info = self.d.ask("info")
                    self.assertFalse(info["up"])
                    self.assertIn(says, info["error"])
                else:
                    self.must("ok", "list")
                    self.assertEqual(self.d.ask("info")["api"], api)
                    self.assertTrue(self.relay.seen(f"GET /v{api}/containers/json"))

    def test_engine_is_replaced_unnoticed(self):
        self.up(True)
        self.say("1.40", "1.12")
        too_new = http(400, '{"message":"client version 1.41 is too new. Maximum supported API version is 1.40"}')
        self.relay.answers.insert(0, ("GET /v1.4[1-9]/containers/json", too_new))
        self.assertIn("too new", self.must("refused", "list")["error"])
        self.must("ok", "list")
        self.assertEqual(self.d.ask("info")["api"], "1.40")


class Silent:
    """Accepts and says nothing, or only part of an answer."""

    def __init__(self, data=b"", close=False):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port, self.data, self.close_after, self.conns = self.server.getsockname()[1], data, close, []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                conn, _ = self.server.accept()
            except OSError:
                return
            self.conns.append(conn)
            conn.recv(4096)
            conn.sendall(self.data)
            if self.close_after:
                conn.close()

    def close(self):
        self.server.close()
        for c in self.conns:
            c.close()


class Probes(RuntimeCase):
    def test_results(self):
        ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        rows = [("ok", ok, False, "ok", 200), ("ok, then closed", ok, True, "ok", 200),
                ("500", b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", False, "bad-status", 500),
                ("204", b"HTTP/1.1 204 No\r\n\r\n", False, "bad-status", 204), ("silent", b"", False, "timeout", 0),
                ("closes", b"", True, "reset", 0), ("half a head", b"HTTP/1.1 200 OK\r\nX", True, "reset", 200),
                ("no HTTP", b"hello\r\n", True, "bad-answer", 0)]
        for name, data, close, result, status in rows:
            with self.subTest(name):
                server = Silent(data, close)
                answer = self.must(result, "probe", "http", "127.0.0.1", server.port, "/x", 300)
                self.assertEqual(answer["status"], status)
                self.assertLess(answer["took_us"], 600000)
                self.must("ok", "probe", "tcp", "127.0.0.1", server.port, "/", 300)
                server.close()

    def test_paused_container(self):
        cid = self.started(slot=5, port=PORT + 5)
        stack.until(lambda: self.d.ask("probe", "http", "127.0.0.1", PORT + 5, "/", 1000)["result"] == "ok", 5, "ok")
        engine.pause(cid)
        self.must("timeout", "probe", "http", "127.0.0.1", PORT + 5, "/", 300)


def main():
    reason = None
    for name in ("runtime_driver", "misbehave"):
        if stack.program(name) is None:
            reason = f"{name} has not been built"
    if reason is None and not engine.available():
        reason = f"no engine answers at {engine.SOCKET}"
    if reason is not None:
        print(f"SKIP: {reason}", flush=True)
        sys.exit(1 if os.environ.get("LBCTL_TEST_STRICT") == "1" else 77)
    engine.import_program(IMAGE, stack.program("misbehave"))
    unittest.main(verbosity=2)


if __name__ == "__main__":
    main()
