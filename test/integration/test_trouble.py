#!/usr/bin/python3
"""Every kind of trouble with the engine, on the fake one: nothing is read as death, nothing is made twice, traffic is
not touched, what was wanted happens by itself when the engine is well again, and the status tells since when it is not."""
import collections
import contextlib
import re
import time

from lib import case, client, engine
from lib.stack import Stack, until


def app(**more):
    return {"drain": "3s", "stop_grace_period": "2s", **more}


class Trouble(case.FakeCase):
    size = 2

    @staticmethod
    def build():
        return Stack(app=app())

    def setUp(self):
        super().setUp()
        self.first = self.stack.host_first
        self.stack.scale(self.size)
        self.ids = self.stack.exactly(self.size)
        self.mark = self.fake.log_size()

    def tearDown(self):
        self.fake.lift()
        self.fake.back()
        self.fake.disk_full(False)
        self.fake.version("1.41", "1.12")
        self.up()

    def up(self, timeout=30):
        until(lambda: self.stack.status()["engine"]["up"], timeout, "the engine is up again")

    def down(self, timeout=25):
        return until(lambda: (e := self.stack.status()["engine"])["up"] is False and e, timeout,
                     "the status says that the engine is away")

    def acts(self):
        """Calls since the test began that change something."""
        return [c for c in self.fake.calls(since=self.mark) if not c.startswith("GET ")]

    def creates(self):
        return [c for c in self.acts() if c.startswith("POST /containers/create")]

    @contextlib.contextmanager
    def untouched(self):
        """Traffic sees nothing, and afterwards the same containers run."""
        with client.Traffic(self.stack.port, threads=3, pause=0.02) as t:
            yield t
        self.assertEqual(t.failures(), [], f"failures, of {len(t.records)} requests")
        self.assertGreater(len(t.records), 20)
        self.assertEqual(self.stack.exactly(self.size), self.ids, "containers were touched")
        self.assertEqual(self.acts(), [], "acts on the engine, though nothing was wrong with the containers")

    def still_all_there(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.assertEqual(self.stack.svc()["ready"], self.size, "unknown was taken for dead")
            time.sleep(0.1)


class Away(Trouble):
    def test_25_seconds_away(self):
        with self.untouched():
            self.fake.away()
            e = self.down()
            self.assertTrue(e["error"], "no word about why")
            self.still_all_there(25)
            e = self.stack.status()["engine"]
            self.assertGreater(e["since_ms"], 24000)
            p = self.stack.lbctl("status")
            self.assertEqual(p.returncode, 1, p.stdout + p.stderr)  # degraded
            self.assertRegex(p.stdout, r"does not answer for (2\d|3\d)s", "since when is not told")
            self.fake.back()
            self.up()

    def test_wanted_meanwhile(self):
        """What the operator and the probes want while it is away happens afterwards, once."""
        with client.Traffic(self.stack.port, threads=2, pause=0.02) as t:
            self.fake.away()
            self.down()
            self.stack.scale(4, wait=False)
            time.sleep(2)
            self.fake.back()
            self.stack.wait_ready(4, timeout=30)
        self.assertEqual(t.failures(), [])
        self.stack.exactly(4)
        self.assertEqual(len(self.creates()), 2, self.creates())

    def test_one_dies_meanwhile(self):
        """Its connections are refused: out of rotation at once, replaced when the engine is back."""
        with client.Traffic(self.stack.port, threads=2, pause=0.02) as t:
            self.fake.away()
            self.down()
            self.fake.exit(self.ids[self.first], 9)
            until(lambda: self.stack.svc()["ready"] == 1, 10, "the dead one is out of rotation")
            time.sleep(1)
            self.fake.back()
            self.stack.wait_ready(2, timeout=30)
        self.assertEqual(t.failures(), [])
        ids = self.stack.exactly(2)
        self.assertEqual(ids[self.first + 1], self.ids[self.first + 1])
        self.assertEqual(len(self.creates()), 1, self.creates())


class Restart(Trouble):
    def test_containers_live_on(self):
        with self.untouched():
            for _ in range(3):
                self.fake.restart(0.5, keep=True)
                self.up()
                self.still_all_there(1)

    def test_containers_end_with_it(self):
        self.fake.restart(1.0, keep=False)
        self.stack.wait_ready(2, timeout=40)
        self.stack.exactly(2)
        self.assertLessEqual(len(self.creates()), 2, self.creates())

    def test_in_the_middle_of_acts(self):
        """It goes down while containers are being made, started, stopped and removed."""
        for n, verb in enumerate(("create", "start", "json", "stop|kill", "DELETE")):
            with self.subTest(verb):
                self.stack.scale(1, timeout=60)
                with client.Traffic(self.stack.port, threads=1, pause=0.02) as t:
                    since = self.fake.log_size()
                    self.stack.scale(5, wait=False)
                    if verb in ("stop|kill", "DELETE"):
                        self.stack.wait_ready(5, timeout=60)
                        self.stack.scale(2, wait=False)
                    until(lambda: self.fake.calls(verb, since=since), 20, verb, every=0.005)  # noqa: B023
                    self.fake.restart(0.3, keep=True)
                    self.stack.wait_ready(2 if n >= 3 else 5, timeout=60)
                self.assertEqual(t.failures(), [])
                self.stack.exactly(2 if n >= 3 else 5, timeout=60)


class Hang(Trouble):
    def test_list_hangs(self):
        with self.untouched():
            self.fake.fault(match="GET /containers/json", kind="hang")
            self.down()
            self.still_all_there(3)
            self.fake.lift()
            self.up()

    def test_everything_hangs_and_one_turns_bad(self):
        with client.Traffic(self.stack.port, threads=2, pause=0.02) as t:
            self.fake.fault(match=".", kind="hang")
            self.down()
            self.fake.mode(self.ids[self.first], "sick")
            until(lambda: self.stack.svc()["ready"] == 1, 10, "the sick one is out of rotation")
            self.fake.lift()
            until(lambda: self.stack.ids().get(self.first, self.ids[self.first]) != self.ids[self.first], 40, "replaced")
        self.assertEqual(t.failures(), [])
        self.stack.exactly(2)
        self.assertEqual(len(self.creates()), 1, self.creates())

    def test_inspect_of_one_hangs(self):
        """The others are started, probed, healed and scaled; the one is taken from the list when its call ends."""
        self.fake.fault(match=r"GET /containers/[0-9a-f]+/json", kind="hang", times=1)
        self.stack.scale(5, wait=False)
        until(lambda: self.stack.svc()["ready"] >= 4, 10, "the four others are ready")
        self.fake.mode(self.ids[self.first], "sick")
        until(lambda: self.stack.ids().get(self.first, self.ids[self.first]) != self.ids[self.first], 15, "replaced")
        self.stack.wait_ready(5, timeout=20)
        self.stack.exactly(5)
        self.assertEqual(len(self.creates()), 4, self.creates())

    def test_stop_of_one_hangs(self):
        self.stack.scale(4)
        self.fake.fault(match=r"POST /containers/[0-9a-f]+/(stop|kill)", kind="hang", times=1)
        self.stack.scale(1, wait=False)
        until(lambda: len(self.stack.ours("app")) == 2, 15, "the two others are gone")
        self.stack.scale(2, wait=False)
        until(lambda: self.stack.svc()["ready"] == 2, 20, "scaled out again")
        self.stack.wait_ready(2, timeout=40)
        self.stack.exactly(2, timeout=40)


class Answers(Trouble):
    def test_500_to_everything(self):
        with self.untouched():
            self.fake.fault(match=".", kind="status", status=500, message="told to")
            self.down()
            self.still_all_there(3)
            self.fake.lift()
            self.up()

    def test_lists_cut_short(self):
        for size in (40, 300, 700):
            with self.subTest(size=size), self.untouched():
                self.fake.fault(match="GET /containers/json", kind="truncate", size=size)
                self.fake.cut("/events")  # so that it looks at once
                self.down()
                self.still_all_there(1)
                self.fake.lift()
                self.up()

    def test_one_byte_at_a_time(self):
        with self.untouched():
            f = self.fake.fault(match="GET /(containers/json|version)", kind="dribble", seconds=0.0002, times=4)
            self.fake.cut("/events")
            until(lambda: self.fake.hits(f) >= 2, 20, "slow answers")
            self.still_all_there(2)
            self.assertTrue(self.stack.status()["engine"]["up"])

    def test_no_http(self):
        with self.untouched():
            self.fake.fault(match=".", kind="garbage")
            self.fake.cut()
            self.down()
            self.still_all_there(2)
            self.fake.lift()
            self.up()

    def test_answers_get_lost_after_the_act(self):
        for verb in ("POST /containers/create", "POST .*/start", "GET .*[0-9a-f]/json"):
            for kind in ("lost", "cut"):
                with self.subTest(verb=verb, kind=kind):
                    self.stack.scale(1, timeout=60)
                    self.fake.fault(match=verb, kind=kind, times=2)
                    self.stack.scale(4, timeout=60)
                    self.stack.exactly(4, timeout=30)
                    self.fake.lift()
        for verb in ("POST .*/(stop|kill)", "DELETE "):
            for kind in ("lost", "cut"):
                with self.subTest(verb=verb, kind=kind):
                    self.stack.scale(4, timeout=60)
                    self.fake.fault(match=verb, kind=kind, times=2)
                    self.stack.scale(1, timeout=60)
                    self.assertEqual(self.stack.exactly(1, timeout=30), {self.first: self.ids[self.first]})
                    self.fake.lift()


class Disk(Trouble):
    def test_full(self):
        """What runs goes on; what is wanted waits, not at full speed, with the engine's own words as the reason."""
        with client.Traffic(self.stack.port, threads=2, pause=0.02) as t:
            self.fake.disk_full(True)
            self.stack.scale(3, wait=False)
            until(lambda: any("no space left" in s["reason"] for s in self.stack.svc()["slots"]), 15, "the reason is told")
            self.assertTrue(self.stack.status()["engine"]["up"])
            self.still_all_there(6)
            self.assertLess(len(self.creates()), 8, "tries within 6 s")
            p = self.stack.lbctl("status")
            self.assertIn("no space left", p.stdout + p.stderr)
            self.fake.disk_full(False)
            self.stack.wait_ready(3, timeout=30)
        self.assertEqual(t.failures(), [])
        ids = self.stack.exactly(3)
        self.assertEqual({p: i for p, i in ids.items() if p < self.first + 2}, self.ids)

    def test_full_when_one_dies(self):
        self.fake.disk_full(True)
        self.fake.exit(self.ids[self.first], 1)
        until(lambda: self.stack.svc()["ready"] == 1, 10, "the dead one is out of rotation")
        time.sleep(3)
        self.assertEqual(self.stack.svc()["ready"], 1)
        self.fake.disk_full(False)
        self.stack.wait_ready(2, timeout=30)
        self.assertEqual(self.stack.exactly(2)[self.first + 1], self.ids[self.first + 1])


class Version(Trouble):
    def test_another_range_after_a_restart(self):
        with self.untouched():
            for api, minimum, agreed in (("1.52", "1.44", "1.47"), ("1.43", "1.24", "1.43"), ("1.30", "1.12", "1.30")):
                self.fake.version(api, minimum)
                self.fake.restart(0.2, keep=True)
                self.up()
                until(lambda: self.stack.status()["engine"]["api"] == agreed, 15, f"API {agreed}")  # noqa: B023
                self.still_all_there(1)
        self.fake.version("1.52", "1.44")
        self.fake.restart(0.2, keep=True)
        self.stack.scale(3)  # and it works
        self.stack.exactly(3)

    def test_minimum_raised_under_our_feet(self):
        """No restart, no cut connection: the next call is refused, the version is agreed on anew."""
        self.fake.version("1.52", "1.44")
        self.stack.scale(3, timeout=30)
        self.stack.exactly(3)
        self.assertEqual(self.stack.status()["engine"]["api"], "1.47")

    def test_no_version_in_common(self):
        for api, minimum, words in (("2.3", "1.99", "API version"), ("1.120", "1.99", "update lbctl"),
                                    ("1.20", "1.10", "update the engine")):
            with self.subTest(minimum=minimum), self.untouched():
                self.fake.version(api, minimum)
                self.fake.restart(0.2, keep=True)
                e = until(lambda: (e := self.stack.status()["engine"])["up"] is False and words in e["error"] and e, 25,
                          "the status says what to do")
                self.assertIn(words, e["error"])
                self.still_all_there(2)
                self.fake.version("1.41", "1.12")
                self.up()


class Events(Trouble):
    def test_cut_again_and_again(self):
        """A container dies in each gap: replaced as fast as with events."""
        with client.Traffic(self.stack.port, threads=2, pause=0.02) as t:
            for _ in range(4):
                ids = self.stack.exactly(2)
                self.fake.cut("/events")
                engine.kill(ids[self.first])
                self.fake.cut("/events")
                until(lambda: self.stack.ids().get(self.first, ids[self.first]) != ids[self.first], 15,  # noqa: B023
                      "replaced")
        self.assertEqual(t.failures(), [])
        self.stack.exactly(2)
        self.assertEqual(len(self.creates()), 4, self.creates())

    def test_the_stream_is_refused(self):
        self.fake.fault(match="GET /events", kind="status", status=500, message="told to")
        self.fake.cut("/events")
        with client.Traffic(self.stack.port, threads=2, pause=0.02) as t:
            engine.kill(self.ids[self.first])
            until(lambda: self.stack.ids().get(self.first, self.ids[self.first]) != self.ids[self.first], 15, "replaced")
            self.stack.scale(3, timeout=20)
        self.assertEqual(t.failures(), [])
        calls = self.fake.calls("GET /events", since=self.mark)
        self.assertLess(len(calls), 20, "no back-off between tries")


class NoHints(case.FakeCase):
    """A service without probes, and no events: only the list tells that an instance has ended."""

    @staticmethod
    def build():
        return Stack(app=app(), extra="worker: { image: worker }\n")

    def worker(self):
        return next(iter(self.stack.ids("worker").values()), None)

    def test_full_list_every_ten_seconds(self):
        self.fake.fault(match="GET /events", kind="hang")
        self.fake.cut("/events")
        old = self.worker()
        self.fake.exit(old, 5)
        until(lambda: self.worker() not in (None, old), 30, "replaced")
        until(lambda: [c["Id"] for c in self.stack.ours("worker")] == [self.worker()], 10, "exactly one")
        # At rest: a list every 10 s, and nothing else.
        time.sleep(1)
        since = self.fake.log_size()
        time.sleep(12)
        kinds = collections.Counter(re.sub(r"\?.*", "", c) for c in self.fake.calls(since=since) if "/events" not in c)
        self.assertIn(kinds["GET /containers/json"], (1, 2, 3, 4), kinds)
        self.assertEqual(set(kinds) - {"GET /containers/json", "GET /version"}, set())


if __name__ == "__main__":
    case.main()
