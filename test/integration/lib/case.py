"""A tiny runner over unittest: tests in the order of the file, times, daemon logs on failure, exit code 77 for a
skip (an error under LBCTL_TEST_STRICT=1, so that CI never skips silently)."""
import os
import sys
import time
import traceback
import unittest

from . import engine, fake, stack

SKIP = 77


class Case(unittest.TestCase):
    """Subclasses share one stack per class: set `build` to a function that returns a Stack, or leave it None."""

    build = None
    images = ()
    needs_engine = True  # False: it brings a fake one
    stack = None
    longMessage = True
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        if cls.build is not None:
            cls.stack = cls.build()
            try:
                cls.stack.start()
                cls.prepare()
            except BaseException:
                print(cls.stack.tail(), flush=True)
                cls.stack.close()
                raise

    @classmethod
    def prepare(cls):
        """Once, after the stack has started."""

    @classmethod
    def tearDownClass(cls):
        if cls.stack is not None:
            cls.stack.close()
            cls.stack = None

    def setUp(self):
        if self.stack is not None:
            self.stack.mark_logs()
            for d in (self.stack.lbd, self.stack.ctld):
                self.assertTrue(d.alive(), f"{d.name} had died before this test, exit code {d.process.returncode}")


class FakeCase(Case):
    """A stack on a fake engine of the class's own: no real one is needed, and it fails on command."""

    needs_engine = False
    fake = None

    @classmethod
    def setUpClass(cls):
        cls.fake = fake.Fake()
        try:
            super().setUpClass()
        except BaseException:
            cls.fake.close()
            raise

    @classmethod
    def tearDownClass(cls):
        try:
            super().tearDownClass()
        finally:
            cls.fake.close()


class _Result(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.begin = 0.0

    def startTest(self, test):
        super().startTest(test)
        self.begin = time.monotonic()

    def _line(self, word, test, text=""):
        name = test.id().replace("__main__.", "")
        print(f"{word:5} {name} ({time.monotonic() - self.begin:.1f} s){text}", flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self._line("ok", test)

    def _bad(self, test, err):
        self._line("FAIL", test)
        traceback.print_exception(*err)
        s = getattr(test, "stack", None)
        if s is not None and not s.closed:
            print(s.tail(), flush=True)

    def addError(self, test, err):
        super().addError(test, err)
        self._bad(test, err)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._bad(test, err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._line("FAIL", subtest)
            traceback.print_exception(*err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._line("SKIP", test, f": {reason}")


def _by_line(cls):
    names = unittest.TestLoader().getTestCaseNames(cls)
    return sorted(names, key=lambda n: getattr(cls, n).__code__.co_firstlineno)


def main(module="__main__"):
    """Arguments: names of classes or Class.test to run; none: all that are not marked `explicit`."""
    mod = sys.modules[module]
    classes = [c for c in vars(mod).values() if isinstance(c, type) and issubclass(c, Case) and c is not Case
               and c.__module__ == module]
    wanted = sys.argv[1:]
    suite = unittest.TestSuite()
    images = set()
    needs_engine = False
    for cls in classes:
        names = _by_line(cls)
        if wanted:
            names = [n for n in names if cls.__name__ in wanted or f"{cls.__name__}.{n}" in wanted]
        elif getattr(cls, "explicit", False):
            names = []
        if names:
            images |= set(cls.images)
            needs_engine |= cls.needs_engine
        suite.addTests(cls(n) for n in names)
    if suite.countTestCases() == 0:
        print(f"no test matches {' '.join(wanted)}", file=sys.stderr)
        sys.exit(2)
    strict = os.environ.get("LBCTL_TEST_STRICT") == "1"
    reason = stack.missing(images, needs_engine)
    if reason is not None:
        print(f"SKIP: {reason}", flush=True)
        sys.exit(1 if strict else SKIP)
    if needs_engine:
        engine.clean_leftovers()
    result = _Result()
    begin = time.monotonic()
    suite.run(result)
    print(f"{result.testsRun} tests in {time.monotonic() - begin:.1f} s: {len(result.failures) + len(result.errors)} "
          f"failed, {len(result.skipped)} skipped", flush=True)
    if not result.wasSuccessful():
        sys.exit(1)
    if result.skipped:
        sys.exit(1 if strict else SKIP)
