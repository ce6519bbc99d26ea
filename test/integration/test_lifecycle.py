#!/usr/bin/python3
"""The life of instances as people of the field have seen it go wrong, on the fake engine, whose programs count what
reaches them and when."""
import os
import signal
import threading
import time

from lib import case, client, engine
from lib.stack import Stack, port_free, until
from lib.thief import Thief

CYCLES = int(os.environ.get("LBCTL_TEST_CYCLES", "4"))


class Stops(case.FakeCase):
    """Programs that go on listening for long after SIGTERM and count what still comes: nothing may."""

    @staticmethod
    def build():
        return Stack(app={"environment": '{ MIS_LINGER_MS: "1500", FORM: "form0" }', "drain": "10s",
                          "stop_grace_period": "8s", "rollout": "start-first", "ready_hold": "100ms"})

    def ended(self, seen=0):
        return [f for f in self.fake.history()[seen:] if f["labels"].get("lbctl.service") == "app"]

    def check(self, gone):
        for f in gone:
            what = f"{f['name']}: {f}"
            self.assertIsNotNone(f["term_at"], f"stopped without SIGTERM, {what}")
            self.assertEqual(f["late"], 0, f"requests after SIGTERM, {what}")
            self.assertEqual(f["open_at_term"], 0, f"lbd still had connections, {what}")
            self.assertEqual(f["in_flight"], 0, what)
            self.assertLess(f["last_end"] or 0, f["term_at"], what)

    def test_scale_in_reload_and_removal_under_traffic(self):
        form = 0
        with client.Traffic(self.stack.port, "/api/v1/t/slow?ms=50", threads=8, pause=0.002) as t:
            for _ in range(CYCLES):
                self.stack.scale(4, timeout=60)
                seen = len(t.records)
                until(lambda: len(t.records) > seen + 100, 60, "traffic over all of them")  # noqa: B023
                self.stack.scale(2, timeout=60)
                with open(self.stack.config, encoding="utf-8") as f:
                    text = f.read()
                self.stack.write_config(text.replace(f'"form{form}"', f'"form{form + 1}"'))
                form += 1
                r = self.stack.lbctl("reload", timeout=120)
                self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        self.assertEqual(t.failures(), [], f"of {len(t.records)}")
        until(lambda: len(self.stack.ours("app")) == 2, 30, "the old ones are gone")
        gone = self.ended()
        self.assertGreaterEqual(len(gone), 4 * CYCLES)
        self.check(gone)
        print(f"      {len(gone)} stops, {len(t.records)} requests: none failed, none came after SIGTERM", flush=True)


class Admission(case.FakeCase):
    """No request before the first good check, none a check's interval after the first bad one."""

    @staticmethod
    def build():
        return Stack(app={"environment": '{ MIS_HEALTHY_AFTER_MS: "1200" }', "drain": "3s", "stop_grace_period": "2s"})

    def test_listens_before_it_is_well(self):
        with client.Traffic(self.stack.port, threads=4, pause=0.005) as t:
            self.stack.scale(4, timeout=60)
            until(lambda: len({r.instance for r in t.records[-100:]}) == 4, 30, "traffic over all of them")
        self.assertEqual(t.failures(), [])
        for f in self.fake.containers():
            self.assertGreater(f["first_request"], f["first_good"], f"a request before the first good check: {f}")

    def test_turns_bad(self):
        """And it stays out when the configuration is loaded anew, ctld restarted, the table pushed again."""
        self.stack.scale(3, timeout=60)
        ids = self.stack.exactly(3)
        bad = ids[self.stack.host_first + 1]
        with client.Traffic(self.stack.port, threads=4, pause=0.005) as t:
            until(lambda: len({r.instance for r in t.records}) == 3, 30, "traffic over all of them")
            self.fake.away()  # so that it is not replaced
            self.fake.mode(bad, "sick")
            until(lambda: self.stack.svc()["ready"] == 2, 15, "out of rotation")
            self.stack.lbctl("reload", "--no-wait")
            time.sleep(1)
            self.stack.ctld.kill()
            self.stack.start_ctld()
            time.sleep(2)
            self.fake.back()
            until(lambda: bad not in self.stack.ids().values() and self.stack.svc()["ready"] == 3, 60, "replaced")
        self.assertEqual(t.failures(), [])
        f = next(f for f in self.fake.history() if f["id"] == bad)
        self.assertEqual(f["after_bad"], 0, f"requests later than a check's interval after the first bad one: {f}")
        self.assertEqual({p: i for p, i in self.stack.exactly(3).items() if i in ids.values()},
                         {p: i for p, i in ids.items() if i != bad}, "the healthy ones were touched")


class HostOfTheCheck(case.FakeCase):
    """Programs that answer only to their own name."""

    def test_host(self):
        env = '{ MIS_HOST: "Host: app.example" }'
        s = Stack(app={"environment": env, "health": "{ path: /x/_health, host: app.example, fall: 1 }"}, extra=f"""\
                  unnamed:
                    image: "@IMAGE@"
                    environment: {env}
                    port: 80
                    host_ports: @PORTS@
                    health: {{ path: /x/_health, start_period: 1h }}
                  """)
        self.addCleanup(s.close)
        s.start_lbd()
        s.start_ctld()
        s.wait_ready(1)
        slot = until(lambda: next((x for x in s.svc("unnamed")["slots"] if x["health"] == "bad-status 400"), None), 20,
                     "a bad answer to the one that is asked by its address")
        self.assertEqual(slot["state"], "starting")


class NoNumbers(case.FakeCase):
    """An outage of lbd's numbers is no grounds to take instances away."""

    @staticmethod
    def build():
        return Stack(app={"drain": "1s", "stop_grace_period": "2s",
                          "scale": "{ min: 1, max: 4, every: 2s, per: 10 }"})

    def test_lbd_stalls_and_dies(self):
        low = []
        over = threading.Event()

        def watch():
            while not over.is_set():
                try:
                    low.append(self.stack.svc()["wish"])
                except Exception:  # pylint: disable=broad-except  # ctld is asked again at once
                    pass
                over.wait(0.05)
        with client.Traffic(self.stack.port, threads=4, pause=0.02):
            self.stack.wait_ready(4, timeout=40)
            t = threading.Thread(target=watch)
            t.start()
            try:
                self.stack.lbd.process.send_signal(signal.SIGSTOP)
                time.sleep(5)  # more than two decisions
                self.stack.lbd.process.send_signal(signal.SIGCONT)
                time.sleep(3)
                for _ in range(3):  # its counters begin at zero each time
                    self.stack.lbd.kill()
                    time.sleep(1)
                    self.stack.start_lbd()
                    time.sleep(1.5)
                until(lambda: self.stack.status()["lbd"]["connected"], 20, "ctld and lbd speak again")
            finally:
                over.set()
                t.join(20)
        self.assertEqual(set(low), {4}, "instances were taken away for want of numbers")
        self.stack.wait_ready(1, timeout=40)  # no traffic, with numbers: this is how it looks when it shrinks


class Port(case.FakeCase):
    """A port of the range is somebody else's."""

    @staticmethod
    def build():
        return Stack(app={"drain": "1s", "stop_grace_period": "2s"})

    def test_waits_names_the_port_and_recovers(self):
        taken = self.stack.host_first + 1
        self.assertTrue(port_free(taken))
        with engine.socket.socket() as s, client.Traffic(self.stack.port, threads=2, pause=0.02) as t:
            s.setsockopt(engine.socket.SOL_SOCKET, engine.socket.SO_REUSEADDR, 1)
            s.bind(("127.0.0.1", taken))
            s.listen()
            begin = time.monotonic()
            self.stack.scale(3, wait=False)
            until(lambda: set(self.stack.ids()) == {self.stack.host_first, self.stack.host_first + 2}, 20, "the others")
            until(lambda: any(str(taken) in x["reason"] for x in self.stack.svc()["slots"]), 20, "the reason is told")
            time.sleep(5)
            seconds = time.monotonic() - begin
            calls = self.fake.calls("POST /containers/(create|.*start)")
            self.assertLess(len(calls), 2 * seconds + 8, f"calls in {seconds:.0f} s: {calls}")
            with open(self.stack.dir + "/ctld.log", encoding="utf-8") as f:
                self.assertIn(f"port {taken} is taken", f.read())
            s.settimeout(0)
            with self.assertRaises(BlockingIOError, msg="somebody connected to the foreign program"):
                s.accept()
            s.close()
            self.stack.wait_ready(3, timeout=90)
        self.assertEqual(t.failures(), [])
        self.stack.exactly(3)

    def test_moves_on_where_it_may_and_comes_back(self):
        s = Stack(app={"drain": "1s", "stop_grace_period": "2s", "port_taken": "move",
                       "scale": "{ min: 3, max: 3 }"})
        self.addCleanup(s.close)
        taken = s.host_first + 1
        with engine.socket.socket() as thief:
            thief.setsockopt(engine.socket.SOL_SOCKET, engine.socket.SO_REUSEADDR, 1)
            thief.bind(("127.0.0.1", taken))
            thief.listen()
            s.start_lbd()
            s.start_ctld()
            until(lambda: set(s.ids()) == {s.host_first, s.host_first + 2, s.host_first + 3}, 60, "a further slot")
            self.assertEqual(s.svc()["ready"], 3)
            self.assertTrue(any(str(taken) in x["reason"] for x in s.svc()["slots"]), "the reason is not told")
            with open(s.config, encoding="utf-8") as f:
                text = f.read()
            s.write_config(text.replace("drain: 1s", "drain: 2s"))
            r = s.lbctl("reload", timeout=120)
            self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
            thief.settimeout(0)
            with self.assertRaises(BlockingIOError, msg="somebody connected to the foreign program"):
                thief.accept()
        with client.Traffic(s.port, threads=2, pause=0.02) as t:
            until(lambda: set(s.ids()) == {s.host_first + i for i in range(3)}, 120, "back on its own port")
        self.assertEqual(t.failures(), [])
        s.exactly(3)

    def test_a_stranger_that_answers_well(self):
        """The container dies while the engine is away, and another program takes its port and answers everything with
        200, health checks too: not one request goes there, and the slot is not ready."""
        self.stack.scale(2, timeout=90)
        ids = self.stack.exactly(2)
        port = self.stack.host_first + 1
        thieves = []

        def steal():
            try:
                thieves.append(Thief(port))
            except OSError:
                return False
            return True
        with client.Traffic(self.stack.port, threads=4, pause=0.005) as t:
            until(lambda: len({r.instance for r in t.records}) == 2, 30, "traffic over both")
            self.fake.away()
            self.fake.exit(ids[port], 9)
            until(steal, 10, "the port is free to steal", every=0.0003)
            try:
                slot = until(lambda: next((s for s in self.stack.svc()["slots"]
                                           if s["port"] == port and s["state"] != "ready"), None), 15, "out of rotation")
                time.sleep(3)
                self.assertEqual(self.stack.svc()["ready"], 1)
                slot = next(s for s in self.stack.svc()["slots"] if s["port"] == port)
                self.assertIn(slot["health"], ("foreign", "refused"), slot)
                # lbd alone, with its saved table, and ctld anew: neither falls for it
                self.stack.ctld.kill()
                time.sleep(1)
                self.stack.start_ctld()
                time.sleep(2)
            finally:
                thieves[0].close()
            self.fake.back()
            self.stack.wait_ready(2, timeout=60)
        self.assertEqual([r for r in thieves[0].requests if "_health" not in r], [])
        self.assertEqual(t.failures(), [])
        self.assertNotIn("thief", {r.instance for r in t.records})

    def test_lbd_itself_knows_its_backends(self):
        """ctld is dead: lbd, with its last table, does not send a stranger anything."""
        self.stack.scale(2, timeout=90)
        ids = self.stack.exactly(2)
        port = self.stack.host_first + 1
        self.stack.ctld.kill()
        self.fake.exit(ids[port], 9)
        thief = until(lambda: Thief(port), 10, "the port is free to steal")
        try:
            seen, errors = client.burst(self.stack.port, "/api/v1/x", 200, 4)
            self.assertEqual((errors, {s for s, _ in seen}), ([], {200}))
            self.assertEqual({i for _, i in seen}, {ids[self.stack.host_first][:12]})
            self.assertEqual(self.stack.post("/api/v1/x", b"x").status, 200)
            self.assertEqual(thief.requests, [])
            self.fake.exit(ids[self.stack.host_first], 9)  # and when nobody else is left
            self.assertIn(self.stack.get("/api/v1/x").status, (502, 503))
            self.assertEqual(thief.requests, [])
        finally:
            thief.close()
            self.stack.start_ctld()
        self.stack.wait_ready(2, timeout=60)


if __name__ == "__main__":
    case.main()
