#!/usr/bin/python3
"""Scaling by hand under traffic, and the graceful stop: drained first, then SIGTERM, nothing arrives after it."""
import hashlib
import threading
import time

from lib import case, client, engine
from lib.stack import Stack, until


def fnv(data):
    h = 14695981039346656037
    for b in data:
        h = ((h ^ b) * 1099511628211) & 0xFFFFFFFFFFFFFFFF
    return f"{h:016x}"


class Scale(case.Case):
    build = staticmethod(lambda: Stack(app={"drain": "20s", "stop_grace_period": "5s"}))

    def ports(self, n):
        return [self.stack.host_first + i for i in range(n)]

    def check_stops(self, ids):
        """From the logs of stopped instances: SIGTERM came, nothing arrived after it, nothing was cut off by it."""
        for cid in ids:
            log = self.stack.app_log(cid)
            term = [t for t, what, _ in log if what == "sigterm"]
            self.assertEqual(len(term), 1, f"{cid[:12]}: SIGTERM came {len(term)} times; log ends {log[-3:]}")
            after = [x for x in log if x[1] == "req" and x[0] > term[0]]
            self.assertEqual(after, [], f"{cid[:12]}: requests arrived after SIGTERM at {term[0]}")
            late = [x for x in log if x[1] == "done" and x[0] > term[0] and "_health" not in x[2]]
            self.assertEqual(late, [], f"{cid[:12]}: SIGTERM at {term[0]} came while requests were in flight")
            done = len([x for x in log if x[1] == "done" and "_health" not in x[2]])
            asked = len([x for x in log if x[1] == "req"])
            self.assertEqual(done, asked, f"{cid[:12]}: requests begun and not ended")
            self.assertTrue(any(what == "end" for _, what, _ in log), f"{cid[:12]}: it was killed")

    def test_one_to_ten_to_one_under_traffic(self):
        self.stack.scale(1)
        keep = self.stack.ids()
        with client.Traffic(self.stack.port, threads=6, pause=0.005) as t:
            until(lambda: len(t.records) > 20, 10, "traffic")
            at = time.monotonic()
            up = self.stack.scale(10)
            took_up = time.monotonic() - at
            self.assertEqual(sorted(up), self.ports(10))
            self.stack.exactly(10)
            ids = self.stack.ids()
            at = time.monotonic()
            self.stack.scale(1)
            took_down = time.monotonic() - at
        self.assertEqual(self.stack.exactly(1), keep, "the first one was touched")
        print(f"      1 -> 10 in {took_up:.2f} s (aim 4.0), 10 -> 1 in {took_down:.2f} s, {len(t.records)} requests",
              flush=True)
        self.assertEqual(t.failures(), [], f"failures, of {len(t.records)} requests")
        self.check_stops(set(ids.values()) - set(keep.values()))

    def test_scale_in_takes_the_highest_ports(self):
        self.stack.scale(6)
        ids = self.stack.ids()
        for n in (5, 3, 2):
            self.stack.scale(n)
            self.assertEqual(self.stack.exactly(n), {p: ids[p] for p in self.ports(n)})

    def test_ports_do_not_climb(self):
        for _ in range(3):
            self.stack.scale(3)
            self.assertEqual(sorted(self.stack.exactly(3)), self.ports(3))
            self.stack.scale(1)
            self.assertEqual(sorted(self.stack.exactly(1)), self.ports(1))

    def test_changes_of_mind(self):
        with client.Traffic(self.stack.port, threads=4, pause=0.005) as t:
            for n in (5, 2, 7, 1, 4, 10, 3, 6):
                self.stack.scale(n, wait=False)
                until(lambda: self.stack.svc()["wish"] == n, 5, "the wish taken")
            self.stack.wait_ready(6, timeout=60)
        self.assertEqual(sorted(self.stack.exactly(6)), self.ports(6))
        self.assertEqual(t.failures(), [], f"failures, of {len(t.records)} requests")

    def test_new_ones_join_the_rotation(self):
        self.stack.scale(1)
        self.stack.scale(4)
        seen = [self.stack.get("/api/v1/x").get("X-Instance") for _ in range(8)]
        self.assertEqual(set(seen), {i[:12] for i in self.stack.ids().values()})
        self.assertEqual(seen[:4], seen[4:])

    def test_a_slow_request_ends_before_its_container_stops(self):
        self.stack.scale(3)
        ids = self.stack.ids()
        answers = []

        def ask():
            answers.append(self.stack.get("/api/v1/t/slow?ms=3000", timeout=20))

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for x in threads:
            x.start()
        until(lambda: self.stack.svc()["in_flight"] == 3, 10, "three in flight")
        at = time.monotonic()
        self.stack.scale(1)
        took = time.monotonic() - at
        for x in threads:
            x.join(20)
        self.assertEqual([r.status for r in answers], [200, 200, 200])
        self.assertGreater(took, 1.5, "the stop did not wait")
        self.check_stops([ids[p] for p in self.ports(3)[1:]])

    def slow_upload(self, port, parts, pause, begun):
        piece = hashlib.sha256(b"x").digest() * 2048
        with client.Conn(port, timeout=40) as c:
            c.send(f"POST /api/v1/t/sink HTTP/1.1\r\nHost: x\r\nContent-Length: {len(piece) * parts}\r\n\r\n".encode())
            for i in range(parts):
                c.send(piece)
                if i == 1:
                    begun.release()
                pause.wait(0.15)
            return c.response("POST"), f"bytes={len(piece) * parts} fnv={fnv(piece * parts)}"

    def test_slow_uploads_end_while_their_containers_go(self):
        self.stack.scale(3)
        ids = self.stack.ids()
        begun, pause, results = threading.Semaphore(0), threading.Event(), []
        threads = [threading.Thread(target=lambda: results.append(self.slow_upload(self.stack.port, 25, pause, begun)))
                   for _ in range(3)]
        for x in threads:
            x.start()
        for _ in threads:
            self.assertTrue(begun.acquire(timeout=10))
        until(lambda: self.stack.svc()["in_flight"] == 3, 10, "three uploads in flight")
        self.stack.scale(1)
        for x in threads:
            x.join(30)
        self.assertEqual(len(results), 3)
        for r, want in results:
            self.assertEqual((r.status, r.text.strip()), (201, want))
        self.assertEqual(len({r.get("X-Instance") for r, _ in results}), 3, "not one upload a container")
        self.check_stops([ids[p] for p in self.ports(3)[1:]])


class Drain(case.Case):
    """The wait for requests in flight has a limit."""

    build = staticmethod(lambda: Stack(app={"drain": "2s", "stop_grace_period": "1s"}))

    def test_a_request_without_end_does_not_hold_the_stop(self):
        self.stack.scale(2)
        hung = []
        for _ in range(2):
            c = client.Conn(self.stack.port, timeout=30)
            c.send(b"GET /api/v1/t/hang HTTP/1.1\r\nHost: x\r\n\r\n")
            hung.append(c)
        until(lambda: self.stack.svc()["in_flight"] == 2, 10, "both hang")
        at = time.monotonic()
        self.stack.scale(1)
        took = time.monotonic() - at
        for c in hung:
            c.close()
        self.stack.exactly(1)
        self.assertGreater(took, 1.5)
        self.assertLess(took, 12)


class Shape(case.Case):
    """Containers are made as the file says, and with safe defaults."""

    build = staticmethod(lambda: Stack(app={
        "environment": '{ COLOUR: "deep blue", EMPTY: "" }',
        "labels": "{ com.example.owner: me }",
        "mem_limit": "64m",
        "cpus": "0.5",
        "pids_limit": "200",
        "user": '"65534:65534"',
        "read_only": "true",
        "tmpfs": "[/scratch]",
        "stop_signal": "SIGINT",
    }))

    def test_as_the_engine_has_it(self):
        (port, cid), = self.stack.ids().items()
        c = engine.inspect(cid)
        host, conf = c["HostConfig"], c["Config"]
        self.assertRegex(c["Name"], f"^/{self.stack.project}-app-0-[0-9]+$")
        self.assertIn("COLOUR=deep blue", conf["Env"])
        self.assertIn("EMPTY=", conf["Env"])
        self.assertEqual(conf["Labels"]["com.example.owner"], "me")
        self.assertIn(self.stack.project, conf["Labels"].values())
        self.assertEqual((host["Memory"], host["NanoCpus"], host["PidsLimit"]), (64 << 20, 500000000, 200))
        self.assertEqual((conf["User"], host["ReadonlyRootfs"]), ("65534:65534", True))
        self.assertIn("/scratch", host["Tmpfs"])
        self.assertEqual(conf["StopSignal"], "SIGINT")
        self.assertIn(f"{self.stack.log_dir}:/log", host["Binds"] or [f"{m['Source']}:{m['Target']}"
                                                                    for m in host.get("Mounts") or []])
        self.assertEqual(host["PortBindings"], {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]})
        self.assertIn(host["RestartPolicy"]["Name"], ("", "no"))
        self.assertTrue(any(o.startswith("no-new-privileges") for o in host["SecurityOpt"] or []))
        self.assertEqual(host["LogConfig"]["Type"], "json-file")
        self.assertEqual(host["LogConfig"]["Config"], {"max-size": "10485760", "max-file": "3"})
        self.assertEqual(list(c["NetworkSettings"]["Networks"]), [self.stack.project])
        self.assertIn("app", c["NetworkSettings"]["Networks"][self.stack.project]["Aliases"])

    def test_idle_daemons_burn_nothing(self):
        def ticks(d):
            with open(f"/proc/{d.pid}/stat", encoding="ascii") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            return int(fields[11]) + int(fields[12])
        before = [ticks(d) for d in (self.stack.lbd, self.stack.ctld)]
        time.sleep(3)
        used = [ticks(d) - b for d, b in zip((self.stack.lbd, self.stack.ctld), before)]
        print(f"      CPU at idle: lbd {used[0] / 3:.1f} %, ctld {used[1] / 3:.1f} %", flush=True)
        self.assertLess(used[0] / 3, 3)
        self.assertLess(used[1] / 3, 5)


if __name__ == "__main__":
    case.main()
