#!/usr/bin/python3
"""Instances as processes, without an engine: made, adopted, replaced, stopped, scaled, rolled; and the assignment."""
import glob
import json
import os
import pwd
import signal
import socket
import subprocess

from lib import case, client
from lib.stack import Stack, program, until


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


class Process(case.Case):
    needs_engine = False
    build = staticmethod(lambda: Stack(runtime="process", app={
        "environment": '{ FORM: "form0", EMPTY: "" }',
        "ready_hold": "100ms", "stop_grace_period": "2s", "log_max_size": "64k", "log_max_files": "3",
        "user": "nobody"}))

    def pids(self):
        """{port: pid} of the ready ones."""
        have = self.stack.instances("app")
        return {p: have[i][1] for p, i in self.stack.ids().items()}

    def settled(self, n):
        self.stack.wait_ready(n, timeout=60)
        until(lambda: len(self.stack.instances("app")) == n, 60, f"{n} instances and no other")
        pids = self.pids()
        self.assertEqual(len(set(pids.values())), n)
        for pid in pids.values():
            self.assertTrue(alive(pid))
        return pids

    def edit(self, before, after):
        with open(self.stack.config, encoding="utf-8") as f:
            text = f.read()
        self.assertIn(before, text)
        self.stack.write_config(text.replace(before, after))

    def reload(self):
        return subprocess.run([program("lbctl"), "-s", self.stack.run_dir + "/ctl.sock", "reload"], capture_output=True,
                              text=True, timeout=120, check=False)

    def test_what_a_process_is_given(self):
        (port, pid), = self.settled(1).items()
        with open(f"/proc/{pid}/environ", "rb") as f:
            env = f.read().split(b"\0")
        self.assertIn(f"PORT={port}".encode(), env)
        self.assertIn(b"FORM=form0", env)
        self.assertIn(b"EMPTY=", env)
        self.assertEqual([e for e in env if e.startswith((b"LBCTL", b"HOME", b"PWD"))], [])
        self.assertEqual(os.stat(f"/proc/{pid}").st_uid, pwd.getpwnam("nobody").pw_uid)
        self.assertEqual(os.getsid(pid), pid)
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            self.assertIn("NoNewPrivs:\t1", f.read())
        fds = {os.readlink(f) for f in glob.glob(f"/proc/{pid}/fd/*")}
        strange = [f for f in fds if not f.startswith(("/dev/null", "socket:", "anon_inode:", "pipe:",
                                                       self.stack.state_dir + "/instances/"))]
        self.assertEqual(strange, [])
        self.assertEqual([f for f in fds if f.endswith(".sock") or "ctl" in os.path.basename(f)], [])

    def test_ctld_killed_and_killed_again(self):
        self.stack.scale(3)
        before = self.settled(3)
        with client.Traffic(self.stack.port, threads=3, pause=0.005) as t:
            for _ in range(4):
                self.stack.ctld.kill()
                self.stack.start_ctld()
                self.stack.wait_ok()
        self.assertEqual(t.failures(), [])
        self.assertEqual(self.settled(3), before)

    def test_ctld_killed_while_it_starts_them(self):
        for _ in range(3):
            self.stack.scale(1)
            self.settled(1)
            self.stack.scale(6, wait=False)
            until(lambda: len(self.stack.instances("app")) > 2, 20, "some are being made")
            self.stack.ctld.kill()
            self.stack.start_ctld()
            self.settled(6)

    def test_killed_ones_are_replaced_on_their_port(self):
        self.stack.scale(2)
        before = self.settled(2)
        (port, pid), *_ = sorted(before.items())
        with client.Traffic(self.stack.port, threads=3, pause=0.005) as t:
            os.kill(pid, signal.SIGKILL)
            until(lambda: self.pids().get(port) not in (None, pid), 30, "replaced")
        self.assertEqual(t.failures(), [])
        self.settled(2)

    def test_a_stopped_one_is_replaced(self):
        self.stack.scale(2)
        (port, pid), *_ = sorted(self.settled(2).items())
        os.kill(pid, signal.SIGSTOP)
        until(lambda: self.pids().get(port) not in (None, pid), 30, "replaced")
        until(lambda: not alive(pid), 20, "its end")
        self.settled(2)

    def test_one_that_ignores_sigterm_is_killed_after_its_grace(self):
        self.edit('FORM: "form0"', 'FORM: "form0", MIS_TERM: ignore')
        self.assertEqual(self.reload().returncode, 0)
        self.stack.scale(2)
        pids = self.settled(2)
        self.stack.scale(1)
        self.settled(1)
        self.assertFalse(alive(pids[max(pids)]))
        self.edit(", MIS_TERM: ignore", "")
        self.assertEqual(self.reload().returncode, 0)

    def test_rolled_without_a_failure(self):
        self.stack.scale(2)
        self.settled(2)
        with client.Traffic(self.stack.port, threads=3, pause=0.01) as t:
            for i in range(1, 6):
                self.edit(f"form{i - 1}", f"form{i}")
                r = self.reload()
                self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
                forms = {e for m, _ in self.stack.instances("app").values() for e in m["env"] if e.startswith("FORM")}
                self.assertEqual({f"FORM=form{i}"}, forms)
        self.assertEqual(t.failures(), [])
        self.edit("form5", "form0")
        self.assertEqual(self.reload().returncode, 0)

    def test_output_is_kept_and_bounded(self):
        self.stack.scale(1)
        self.settled(1)
        (iid, _), = self.stack.instances("app").items()
        log = f"{self.stack.state_dir}/instances/{iid}/out.log"
        c = client.Conn(self.stack.port)
        until(lambda: c.request("GET", "/api/v1/x").status == 200 and os.path.exists(log + ".1"), 60, "rotated output",
              every=0)
        c.close()
        self.assertGreaterEqual(os.path.getsize(log + ".1"), 65536)

    def test_a_taken_port_waits_and_comes_back(self):
        self.stack.scale(1)
        self.settled(1)

        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("127.0.0.1", self.stack.host_first + 1))
            s.listen()
            self.stack.scale(2, wait=False)
            until(lambda: str(self.stack.host_first + 1) in json.dumps(self.stack.status()["reasons"]), 30, "told")
        self.settled(2)
        self.stack.scale(1)

    def test_a_program_that_is_not_there(self):
        good = program("misbehave")
        pids = self.settled(1)
        self.edit(good, good + "-not")
        r = self.reload()
        self.assertEqual(r.returncode, 1)
        self.assertIn("misbehave-not", r.stderr)
        self.assertEqual(self.pids(), pids)
        self.edit(good + "-not", good)
        self.assertEqual(self.reload().returncode, 0)
        self.settled(1)

    def test_remove_instances_leaves_nothing(self):
        pids = self.settled(1)
        self.stack.remove_instances()
        for pid in pids.values():
            self.assertFalse(alive(pid))
        self.assertEqual(self.stack.instances("app"), {})
        self.stack.start_ctld()
        self.settled(1)


class Acts(case.Case):
    """The assignment's application with a private PostgreSQL, all of it processes."""

    needs_engine = False
    build = staticmethod(lambda: Stack(runtime="process", acts={
        "scale": "{ min: 1, max: 10, every: 4s, per: 20, ignore: [/api/v1/_health, /api/v1/_crash] }"}))

    def count(self):
        return len(self.stack.slots())

    def test_count_scales_out_and_in(self):
        until(lambda: self.stack.get("/api/v1/_health").status == 200, 30, "healthy")
        self.assertEqual(self.count(), 1)
        for _ in range(40):
            self.assertIn(self.stack.get("/api/v1/categories").status, (200, 204))
        until(lambda: self.count() == 3, 30, "floor(40 / 20) + 1")
        ports = sorted(self.stack.slots())
        self.assertEqual(ports, [self.stack.host_first + i for i in range(3)])
        until(lambda: self.count() == 1, 30, "back to one")

    def test_crash_is_replaced_and_sees_all_data(self):
        self.assertEqual(self.stack.get("/api/v1/_health").status, 200)
        c = client.Conn(self.stack.port)
        self.assertEqual(c.request("POST", "/api/v1/categories", b'["shared"]',
                                   [("Content-Type", "application/json")]).status, 201)
        before = self.stack.ids()
        self.assertEqual(c.request("POST", "/api/v1/_crash").status, 200)
        c.close()
        port = self.stack.host_first
        until(lambda: self.stack.ids().get(port) not in (None, before[port]), 30, "replaced on its port")
        until(lambda: "shared" in self.stack.get("/api/v1/categories").text, 30, "the data is there")

    def test_the_database_dies_and_comes_back(self):
        (_, (_, pid)), = self.stack.instances("postgres").items()
        os.kill(pid, signal.SIGKILL)
        until(lambda: [p for _, p in self.stack.instances("postgres").values() if p not in (None, pid)], 60, "another one")
        until(lambda: self.stack.get("/api/v1/_health").status == 200, 90, "healthy again")
        self.assertIn("shared", self.stack.get("/api/v1/categories").text)


if __name__ == "__main__":
    case.main()
