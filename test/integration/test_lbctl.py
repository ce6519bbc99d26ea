#!/usr/bin/python3
"""lbctl: output, exit codes, limits; and both sockets under garbage."""
import json
import os
import random

from lib import case, client, engine, wire
from lib.stack import Stack, until

USAGE, UNREACHABLE, DOWN, DEGRADED, OK = 64, 3, 2, 1, 0

SLOT = {"slot": int, "port": int, "id": str, "token": str, "generation": int, "state": str, "health": str,
        "since_ms": int, "reason": str, "requests": int, "in_flight": int, "replaced": int}
SERVICE = {"name": str, "image": str, "routes": list, "mode": str, "wish": int, "ready": int, "min": int, "max": int,
           "state": str, "requests": int, "counted": int, "in_flight": int, "errors": int, "retries": int,
           "scaling": dict, "waits_for": list, "slots": list}
TOP = {"schema": int, "state": str, "reasons": list, "ctld": dict, "lbd": dict, "engine": dict, "services": list,
       "totals": dict}
PARTS = {"ctld": {"version": str, "pid": int, "up_ms": int},
         "lbd": {"connected": bool, "pid": int, "build": str, "generation": int, "connections": int, "since_ms": int},
         "engine": {"runtime": str, "up": bool, "since_ms": int, "api": str, "version": str, "error": str},
         "totals": {"wish": int, "ready": int, "requests": int, "in_flight": int}}


class Lbctl(case.Case):
    build = staticmethod(lambda: Stack(app={"scale": "{ min: 1, max: 4, every: 10m, per: 20, "
                                                     "ignore: [/api/v1/_health] }", "drain": "2s"}))

    def members(self, obj, want, where):
        for name, kind in want.items():
            self.assertIn(name, obj, where)
            self.assertIsInstance(obj[name], kind, f"{where}.{name}")

    def run_lbctl(self, code, *args):
        p = self.stack.lbctl(*args)
        self.assertEqual(p.returncode, code, f"lbctl {' '.join(args)}: {p.stdout}{p.stderr}")
        return p

    def test_status_json_is_the_document(self):
        self.stack.scale(2)
        self.stack.get("/api/v1/x")
        p = self.run_lbctl(OK, "status", "--json")
        doc = json.loads(p.stdout)
        self.members(doc, TOP, "status")
        for name, want in PARTS.items():
            self.members(doc[name], want, name)
        self.assertEqual((doc["schema"], doc["state"], doc["reasons"]), (1, "ok", []))
        self.assertEqual(doc["ctld"]["pid"], self.stack.ctld.pid)
        self.assertEqual(doc["lbd"]["pid"], self.stack.lbd.pid)
        self.assertEqual((doc["engine"]["runtime"], doc["engine"]["up"]), ("docker", True))
        self.assertEqual(len(doc["services"]), 1)
        s = doc["services"][0]
        self.members(s, SERVICE, "service")
        self.assertEqual((s["name"], s["routes"], s["wish"], s["ready"], s["min"], s["max"]),
                         ("app", ["/api/v1"], 2, 2, 1, 4))
        for name in ("p50_ms", "p99_ms"):
            self.assertIsInstance(s[name], (float, type(None)), name)
        self.assertIn(s["scaling"]["clock"], ("armed", "unarmed", "off"))
        for name in ("next_decision_ms", "count", "would_be", "last"):
            self.assertIn(name, s["scaling"])
        for slot in s["slots"]:
            self.members(slot, SLOT, f"slot {slot.get('slot')}")
            self.assertEqual(slot["port"], self.stack.host_first + slot["slot"])
            if slot["state"] == "ready":
                self.assertEqual(slot["health"], "ok")
                self.assertRegex(slot["id"], "^[0-9a-f]{64}$")

    def test_status_as_a_table(self):
        self.stack.scale(2)
        p = self.run_lbctl(OK, "status")
        for port, cid in self.stack.ids().items():
            line = [x for x in p.stdout.splitlines() if str(port) in x]
            self.assertEqual(len(line), 1, p.stdout)
            self.assertIn("app", line[0])
            self.assertIn(cid[:12], line[0])
            self.assertIn("ready", line[0])

    def test_requests_appear_in_the_status(self):
        self.stack.scale(2)
        before = self.stack.lbd_stats()
        for _ in range(10):
            self.stack.get("/api/v1/x")
        until(lambda: all(s["requests"] == before[s["slot"]] + 5 for s in self.stack.slots().values()), 5,
              "five more each")

    def test_scale(self):
        self.run_lbctl(OK, "scale", "app", "3")
        self.stack.wait_ready(3)
        self.assertEqual(self.stack.svc()["mode"], "manual")
        self.run_lbctl(OK, "scale", "app", "3")
        self.run_lbctl(OK, "scale", "app", "1")
        self.stack.wait_ready(1)

    def test_scale_has_bounds(self):
        self.stack.scale(2)
        for n in ("0", "5", "100000", "99999999999999999999"):
            p = self.stack.lbctl("scale", "app", n)
            self.assertNotEqual(p.returncode, 0, f"scale app {n}: {p.stdout}")
            self.assertGreater(p.returncode, 0, "died of a signal")
            self.assertRegex(p.stdout + p.stderr, "1 ?(to|and|-|[.][.]) ?4|range|whole number", f"scale app {n}")
        for n in ("-1", "two", "1.5", "", "0x2", "2 ", "+2"):
            self.run_lbctl(USAGE, "scale", "app", n)
        self.assertEqual(self.stack.svc()["wish"], 2)

    def test_scale_auto_gives_it_back(self):
        self.stack.scale(3)
        self.run_lbctl(OK, "scale", "app", "auto")
        until(lambda: self.stack.svc()["mode"] == "auto", 5, "mode auto")

    def test_reset(self):
        self.run_lbctl(OK, "scale", "app", "auto")
        for _ in range(5):
            self.stack.get("/api/v1/x")
        until(lambda: self.stack.svc()["scaling"]["count"] >= 5, 5, "the count")
        self.run_lbctl(OK, "reset", "app")
        s = self.stack.svc()
        self.assertEqual((s["scaling"]["count"], s["scaling"]["clock"], s["wish"]), (0, "unarmed", 1))
        self.assertIsNone(s["scaling"]["next_decision_ms"])
        self.stack.wait_ready(1)

    def test_unknown_service(self):
        for args in (("scale", "ap", "2"), ("reset", "ap"), ("scale", "", "2"), ("reset", "x" * 5000)):
            p = self.stack.lbctl(*args)
            self.assertGreater(p.returncode, 0, f"{args[0]}: {p.stdout}")
        self.assertIn("ap", self.stack.lbctl("scale", "ap", "2").stderr)

    def test_usage(self):
        for args in ((), ("nonsense",), ("status", "extra"), ("status", "--nonsense"), ("scale",), ("scale", "app"),
                     ("scale", "app", "1", "2"), ("reset",), ("check",), ("check", "a", "b"), ("--nonsense",)):
            p = self.stack.lbctl(*args)
            self.assertEqual(p.returncode, USAGE, f"lbctl {' '.join(args)}: {p.stdout}{p.stderr}")
            self.assertIn("lbctl", p.stdout + p.stderr)

    def test_help_and_version(self):
        p = self.run_lbctl(OK, "--help")
        for word in ("status", "scale", "reset", "check", "version"):
            self.assertIn(word, p.stdout)
        self.assertRegex(self.run_lbctl(OK, "version").stdout, r"\d+\.\d+\.\d+")

    def test_a_typing_error_is_answered_with_a_suggestion(self):
        p = self.run_lbctl(USAGE, "staus")
        self.assertIn("status", p.stderr)

    def test_degraded_is_1(self):
        self.stack.scale(2)
        engine.pause(self.stack.ids()[self.stack.host_first])
        seen = until(lambda: next((p for p in [self.stack.lbctl("status", "--json")] if p.returncode != OK), None), 10,
                     "exit code other than 0", every=0.01)
        self.assertEqual(seen.returncode, DEGRADED, seen.stdout)
        doc = json.loads(seen.stdout)
        self.assertEqual(doc["state"], "degraded")
        self.assertTrue(doc["reasons"])
        until(lambda: self.stack.lbctl("status").returncode == OK, 20, "ok again")

    def test_down_is_2_and_unreachable_is_3(self):
        self.stack.lbd.kill()
        until(lambda: self.stack.lbctl("status").returncode == DOWN, 10, "exit code 2")
        self.stack.start_lbd()
        until(lambda: self.stack.lbctl("status").returncode == OK, 10, "exit code 0")
        self.stack.ctld.kill()
        for args in (("status",), ("status", "--json"), ("scale", "app", "2"), ("reset", "app")):
            p = self.run_lbctl(UNREACHABLE, *args)
            self.assertIn("ctld", p.stderr)
        self.stack.start_ctld()
        until(lambda: self.stack.lbctl("status").returncode == OK, 20, "exit code 0")


class Garbage(case.Case):
    """Nothing that a peer sends ends a daemon or another peer's channel."""

    build = staticmethod(lambda: Stack(app={"scale": "{ min: 2, max: 4 }"}))

    def alive(self):
        self.assertTrue(self.stack.lbd.alive(), "lbd died")
        self.assertTrue(self.stack.ctld.alive(), "ctld died")
        self.assertEqual(self.stack.status()["state"], "ok")
        self.assertEqual(self.stack.get("/api/v1/x").status, 200)

    def push(self, table):
        with wire.Wire(self.stack.run_dir + "/lb.sock", "ctl") as w:
            w.ask("table.set", {**table, "generation": w.ask("stats.get")["generation"] + 1})

    def sockets(self):
        return [(self.stack.run_dir + "/ctl.sock", "cli"), (self.stack.run_dir + "/lb.sock", "ctl")]

    def test_raw_bytes(self):
        rnd = random.Random(7)
        hello = b'{"v":1,"id":1,"type":"hello","body":{"proto":1,"role":"cli","build":"x"}}\n'
        rows = [b"", b"\n", b"\n" * 1000, b"{}\n", b"null\n", b"[]\n", b"7\n", b'"x"\n', b"{\n", b"}\n",
                b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 4096, b"\xff" * 4096, rnd.randbytes(65536),
                rnd.randbytes(3000000), b"a" * (2 << 20), b"a" * (2 << 20) + b"\n",
                b'{"v":1,"id":1,"type":"hello","body":{"x":"' + b"a" * (2 << 20) + b'"}}\n',
                b"[" * 100000 + b"\n", b'{"a":' * 50000 + b"\n", hello[:30], hello + hello[:30], hello * 100,
                hello + b'{"v":1,"id":99999999999999999999999999,"type":"status.get","body":{}}\n',
                hello + b'{"v":1,"id":-1,"type":"status.get","body":{}}\n',
                hello + b'{"v":1,"id":2,"type":"status.get"}\n', hello + b'{"v":1,"id":2}\n',
                hello + b'{"v":2,"id":2,"type":"status.get","body":{}}\n',
                hello + b'{"v":"1","id":2,"type":"status.get","body":{}}\n',
                hello + b'{"v":1,"re":5,"body":{}}\n', hello + b'{"v":1,"re":1,"error":"no"}\n',
                hello + b'{"v":1,"type":"ev.stats","body":{}}\n', hello + rnd.randbytes(1000) + b"\n"]
        for path, _ in self.sockets():
            for i, data in enumerate(rows):
                with self.subTest(socket=os.path.basename(path), row=i):
                    wire.raw(path, data, timeout=0.2)
                    wire.raw(path, data, timeout=0.2, half=True)
        self.alive()

    def test_many_peers_that_say_nothing(self):
        for path, _ in self.sockets():
            socks = []
            try:
                for _ in range(200):
                    try:
                        s = wire.socket.socket(wire.socket.AF_UNIX, wire.socket.SOCK_STREAM)
                        s.settimeout(1)
                        s.connect(path)
                        socks.append(s)
                    except OSError:
                        s.close()
            finally:
                for s in socks:
                    s.close()
        until(lambda: self.stack.status()["state"] == "ok", 10, "status ok")
        self.alive()

    def test_wrong_version_parts(self):
        for path, role in self.sockets():
            out = wire.raw(path, b'{"v":1,"id":1,"type":"hello","body":{"proto":2,"role":"%s","build":"x"}}\n'
                           % role.encode(), timeout=2)
            self.assertIn(b"error", out, path)
        self.alive()

    def test_ill_shaped_and_misdirected_messages_get_an_error_answer(self):
        for path, role in self.sockets():
            rows = [("nonsense", {}), ("ev.stats", {}), ("hello", {})]
            if role == "cli":
                rows += [("table.set", {"generation": 1, "services": []}), ("stats.get", {}), ("scale.set", {}),
                         ("scale.set", {"service": 7}), ("scale.set", {"service": "app", "replicas": "2"}),
                         ("scale.set", {"service": "app", "replicas": -1}), ("scale.set", {"service": "app"}),
                         ("scale.set", {"service": "app", "replicas": 2, "auto": True}),
                         ("scale.set", {"service": "x" * 100, "replicas": 2}), ("service.reset", {}),
                         ("service.reset", {"service": None})]
            else:
                rows += [("status.get", {}), ("scale.set", {"service": "app", "replicas": 1}), ("table.set", {}),
                         ("table.set", {"generation": "x", "services": []}),
                         ("table.set", {"generation": 1 << 40, "services": [{}]}),
                         ("table.set", {"generation": 1 << 40, "services": [
                             {"name": "app", "routes": [{"prefix": "/api/v1"}],
                              "backends": [{"slot": 0, "instance": "t", "address": "127.0.0.1", "port": 700000}]}]}),
                         ("table.set", {"generation": 1 << 40, "services": [
                             {"name": "app", "routes": [{"prefix": "/api/v1"}],
                              "backends": [{"slot": 0, "instance": "t", "address": "not an address", "port": 80}]}]}),
                         ("drain.wait", {}), ("drain.wait", {"service": "app", "instance": "x", "timeout_ms": -5})]
            with wire.Wire(path, role) as w:
                for kind, body in rows:
                    with self.subTest(socket=os.path.basename(path), kind=kind, body=str(body)[:60]):
                        with self.assertRaises(wire.Refused):
                            w.ask(kind, body, timeout=5)
        self.alive()

    def test_wrong_direction_of_a_role(self):
        """lbd takes no orders from a CLI."""
        try:
            with wire.Wire(self.stack.run_dir + "/lb.sock", "cli") as w:
                with self.assertRaises(wire.WireError):
                    w.ask("table.set", {"generation": 1 << 50, "services": []}, timeout=5)
        except wire.WireError:
            pass
        self.alive()

    def test_an_older_generation_of_the_same_pusher_is_refused(self):
        table = self.stack.table()
        now = self.stack.status()["lbd"]["generation"]
        with wire.Wire(self.stack.run_dir + "/lb.sock", "ctl") as w:
            w.ask("table.set", {**table, "generation": now + 5})
            for generation in (now + 5, now + 4, 0):
                with self.assertRaises(wire.Refused):
                    w.ask("table.set", {"generation": generation, "services": []}, timeout=5)
        self.alive()

    def test_a_table_of_somebody_else_is_put_right_by_ctld(self):
        table = self.stack.table()
        self.addCleanup(self.push, table)  # should ctld not do it, the tests that follow need it
        with wire.Wire(self.stack.run_dir + "/lb.sock", "ctl") as w:
            generation = w.ask("stats.get")["generation"]
            w.ask("table.set", {"generation": generation + 1, "services": []})
        until(lambda: self.stack.get("/api/v1/x").status == 200, 15, "ctld pushes its own table again")
        self.alive()

    def test_a_peer_that_does_not_read(self):
        for path, role in self.sockets():
            kind = "status.get" if role == "cli" else "stats.get"
            with wire.socket.socket(wire.socket.AF_UNIX, wire.socket.SOCK_STREAM) as s:
                s.settimeout(0.5)
                s.connect(path)
                line = (f'{{"v":1,"id":1,"type":"hello","body":{{"proto":1,"role":"{role}","build":"x"}}}}\n' +
                        "".join(f'{{"v":1,"id":{i},"type":"{kind}","body":{{}}}}\n' for i in range(2, 20000))).encode()
                try:
                    s.sendall(line)
                except OSError:
                    pass
                self.alive()
        self.alive()
        for d in (self.stack.lbd, self.stack.ctld):
            self.assertLess(d.rss_kb(), (800 if d.sanitized() else 100) << 10, f"kB of {d.name}")

    def test_garbage_on_the_public_port(self):
        rnd = random.Random(11)
        for data in (rnd.randbytes(100000), b"\0" * 10000, b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 5000, b"A" * 200000,
                     b"GET " + b"/" * 100000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"):
            try:
                with client.Conn(self.stack.port, timeout=2) as c:
                    c.send(data)
                    c.sock.recv(65536)
            except OSError:
                pass
        self.alive()


if __name__ == "__main__":
    case.main()
