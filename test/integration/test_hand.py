#!/usr/bin/python3
"""The operator's hand and the ledger, on real containers: lbctl hold, release, events, why; containers stopped by hand."""
import json

from lib import case, engine, wire
from lib.stack import Stack, until


class Hand(case.Case):
    build = staticmethod(lambda: Stack(app={"drain": "5s", "manual_stop": "hold"}))

    def lbctl(self, *args, code=0):
        p = self.stack.lbctl(*args)
        self.assertEqual(p.returncode, code, f"lbctl {' '.join(args)}: {p.stdout}{p.stderr}")
        return p.stdout

    def events(self, *args):
        return [json.loads(line) for line in self.lbctl("events", "--json", "-n", "1000", *args).splitlines()]

    def wait_state(self, slot, state):
        def there():
            a = self.stack.ask("why.get", {"service": "app", "slot": slot})
            return a if a["state"] == state else None
        return until(there, 30, f"slot {slot} {state}")

    def tearDown(self):
        try:
            self.stack.ask("hold.set", {"service": "app", "release": True})
        except wire.Refused:
            pass  # nothing is held

    def test_hold_and_release(self):
        self.stack.scale(2)
        port = self.stack.host_first + 1
        cid = self.stack.ids()[port]
        out = self.lbctl("hold", "app/1")
        self.assertIn("app/1: held; instances of app in rotation: 1", out)
        self.wait_state(1, "held")
        engine.kill(cid, "STOP")  # whatever is done to it now: it is not replaced
        before = self.stack.slots(state="ready")
        self.assertEqual(list(before), [self.stack.host_first])
        engine.kill(cid, "CONT")
        self.assertTrue(engine.running(cid))
        self.assertIn("[held]", self.lbctl("why", "app/1"))
        self.assertEqual(json.loads(self.lbctl("why", "--json", "app/1"))["code"], "held")
        self.lbctl("release", "app/1")
        until(lambda: self.stack.ids().get(port) == cid, 30, "the same container in rotation again")
        self.stack.exactly(2)

    def test_stopped_for_inspection_over_a_crash_of_ctld(self):
        self.stack.scale(2)
        port = self.stack.host_first + 1
        cid = self.stack.ids()[port]
        self.lbctl("hold", "app/1", "--stop")
        self.wait_state(1, "held")
        self.assertFalse(engine.running(cid))
        last = self.events("app/1")[-1]["seq"]
        self.stack.ctld.kill()
        self.stack.start_ctld()
        self.wait_state(1, "held")
        self.assertIsNotNone(engine.exists(cid), "it is left for inspection")
        seqs = [e["seq"] for e in self.events()]
        self.assertIn(last, seqs, "the ledger outlives a kill -9 of ctld")
        self.assertEqual(seqs, list(range(seqs[0], seqs[0] + len(seqs))), "without a gap")
        self.lbctl("release", "app")
        until(lambda: self.stack.ids().get(port, cid) != cid, 30, "another container in its place")
        until(lambda: engine.exists(cid) is None, 15, "the held one removed")

    def test_every_stop_has_its_receipt(self):
        self.stack.scale(2)
        self.stack.scale(1)
        stop = [e for e in self.events("app/1") if e["kind"] == "stop"][-1]["inputs"]
        receipt = next(e for e in self.events("app/1") if e["seq"] == stop["receipt"])["inputs"]
        self.assertEqual((receipt["instance"], receipt["drained"], receipt["after_mark"]), (stop["instance"], True, 0))
        self.assertLessEqual(receipt["acked_ms"], stop["stop_ms"])

    def test_stopped_by_hand(self):
        self.stack.scale(2)
        port = self.stack.host_first + 1
        cid = self.stack.ids()[port]
        engine.call("POST", f"/containers/{cid}/stop", query={"t": 2})
        self.assertEqual(self.wait_state(1, "held")["code"], "manual-stop")
        self.assertIsNotNone(engine.exists(cid))
        self.lbctl("release", "app/1")
        until(lambda: self.stack.ids().get(port, cid) != cid, 30, "another container in its place")
        self.stack.exactly(2)

    def test_a_pin_with_an_end(self):
        self.assertIn("manual for 3s", self.lbctl("scale", "app", "2", "--for", "3s"))
        self.assertIsNotNone(self.stack.svc()["scaling"]["pin_left_ms"])
        until(lambda: self.stack.svc()["mode"] == "auto", 30, "the autoscaler in charge again")
        self.assertEqual([e["code"] for e in self.events("app") if e["kind"] == "operator"][-1], "pin-ended")


if __name__ == "__main__":
    case.main()
