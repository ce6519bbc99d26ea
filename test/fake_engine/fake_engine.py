#!/usr/bin/python3
"""fake_engine.py --socket PATH --control PATH [--image NAME]...: Docker's REST API on PATH, without containers: virtual
programs listen where containers would. PATH.behind is the same without faults, for the test itself. The control socket takes one JSON object a line, {"op": NAME, ...}, and answers
each with one; test/integration/lib/fake.py speaks it. Ends with its standard input, or with SIGTERM."""
import argparse
import asyncio
import json
import os
import resource
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from fake_engine import model, server  # noqa: E402


class Control:
    def __init__(self, srv):
        self.srv, self.engine = srv, srv.engine

    async def serve(self, reader, writer):
        try:
            while True:
                line = await reader.readline()
                if not line:
                    break
                ask = json.loads(line)
                try:
                    answer = {"ok": await getattr(self, "op_" + ask.pop("op"))(**ask)}
                except (model.Refused, TypeError, AttributeError, KeyError) as e:
                    answer = {"error": f"{type(e).__name__}: {e}"}
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()

    async def op_fault(self, **rule):
        return self.srv.add_fault(**rule)

    async def op_lift(self, number=None):
        self.srv.lift(number)

    async def op_hits(self, number):
        return next((f.hits for f in self.srv.faults if f.number == number), 0)

    async def op_log(self, since=0):
        return self.srv.log[since:]

    async def op_log_size(self):
        return len(self.srv.log)

    async def op_away(self):
        self.srv.down()

    async def op_back(self):
        await self.srv.up()

    async def op_restart(self, seconds=1.0, keep=True):
        self.srv.down()
        self.engine.died_with_engine(keep)
        await asyncio.sleep(seconds)
        await self.srv.up()

    async def op_cut(self, pattern=""):
        return self.srv.cut(pattern)

    async def op_version(self, api=None, minimum=None, version=None):
        self.srv.api, self.srv.minimum = api or self.srv.api, minimum or self.srv.minimum
        self.srv.version = version or self.srv.version

    async def op_timing(self, **seconds):
        self.engine.timing.update(seconds)

    async def op_disk_full(self, yes=True):
        self.engine.disk_full = yes

    async def op_images(self, add=(), remove=(), registry=None):
        self.engine.images |= set(add)
        self.engine.images -= set(remove)
        self.engine.registry.update(registry or {})

    async def op_mode(self, ref, mode=None, latency=None):
        p = self.engine.find(ref).program
        if mode is not None:
            p.set_mode(mode)
        if latency is not None:
            p.latency = latency

    async def op_exit(self, ref, code=1):
        self.engine.find(ref).program.end(code)

    async def op_containers(self):
        return [self.engine.facts(c) for c in self.engine.containers.values()]

    async def op_history(self):
        return self.engine.history


async def run(args):
    loop = asyncio.get_running_loop()
    end = loop.create_future()
    srv = server.Server(args.socket, model.Engine(args.image or ["*"]))
    await srv.up()
    await srv.up_behind(args.socket + ".behind")
    control = await asyncio.start_unix_server(Control(srv).serve, args.control, limit=1 << 24)

    def over():
        if not end.done():
            end.set_result(None)
    for sig in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sig, over)
    loop.add_reader(sys.stdin.fileno(), lambda: over() if not os.read(sys.stdin.fileno(), 4096) else None)
    print("ready", flush=True)
    await end
    control.close()
    srv.back.close()
    srv.down()


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--socket", required=True)
    p.add_argument("--control", required=True)
    p.add_argument("--image", action="append", help="an image that is there; none given: every image is")
    args = p.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(run(args))


if __name__ == "__main__":
    main()
