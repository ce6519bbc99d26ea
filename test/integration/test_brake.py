#!/usr/bin/python3
"""All instances are sick at once, on the fake engine: the culprit is named, nothing is replaced in vain, traffic goes on,
and all is well again without a restart."""
import time

from lib import case, client
from lib.legacy import Legacy
from lib.stack import Stack, until


class Brake(case.FakeCase):
    @classmethod
    def setUpClass(cls):
        cls.store = Legacy("store")
        cls.build = staticmethod(lambda: Stack(app={"depends_on": "[store]", "scale": "{ min: 4, max: 6 }"}, extra=f"""\
            store:
              backends: [127.0.0.1:{cls.store.port}]
              route: /store
              health: {{ path: /, interval: 500ms, timeout: 5s, fall: 1 }}
            """))
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.store.server.shutdown()

    def all_to(self, mode):
        for cid in self.ids.values():
            self.fake.mode(cid, mode)

    def why(self):
        return self.stack.lbctl("why", "app").stdout

    def test_a_dependency_fails(self):
        self.ids = self.stack.exactly(4)
        with client.Traffic(self.stack.port, threads=4, pause=0.01) as t:
            until(lambda: len(t.records) > 50, 20, "traffic")
            self.store.sick = True
            self.all_to("sick")
            until(lambda: self.stack.svc()["ready"] == 0, 30, "all out of rotation")
            until(lambda: any("'store'" in r and "nothing is replaced" in r for r in self.stack.status()["reasons"]), 30,
                  "the culprit named")
            seen = len(t.records)
            until(lambda: len(t.records) > seen + 400, 60, "traffic goes on")
            self.assertIn("store", self.why())
            self.assertEqual({s["id"] for s in self.stack.svc()["slots"]}, set(self.ids.values()))
            self.store.sick = False
            self.all_to("ok")
            until(lambda: self.stack.status()["state"] == "ok", 60, "all is well")
        self.assertEqual(self.stack.exactly(4), self.ids, "something was replaced")
        self.assertEqual(t.failures(), [], f"of {len(t.records)}")
        events = self.stack.lbctl("events", "--json", "app").stdout
        self.assertIn("brake-dependency", events)
        self.assertIn("brake-released", events)

    def test_nobody_is_to_blame(self):
        """Then they are replaced, one after another: that helps."""
        self.ids = self.stack.exactly(4)
        with client.Traffic(self.stack.port, threads=2, pause=0.02) as t:
            self.all_to("sick")
            until(lambda: not set(self.ids.values()) & {s["id"] for s in self.stack.svc()["slots"]}
                  and self.stack.svc()["ready"] == 4, 120, "all replaced")
        self.assertEqual(t.failures(), [], f"of {len(t.records)}")

    def test_none_recovers_for_a_while(self):
        """Of a form that cannot become well one is tried at a time, not all again and again."""
        self.ids = self.stack.exactly(4)
        made = len(self.fake.history()) + len(self.fake.containers())
        self.store.sick = True
        self.all_to("sick")
        until(lambda: self.stack.svc()["ready"] == 0, 30, "all out of rotation")
        time.sleep(5)
        self.assertEqual(len(self.fake.history()) + len(self.fake.containers()), made, "replaced in vain")
        self.store.sick = False
        self.all_to("ok")
        until(lambda: self.stack.status()["state"] == "ok", 60, "all is well")
        self.assertEqual(self.stack.exactly(4), self.ids)


if __name__ == "__main__":
    case.main()
