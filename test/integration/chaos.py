#!/usr/bin/python3
"""Random faults in random order under constant traffic, seeded and so repeatable. After each the system must come back
to what was declared: exactly the wished containers, all in rotation, nothing else; no answer by a stranger; no error
seen by a client where the fault left a healthy instance. Prints errors and times by kind of fault."""
import argparse
import collections
import contextlib
import random
import signal
import sys
import threading
import time

from lib import case, client, engine, fake, stack, wire
from lib.engineproxy import EngineProxy
from lib.stack import Stack, Timeout, until
from lib.thief import Thief

LEAST, MOST = 2, 6
BOUND_S = 60  # to come back; ends a failure, does not measure: the times are printed
HEALTHY = "/api/v1/t/any"


class Violation(AssertionError):
    pass


class FakeWorld:
    """Faults of an engine that does what it is told."""

    def __init__(self):
        self.fake = fake.Fake()
        self.docker = None

    def down(self):
        self.fake.away()

    def hang(self):
        self.fake.fault(match=".", kind="hang")
        self.fake.cut("(?!GET /events)")

    def fail(self):
        self.fake.fault(match=".", kind="status", status=500, message="chaos")

    def lose(self, pattern, n):
        self.fake.fault(match=pattern, kind="lost", times=n)

    def delay_starts(self):
        self.fake.fault(match="POST .*/start", kind="delay", seconds=1)

    def cut_events(self):
        self.fake.cut("/events")

    def heal(self):
        self.fake.lift()
        self.fake.disk_full(False)
        self.fake.back()

    def instances(self):
        return {c["id"][:12] for c in self.fake.containers() + self.fake.history()}

    def close(self):
        self.fake.close()


class RealWorld:
    """The real engine behind a relay: it goes on, but ctld does not reach it. A restart of the relay stands for that
    of the engine, which is not this test's alone."""

    def __init__(self):
        self.proxy = self.stack = None
        self.docker = "@DIR@/engine.sock"
        self.known = set()
        self.over = threading.Event()

    def begin(self, s):
        self.stack = s
        self.proxy = EngineProxy(s.dir + "/engine.sock")
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self):
        while not self.over.is_set():
            with contextlib.suppress(OSError, engine.EngineError):
                self.known |= {c["Id"][:12] for c in self.stack.ours()}
            self.over.wait(0.05)

    def down(self):
        self.proxy.set("refuse")

    def hang(self):
        self.proxy.set("hang")

    def fail(self):
        self.proxy.set("fail")

    def lose(self, pattern, n):
        self.proxy.swallowed.clear()
        self.proxy.swallow = pattern
        threading.Thread(target=self._stop_losing, args=(n,), daemon=True).start()

    def _stop_losing(self, n):
        end = time.monotonic() + 5
        while len(self.proxy.swallowed) < n and time.monotonic() < end:
            time.sleep(0.005)
        self.proxy.swallow = None

    def delay_starts(self):
        """It takes long enough by itself."""

    def cut_events(self):
        self.proxy.cut("/events")

    def heal(self):
        self.proxy.swallow = None
        if self.proxy.mode != "pass":
            self.proxy.set("pass")

    def instances(self):
        return set(self.known)

    def close(self):
        self.over.set()
        self.proxy.close()


class Chaos:
    def __init__(self, world, seed):
        self.world, self.rnd = world, random.Random(seed)
        self.want, self.form = 3, 0
        self.stack = Stack(docker=world.docker, app={
            "environment": '{ FORM: "form0" }', "drain": "5s", "stop_grace_period": "3s", "ready_hold": "200ms",
            "rollout": "start-first", "depends_on": "[db]",
            "scale": f"{{ min: {LEAST}, max: {MOST + 1}, every: 30m, per: 1000000 }}",
        }, extra="""\
            db:
              image: "@IMAGE@"
              environment: { PORT: "5432" }
              port: 5432
              health: { tcp: true, interval: 1s, timeout: 1s, fall: 2, start_period: 20s }
              stop_grace_period: 2s
            """)
        if isinstance(world, RealWorld):
            world.begin(self.stack)
        self.thief = None
        self.doomed = set()  # ids that must go
        self.known = set()   # short ids of all our containers, past ones too

    # ---- faults ----

    def pick(self):
        """(port, id) of one of the ready ones."""
        ids = self.stack.ids()
        port = self.stack.host_first + self.rnd.randrange(self.want)
        return port, ids[port]

    def hit(self):
        """The id of one that will not live on."""
        _, cid = self.pick()
        self.doomed.add(cid)
        return cid

    def kill(self):
        engine.kill(self.hit())

    def f_ctld_killed(self):
        self.stack.ctld.kill()
        time.sleep(self.rnd.choice((0, 0.3, 2)))
        self.stack.start_ctld()

    def f_ctld_killed_and_container_killed(self):
        cid = self.hit()
        self.stack.ctld.kill()
        engine.kill(cid)
        time.sleep(self.rnd.choice((0, 0.5)))
        self.stack.start_ctld()

    def f_lbd_killed(self):
        self.stack.lbd.kill()
        self.stack.start_lbd()

    def f_both_killed(self):
        self.stack.ctld.kill()
        self.stack.lbd.kill()
        self.stack.start_lbd()
        self.stack.start_ctld()

    def f_container_killed(self):
        self.kill()

    def f_container_removed(self):
        engine.remove(self.hit())

    def f_container_stopped(self):
        engine.call("POST", f"/containers/{self.hit()}/stop", query={"t": "3"})

    def f_container_paused(self):
        _, cid = self.pick()
        engine.pause(cid)
        if self.rnd.random() < 0.7:
            self.doomed.add(cid)
        else:
            time.sleep(0.4)  # whether a probe meets it is chance
            with contextlib.suppress(engine.EngineError):
                engine.call("POST", f"/containers/{cid}/unpause")

    def f_container_silent(self):
        port, cid = self.pick()
        self.doomed.add(cid)
        client.once(port, "GET", "/api/v1/t/mode?set=silent")

    def f_engine_restarted(self):
        seconds = self.rnd.choice((0.3, 1, 3))
        die = self.rnd.random() < 0.5
        self.world.down()
        if die:
            self.kill()
        time.sleep(seconds)

    def f_engine_hangs(self):
        die = self.rnd.random() < 0.5
        self.world.hang()
        if die:
            self.kill()
        time.sleep(self.rnd.choice((1, 4, 7)))

    def f_engine_answers_500(self):
        die = self.rnd.random() < 0.5
        self.world.fail()
        if die:
            self.kill()
        time.sleep(self.rnd.choice((0.5, 2)))

    def f_answers_lost(self):
        verb = self.rnd.choice(("POST .*/containers/create", "POST .*/start", "DELETE .*/containers/"))
        self.world.lose(verb, self.rnd.choice((1, 2)))
        self.kill()
        time.sleep(0.5)

    def f_events_cut(self):
        self.world.cut_events()
        self.kill()
        self.world.cut_events()

    def f_port_stolen(self):
        """Of the slot that comes next: it must wait, the others serve on, and it comes when the port is free."""
        if self.want == MOST:
            self.scale(LEAST)
            self.converge("port-stolen")
        port = self.stack.host_first + self.want
        until(lambda: self.steal(port), 10, f"port {port} is free to steal")
        self.scale(self.want + 1)
        until(lambda: any(s["port"] == port and str(port) in s["reason"] for s in self.stack.svc()["slots"]), BOUND_S,
              "the slot says who is in the way")
        time.sleep(1)
        if self.stack.svc()["ready"] != self.want - 1:
            raise Violation("the stolen port's slot is not the only one that is not ready")

    def f_port_grabbed(self):
        """In the moment when its container dies, by a program that answers everything well."""
        port, cid = self.pick()
        self.doomed.add(cid)
        self.world.delay_starts()
        over = threading.Event()

        def grab():
            while not over.is_set() and not self.steal(port):
                over.wait(0.0003)
        t = threading.Thread(target=grab)
        t.start()
        engine.kill(cid)
        over.wait(self.rnd.choice((0.2, 3)))
        over.set()
        t.join()

    def steal(self, port):
        try:
            self.thief = Thief(port)
        except OSError:
            return False
        return True

    def f_database_stopped(self):
        cid = next(iter(self.stack.ids("db").values()))
        self.doomed.add(cid)
        if self.rnd.random() < 0.5:
            engine.kill(cid)
        else:
            engine.call("POST", f"/containers/{cid}/stop", query={"t": "2"})

    def f_table_pushed(self):
        """By somebody else: ours with one instance less, or ours as it is."""
        table = self.stack.table()
        less = self.rnd.random() < 0.5
        at = self.rnd.randrange(self.want)
        if less:
            del table["services"][0]["backends"][at]
        with wire.Wire(self.stack.run_dir + "/lb.sock", "ctl") as w:
            for _ in range(3):
                table["generation"] = w.ask("stats.get")["generation"] + 1
                with contextlib.suppress(wire.Refused):
                    w.ask("table.set", table)
                    break

    def f_reloaded(self):
        with open(self.stack.config, encoding="utf-8") as f:
            text = f.read()
        self.form += 1
        self.stack.write_config(text.replace(f'"form{self.form - 1}"', f'"form{self.form}"'))
        r = self.stack.lbctl("reload", timeout=120)
        if r.returncode != 0:
            raise Violation(f"lbctl reload: {r.returncode}: {r.stdout}{r.stderr}")

    def f_reloaded_with_errors(self):
        with open(self.stack.config, encoding="utf-8") as f:
            text = f.read()
        self.stack.write_config(text.replace("drain:", "drian:"))
        r = self.stack.lbctl("reload", timeout=120)
        self.stack.write_config(text)
        if r.returncode == 0:
            raise Violation("lbctl reload took a file with errors")

    def f_scaled(self):
        self.scale(self.rnd.randint(LEAST, MOST))

    def f_scaled_and_container_killed(self):
        cid = self.hit()
        self.scale(self.rnd.randint(LEAST, MOST))
        with contextlib.suppress(engine.EngineError):  # it may be the one that leaves
            engine.kill(cid)

    def scale(self, n):
        self.want = n
        self.stack.ask("scale.set", {"service": "app", "replicas": n})

    # on the fake engine only

    def f_engine_and_containers_restarted(self):
        self.world.fake.restart(self.rnd.choice((0.2, 1)), keep=False)

    def f_container_sick(self):
        """Its health check fails; requests that reach it are served."""
        self.world.fake.mode(self.hit(), "sick")

    def f_disk_full(self):
        self.world.fake.disk_full(True)
        self.kill()
        time.sleep(self.rnd.choice((1, 3)))

    def f_engine_slow(self):
        self.world.fake.fault(match="POST|DELETE", kind="delay", seconds=self.rnd.choice((0.2, 1)))
        self.kill()
        time.sleep(2)

    def f_version_raised(self):
        self.world.fake.version(*self.rnd.choice((("1.52", "1.44"), ("1.41", "1.12"), ("1.44", "1.24"))))
        self.kill()

    # ---- what must hold ----

    def state(self):
        """None when everything is as declared, else what is not."""
        s = self.stack
        st = s.status()
        if st["state"] != "ok" or not st["engine"]["up"]:
            return f"state {st['state']}: {st['reasons']}"
        app, db = s.svc("app"), s.svc("db")
        if (app["wish"], app["ready"], db["ready"]) != (self.want, self.want, 1):
            return f"wish {app['wish']}, ready {app['ready']}, database {db['ready']}; declared {self.want}"
        if st["lbd"]["pid"] != s.lbd.pid:
            return f"ctld speaks to lbd {st['lbd']['pid']}, but {s.lbd.pid} runs"
        have = sorted((c["Id"], c["State"]) for c in s.ours())
        if self.doomed & {i for i, _ in have}:
            return f"still there: {self.doomed}"
        ids = s.ids("app")
        want = sorted((i, "running") for i in [*ids.values(), *s.ids("db").values()])
        if have != want:
            return f"the engine has {have}, ctld says {want}"
        if set(ids) != {s.host_first + i for i in range(self.want)}:
            return f"ports {sorted(ids)}"
        table = set(s.lbd_stats("app"))
        if table != set(range(self.want)):
            return f"lbd has slots {table}"
        r = s.get(HEALTHY)
        return None if r.status == 200 else f"GET is answered {r.status}"

    def converge(self, what):
        last = [None]

        def good():
            for d in (self.stack.lbd, self.stack.ctld):
                if not d.alive():
                    raise Violation(f"{d.name} died by itself: {d.process.returncode}")
            last[0] = "no answer"
            last[0] = self.state()
            return last[0] is None
        try:
            until(good, BOUND_S, what, every=0.05)
        except Timeout as e:
            raise Violation(f"not as declared within {BOUND_S} s after {what}: {last[0]} ({e})") from None

    def strangers(self, records):
        """Answers by anything that is no container of ours."""
        named = {r.instance for r in records if r.instance is not None}
        unknown = named - self.known
        if unknown:
            self.known |= self.world.instances()
        return [r for r in records if r.instance in named - self.known]

    def close(self):
        if self.thief:
            self.thief.close()
        try:
            self.stack.close()
        finally:
            self.world.close()


# kind, weight, may a client see errors (no healthy instance, or no lbd, is left)
FAULTS = [
    ("ctld-killed", 2, False), ("ctld-killed-and-container-killed", 1, False), ("lbd-killed", 1, True),
    ("both-killed", 1, True), ("container-killed", 3, False), ("container-removed", 1, False),
    ("container-stopped", 1, False), ("container-paused", 2, False), ("container-silent", 1, False),
    ("engine-restarted", 2, False), ("engine-hangs", 2, False), ("engine-answers-500", 1, False),
    ("answers-lost", 2, False), ("events-cut", 1, False), ("port-stolen", 2, False), ("port-grabbed", 2, False),
    ("database-stopped", 1, False),
    ("table-pushed", 2, False), ("reloaded", 2, False), ("reloaded-with-errors", 1, False), ("scaled", 3, False),
    ("scaled-and-container-killed", 1, False),
]
FAKE_FAULTS = [
    ("engine-and-containers-restarted", 1, True), ("container-sick", 1, False), ("disk-full", 1, False),
    ("engine-slow", 1, False), ("version-raised", 1, False),
]


class Tally:
    def __init__(self):
        self.rows = collections.defaultdict(lambda: {"n": 0, "requests": 0, "errors": 0, "times": []})

    def add(self, kind, requests, errors, seconds):
        row = self.rows[kind]
        row["n"] += 1
        row["requests"] += requests
        row["errors"] += errors
        row["times"].append(seconds)

    def show(self, may):
        print(f"{'fault':34} {'times':>5} {'requests':>9} {'errors':>7}  back in s: median    max")
        for kind, row in sorted(self.rows.items()):
            times = sorted(row["times"])
            note = "  (no healthy instance, or no lbd, is left)" if may[kind] else ""
            print(f"{kind:34} {row['n']:5} {row['requests']:9} {row['errors']:7}  "
                  f"{times[len(times) // 2]:17.1f} {times[-1]:6.1f}{note}")
        print(flush=True)


def run(args):
    world = FakeWorld() if args.engine == "fake" else RealWorld()
    rows = FAULTS + (FAKE_FAULTS if args.engine == "fake" else [])
    if args.only:
        rows = [r for r in rows if r[0] in args.only]
    may = {kind: errors for kind, _, errors in rows}
    chaos = Chaos(world, args.seed)
    tally = Tally()
    begin = time.monotonic()
    done = 0
    try:
        chaos.stack.start()
        chaos.scale(chaos.want)
        chaos.converge("the start")
        with client.Traffic(chaos.stack.port, HEALTHY, threads=args.clients, pause=args.pause, timeout=40) as traffic:
            while done < args.faults and not (args.seconds and time.monotonic() - begin > args.seconds):
                kind = chaos.rnd.choices([r[0] for r in rows], [r[1] for r in rows])[0]
                one(chaos, traffic, tally, kind, may[kind], args)
                done += 1
                if done % 50 == 0:
                    print(f"{done} faults in {time.monotonic() - begin:.0f} s", flush=True)
        late = traffic.failures()
        if late or chaos.strangers(traffic.records):
            raise Violation(f"after the last fault: {late} {chaos.strangers(traffic.records)}")
    except BaseException:
        print(f"seed {args.seed}, fault {done + 1}", flush=True)
        tally.show(may)
        print(chaos.stack.tail(12000), flush=True)
        chaos.close()
        raise
    tally.show(may)
    chaos.close()
    print(f"{done} faults in {time.monotonic() - begin:.0f} s on the {args.engine} engine, seed {args.seed}: as declared "
          "after each; no orphan, no duplicate, no answer by a stranger", flush=True)


def one(chaos, traffic, tally, kind, may_err, args):
    chaos.stack.mark_logs()
    begin = time.monotonic()
    if args.verbose:
        print(f"{begin:.3f} {kind}, {chaos.want} instances", flush=True)
    getattr(chaos, "f_" + kind.replace("-", "_"))()
    chaos.world.heal()
    if chaos.thief:
        chaos.thief.close()
        chaos.thief = None
    healed = time.monotonic()
    chaos.converge(kind)
    chaos.doomed.clear()
    seconds = time.monotonic() - healed
    # Requests that began before all was well again may still be under way: they belong to this fault.
    known = time.monotonic()
    until(lambda: sum(1 for r in traffic.records[-200:] if r.begin > known) >= args.clients, 60, "requests after it")
    taken = len(traffic.records)  # the clients go on appending
    records = traffic.records[:taken]
    del traffic.records[:taken]
    errors = [r for r in records if not 200 <= r.status < 300]
    tally.add(kind, len(records), len(errors), seconds)
    strangers = chaos.strangers(records)
    if strangers:
        raise Violation(f"{kind}: answers by a stranger: {strangers[:5]}")
    if errors and not may_err:
        raise Violation(f"{kind}: {len(errors)} errors, begun at {begin:.3f}: {errors[:5]}")


def main():
    p = argparse.ArgumentParser(prog="test/chaos", description=__doc__)
    p.add_argument("--engine", choices=("fake", "real"), default="fake")
    p.add_argument("--faults", type=int, default=100)
    p.add_argument("--seed", type=int, default=None, help="default: a new one, which is printed")
    p.add_argument("--seconds", type=float, default=0, help="begin no further fault after so long")
    p.add_argument("--only", action="append", help="this kind of fault only; may be repeated")
    p.add_argument("--clients", type=int, default=4, help="half of them keep their connection")
    p.add_argument("--pause", type=float, default=0.02, help="seconds between two requests of a client")
    p.add_argument("--verbose", action="store_true", help="a line for each fault")
    args = p.parse_args()
    kinds = [r[0] for r in FAULTS + FAKE_FAULTS]
    for kind in args.only or ():
        if kind not in kinds:
            p.error(f"no fault '{kind}'; there are: {', '.join(kinds)}")
    if args.seed is None:
        args.seed = random.SystemRandom().randrange(10**6)
    reason = stack.missing(needs_engine=args.engine == "real")
    if reason:
        print(f"SKIP: {reason}")
        sys.exit(case.SKIP)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(f"seed {args.seed}", flush=True)
    try:
        run(args)
    except Violation as e:
        print(f"FAIL: {e}", flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
