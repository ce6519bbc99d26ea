#!/usr/bin/python3
"""Images that the engine does not have: pulled once for all that want them, with nothing else waiting. Arguments: Pull
(on the fake engine) or OnReal; none: both."""
import json
import os
import time

from lib import case, client, engine
from lib.stack import Stack, app_image, until

LATE = """\
late:
  image: lbctl-late:1
  route: /late
  port: 80
  host_ports: @PORTS@
  health: { path: /late/_health, interval: 200ms, timeout: 2s }
  scale: 3
  drain: 1s
  stop_grace_period: 1s
"""


def build():
    s = Stack(app={"drain": "1s", "stop_grace_period": "1s"}, extra=LATE)
    with open(s.config, encoding="utf-8") as f:
        s.write_config(f.read().replace("services:\n", "pull_timeout: 2s\nservices:\n", 1))
    return s


class Pull(case.FakeCase):
    build = staticmethod(build)

    @classmethod
    def prepare(cls):
        cls.fake.images(add=[app_image(), "lbctl-late:1"], remove=["*"])

    def setUp(self):
        super().setUp()
        self.stack.wait_ready(3, name="late", timeout=60)
        self.mark = self.fake.log_size()

    def tearDown(self):
        self.fake.lift()
        self.fake.images(add=["lbctl-late:1"])
        self.stack.wait_ready(3, name="late", timeout=90)

    def lose(self, told, image="lbctl-late:1"):
        """The image is gone, and all three containers of it; told: how a pull goes."""
        self.fake.images(remove=[image], registry={image: told})
        for cid in self.stack.ids("late").values():
            self.fake.exit(cid, 1)

    def waiting(self, code, *words):
        """The slots of `late` that wait with that reason."""
        return [s for s in self.stack.svc("late")["slots"]
                if (s["state"], s["code"]) == ("waiting", code) and all(w in s["reason"] for w in words)]

    def three(self):
        until(lambda: len(self.stack.ours("late")) == 3, 20, "three containers, no more")

    def pulls(self):
        return self.fake.calls("POST /images/create", since=self.mark)

    def test_slow(self):
        with client.Traffic(self.stack.port, threads=2, pause=0.02) as t:
            self.lose(8)
            slots = until(lambda: len(w := self.waiting("pulling", "Downloading")) == 3 and w, 20, "three wait")
            self.assertRegex(slots[0]["reason"], r"^pulls lbctl-late:1 since 20\d\d-.*Z: .*Downloading")
            self.assertRegex(self.stack.lbctl("why", "late/1").stdout, r"\[pulling\].*Downloading")
            self.assertIn("pulls lbctl-late:1", self.stack.lbctl("status").stdout)
            self.stack.scale(3)  # the other service does what it is told
            self.stack.scale(1)
            self.stack.wait_ready(3, name="late", timeout=60)
        self.assertEqual(t.failures(), [])
        self.assertEqual(self.pulls(), ["POST /images/create?fromImage=lbctl-late&tag=1"])
        self.three()
        said = self.stack.lbctl("events", "late").stdout
        self.assertIn("the engine pulls image lbctl-late:1", said)
        self.assertIn("the engine has pulled image lbctl-late:1", said)

    def test_hangs(self):
        """Before its answer and in the middle of it: given up for want of progress, then tried again."""
        for fault in ({"kind": "hang"}, {"kind": "hang-after", "size": 300}):
            with self.subTest(fault=fault), client.Traffic(self.stack.port, threads=2, pause=0.02) as t:
                self.fake.fault(match="POST /images/create", **fault)
                self.lose(1)
                until(lambda: len(self.waiting("pull-failed", "lbctl-late:1")) == 3, 30, "it is given up")
                old = self.stack.ids("app")
                self.fake.exit(next(iter(old.values())), 9)  # others are healed meanwhile
                until(lambda: set(self.stack.ids("app").values()) - set(old.values()), 20, "app is healed")
                self.fake.lift()
                self.stack.wait_ready(3, name="late", timeout=90)
            self.assertLess(len(self.pulls()), 20, t)

    def test_failures_are_told(self):
        rows = (("denied", {"fault": {"kind": "status", "status": 401, "message": "unauthorized: who are you"}},
                 "unauthorized: who are you"),
                ("broken", {"fault": {"kind": "status", "status": 500, "message": "told to break"}}, "told to break"),
                ("unknown", {"told": None}, "pull access denied for lbctl-late"),
                ("within", {"told": {"seconds": 0.3, "error": "layer 1a2b: no space left"}}, "no space left"),
                ("cut", {"fault": {"kind": "truncate", "size": 260}}, "pull lbctl-late:1"),
                ("garbage", {"fault": {"kind": "garbage"}}, "pull lbctl-late:1"))
        for name, how, words in rows:
            with self.subTest(name):
                if "fault" in how:
                    self.fake.fault(match="POST /images/create", **how["fault"])
                self.lose(how.get("told", 1))
                until(lambda: len(self.waiting("pull-failed", words)) == 3, 30, words)  # noqa: B023
                self.assertIn(words, self.stack.lbctl("status").stdout)
                why = until(lambda: "pull-failed" in (o := self.stack.lbctl("why", "late/0").stdout) and o, 20, "why")
                self.assertIn(words, why)
                self.fake.lift()
                self.fake.images(registry={"lbctl-late:1": 0.1})
                self.stack.wait_ready(3, name="late", timeout=90)
        self.three()

    def test_a_byte_at_a_time(self):
        self.fake.fault(match="POST /images/create", kind="dribble", seconds=0.0005)
        self.lose(0.3)
        until(lambda: self.pulls(), 20, "a pull")
        self.stack.wait_ready(3, name="late", timeout=60)
        self.assertEqual(len(self.pulls()), 1)

    def test_put_there_meanwhile(self):
        self.lose(None)
        until(lambda: len(self.waiting("pull-failed", "denied")) == 3, 30, "it fails")
        self.fake.images(add=["lbctl-late:1"])
        self.stack.wait_ready(3, name="late", timeout=90)

    def test_ctld_is_killed_in_the_middle(self):
        self.lose(6)
        until(lambda: self.waiting("pulling"), 20, "it pulls")
        self.stack.ctld.kill()
        self.stack.start_ctld()
        self.stack.wait_ready(3, name="late", timeout=60)
        self.three()

    def test_reload(self):
        """The old instances stay until the image of the new form is there; a failure ends in the exit code."""
        with open(self.stack.config, encoding="utf-8") as f:
            text = f.read()
        old = set(self.stack.ids("late").values())
        self.fake.images(registry={"lbctl-late:2": None})
        self.addCleanup(self.stack.write_config, text)
        self.stack.write_config(text.replace("lbctl-late:1", "lbctl-late:2"))
        self.assertEqual(self.stack.lbctl("plan").returncode, 0)
        self.assertEqual(self.pulls(), [], "a plan needs no registry")
        p = self.stack.lbctl("reload", timeout=60)
        self.assertEqual(p.returncode, 1, p.stdout + p.stderr)
        self.assertIn("pull access denied", p.stderr)
        self.assertEqual(set(self.stack.ids("late").values()) & old, old, "old ones were touched")
        self.fake.images(registry={"lbctl-late:2": 1})
        until(lambda: self.stack.svc("late")["outdated"] == 0 and self.stack.svc("late")["ready"] == 3, 90, "rolled")
        self.assertEqual(set(self.stack.ids("late").values()) & old, set())
        self.stack.write_config(text)
        self.assertEqual(self.stack.lbctl("reload", timeout=60).returncode, 0)


class OnReal(case.Case):
    def test_missing_then_tagged(self):
        """Nobody listens on port 1: the pull fails with the engine's words; then the image is there under that name."""
        repo = f"127.0.0.1:1/lbt-{os.getpid()}"
        s = Stack(app={"image": repo + ":1"})
        try:
            s.start_lbd()
            s.start_ctld()
            slot = until(lambda: next((x for x in s.svc()["slots"] if x["code"] == "pull-failed"), None), 30, "told")
            self.assertIn("connection refused", slot["reason"])
            self.assertIn("[pull-failed]", until(lambda: "pull-failed" in (o := s.lbctl("why", "app/0").stdout) and o,
                                                 30, "why"))
            self.assertEqual(s.ours(), [])
            engine.call("POST", f"/images/{app_image()}/tag", query={"repo": repo, "tag": "1"})
            s.wait_ready(1, timeout=90)
            time.sleep(0.2)
            self.assertEqual(s.get("/api/v1/x").status, 200)
        finally:
            s.close()
            status, text = engine.ask("DELETE", f"/images/{repo}:1")  # the name alone
            self.assertIn(status, (200, 404), json.dumps(text))


if __name__ == "__main__":
    case.main()
