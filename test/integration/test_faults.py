#!/usr/bin/python3
"""Containers that fail in all the other ways: killed, removed, paused, silent, deaf, slow, late, stubborn."""
import time

from lib import case, client, engine
from lib.stack import Stack, Timeout, until


class Faults(case.Case):
    build = staticmethod(lambda: Stack(app={"stop_grace_period": "2s", "drain": "2s"}))

    def setUp(self):
        super().setUp()
        self.stack.scale(2)
        self.port = self.stack.host_first
        self.old = self.stack.ids()[self.port]
        self.other = self.stack.ids()[self.port + 1]

    def mode(self, mode, port=None):
        self.assertEqual(self.stack.direct(port or self.port, "GET", f"/api/v1/t/mode?set={mode}").status, 200)

    def check_replaced(self, break_it, limit=20.0, waits=8.0, allowed=()):
        """Break the container on the first port under traffic. It is replaced on its port, the other one stays, and
        no client waits longer than `waits` seconds or sees a failure that is not `allowed`."""
        with client.Traffic(self.stack.port, threads=4, pause=0.01) as t:
            until(lambda: len(t.records) > 20, 10, "traffic")
            at = time.monotonic()
            break_it()
            until(lambda: self.stack.ids().get(self.port, self.old) != self.old, limit, "another container on the port",
                  every=0.01)
            took = time.monotonic() - at
            end = time.monotonic()
            until(lambda: [r for r in list(t.records) if r.begin > end + 0.2], 10, "traffic afterwards")
        until(lambda: engine.exists(self.old) is None, 20, "the old container removed")
        ids = self.stack.exactly(2)
        self.assertEqual(ids[self.port + 1], self.other, "the healthy one was touched")
        slow = [r for r in t.records if r.end - r.begin > waits]
        self.assertEqual(slow, [], f"clients that waited longer than {waits} s")
        bad = [r for r in t.failures() if r.status not in allowed]
        self.assertEqual(bad, [], f"failures seen by clients, of {len(t.records)} requests")
        print(f"      replaced after {took:.2f} s, {len(t.records)} requests, {len(t.failures())} failures, longest "
              f"{max(r.end - r.begin for r in t.records):.2f} s", flush=True)

    def test_killed(self):
        self.check_replaced(lambda: engine.kill(self.old))

    def test_removed_by_somebody(self):
        self.check_replaced(lambda: engine.remove(self.old))

    def test_process_ends_by_itself(self):
        def leave():
            try:
                self.stack.direct(self.port, "GET", "/api/v1/t/exit?code=7")
            except (OSError, client.HttpError):
                pass
        self.check_replaced(leave)

    def test_paused(self):
        self.check_replaced(lambda: engine.pause(self.old))

    def test_accepts_without_answering(self):
        self.check_replaced(lambda: self.mode("silent"))

    def test_does_not_listen_any_more(self):
        self.check_replaced(lambda: self.mode("deaf"))

    def test_answers_500(self):
        self.check_replaced(lambda: self.mode("fail"), allowed=(500,))

    def test_answers_too_slowly(self):
        self.check_replaced(lambda: self.mode("slow"))

    def test_the_same_port_paused_then_killed(self):
        self.check_replaced(lambda: engine.pause(self.old))
        self.old = self.stack.ids()[self.port]
        self.check_replaced(lambda: engine.kill(self.old))

    def test_both_killed_at_once(self):
        engine.kill(self.old)
        engine.kill(self.other)
        until(lambda: len(self.stack.ids()) == 2 and not set(self.stack.ids().values()) & {self.old, self.other}, 25,
              "both replaced")
        self.stack.exactly(2)
        self.assertEqual(self.stack.get("/api/v1/x").status, 200)

    def test_one_slow_request_is_not_the_container_s_fault(self):
        r = self.stack.get("/api/v1/t/slow?ms=3000")
        self.assertEqual(r.status, 200)
        self.assertEqual(self.stack.ids(), {self.port: self.old, self.port + 1: self.other})

    def test_many_500_answers_are_not_the_container_s_fault(self):
        for _ in range(30):
            self.assertEqual(self.stack.get("/api/v1/t/status?code=500").status, 500)
        try:
            until(lambda: self.stack.ids() != {self.port: self.old, self.port + 1: self.other}, 2.5, "a change")
        except Timeout:
            return
        self.fail("a container whose health is good was replaced")

    def test_what_the_last_probe_said_is_shown(self):
        self.mode("fail")

        def seen():
            for s in self.stack.svc()["slots"]:
                if s["port"] == self.port and (s["health"] == "bad-status 500" or "500" in s["reason"]):
                    return s
            return None
        until(seen, 10, "the status names the 500", every=0.005)
        self.stack.exactly(2)


class Late(case.Case):
    """Starts slowly: left alone until it listens, no traffic before the first good probe."""

    build = staticmethod(lambda: Stack(app={"environment": '{ MIS_LISTEN_DELAY_MS: "2500" }'}))

    def test_is_not_replaced_while_it_starts(self):
        self.assertEqual(len(list(self.stack.ours("app"))), 1)
        slot = self.stack.svc()["slots"][0]
        self.assertEqual(slot["replaced"], 0, "it was replaced while it started")

    def test_gets_no_traffic_before_it_listens(self):
        with client.Traffic(self.stack.port, threads=4, pause=0.01) as t:
            self.stack.scale(3)
        self.assertEqual(t.failures(), [])
        for slot in self.stack.slots().values():
            self.assertEqual(slot["replaced"], 0)


class Stubborn(case.Case):
    """Ignores SIGTERM."""

    build = staticmethod(lambda: Stack(app={"environment": "{ MIS_TERM: ignore }", "stop_grace_period": "2s"}))

    def test_a_sick_one_is_replaced_without_a_long_wait(self):
        self.stack.scale(2)
        port = self.stack.host_first
        old = self.stack.ids()[port]
        self.assertEqual(self.stack.direct(port, "GET", "/api/v1/t/mode?set=fail").status, 200)
        at = time.monotonic()
        until(lambda: self.stack.ids().get(port, old) != old, 20, "replaced")
        print(f"      replaced after {time.monotonic() - at:.2f} s", flush=True)
        self.stack.exactly(2)

    def test_scale_in_kills_it_after_the_grace_time(self):
        self.stack.scale(2)
        at = time.monotonic()
        self.stack.scale(1)
        self.stack.exactly(1)
        self.assertLess(time.monotonic() - at, 15)


class Broken(case.Case):
    """One service whose container ends at once, beside a good one."""

    build = staticmethod(lambda: Stack(app={}, extra="""\
        broken:
          image: @IMAGE@
          environment: { MIS_FAIL_AT_START: "1" }
          route: /broken
          port: 80
          host_ports: @PORTS@
          health: { path: /_health, interval: 1s, timeout: 1s, start_period: 10s }
          scale: { min: 1, max: 2 }
        """))

    @classmethod
    def setUpClass(cls):
        s = cls.stack = cls.build()
        try:
            s.start_lbd()
            s.start_ctld()
            until(lambda: len(s.slots(name="app")) == 1, 30, "the good service ready")
        except BaseException:
            print(s.tail(), flush=True)
            s.close()
            raise

    def test_the_good_one_serves(self):
        until(lambda: self.stack.get("/api/v1/x").status == 200, 10, "a request passes")

    def test_the_broken_one_answers_503_with_retry_after(self):
        r = self.stack.get("/broken/x")
        self.assertEqual(r.status, 503)
        self.assertIsNotNone(r.get("Retry-After"))

    def test_it_is_not_started_at_full_speed(self):
        made = set()
        end = time.monotonic() + 6
        while time.monotonic() < end:
            made |= {c["Id"] for c in self.stack.ours("broken")}
            time.sleep(0.03)
        self.assertLessEqual(len(made), 6, "no back-off: containers made in six seconds")
        self.assertLessEqual(len(self.stack.ours("broken")), 2, "dead containers pile up")

    def test_the_state_says_so(self):
        st = self.stack.status()
        self.assertEqual(st["state"], "down")
        self.assertTrue(any("broken" in r for r in st["reasons"]), st["reasons"])
        p = self.stack.lbctl("status")
        self.assertEqual(p.returncode, 2, p.stdout + p.stderr)


if __name__ == "__main__":
    case.main()
