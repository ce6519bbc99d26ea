#!/usr/bin/python3
"""The configuration file changes while traffic runs: plan, reload, rolled changes."""
import json
import os
import signal
import subprocess

from lib import case, client, engine
from lib.stack import Stack, program, until

CHANGES = int(os.environ.get("LBCTL_TEST_CHANGES", "6"))


class Reload(case.Case):
    build = staticmethod(lambda: Stack(app={
        "environment": '{ FORM: "form0" }',
        "rollout": "start-first",
        "ready_hold": "200ms",
        "stop_grace_period": "5s",
    }))

    def lbctl(self, *args, timeout=120):
        return subprocess.run([program("lbctl"), "-s", self.stack.run_dir + "/ctl.sock", *args], capture_output=True,
                              text=True, timeout=timeout, check=False)

    def edit(self, before, after):
        with open(self.stack.config, encoding="utf-8") as f:
            text = f.read()
        self.assertIn(before, text)
        self.stack.write_config(text.replace(before, after))

    def forms(self):
        """What the ready instances are made of, as the engine has it."""
        return {next(e for e in engine.inspect(i)["Config"]["Env"] if e.startswith("FORM="))[5:]
                for i in self.stack.ids().values()}

    def test_the_same_file(self):
        r = self.lbctl("reload")
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        self.assertIn("nothing to do", r.stdout)

    def test_plan_changes_nothing(self):
        ids = self.stack.ids()
        self.edit("form0", "form1")
        r = self.lbctl("plan")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn("app: recreated (environment)", r.stdout)
        doc = json.loads(self.lbctl("plan", "--json").stdout)
        self.assertEqual([(s["name"], s["change"], s["keys"]) for s in doc["services"]],
                         [("app", "recreated", ["environment"])])
        self.assertEqual(self.stack.ids(), ids)
        self.edit("form1", "form0")

    def test_who_follows_events_goes_on_after_a_reload(self):
        with subprocess.Popen([program("lbctl"), "-s", self.stack.run_dir + "/ctl.sock", "events", "-f", "--json"],
                              stdout=subprocess.PIPE, text=True) as follower:
            try:
                seqs = [json.loads(follower.stdout.readline())["seq"]]
                self.edit("form0", "form1")
                self.assertEqual(self.lbctl("reload").returncode, 0)
                self.edit("form1", "form0")
                self.assertEqual(self.lbctl("reload").returncode, 0)
                last = json.loads(self.lbctl("events", "--json", "-n", "1").stdout)["seq"]
                while seqs[-1] < last:
                    seqs.append(json.loads(follower.stdout.readline())["seq"])
                self.assertEqual(seqs, list(range(seqs[0], last + 1)), "none twice, none left out")
                self.assertIsNone(follower.poll())
            finally:
                follower.terminate()

    def test_rolled_changes_under_traffic(self):
        self.stack.scale(2)
        with client.Traffic(self.stack.port, threads=6, pause=0.02) as t:  # over 200 a second
            until(lambda: len(t.records) > 20, 10, "traffic")
            for i in range(1, CHANGES + 1):
                self.edit(f"form{i - 1}\"", f"form{i}\"")
                r = self.lbctl("reload")
                self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
                self.assertIn("in force", r.stdout)
                self.assertEqual(self.forms(), {f"form{i}"})
        self.edit(f"form{CHANGES}", "form0")
        self.assertEqual(self.lbctl("reload").returncode, 0)
        self.assertEqual(t.failures(), [], f"failures, of {len(t.records)} requests")
        print(f"      {CHANGES} rolled changes, {len(t.records)} requests, no failure", flush=True)
        self.stack.wait_ready(2)
        self.stack.exactly(2)

    def test_a_bad_form_keeps_the_old_one(self):
        self.stack.scale(2)
        ids = self.stack.ids()
        self.edit("image: lbt-app:", "image: lbt-none:")
        with client.Traffic(self.stack.port, threads=2, pause=0.02) as t:
            r = self.lbctl("reload")
            self.assertEqual(r.returncode, 1, r.stdout)
            self.assertIn("does not become ready", r.stderr)
            self.assertIn("instances of the old form stay", r.stderr)
            self.edit("image: lbt-none:", "image: lbt-app:")
            r = self.lbctl("reload")
            self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual(t.failures(), [], f"failures, of {len(t.records)} requests")
        self.stack.wait_ready(2)
        self.assertEqual(self.stack.exactly(2), ids)

    def test_errors_change_nothing(self):
        ids = self.stack.ids()
        self.edit("rollout: start-first", "rollout: start-frist")
        for command in ("plan", "reload"):
            r = self.lbctl(command)
            self.assertEqual(r.returncode, 1)
            self.assertRegex(r.stderr, r"lbctl.yaml:[0-9]+:[0-9]+: .*start-first")
        self.edit("rollout: start-frist", "rollout: start-first")
        self.assertEqual(self.stack.ids(), ids)

    def test_hangup_reloads_without_touching_instances(self):
        ids = self.stack.ids()
        loads = self.stack.status()["ctld"]["loads"]
        self.edit("drain: 10s", "drain: 11s")
        os.kill(self.stack.ctld.pid, signal.SIGHUP)
        until(lambda: self.stack.status()["ctld"]["loads"] == loads + 1, 20, "the file taken over")
        self.stack.wait_ok()
        self.assertEqual(self.stack.ids(), ids)


if __name__ == "__main__":
    case.main()
