#!/usr/bin/python3
"""Bad configuration: `lbctl check` and ctld name file, line and column, what is wrong and what to do; exit code not 0;
nothing is started."""
import glob
import os
import re
import shutil
import subprocess
import tempfile
import time

from lib import case, engine
from lib.stack import Stack, app_image, program, until

GOOD = """\
listen: 127.0.0.1:@PORT@
project: @PROJECT@
run_dir: @DIR@/run
state_dir: @DIR@/state
docker: unix://@DOCKER@
services:
  app:
    image: @IMAGE@
    route: /api/v1
    port: 80
    host_ports: @FIRST@-@LAST@
    health: { path: /api/v1/_health, interval: 1s, timeout: 1s }
    scale: { min: 1, max: 10, every: 2m, per: 20 }
"""

SECOND = """\
  second:
    image: @IMAGE@
    port: 80
    route: /second
    host_ports: @SECOND@
    health: { path: /_health }
"""

# name, (text to replace, replacement) or a function of the good text, line (0: any), patterns of the message
ROWS = [
    ("unknown key of a service", ("route:", "rout:"), 9, ["rout", r"did you mean 'route'\?"]),
    ("unknown key of health", ("interval:", "intervall:"), 12, ["intervall", r"did you mean 'interval'\?"]),
    ("unknown key of scale", ("every:", "evry:"), 13, ["evry", r"did you mean 'every'\?"]),
    ("unknown key at the top", ("listen:", "lissten:"), 1, ["lissten", r"did you mean 'listen'\?"]),
    ("a key of Compose", ("    port: 80\n", "    ports: [\"80:80\"]\n"), 10, ["ports", "host_ports"]),
    ("a number is a word", ("min: 1", "min: one"), 13, ["min"]),
    ("a number is a list", ("per: 20", "per: [20]"), 13, ["per"]),
    ("a number is negative", ("min: 1", "min: -1"), 13, ["min"]),
    ("a number is zero", ("per: 20", "per: 0"), 13, ["per"]),
    ("a number is huge", ("max: 10", "max: 99999999999999999999999"), 13, ["max"]),
    ("min above max", ("min: 1", "min: 11"), 0, ["min", "max"]),
    ("a duration without unit", ("every: 2m", "every: 2"), 13, ["every", "s|ms|m"]),
    ("a section is a word", ("health: { path: /api/v1/_health, interval: 1s, timeout: 1s }", "health: yes"), 12,
     ["keys with values"]),
    ("services is a list", lambda t: t.split("services:")[0] + "services: [app]\n", 0, ["services|service"]),
    ("no services", lambda t: t.split("services:")[0], 0, ["service"]),
    ("services without any", lambda t: t.split("services:")[0] + "services:\n", 6, ["services"]),
    ("no image", ("    image: @IMAGE@\n", ""), 0, ["app", "image"]),
    ("image without a value", ("image: @IMAGE@", "image:"), 8, ["image"]),
    ("overlapping ports", lambda t: t + SECOND.replace("@SECOND@", "@LAST@-@LATER@"), 0, ["second", "overlap", "app"]),
    ("ports contain the listener", ("@PORT@", "@FIRST@"), 0, ["host_ports", "listens"]),
    ("port range smaller than max", ("@FIRST@-@LAST@", "@FIRST@-@FIRST@"), 0, ["host ports|host_ports", "max"]),
    ("port range backwards", ("@FIRST@-@LAST@", "@LAST@-@FIRST@"), 11, ["host_ports"]),
    ("port 0", ("port: 80", "port: 0"), 10, ["port"]),
    ("port 70000", ("port: 80", "port: 70000"), 10, ["port"]),
    ("port missing", ("    port: 80\n", ""), 0, ["port"]),
    ("route without a slash", ("route: /api/v1", "route: api/v1"), 9, ["route", "/"]),
    ("route with a blank", ("route: /api/v1", "route: '/api v1'"), 9, ["route"]),
    ("route with a query", ("route: /api/v1", "route: /api/v1?x=1"), 9, ["route"]),
    ("route is a number in a map", ("route: /api/v1", "route: { a: b }"), 9, ["route"]),
    ("the same route twice", lambda t: t + SECOND.replace("@SECOND@", "@LATER@-@LATER@").replace("/second", "/api/v1"),
     0, ["route", "second", "app"]),
    ("bad listen address", ("127.0.0.1:@PORT@", "localhost.example:@PORT@"), 1, ["listen"]),
    ("bad publish address", ("    port: 80\n", "    port: 80\n    publish: nowhere\n"), 11, ["publish"]),
    ("bad volume", ("    port: 80\n", "    port: 80\n    volumes: [data]\n"), 11, ["volume|VOLUME|/PATH|PATH"]),
    ("bad project name", ("project: @PROJECT@", "project: 'Not A Name'"), 2, ["project"]),
    ("depends on nobody", ("    port: 80\n", "    port: 80\n    depends_on: [databse]\n"), 0, ["databse"]),
    ("depends on itself", ("    port: 80\n", "    port: 80\n    depends_on: [app]\n"), 0, ["app", "itself"]),
    ("circle of dependencies", lambda t: t.replace("    port: 80\n", "    port: 80\n    depends_on: [second]\n") +
     SECOND.replace("@SECOND@", "@LATER@-@LATER@") + "    depends_on: [app]\n", 0, ["itself|circle", "depend"]),
    ("duplicate key", ("    port: 80\n", "    port: 80\n    port: 81\n"), 11, ["port", "second time|twice|duplicate"]),
    ("duplicate service", lambda t: t + "  app:\n    image: x\n", 14, ["app", "second time|twice|duplicate"]),
    ("tab as indentation", ("    port: 80\n", "\tport: 80\n"), 10, ["."]),
    ("unclosed bracket", ("timeout: 1s }", "timeout: 1s"), 0, ["."]),
    ("two documents", lambda t: t + "---\nservices: {}\n", 0, ["document"]),
    ("an alias", ("timeout: 1s }", "timeout: *x }"), 12, ["alias"]),
    ("a list at the top", lambda t: "- a\n- b\n", 1, ["."]),
    ("a word at the top", lambda t: "hello\n", 1, ["."]),
]

# name, bytes, pattern; a place cannot be asked for everywhere
FILES = [
    ("empty", b"", "."),
    ("only a comment", b"# nothing\n", "."),
    ("NUL bytes", b"listen: 80\n\0\0\0\n", "."),
    ("binary", bytes(range(256)) * 64, "."),
    ("ten megabytes of garbage", os.urandom(10 << 20), "."),
    ("ten megabytes of letters", b"a" * (10 << 20), "."),
    ("ten megabytes of valid comment", b"# x\n" * (10 << 18), "."),
    ("deep nesting", b"a: " + b"[" * 100000, "."),
    ("deep nesting of maps", b"".join(b" " * i + b"a:\n" for i in range(1200)), "."),
    ("many aliases", b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
        b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % ((c, c) + (c - 1,) * 9) for c in range(98, 110)), "."),
    ("an alias of itself", b"services: &a\n  app: *a\n", "."),
    ("very long line", b"listen: " + b"1" * 900000 + b"\n", "."),
    ("bad UTF-8", b"listen: 80\nservices:\n  \xc3\x28:\n    image: x\n", "."),
]


class Config(case.Case):
    @classmethod
    def setUpClass(cls):
        cls.base = Stack()  # for its ports, directory and clean-up; nothing of it is started
        cls.file = cls.base.dir + "/bad.yaml"

    @classmethod
    def tearDownClass(cls):
        cls.base.close()

    def fill(self, text):
        b = self.base
        for word, value in (("PORT", b.port), ("PROJECT", b.project), ("DIR", b.dir), ("DOCKER", engine.SOCKET),
                            ("IMAGE", app_image()), ("FIRST", b.host_first), ("LAST", b.host_first + 9),
                            ("LATER", b.host_first + 15)):
            text = text.replace(f"@{word}@", str(value))
        return text

    def run_program(self, *argv, timeout=10):
        """(exit code, output); a program that goes on running is an error of its own."""
        p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            out, _ = p.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            p.kill()
            out, _ = p.communicate()
            self.fail(f"{argv[0]} did not end; it said: {out.decode(errors='replace')[:2000]}")
        return p.returncode, out.decode(errors="replace")

    def check_refused(self, data, line, patterns, place=True):
        with open(self.file, "wb") as f:
            f.write(data)
        for argv in ([program("lbctl"), "check", self.file], [program("ctld"), "--config", self.file],
                     [program("lbd"), "--config", self.file]):
            name = os.path.basename(argv[0])
            code, out = self.run_program(*argv)
            self.assertGreater(code, 0, f"{name}: exit code (negative: died of that signal); output: {out[:2000]}")
            self.assertLess(len(out), 20000, f"{name}: far too much output")
            self.assertIn(self.file, out, f"{name} does not name the file")
            if place:
                places = re.findall(re.escape(self.file) + r":(\d+):(\d+): ", out)
                self.assertTrue(places, f"{name}: no file:line:column in: {out[:2000]}")
                if line:
                    self.assertIn(str(line), [p[0] for p in places], f"{name}: wrong line in: {out[:2000]}")
            for p in patterns:
                self.assertRegex(out, p, f"{name}: message")
        self.assertEqual(self.base.ours(), [], "containers were made")
        self.assertFalse(os.path.exists(self.base.run_dir + "/ctl.sock"), "ctld listened")

    def test_the_good_file_passes(self):
        with open(self.file, "w", encoding="utf-8") as f:
            f.write(self.fill(GOOD))
        code, out = self.run_program(program("lbctl"), "check", self.file)
        self.assertEqual(code, 0, out)
        self.assertEqual(self.base.ours(), [])

    def test_a_static_directory_that_is_not_here_is_a_warning(self):
        for directory, warned in ((self.base.dir, False), (self.base.dir + "/not there", True), (self.file, True)):
            with self.subTest(directory):
                with open(self.file, "w", encoding="utf-8") as f:
                    f.write(self.fill(GOOD) + f"  files:\n    static: \"{directory}\"\n    route: /files\n")
                code, out = self.run_program(program("lbctl"), "check", self.file)
                self.assertEqual(code, 0, out)
                self.assertEqual("warning: service 'files': static: '" + directory + "' is no directory" in out, warned, out)
                self.assertIn(": ok", out)

    def test_rows(self):
        for name, change, line, patterns in ROWS:
            with self.subTest(name):
                if callable(change):
                    text = change(GOOD)
                else:
                    self.assertIn(change[0], GOOD, "the row itself is wrong")
                    text = GOOD.replace(change[0], change[1], 1)
                self.check_refused(self.fill(text).encode(), line, patterns)

    def test_files(self):
        for name, data, pattern in FILES:
            with self.subTest(name):
                self.check_refused(data, 0, [pattern], place=False)

    def test_all_faults_of_a_file_are_named_at_once(self):
        text = GOOD.replace("rout", "ruot").replace("port: 80", "port: 0").replace("every:", "evry:")
        self.check_refused(self.fill(text).encode(), 9, ["ruot", "evry", ":10:"])

    def test_a_file_that_is_not_there(self):
        for argv in ([program("lbctl"), "check", "/nonexistent.yaml"], [program("ctld"), "--config",
                     "/nonexistent.yaml"], [program("lbd"), "--config", "/nonexistent.yaml"]):
            code, out = self.run_program(*argv)
            self.assertGreater(code, 0, out)
            self.assertIn("/nonexistent.yaml", out)

    def test_a_directory_and_a_device(self):
        for path in ("/tmp", "/dev/zero", "/dev/null"):
            code, out = self.run_program(program("lbctl"), "check", path)
            self.assertGreater(code, 0, out)
            self.assertIn(path, out)

    def test_examples_of_the_project_are_good(self):
        root = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
        code, out = self.run_program(program("lbctl"), "check", root + "/deploy/lbctl.yaml")
        self.assertEqual(code, 0, out)
        with tempfile.TemporaryDirectory() as d:
            open(d + "/shop.env", "w", encoding="ascii").close()  # the user's own
            for path in glob.glob(root + "/deploy/examples/*.yaml"):
                shutil.copy(path, d)
                code, out = self.run_program(program("lbctl"), "check", f"{d}/{os.path.basename(path)}")
                self.assertEqual(code, 0, out)


class NoImage(case.Case):
    """The image of a service is not on the engine."""

    def test_said_clearly_and_nothing_started(self):
        s = Stack(app={"image": "127.0.0.1:1/lbt-nowhere:latest"})
        try:
            s.start_lbd()
            s.start_ctld()

            def told():
                if not s.ctld.alive():
                    self.assertGreater(s.ctld.process.returncode, 0)
                    return s.tail()
                st = s.status()
                return next((r for r in st["reasons"] if "lbt-nowhere" in r), None)
            text = until(told, 15, "the missing image is named")
            self.assertRegex(text, "lbt-nowhere:latest")
            self.assertRegex(text, "build|pull|image", "what to do about it")
            end = time.monotonic() + 3
            while time.monotonic() < end:
                self.assertEqual(s.ours(), [], "containers were made")
                time.sleep(0.1)
            if s.ctld.alive():
                self.assertEqual(s.lbctl("status").returncode, 2)
                self.assertEqual(s.get("/api/v1/x").status, 503)
        finally:
            s.close()


if __name__ == "__main__":
    case.main()
