#!/usr/bin/python3
"""The engine is away, hangs, talks nonsense, or loses answers: unknown is not dead. Traffic and probing go on, nothing
is done twice, and afterwards there are exactly the right containers."""
import threading
import time

from lib import case, client, engine
from lib.engineproxy import EngineProxy
from lib.stack import Stack, port_free, until


class Engine(case.Case):
    @staticmethod
    def build():
        s = Stack(app={"drain": "3s", "stop_grace_period": "2s"}, docker="@DIR@/engine.sock")
        s.proxy = EngineProxy(s.dir + "/engine.sock")
        return s

    @classmethod
    def tearDownClass(cls):
        cls.stack.proxy.close()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.proxy = self.stack.proxy
        self.stack.scale(2)
        self.ids = self.stack.exactly(2)
        self.first = self.stack.host_first

    def tearDown(self):
        self.proxy.swallow = None
        if self.proxy.mode != "pass":
            self.proxy.set("pass")
        until(lambda: self.stack.status()["engine"]["up"], 30, "the engine is up again")

    def down(self, timeout=25):
        until(lambda: not self.stack.status()["engine"]["up"], timeout, "the status says that the engine is away")

    def check_away(self, mode):
        with client.Traffic(self.stack.port, threads=4, pause=0.01) as t:
            self.proxy.set(mode)
            self.down()
            st = self.stack.status()
            self.assertTrue(st["engine"]["error"], "no word about why")
            begin = time.monotonic()
            p = self.stack.lbctl("status")
            self.assertLess(time.monotonic() - begin, 2.0, "lbctl status waits for the engine")
            self.assertRegex(p.stdout + p.stderr, "engine|docker")
            self.assertEqual(self.stack.svc()["ready"], 2, "unknown was taken for dead")
            self.proxy.set("pass")
            until(lambda: self.stack.status()["engine"]["up"], 30, "the engine is up again")
        self.assertEqual(t.failures(), [], f"failures, of {len(t.records)} requests")
        self.assertEqual(self.stack.exactly(2), self.ids, "healthy containers were touched")

    def test_nobody_listens(self):
        self.check_away("refuse")

    def test_it_hangs(self):
        self.check_away("hang")

    def test_it_talks_nonsense(self):
        self.check_away("garbage")

    def test_it_answers_500(self):
        with client.Traffic(self.stack.port, threads=4, pause=0.01) as t:
            self.proxy.set("fail")
            n = len(self.proxy.log)
            until(lambda: len(self.proxy.log) > n + 1, 25, "some calls")
            self.assertEqual(self.stack.svc()["ready"], 2)
            self.proxy.set("pass")
        self.assertEqual(t.failures(), [])
        self.assertEqual(self.stack.exactly(2), self.ids)

    def test_a_crash_while_it_hangs(self):
        self.proxy.set("hang")
        with client.Traffic(self.stack.port, threads=4, pause=0.01) as t:
            at = time.monotonic()
            self.assertEqual(self.stack.direct(self.first, "POST", "/api/v1/_crash").status, 200)
            until(lambda: self.stack.svc()["ready"] == 1, 5, "the sick one is out of rotation")
            out = time.monotonic()
            until(lambda: [r for r in list(t.records) if r.begin > out + 2], 10, "traffic")
            late = [r for r in t.failures() if r.begin > at + 2]
            self.assertEqual(late, [], "the sick one still gets requests")
            self.proxy.set("pass")
            until(lambda: self.stack.ids().get(self.first, self.ids[self.first]) != self.ids[self.first], 40, "replaced")
        self.assertEqual(self.stack.exactly(2)[self.first + 1], self.ids[self.first + 1])

    def test_away_during_scale_out(self):
        for mode, after in (("refuse", 0.05), ("hang", 0.15), ("refuse", 0.4)):
            with self.subTest(mode=mode, after=after):
                self.stack.scale(1)
                with client.Traffic(self.stack.port, threads=2, pause=0.01) as t:
                    self.stack.scale(5, wait=False)
                    time.sleep(after)
                    self.proxy.set(mode)
                    time.sleep(1)
                    self.proxy.set("pass")
                    self.stack.wait_ready(5, timeout=60)
                self.stack.exactly(5)
                self.assertEqual(t.failures(), [])

    def check_lost(self, pattern, act, times=2):
        """Answers to the calls that match get lost, a few times, while act() is under way."""
        self.proxy.swallowed.clear()
        self.proxy.swallow = pattern

        def stop():
            until(lambda: len(self.proxy.swallowed) >= times, 60, f"{times} lost answers to {pattern}", every=0.001)
            self.proxy.swallow = None
        t = threading.Thread(target=stop)
        t.start()
        try:
            act()
        finally:
            t.join(60)
            self.proxy.swallow = None
        self.assertGreaterEqual(len(self.proxy.swallowed), times)

    def test_answers_to_create_get_lost(self):
        def act():
            self.stack.scale(4, timeout=60)
            self.stack.exactly(4)
        self.check_lost(r"POST .*/containers/create", act)

    def test_answers_to_start_get_lost(self):
        def act():
            self.stack.scale(4, timeout=60)
            self.stack.exactly(4)
        self.check_lost(r"POST .*/start", act)

    def test_answers_to_stop_and_remove_get_lost(self):
        def act():
            self.stack.scale(4, timeout=60)
            self.stack.scale(1, timeout=60)
            self.assertEqual(self.stack.exactly(1), {self.first: self.ids[self.first]})
        self.check_lost(r"POST .*/(stop|kill)|DELETE ", act, times=3)

    def test_event_stream_cut_again_and_again(self):
        for _ in range(3):
            ids = self.stack.exactly(2)
            self.proxy.cut("/events")
            engine.kill(ids[self.first])
            self.proxy.cut("/events")
            at = time.monotonic()
            until(lambda: self.stack.ids().get(self.first, ids[self.first]) != ids[self.first], 15,  # noqa: B023
                  "replaced")
            print(f"      replaced after {time.monotonic() - at:.2f} s without events", flush=True)
            self.stack.exactly(2)
            self.proxy.cut()

    def test_requests_cause_no_calls(self):
        time.sleep(1)
        before = len(self.proxy.log)
        begin = time.monotonic()
        client.burst(self.stack.port, "/api/v1/x", 2000, 8)
        time.sleep(max(0, 4 - (time.monotonic() - begin)))
        calls = self.proxy.log[before:]
        self.assertLess(len(calls), 12, f"calls to the engine in 4 s at rest: {calls}")
        self.assertEqual([c for c in calls if not c.startswith("GET ")], [])

    def test_nothing_dangerous_was_ever_asked(self):
        foreign = [r for r in self.proxy.log if "/exec" in r or "/prune" in r or "/build" in r or "/images/create" in r]
        self.assertEqual(foreign, [])


class PortTaken(case.Case):
    """A port of the range belongs to somebody else."""

    build = staticmethod(lambda: Stack(app={"drain": "2s"}))

    def test_others_start_and_it_recovers(self):
        taken = self.stack.host_first + 1
        self.assertTrue(port_free(taken))
        cid = engine.call("POST", "/containers/create", {
            "Image": self.image(), "ExposedPorts": {"80/tcp": {}},
            "HostConfig": {"NetworkMode": self.stack.project,
                           "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(taken)}]}}},
            query={"name": self.stack.project + "x-squatter"})["Id"]
        self.stack.foreign.append(cid)
        engine.start(cid)
        try:
            with client.Traffic(self.stack.port, threads=2, pause=0.01) as t:
                self.stack.scale(3, wait=False)
                ports = {self.stack.host_first, self.stack.host_first + 2}
                until(lambda: set(self.stack.ids()) == ports, 20, "the other two ready")
                reason = until(lambda: next((s["reason"] for s in self.stack.svc()["slots"] if s["port"] == taken and
                                             str(taken) in s["reason"]), None), 10, "the status names the port")
                print(f"      {reason}", flush=True)
                self.assertRegex(reason, r"pid \d+ \(docker-proxy\)|a process that we may not see")
                made = set()
                end = time.monotonic() + 4
                while time.monotonic() < end:
                    made |= {c["Id"] for c in self.stack.ours("app")}
                    time.sleep(0.02)
                self.assertLessEqual(len(made), 6, "containers made while the port is taken")
                self.assertTrue(engine.running(cid), "the foreign container was touched")
                seen = {self.stack.get("/api/v1/x").get("X-Instance") for _ in range(6)}
                self.assertNotIn(cid[:12], seen, "a foreign container got traffic")
                engine.remove(cid)
                self.stack.wait_ready(3, timeout=70)
            self.stack.exactly(3)
            self.assertEqual(t.failures(), [])
        finally:
            engine.remove(cid)

    def image(self):
        return engine.inspect(next(iter(self.stack.ids().values())))["Config"]["Image"]


if __name__ == "__main__":
    case.main()
