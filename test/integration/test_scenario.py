#!/usr/bin/python3
"""The assignment's scenario, step by step, and the interval clock: with short intervals by configuration, and once in
real time on the literal ports (class RealTime, run when it is named)."""
import threading
import time

from lib import case, client, engine
from lib.stack import ACTS_IMAGE, POSTGRES_IMAGE, Stack, port_free, until

IGNORE = "ignore: [/api/v1/_health, /api/v1/_crash]"
JSON = (("Content-Type", "application/json"),)


class Steps(case.Case):
    """The seventeen steps; subclasses say how long an interval is."""

    images = (ACTS_IMAGE, POSTGRES_IMAGE)
    every = 0
    explicit = True

    def step(self, number, text):
        print(f"      {time.monotonic() - self.begun:6.1f} s  step {number}: {text}", flush=True)

    def routed(self, n):
        """n requests one after the other: the slots they went to, by lbd's counters."""
        slots = []
        for i in range(n):
            before = self.stack.lbd_stats()
            r = self.stack.get("/api/v1/categories" if i % 2 else "/api/v1/acts/count")
            self.assertIn(r.status, (200, 204))
            after = self.stack.lbd_stats()
            changed = [k for k in after if after[k] != before.get(k, 0)]
            self.assertEqual(len(changed), 1, f"{before} -> {after}")
            slots.append(changed[0])
        return slots

    def round_robin(self, n, over):
        slots = self.routed(n)
        k = min(n, over)
        self.assertEqual(len(set(slots[:k])), k, f"not distinct: {slots}")
        self.assertEqual(slots, (slots[:over] * n)[:n], "not a strict cycle")

    def at_tick(self, n, armed, ticks, slack=12.0):
        """Wait for n ready containers after that many intervals; not before, not long after."""
        due = armed + ticks * self.every
        self.stack.wait_ready(n, timeout=due - time.monotonic() + slack)
        now = time.monotonic()
        self.assertGreaterEqual(now, due - 0.1, "too early")
        # the decision itself, not the start of containers, is what must be on time
        last = self.stack.svc()["scaling"]["last"]
        decided = time.monotonic() - last["ago_ms"] / 1000
        self.assertLess(abs(decided - due), 0.5, f"the decision came {decided - due:+.2f} s off; {last}")
        return last

    def walk(self):
        self.begun = time.monotonic()
        s, first = self.stack, self.stack.host_first
        self.step(1, f"the engine runs and listens on port {s.port}")
        self.assertEqual(s.get("/").status, 200)
        self.step(2, f"the count is zero, exactly one container, on port {first}")
        svc = s.svc()
        self.assertEqual((svc["scaling"]["count"], svc["scaling"]["clock"]), (0, "unarmed"))
        self.assertEqual(list(s.exactly(1)), [first])
        self.step(3, "all requests go to it")
        before = s.lbd_stats()[0]
        for _ in range(3):
            self.assertEqual(s.get("/api/v1/_health").status, 200)
        self.assertEqual(s.lbd_stats(), {0: before + 3})
        self.step(4, "its health answers 200")
        r = s.direct(first, "GET", "/api/v1/_health")
        self.assertEqual((r.status, r.body), (200, b""))
        self.assertEqual(s.svc()["scaling"]["clock"], "unarmed", "health requests arm the clock")
        self.step(5, "20 requests")
        armed = time.monotonic()
        self.assertEqual(set(self.routed(20)), {0})
        until(lambda: s.svc()["scaling"]["count"] == 20, 2, "the count is 20")
        self.assertEqual(s.svc()["scaling"]["clock"], "armed")
        self.step(6, f"{self.every} s pass")
        last = self.at_tick(2, armed, 1)
        self.assertEqual((last["count"], last["from"], last["to"]), (20, 1, 2))
        self.step(7, f"a second container listens on port {first + 1}")
        ids = s.exactly(2)
        self.assertEqual(sorted(ids), [first, first + 1])
        self.assertEqual(s.direct(first + 1, "GET", "/api/v1/_health").status, 200)
        self.step(8, "4 requests")
        self.step(9, "are routed round robin")
        self.round_robin(4, 2)
        self.step(10, f"crash on port {first}")
        crashed = time.monotonic()
        r = s.direct(first, "POST", "/api/v1/_crash")
        self.assertEqual((r.status, r.body), (200, b""))
        until(lambda: s.ids().get(first, ids[first]) != ids[first], 20, "another container on that port")
        took = time.monotonic() - crashed
        self.step(11, f"a new healthy container with another id after {took:.1f} s, the sick one is gone")
        self.assertEqual(s.direct(first, "GET", "/api/v1/_health").status, 200)
        until(lambda: not s.running(ids[first]), 20 - took, "the sick one ended")
        until(lambda: not s.exists(ids[first]), 10, "the sick one removed")
        self.assertEqual(s.exactly(2)[first + 1], ids[first + 1])
        self.step(12, "3 requests")
        self.step(13, "are routed round robin")
        self.round_robin(3, 2)
        self.step(14, "40 more requests")
        for r in self.routed(40):
            self.assertIn(r, (0, 1))
        until(lambda: s.svc()["scaling"]["count"] == 47, 2, "the count is 47")
        last = self.at_tick(3, armed, 2)
        self.assertEqual((last["count"], last["from"], last["to"]), (47, 2, 3))
        self.step(15, "three containers run")
        self.assertEqual(sorted(s.exactly(3)), [first, first + 1, first + 2])
        self.step(16, "8 requests")
        self.step(17, "are routed round robin over all")
        self.round_robin(8, 3)
        last = self.at_tick(1, armed, 3)
        self.assertEqual((last["count"], last["from"], last["to"]), (8, 3, 1))
        self.step("+", "one container again, the clock at rest")
        keep = s.exactly(1)
        self.assertEqual(list(keep), [first])
        self.assertEqual(s.svc()["scaling"]["clock"], "unarmed")


class Short(Steps):
    explicit = False
    every = 10
    build = staticmethod(lambda: Stack(acts={
        "scale": f"{{ min: 1, max: 10, every: {Short.every}s, per: 20, {IGNORE} }}", "drain": "5s"}))

    def test_seventeen_steps(self):
        self.walk()

    def test_again_after_idle_time(self):
        time.sleep(4.3)  # any time: the clock rests
        self.assertEqual(self.stack.svc()["scaling"]["clock"], "unarmed")
        self.walk()

    def test_a_category_named_like_the_health_route_counts(self):
        r = self.stack.post("/api/v1/categories", b'["_health-tips"]', headers=JSON)
        self.assertEqual(r.status, 201)
        for _ in range(19):
            self.assertEqual(self.stack.get("/api/v1/categories/_health-tips/acts").status, 204)
        self.stack.wait_ready(2, timeout=self.every + 12)
        self.assertEqual(self.stack.svc()["scaling"]["last"]["count"], 20)


class RealTime(Steps):
    every = 120

    @staticmethod
    def build():
        literal = port_free(80) and all(port_free(p) for p in range(8000, 8010))
        if not literal:
            print("      NOTE: ports 80 and 8000-8009 are not all free; this run uses other ports", flush=True)
        ports = {"listen": 80, "host_first": 8000} if literal else {}
        return Stack(acts={"scale": f"{{ min: 1, max: 10, every: 2m, per: 20, {IGNORE} }}"}, **ports)

    def test_seventeen_steps_in_real_time(self):
        self.walk()


class Processes(Steps):
    """The same without containers."""

    explicit = True
    needs_engine = False
    images = ()
    every = 10
    build = staticmethod(lambda: Stack(runtime="process", acts={
        "scale": f"{{ min: 1, max: 10, every: {Processes.every}s, per: 20, {IGNORE} }}", "drain": "5s"}))

    def test_seventeen_steps_with_processes(self):
        self.walk()


class CountsLow(case.Case):
    every = 4
    build = staticmethod(lambda: Stack(app={
        "scale": f"{{ min: 1, max: 10, every: {CountsLow.every}s, per: 20, {IGNORE} }}", "drain": "3s"}))

    def decided(self, send):
        """Reset, send, and return the decision that follows."""
        self.stack.reset()
        self.stack.wait_ready(1)
        svc = self.stack.svc()["scaling"]
        self.assertEqual((svc["count"], svc["clock"]), (0, "unarmed"))
        begin = time.monotonic()
        send()

        def done():
            last = self.stack.svc()["scaling"]["last"]
            return last if last and last["ago_ms"] / 1000 < time.monotonic() - begin else None
        last = until(done, self.every + 5, "a decision")
        return last

    def counted(self, n, want, connections=8):
        def send():
            seen, errors = client.burst(self.stack.port, "/api/v1/x", n, connections)
            self.assertEqual(({s for s, _ in seen}, errors), ({200}, []))
        last = self.decided(send)
        self.assertEqual((last["count"], last["to"]), (n, want), f"{last}")
        self.stack.wait_ready(want, timeout=self.every * 3)
        self.assertEqual(sorted(self.stack.exactly(want, timeout=2)), [self.stack.host_first + i for i in range(want)])

    def test_19(self):
        self.counted(19, 1)

    def test_20(self):
        self.counted(20, 2)

    def test_39(self):
        self.counted(39, 2)

    def test_40(self):
        self.counted(40, 3)

    def test_half_of_twenty_are_health_and_page(self):
        def send():
            for i in range(5):
                for target in ("/api/v1/x", f"/api/v1/y/{i}", "/api/v1/_health", "/"):
                    self.assertEqual(self.stack.get(target).status, 200)
        last = self.decided(send)
        self.assertEqual((last["count"], last["to"]), (10, 1))
        self.assertEqual(list(self.stack.exactly(1)), [self.stack.host_first])

    def test_what_does_not_count_arms_nothing(self):
        self.stack.reset()
        self.stack.wait_ready(1)
        for target in ("/", "/api/v1/_health", "/api/v1x", "/favicon.ico"):
            for _ in range(10):
                self.stack.get(target)
        time.sleep(0.5)  # the counters' way to ctld
        s = self.stack.svc()["scaling"]
        self.assertEqual((s["count"], s["clock"], s["next_decision_ms"]), (0, "unarmed", None))

    def test_back_to_one_and_at_rest_when_traffic_stops(self):
        self.counted(40, 3)
        self.stack.wait_ready(1, timeout=self.every + 8)
        self.assertEqual(list(self.stack.exactly(1)), [self.stack.host_first])
        self.assertEqual(self.stack.svc()["scaling"]["clock"], "unarmed")


class CountsHigh(CountsLow):
    every = 12
    build = staticmethod(lambda: Stack(app={
        "scale": f"{{ min: 1, max: 10, every: {CountsHigh.every}s, per: 20, {IGNORE} }}", "drain": "3s"}))

    test_19 = test_20 = test_39 = test_40 = None
    test_half_of_twenty_are_health_and_page = test_what_does_not_count_arms_nothing = None
    test_back_to_one_and_at_rest_when_traffic_stops = None

    def test_199(self):
        self.counted(199, 10)

    def test_500(self):
        self.counted(500, 10)


class Clock(case.Case):
    every = 2
    build = staticmethod(lambda: Stack(app={
        "scale": f"{{ min: 1, max: 3, every: {Clock.every}s, per: 20, {IGNORE} }}", "drain": "3s"}))

    def test_at_any_age_of_the_orchestrator(self):
        for idle in (0.0, 0.7, 1.9, 3.3):
            with self.subTest(idle=idle):
                self.stack.reset()
                self.stack.wait_ready(1)
                time.sleep(idle)
                armed = time.monotonic()
                for _ in range(20):
                    self.assertEqual(self.stack.get("/api/v1/x").status, 200)
                until(lambda: self.stack.svc()["wish"] == 2, self.every + 2, "two wished", every=0.01)
                took = time.monotonic() - armed
                self.assertLess(abs(took - self.every), 0.4, "not one interval after the first request")
                until(lambda: self.stack.svc()["wish"] == 1, self.every + 2, "one wished again", every=0.01)
                took = time.monotonic() - armed
                self.assertLess(abs(took - 2 * self.every), 0.4, "not two intervals after the first request")

    def test_no_request_is_lost_or_counted_twice_and_the_clock_does_not_drift(self):
        self.stack.reset()
        self.stack.wait_ready(1)
        ticks = []
        stop = threading.Event()

        def watch():
            while not stop.is_set():
                last = self.stack.svc()["scaling"]["last"]
                now = time.monotonic()
                if last:
                    at = now - last["ago_ms"] / 1000
                    if at > begin and (not ticks or at - ticks[-1][0] > self.every / 2):
                        ticks.append((at, last["count"]))
                stop.wait(0.05)

        begin = time.monotonic()
        watcher = threading.Thread(target=watch)
        watcher.start()
        with client.Traffic(self.stack.port, threads=4, pause=0.05) as t:
            until(lambda: len(ticks) >= 6, 8 * self.every, "six decisions")
        until(lambda: len(ticks) >= 7, 2 * self.every, "the decision after the last request")
        stop.set()
        watcher.join()
        self.assertEqual(t.failures(), [], f"failures, of {len(t.records)} requests")
        self.assertEqual(sum(n for _, n in ticks) + self.stack.svc()["scaling"]["count"], len(t.records),
                         f"counts at the ticks {[n for _, n in ticks]}")
        off = [at - ticks[0][0] - i * self.every for i, (at, _) in enumerate(ticks)]
        self.assertLess(max(abs(x) for x in off), 0.25, f"ticks off their time by {[round(x, 3) for x in off]}")

    def test_a_pinned_service_is_not_scaled(self):
        self.stack.reset()
        self.stack.scale(2)
        for _ in range(50):
            self.stack.get("/api/v1/x")
        time.sleep(self.every + 1)
        svc = self.stack.svc()
        self.assertEqual((svc["wish"], svc["mode"]), (2, "manual"))
        self.stack.auto()


if __name__ == "__main__":
    case.main()
