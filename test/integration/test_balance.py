#!/usr/bin/python3
"""Round robin, exact over all threads and connections, and untouched by table pushes."""
import collections
import threading

from lib import case, client, wire
from lib.stack import Stack, until


class Balance(case.Case):
    build = staticmethod(lambda: Stack(app={"scale": "{ min: 3, max: 3 }"}, workers=4))

    @classmethod
    def prepare(cls):
        cls.order = [i[:12] for _, i in sorted(cls.stack.ids().items())]  # host names in slot order

    def check_cycle(self, seen, n=3):
        self.assertEqual(len(set(seen[:n])), n, f"the first {n} requests went to {seen[:n]}")
        want = (seen[:n] * (len(seen) // n + 1))[:len(seen)]
        self.assertEqual(seen, want, "not a strict cycle")

    def test_a_b_c_a_b_c_on_one_connection(self):
        with client.Conn(self.stack.port) as c:
            seen = [c.request("GET", f"/api/v1/x/{i}").get("X-Instance") for i in range(6)]
        self.check_cycle(seen)
        first = self.order.index(seen[0])
        self.assertEqual(seen[:3], (self.order * 2)[first:first + 3], "not in the order of the slots")

    def test_a_b_c_a_b_c_on_new_connections(self):
        self.check_cycle([self.stack.get(f"/api/v1/x/{i}").get("X-Instance") for i in range(6)])

    def test_every_method_takes_its_turn(self):
        methods = ["GET", "POST", "DELETE", "PUT", "OPTIONS", "HEAD", "PATCH", "GET", "POST"]
        with client.Conn(self.stack.port) as c:
            seen = [c.request(m, "/api/v1/x", b"" if m == "POST" else None).get("X-Instance") for m in methods]
        self.check_cycle(seen)

    def test_what_is_not_forwarded_takes_no_turn(self):
        seen = []
        for target in ("/", "/api/v1x", "/nothing", "/api/v2/x"):
            self.stack.get(target)
            seen.append(self.stack.get("/api/v1/x").get("X-Instance"))
        self.check_cycle(seen)

    def check_share(self, total, connections):
        before = self.stack.lbd_stats()
        seen, errors = client.burst(self.stack.port, "/api/v1/any", total, connections)
        self.assertEqual(errors, [])
        self.assertEqual(collections.Counter(s for s, _ in seen), {200: total})
        share = collections.Counter(i for _, i in seen)
        self.assertEqual(set(share), set(self.order))
        self.assertLessEqual(max(share.values()) - min(share.values()), 1, f"as the clients saw it: {share}")
        after = self.stack.lbd_stats()
        counted = {k: after[k] - before.get(k, 0) for k in after}
        self.assertEqual(sum(counted.values()), total, f"as lbd counted it: {counted}")
        self.assertLessEqual(max(counted.values()) - min(counted.values()), 1, f"as lbd counted it: {counted}")

    def test_300_parallel(self):
        self.check_share(300, 100)

    def test_3000_from_64_connections(self):
        self.check_share(3000, 64)

    def pushing(self, table, every=0.2):
        """Push the unchanged table again and again in ctld's place: (thread, stop event, list of generations)."""
        stop, done, failed = threading.Event(), [], []

        def run():
            try:
                with wire.Wire(self.stack.run_dir + "/lb.sock", "ctl") as w:
                    generation = w.ask("stats.get")["generation"]
                    while not stop.is_set():
                        generation += 1
                        answer = w.ask("table.set", {**table, "generation": generation})
                        if answer["generation"] != generation:
                            failed.append(answer)
                        done.append(generation)
                        stop.wait(every)
            except (OSError, wire.WireError) as e:
                failed.append(e)

        t = threading.Thread(target=run, daemon=True)
        t.start()
        until(lambda: done or failed, 10, "the first push")
        return t, stop, done, failed

    def test_unchanged_table_pushed_five_times_a_second(self):
        table = self.stack.table()
        self.stack.ctld.kill()
        try:
            t, stop, done, failed = self.pushing(table)
            try:
                for _ in range(3):
                    self.check_share(3000, 64)
                with client.Conn(self.stack.port) as c:
                    seen = []
                    until(lambda: seen.append(c.request("GET", "/api/v1/x").get("X-Instance")) or
                          len(seen) >= 300 and len(done) > 6, 30, "some pushes")
                self.check_cycle(seen)
            finally:
                stop.set()
                t.join(10)
            self.assertEqual(failed, [])
            print(f"      {len(done)} pushes")
        finally:
            self.stack.start_ctld()
        # ctld takes over again although the generations have run ahead of its own
        self.stack.wait_ok(20)
        until(lambda: self.stack.status()["lbd"]["generation"] > done[-1], 10, "a newer table by ctld")
        self.check_share(300, 16)


if __name__ == "__main__":
    case.main()
