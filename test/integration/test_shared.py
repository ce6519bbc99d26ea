#!/usr/bin/python3
"""All containers share one database; nothing is lost with a container."""
import json
import threading
import time

from lib import case, client, engine
from lib.stack import ACTS_IMAGE, POSTGRES_IMAGE, Stack, until

IMAGE = "d2Fsa2VkIGEgc3RyYW5nZXIgaG9tZQ=="
JSON = (("Content-Type", "application/json"),)


def act(number, category="tree care", **more):
    return json.dumps({"actId": number, "username": "ravi", "timestamp": "05-11-2024:07-59-23", "caption": "",
                       "categoryName": category, "imgB64": IMAGE, **more}).encode()


class Shared(case.Case):
    build = staticmethod(lambda: Stack(acts={"scale": "{ min: 4, max: 4 }", "drain": "2s"}))
    images = (ACTS_IMAGE, POSTGRES_IMAGE)

    @classmethod
    def prepare(cls):
        cls.ports = sorted(cls.stack.ids())
        assert len(cls.ports) == 4
        r = cls.stack.post("/api/v1/categories", b'["tree care"]', headers=JSON)
        assert r.status == 201, r

    def on(self, port, method, target, body=None):
        return self.stack.direct(port, method, target, body, headers=JSON if body else ())

    def total(self):
        return json.loads(self.on(self.ports[0], "GET", "/api/v1/acts/count").body)[0]

    def test_posted_through_one_read_through_every_other(self):
        for i, port in enumerate(self.ports):
            self.assertEqual(self.on(port, "POST", "/api/v1/acts", act(7001 + i)).status, 201)
            for other in self.ports:
                r = self.on(other, "GET", "/api/v1/categories/tree%20care/acts")
                self.assertEqual(r.status, 200)
                self.assertIn(7001 + i, [a["actId"] for a in json.loads(r.body)], f"by {port}, read by {other}")
                size = self.on(other, "GET", "/api/v1/categories/tree%20care/acts/size")
                self.assertEqual(json.loads(size.body), [i + 1])
        self.assertEqual(self.on(self.ports[3], "DELETE", "/api/v1/acts/7001").status, 200)
        for other in self.ports:
            self.assertEqual(json.loads(self.on(other, "GET", "/api/v1/acts/count").body), [3])

    def at_once(self, calls):
        """Run the calls at the same moment; their results."""
        gate, results = threading.Barrier(len(calls)), [None] * len(calls)

        def run(i, call):
            port, method, target, body = call
            with client.Conn(port) as c:
                gate.wait(10)
                results[i] = c.request(method, target, body, JSON).status

        threads = [threading.Thread(target=run, args=(i, c)) for i, c in enumerate(calls)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(30)
        return results

    def test_the_same_id_at_once(self):
        before = self.total()
        for n in range(40):
            a, b = self.ports[n % 4], self.ports[(n + 1 + n // 4 % 3) % 4]
            got = self.at_once([(p, "POST", "/api/v1/acts", act(100000 + n)) for p in (a, b)])
            self.assertEqual(sorted(got), [201, 400], f"round {n}, ports {a} and {b}")
        for n in range(10):
            got = self.at_once([(p, "POST", "/api/v1/acts", act(200000 + n)) for p in self.ports])
            self.assertEqual(sorted(got), [201, 400, 400, 400], f"round {n}, all four")
        self.assertEqual(self.total(), before + 50)

    def test_the_same_category_at_once(self):
        for n in range(10):
            body = json.dumps([f"category {n}"]).encode()
            got = self.at_once([(p, "POST", "/api/v1/categories", body) for p in self.ports])
            self.assertEqual(sorted(got), [201, 400, 400, 400], f"round {n}")

    def test_upvotes_from_all_at_once(self):
        self.assertEqual(self.on(self.ports[0], "POST", "/api/v1/acts", act(300000)).status, 201)
        bad = []

        def run(port):
            with client.Conn(port) as c:
                for _ in range(25):
                    r = c.request("POST", "/api/v1/acts/upvote", b"[300000]", JSON)
                    if r.status != 200:
                        bad.append(r)

        threads = [threading.Thread(target=run, args=(self.ports[i % 4],)) for i in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(60)
        self.assertEqual(bad, [])
        acts = json.loads(self.on(self.ports[1], "GET", "/api/v1/categories/tree%20care/acts").body)
        self.assertEqual([a["upvotes"] for a in acts if a["actId"] == 300000], [200])

    def test_counter_is_one_for_all(self):
        self.assertEqual(self.on(self.ports[0], "DELETE", "/api/v1/_count").status, 200)
        for port in self.ports:
            self.assertEqual(self.on(port, "GET", "/api/v1/categories").status, 200)
        for target, method in (("/api/v1/acts", "GET"), ("/api/v1/_health", "GET"), ("/", "GET")):
            self.on(self.ports[1], method, target)
        for port in self.ports:
            self.assertEqual(json.loads(self.on(port, "GET", "/api/v1/_count").body), [5], f"port {port}")

    def test_a_replacement_sees_everything(self):
        before = self.total()
        port = self.ports[2]
        old = self.stack.ids()[port]
        self.assertEqual(self.on(port, "POST", "/api/v1/_crash").status, 200)
        for other in self.ports[:2] + self.ports[3:]:
            self.assertEqual(self.on(other, "GET", "/api/v1/_health").status, 200, "the crash is the container's own")
        until(lambda: self.stack.ids().get(port, old) != old, 20, "replaced")
        self.assertEqual(json.loads(self.on(port, "GET", "/api/v1/acts/count").body), [before])

    def test_the_database_came_first_and_is_not_published(self):
        started = {c["Names"][0]: engine.inspect(c["Id"])["State"]["StartedAt"] for c in self.stack.ours()}
        database = [t for n, t in started.items() if "-postgres-" in n]
        self.assertEqual(len(database), 1)
        self.assertTrue(all(t > database[0] for n, t in started.items() if "-acts-" in n), started)
        for c in self.stack.ours("postgres"):
            self.assertEqual([p for p in c["Ports"] if "PublicPort" in p], [])

    def test_a_hung_database_makes_health_500_in_time(self):
        (database,) = self.stack.ours("postgres")
        engine.pause(database["Id"])
        try:
            begin = time.monotonic()
            r = self.on(self.ports[0], "GET", "/api/v1/_health")
            took = time.monotonic() - begin
            self.assertEqual((r.status, r.body), (500, b""))
            self.assertLess(took, 1.0, "longer than a probe waits")
        except (OSError, client.HttpError):
            pass  # it was being replaced for that reason already
        finally:
            try:
                engine.call("POST", f"/containers/{database['Id']}/unpause")
            except engine.EngineError:
                pass  # replaced meanwhile
        self.stack.wait_ok(60)
        self.stack.exactly(4)

    def test_the_database_dies_and_everything_comes_back(self):
        before = self.total()
        (database,) = self.stack.ours("postgres")
        engine.kill(database["Id"])
        until(lambda: self.stack.ids("postgres") and database["Id"] not in self.stack.ids("postgres").values(), 40,
              "another database")
        self.stack.wait_ok(60)
        self.stack.exactly(4)
        self.assertEqual(len(self.stack.ours("postgres")), 1)
        self.assertEqual(self.total(), before, "acts were lost")
        for port in self.ports:
            self.assertEqual(self.on(port, "GET", "/api/v1/_health").status, 200)


if __name__ == "__main__":
    case.main()
