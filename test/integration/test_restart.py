#!/usr/bin/python3
"""Either daemon may be killed at any moment: traffic goes on, and afterwards there are exactly the right containers.
What does not belong to the project is never touched."""
import os
import random
import signal
import time

from lib import case, client, engine
from lib.stack import Stack, app_image, until

SEED = random.randrange(1 << 30)


class Restart(case.Case):
    build = staticmethod(lambda: Stack(app={"drain": "5s", "stop_grace_period": "3s"}, extra="""\
        side:
          image: @IMAGE@
          route: /side
          port: 80
          host_ports: @PORTS@
          health: { path: /_health, interval: 1s, timeout: 1s }
          scale: { min: 1, max: 2 }
        """))

    @classmethod
    def prepare(cls):
        cls.random = random.Random(SEED)
        print(f"      seed {SEED}")
        p = cls.stack.project
        # not ours: no labels; labels of somebody else's; the name of a neighbour project that begins like ours
        cls.strangers = [
            engine.create(f"{p}x-foreign", app_image()),
            engine.create(f"{p}x-app-0-1", app_image(), labels={"com.example.service": "app"}),
        ]
        cls.neighbour = Stack(app={"scale": "{ min: 2, max: 2 }"})
        cls.stack.foreign += cls.strangers
        for cid in cls.strangers:
            engine.start(cid)
        cls.neighbour.start()
        cls.neighbour_ids = cls.neighbour.ids()
        cls.neighbour.ctld.kill()  # what it left must stay as it is, nobody looks after it

    @classmethod
    def tearDownClass(cls):
        cls.neighbour.close()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.stack.scale(2)

    def tearDown(self):
        for d, start in ((self.stack.lbd, self.stack.start_lbd), (self.stack.ctld, self.stack.start_ctld)):
            if not d.alive():
                start()
        for cid in self.strangers:
            self.assertTrue(engine.running(cid), "a foreign container was touched")
        self.assertEqual(self.neighbour.published(), {p: [i] for p, i in self.neighbour_ids.items()},
                         "another project's containers were touched")

    def restart_ctld(self, away=0.3):
        self.stack.ctld.kill()
        time.sleep(away)
        self.stack.start_ctld()

    def check_side(self):
        self.assertEqual(len(self.stack.ours("side")), 1)
        self.assertEqual(self.stack.get("/side/x").status, 200)

    def test_ctld_killed_at_idle(self):
        before = self.stack.exactly(2)
        side = self.stack.ids("side")
        with client.Traffic(self.stack.port, threads=4, pause=0.01) as t:
            self.restart_ctld(away=1.5)
            self.stack.wait_ok(20)
            self.stack.wait_ready(2)
            end = time.monotonic()
            until(lambda: [r for r in list(t.records) if r.begin > end + 1.5], 10, "traffic afterwards")
        self.assertEqual(t.failures(), [], f"failures, of {len(t.records)} requests")
        self.assertEqual(self.stack.exactly(2), before, "not adopted")
        self.assertEqual(self.stack.ids("side"), side, "not adopted")
        self.check_side()

    def test_the_operator_s_pin_survives(self):
        self.stack.scale(3)
        before = self.stack.exactly(3)
        self.restart_ctld()
        self.stack.wait_ready(3)
        self.assertEqual(self.stack.svc()["mode"], "manual")
        self.assertEqual(self.stack.exactly(3), before)

    def test_ctld_stopped_in_order_leaves_the_containers(self):
        before = self.stack.exactly(2)
        with client.Traffic(self.stack.port, threads=4, pause=0.01) as t:
            self.assertEqual(self.stack.ctld.stop(), 0, "exit code after SIGTERM")
            self.stack.start_ctld()
            self.stack.wait_ready(2)
        self.assertEqual(t.failures(), [])
        self.assertEqual(self.stack.exactly(2), before)

    def moments(self, n, longest):
        return [self.random.uniform(0, longest) for _ in range(n)]

    def test_ctld_killed_while_scaling_out(self):
        for after in self.moments(4, 1.5):
            with self.subTest(after=round(after, 3)):
                self.stack.scale(1)
                with client.Traffic(self.stack.port, threads=4, pause=0.01) as t:
                    self.stack.scale(6, wait=False)
                    time.sleep(after)
                    self.restart_ctld()
                    self.stack.wait_ready(6, timeout=40)
                    self.stack.exactly(6)
                self.assertEqual(t.failures(), [], f"failures, of {len(t.records)} requests")
                self.check_side()

    def test_ctld_killed_while_scaling_in(self):
        for after in self.moments(3, 1.5):
            with self.subTest(after=round(after, 3)):
                self.stack.scale(5)
                keep = self.stack.exactly(5)
                with client.Traffic(self.stack.port, threads=4, pause=0.01) as t:
                    self.stack.scale(2, wait=False)
                    time.sleep(after)
                    self.restart_ctld()
                    self.stack.wait_ready(2, timeout=40)
                first = self.stack.host_first
                self.assertEqual(self.stack.exactly(2), {p: keep[p] for p in (first, first + 1)})
                self.assertEqual(t.failures(), [], f"failures, of {len(t.records)} requests")

    def test_ctld_killed_during_a_replacement(self):
        for after in self.moments(5, 2.2):
            with self.subTest(after=round(after, 3)):
                self.stack.wait_ready(2)
                ids = self.stack.exactly(2)
                port = self.stack.host_first
                with client.Traffic(self.stack.port, threads=4, pause=0.01) as t:
                    self.assertEqual(self.stack.direct(port, "POST", "/api/v1/_crash").status, 200)
                    time.sleep(after)
                    self.restart_ctld()
                    until(lambda: self.stack.ids().get(port, ids[port]) != ids[port], 30, "replaced")
                    self.stack.wait_ready(2)
                now = self.stack.exactly(2)
                self.assertEqual(now[port + 1], ids[port + 1], "the healthy one was touched")
                self.assertEqual({r.status for r in t.failures()} - {500}, set(), t.failures()[:5])

    def test_ctld_killed_again_and_again(self):
        self.stack.scale(4, wait=False)
        with client.Traffic(self.stack.port, threads=4, pause=0.01) as t:
            for after in self.moments(8, 0.8):
                time.sleep(after)
                self.restart_ctld(away=0.05)
            self.stack.wait_ready(4, timeout=40)
        self.stack.exactly(4)
        self.assertEqual(t.failures(), [], f"failures, of {len(t.records)} requests")
        self.check_side()

    def test_a_container_dies_while_ctld_is_away(self):
        ids = self.stack.exactly(2)
        port = self.stack.host_first
        self.stack.ctld.kill()
        with client.Traffic(self.stack.port, threads=4, pause=0.01) as t:
            engine.kill(ids[port])
            until(lambda: len(t.records) > 50, 10, "traffic")
            self.stack.start_ctld()
            until(lambda: self.stack.ids().get(port, ids[port]) != ids[port], 20, "replaced")
        now = self.stack.exactly(2)
        self.assertEqual(now[port + 1], ids[port + 1])
        self.assertEqual(t.failures(), [], f"failures, of {len(t.records)} requests")

    def test_lbd_killed_serves_from_its_saved_table_without_ctld(self):
        self.stack.exactly(2)
        self.stack.ctld.kill()
        self.stack.lbd.kill()
        self.stack.start_lbd()
        at = time.monotonic()
        until(lambda: self.stack.get("/api/v1/x").status == 200, 5, "a request passes", every=0.005)
        print(f"      serves {time.monotonic() - at:.2f} s after the start", flush=True)
        seen = [self.stack.get("/api/v1/x").get("X-Instance") for _ in range(6)]
        self.assertEqual(seen[:2] * 3, seen)
        self.assertEqual(len(set(seen)), 2)
        self.assertEqual(self.stack.get("/").status, 200)
        self.assertEqual(self.stack.get("/api/v1x").status, 404)
        self.stack.start_ctld()
        self.stack.wait_ready(2)
        self.stack.exactly(2)

    def test_lbd_killed_under_ctld(self):
        ids = self.stack.exactly(2)
        self.stack.lbd.kill()
        until(lambda: self.stack.status()["state"] == "down", 10, "the status says that lbd is away")
        self.stack.start_lbd()
        until(lambda: self.stack.get("/api/v1/x").status == 200, 5, "a request passes", every=0.005)
        self.stack.wait_ok(10)
        self.assertEqual(self.stack.exactly(2), ids, "containers were touched")
        # new tables arrive again
        self.stack.scale(3)
        self.assertEqual(len({self.stack.get("/api/v1/x").get("X-Instance") for _ in range(3)}), 3)

    def test_ctld_frozen(self):
        ids = self.stack.exactly(2)
        with client.Traffic(self.stack.port, threads=4, pause=0.01) as t:
            os.kill(self.stack.ctld.pid, signal.SIGSTOP)
            try:
                time.sleep(3)
                self.assertEqual(self.stack.lbctl("status", timeout=30).returncode, 3, "lbctl waits for ever")
            finally:
                os.kill(self.stack.ctld.pid, signal.SIGCONT)
            self.stack.wait_ok(20)
        self.assertEqual(t.failures(), [], f"failures, of {len(t.records)} requests")
        self.assertEqual(self.stack.exactly(2), ids, "time that had passed was taken for failures")

    def test_lbd_frozen(self):
        ids = self.stack.exactly(2)
        os.kill(self.stack.lbd.pid, signal.SIGSTOP)
        try:
            end = time.monotonic() + 4
            while time.monotonic() < end:
                begin = time.monotonic()
                self.stack.status()
                self.assertLess(time.monotonic() - begin, 1.0, "ctld waits for lbd")
                time.sleep(0.1)
        finally:
            os.kill(self.stack.lbd.pid, signal.SIGCONT)
        self.stack.wait_ok(20)
        self.assertEqual(self.stack.exactly(2), ids)
        self.stack.scale(3)
        self.assertEqual(len({self.stack.get("/api/v1/x").get("X-Instance") for _ in range(3)}), 3)

    def test_own_files_are_garbage(self):
        ids = self.stack.exactly(2)
        for garbage in (b"", b"\0\1\2\3" * 1000, b"{", b"[]", b'{"v":1,"generation":"x","services":[{}]}', b"null\n",
                        b"[" * 100000, os.urandom(2 << 20)):
            with self.subTest(garbage[:20]):
                self.stack.ctld.kill()
                self.stack.lbd.kill()
                names = [n for n in os.listdir(self.stack.state_dir)
                         if os.path.isfile(os.path.join(self.stack.state_dir, n))]
                self.assertTrue(names, "nothing was saved")
                for name in names:
                    with open(os.path.join(self.stack.state_dir, name), "wb") as f:
                        f.write(garbage)
                self.stack.start_lbd()
                until(lambda: self.stack.get("/").status == 200, 5, "lbd answers")
                self.stack.start_ctld()
                until(lambda: self.stack.get("/api/v1/x").status == 200, 10, "a request passes")
                # the pin may be lost with the file; containers that serve are adopted
                self.stack.scale(2)
                self.assertEqual(self.stack.exactly(2)[self.stack.host_first], ids[self.stack.host_first])

    def test_lbd_ends_in_order(self):
        self.assertEqual(self.stack.lbd.stop(), 0, "exit code after SIGTERM")
        self.stack.start_lbd()
        until(lambda: self.stack.get("/api/v1/x").status == 200, 5, "a request passes")
        self.stack.wait_ok(10)

    def test_lbd_first_without_any_table(self):
        other = Stack(app={})
        try:
            other.start_lbd()
            until(lambda: other.get("/").status == 200, 5, "GET / answered")
            self.assertIn(other.get("/api/v1/x").status, (404, 503))
            other.start_ctld()
            until(lambda: other.get("/api/v1/x").status == 200, 20, "a request passes")
        finally:
            other.close()

    def test_ctld_first_without_lbd(self):
        other = Stack(app={})
        try:
            other.start_ctld()
            until(lambda: len(other.ids()) == 1, 20, "a container ready")
            other.start_lbd()
            until(lambda: other.get("/api/v1/x").status == 200, 10, "a request passes")
            other.wait_ok(10)
        finally:
            other.close()

    def test_a_second_ctld_or_lbd_of_the_same_project_refuses(self):
        ids = self.stack.exactly(2)
        first_ctld, first_lbd = self.stack.ctld, self.stack.lbd
        for start, name in ((self.stack.start_ctld, "ctld"), (self.stack.start_lbd, "lbd")):
            start()
            second = self.stack.daemons[-1]
            self.stack.ctld, self.stack.lbd = first_ctld, first_lbd
            until(lambda: not second.alive(), 10, f"the second {name} ends")  # pylint: disable=cell-var-from-loop
            self.assertNotEqual(second.process.returncode, 0, f"the second {name}")
            self.assertGreater(second.process.returncode, 0, f"the second {name} died of a signal")
        self.assertTrue(first_ctld.alive() and first_lbd.alive())
        self.assertEqual(self.stack.get("/api/v1/x").status, 200)
        self.assertEqual(self.stack.exactly(2), ids)


if __name__ == "__main__":
    case.main()
