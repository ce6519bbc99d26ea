#!/usr/bin/python3
"""The web app as a person uses it: a phone-sized headless Chromium against the real product; and the two programs that
fill and collect acts from outside."""
import base64
import json
import os
import re
import struct
import subprocess
import tempfile
import time
import unittest

from lib import case, chrome, pictures
from lib.stack import ACTS_IMAGE, POSTGRES_IMAGE, SOURCE, USERS_IMAGE, Stack

APP = SOURCE + "/acts-service/app"
READY = "document.querySelector('main').getAttribute('aria-busy') === 'false'"
IMAGES = (ACTS_IMAGE, USERS_IMAGE, POSTGRES_IMAGE)
UNLABELLED = """[...document.querySelectorAll('input, select, textarea, button, a')].filter((e) =>
    !(e.labels && e.labels.length) && !e.getAttribute('aria-label') && !e.textContent.trim()).map((e) => e.outerHTML)"""
SMALL = """[...document.querySelectorAll('button, .button, .tabs a, .cat, .back')].filter((e) => e.getBoundingClientRect().width)
    .filter((e) => e.getBoundingClientRect().height < 43.5).map((e) => e.outerHTML)"""
WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def jpeg_size(data):
    """(width, height) from the frame header."""
    at = 2
    while data[at] == 0xff:
        kind, n = data[at + 1], struct.unpack(">H", data[at + 2:at + 4])[0]
        if 0xc0 <= kind <= 0xc2:
            height, width = struct.unpack(">HH", data[at + 5:at + 9])
            return width, height
        at += 2 + n
    return None


def tool(name, *args, timeout=60):
    return subprocess.run([f"{SOURCE}/deploy/{name}", *args], capture_output=True, text=True, timeout=timeout, check=False)


class WithApp(case.Case):
    build = staticmethod(lambda: Stack(acts={"scale": "{ min: 2, max: 2 }"}, users={},
                                       extra=f"web:\n  static: {APP}\n  route: /app\n"))
    images = IMAGES

    def acts(self, port, category):
        r = self.stack.direct(port, "GET", f"/api/v1/categories/{category}/acts")
        return json.loads(r.body) if r.status == 200 else r.status


class App(WithApp):
    @classmethod
    def prepare(cls):
        if chrome.PROGRAM is None:
            raise unittest.SkipTest("chromium is not installed")
        cls.tmp = tempfile.TemporaryDirectory(prefix="lbt-app.", dir="/tmp")
        cls.photo = cls.tmp.name + "/photo.png"
        with open(cls.photo, "wb") as f:
            f.write(pictures.png("photo", 640, 400))
        cls.page = chrome.Chrome()
        cls.base = f"http://127.0.0.1:{cls.stack.port}/app/"

    @classmethod
    def tearDownClass(cls):
        cls.page.close()
        cls.tmp.cleanup()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.page.console.clear()

    def quiet(self):
        self.assertEqual(self.page.console, [], "messages of the browser's console")

    def visit(self, where=""):
        self.page.go("about:blank")  # always a fresh page, also from one fragment to another
        self.page.until("location.href === 'about:blank'")
        self.page.go(self.base + where)
        self.page.until(f"location.href === {json.dumps(self.base + where)} && {READY}")

    def fits(self):
        """What a hand and a screen reader need; nothing sticks out on the right."""
        self.assertEqual(self.page.js(UNLABELLED), [])
        self.assertEqual(self.page.js(SMALL), [])
        self.assertLessEqual(self.page.js(WIDE), 0)
        self.assertEqual(self.page.js("document.querySelectorAll('h1').length"), 1)

    def test_empty(self):
        self.visit()
        self.page.until("document.body.innerText.includes('No categories yet')")
        self.fits()
        self.visit("#/board")
        self.page.until("document.body.innerText.includes('Nobody has posted yet')")
        self.fits()
        self.visit("#/post")
        self.page.until("document.body.innerText.includes('There are no users yet')")
        self.fits()
        self.quiet()

    def make(self, which, values, button):
        p = self.page
        p.click(f"document.querySelector('[aria-controls={which}-new]')")
        for selector, text in values:
            p.type(selector, text)
        p.click(f"[...document.querySelectorAll('.mini button')].find((b) => b.textContent === {json.dumps(button)})")
        p.until(f"document.querySelector('#{which}').value === {json.dumps(values[0][1])}")

    def test_post_and_see_it_through_the_other_container(self):
        p = self.page
        self.visit("#/post")
        p.click("document.querySelector('#send')")
        p.until("document.querySelectorAll('.wrong').length === 3")
        self.make("category", [("#new-category", "tree care")], "Create category")
        self.make("user", [("#new-user", "meera \u0c95"), ("#new-password", "secret")], "Create user")
        self.make("user", [("#new-user", "ravi"), ("#new-password", "abc")], "Create user")
        p.choose("#user", "meera \u0c95")
        p.files("#pick", self.photo)
        p.until("document.querySelector('.photo img')?.naturalWidth === 350")
        p.type("#caption", "Watered the young \"limes\"\n\U0001f333")
        self.fits()
        p.requests.clear()
        before = time.time() * 1000
        p.click("document.querySelector('#send')")
        p.until("location.hash === '#/c/tree%20care' && document.querySelector('.act img')?.naturalWidth === 350")
        after = time.time() * 1000
        self.fits()

        sent = [r for r in p.requests if r["url"].endswith("/api/v1/acts") and r["method"] == "POST"]
        self.assertEqual(len(sent), 1)
        body = json.loads(sent[0]["postData"])
        self.assertEqual(sent[0]["headers"]["Content-Type"], "application/json;charset=utf-8")
        self.assertEqual(sorted(body), ["actId", "caption", "categoryName", "imgB64", "timestamp", "username"])
        self.assertEqual((body["username"], body["categoryName"]), ("meera \u0c95", "tree care"))
        self.assertTrue(before - 1 <= body["actId"] <= after, body["actId"])
        self.assertRegex(body["timestamp"], r"^\d\d-\d\d-\d{4}:[0-5]\d-[0-5]\d-[0-2]\d$")
        day, _, clock = body["timestamp"].partition(":")
        self.assertLess(abs(time.mktime(time.strptime(day + " " + clock, "%d-%m-%Y %S-%M-%H")) * 1000 - before), 20000)
        self.assertEqual(jpeg_size(base64.b64decode(body["imgB64"], validate=True)), (350, 350))
        self.assertNotIn("data:", body["imgB64"])

        ports = sorted(self.stack.ids())
        self.assertEqual(len(ports), 2)
        for port in ports:  # one of them took it, the other has it too
            (act,) = self.acts(port, "tree%20care")
            self.assertEqual(act, {**body, "upvotes": 0})
        self.quiet()

    def test_password_as_the_contract_has_it(self):
        """SHA-1 of the usual test vectors, by the app's own code."""
        for text, want in (("abc", "a9993e364706816aba3e25717850c26c9cd0d89d"), ("", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
                           ("a" * 1000, "291e9a6c66994949b57ba5e650361e98fc36b1ba"),
                           ("a" * 55, "c1c8bbdc22796e28c0e15163d20899b65621d65a"), ("a" * 56, "c2db330f6083854c99d4b5bfb6e8f29f201be699"),
                           ("a" * 64, "0098ba824b5c16427bd7a1122a5a442a25ec644d")):
            got = self.page.js(f"import('{self.base}js/sha1.js').then((m) => m.sha1({json.dumps(text)}))")
            self.assertEqual(got, want, text[:10])

    def test_refused_names_are_explained(self):
        p = self.page
        self.visit("#/post")
        p.click("document.querySelector('[aria-controls=category-new]')")
        p.type("#new-category", "tree care")
        p.click("document.querySelector('.mini button')")
        p.until("document.querySelector('.wrong')?.textContent === 'There is a category of that name already.'")
        self.assertEqual(p.js("document.activeElement.id"), "new-category")

    def test_upvote_counts_everywhere(self):
        p = self.page
        self.visit("#/c/tree%20care")
        for n in (1, 2):
            p.click("document.querySelector('.vote')")
            p.until(f"document.querySelector('.vote').textContent === '{n}'")
            case_port = sorted(self.stack.ids())[n - 1]
            deadline = time.monotonic() + 5
            while self.acts(case_port, "tree%20care")[0]["upvotes"] != n:
                self.assertLess(time.monotonic(), deadline)
        self.quiet()

    def test_leaderboard_finds_the_copy(self):
        (act,) = self.acts(self.stack.port, "tree%20care")
        copy = {k: act[k] for k in act if k != "upvotes"} | {"actId": 18446744073709551617, "username": "ravi"}
        self.assertEqual(self.stack.post("/api/v1/acts", json.dumps(copy).encode()).status, 201)
        self.visit("#/board")
        self.page.until("document.querySelectorAll('.rank').length === 2")
        self.assertEqual(self.page.js("[...document.querySelectorAll('.sums dd')].map((e) => e.textContent)"), ["2", "1", "1"])
        self.page.until("document.querySelector('.twin').textContent.includes('ravi in tree care')")
        self.fits()
        self.quiet()

    def test_long_ids_are_exact(self):
        self.visit("#/c/tree%20care")
        self.page.click("document.querySelector('[data-act=\"18446744073709551617\"] .vote')")
        self.page.until("document.querySelector('[data-act=\"18446744073709551617\"] .vote').textContent === '1'")
        deadline = time.monotonic() + 5
        while {a["actId"]: a["upvotes"] for a in self.acts(self.stack.port, "tree%20care")}[18446744073709551617] != 1:
            self.assertLess(time.monotonic(), deadline)

    def test_offline_is_said_and_tried_again(self):
        p = self.page
        self.visit()
        p.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1)
        p.js("location.hash = '#/c/tree%20care'")
        p.until("document.querySelector('[role=alert]')?.innerText.includes('cannot be reached')")
        self.fits()
        p.call("Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1)
        p.click("[...document.querySelectorAll('button')].find((b) => b.textContent === 'Try again')")
        p.until("document.querySelectorAll('.act').length === 2")

    def test_names_are_text(self):
        name = "<img src=x onerror=alert(1)> & \"co\" / 100%"
        self.assertEqual(self.stack.post("/api/v1/categories", json.dumps([name]).encode()).status, 201)
        self.visit()
        self.page.click(f"[...document.querySelectorAll('.cat')].find((e) => e.querySelector('b').textContent === {json.dumps(name)})")
        self.page.until("document.body.innerText.includes('Nothing here yet')")
        self.assertEqual(self.page.js("document.querySelector('h1').textContent"), name)
        self.fits()
        self.quiet()

    def test_dark(self):
        light = self.page.js("getComputedStyle(document.body).backgroundColor")
        self.page.dark(True)
        dark = self.page.js("getComputedStyle(document.body).backgroundColor")
        self.page.dark(False)
        brightness = [sum(int(x) for x in re.findall(r"\d+", c)[:3]) for c in (light, dark)]
        self.assertGreater(brightness[0], 600)
        self.assertLess(brightness[1], 150)

    def test_status_knows_the_files(self):
        web = self.stack.svc("web")
        self.assertEqual((web["mode"], web["state"], web["wish"], web["ready"], web["slots"], web["static"]),
                         ("static", "ok", 1, 1, [], APP))
        self.assertGreater(web["requests"], 10)
        shown = self.stack.lbctl("status")
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn("web: files of", shown.stdout)
        for args in (("scale", "web", "2"), ("scale", "web", "auto"), ("reset", "web")):
            r = self.stack.lbctl(*args)
            self.assertEqual(r.returncode, 1)
            self.assertIn("it has no instances", r.stdout + r.stderr)


class Tools(WithApp):
    @classmethod
    def prepare(cls):
        cls.tmp = tempfile.TemporaryDirectory(prefix="lbt-seed.", dir="/tmp")
        cls.dir = cls.tmp.name + "/pictures"
        os.makedirs(cls.dir + "/street cleaning")
        for i in range(120):
            with open(f"{cls.dir}/{'street cleaning/' if i < 12 else ''}picture {i:03}.png", "wb") as f:
                f.write(pictures.png(i, 48, 48))
        cls.url = f"http://127.0.0.1:{cls.stack.port}"

    @classmethod
    def tearDownClass(cls):
        cls.tmp.cleanup()
        super().tearDownClass()

    def seed(self, *args):
        return tool("acts-seed", self.dir, "--url", self.url, "--user", "seeder", *args)

    def collect(self, code=0):
        r = tool("acts-collect", self.url, "--json")
        self.assertEqual(r.returncode, code, r.stderr)
        return json.loads(r.stdout)

    def test_nothing_yet(self):
        r = self.collect()
        self.assertEqual((r["acts"], r["categories"]), (0, {}))

    def test_seed_and_collect_120(self):
        r = self.seed()
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        self.assertIn("120 posted now, 0 posted before, 0 failed", r.stdout)
        got = self.collect()
        self.assertEqual((got["acts"], got["pictures"], got["count_said"]), (120, 120, 120))
        self.assertEqual(got["categories"], {"seeded": 108, "street cleaning": 12})  # one is beyond a plain list
        self.assertEqual(got["people"], [{"username": "seeder", "acts": 120, "different": 120, "upvotes": 0}])
        self.assertEqual((got["duplicate_ids"], got["duplicate_pictures"]), ([], []))
        table = tool("acts-collect", self.url)
        self.assertIn("120 acts, 120 different pictures, 2 categories", table.stdout)
        self.assertIn("all unique", table.stdout)

    def test_again_posts_nothing(self):
        r = self.seed()
        self.assertEqual(r.returncode, 0)
        self.assertIn("0 posted now, 120 posted before, 0 failed", r.stdout)
        self.assertEqual(self.collect()["acts"], 120)

    def test_lost_answers_are_not_posted_twice(self):
        """An interrupted run: what was posted is in the journal only as begun, or cut off in the middle of a line."""
        path = self.dir + "/.acts-seed"
        with open(path, encoding="ascii") as f:
            lines = f.read().splitlines()
        done = [x for x in lines if x.startswith("done")]
        with open(path, "w", encoding="ascii") as f:
            f.write("\n".join([x for x in lines if x.startswith("begin")] + done[:90]) + "\n" + done[90][:25])
        r = self.seed()
        self.assertEqual(r.returncode, 0, r.stdout)
        self.assertIn("30 posted now, 90 posted before, 0 failed", r.stdout)
        self.assertEqual(self.collect()["acts"], 120)

    def test_failures_are_told_by_api(self):
        bad = self.dir + "/bad"
        os.mkdir(bad)
        with open(bad + "/empty.jpg", "wb"):
            pass
        with open(bad + "/huge.jpg", "wb") as f:
            f.write(os.urandom(14 << 20))  # more than 16 MiB as base64
        r = self.seed()
        os.remove(bad + "/empty.jpg")
        os.remove(bad + "/huge.jpg")
        self.assertEqual(r.returncode, 1)
        self.assertRegex(r.stdout, r"POST /acts +413 +1 times +\(huge\.jpg\)")
        self.assertRegex(r.stdout, r"read the file +empty +1 times +\(empty\.jpg\)")
        self.assertIn("2 failed", r.stdout)

    def test_a_copy_is_a_finding(self):
        act = json.loads(self.stack.get("/api/v1/categories/street%20cleaning/acts").body)[0]
        del act["upvotes"]
        act["actId"] = 5
        act["imgB64"] = "\n".join(re.findall(".{1,76}", act["imgB64"]))
        self.assertEqual(self.stack.post("/api/v1/acts", json.dumps(act).encode()).status, 201)
        r = self.collect(1)
        self.assertEqual([sorted(a["actId"] for a in x["acts"])[0] for x in r["duplicate_pictures"]], [5])

    def test_wrong_use(self):
        for args in (("acts-seed", "/nonexistent"), ("acts-seed",), ("acts-collect",), ("acts-collect", "ftp://x"),
                     ("acts-seed", self.dir, "--jobs", "0"), ("acts-seed", self.dir, "--url", "https://x")):
            self.assertEqual(tool(*args).returncode, 64, args)

    def test_nobody_there(self):
        nowhere = "http://127.0.0.1:1"
        r = tool("acts-collect", nowhere)
        self.assertEqual(r.returncode, 2)
        self.assertIn("no answer", r.stderr)
        r = tool("acts-seed", self.dir, "--url", nowhere)
        self.assertEqual(r.returncode, 2)
        self.assertIn("GET /categories", r.stderr)


if __name__ == "__main__":
    case.main()
