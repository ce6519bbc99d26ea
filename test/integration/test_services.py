#!/usr/bin/python3
"""Any app: several services, an unchanged server from a Debian package, servers that others run, Compose's keys."""
import io
import json
import os
import subprocess
import tarfile
import tempfile

from lib import case, client, engine
from lib.legacy import Legacy
from lib.stack import Stack, until

NGINX = "lbt-nginx:1"


def nginx_image():
    """Debian's package of nginx with the libraries that it wants. It is unpacked, not installed: that would start it."""
    if engine.has_image(NGINX):
        return
    with tempfile.TemporaryDirectory() as d:
        for package in ("nginx", "nginx-common"):
            subprocess.run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package], cwd=d, check=True,
                           capture_output=True, timeout=120)
        for deb in os.listdir(d):
            subprocess.run(["dpkg-deb", "-x", f"{d}/{deb}", d + "/root"], check=True, timeout=60)
        make_image(d + "/root")


def make_image(root):
    out = subprocess.run(["ldd", root + "/usr/sbin/nginx"], capture_output=True, text=True, check=True).stdout
    files = {w: w for line in out.splitlines() for w in line.split() if w.startswith("/") and not w.startswith(root)}
    files |= {p: p for p in ("/etc/passwd", "/etc/group", "/etc/nsswitch.conf")}
    files |= {p: root + p for p in ("/usr/sbin/nginx", "/etc/nginx/mime.types")}
    config = (b"user www-data; events {} http { include mime.types; access_log off;"
              b" server { listen 80; root /var/www/html; location / { } } }\n")
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", dereference=True) as tar:
        for inside, path in sorted(files.items()):
            tar.add(path, arcname=inside.lstrip("/"))
        for name, data in (("etc/nginx/nginx.conf", config), ("var/www/html/index.html", b"up\n"),
                           ("var/www/html/files/a.txt", b"the file\n")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mode = 0o644
            tar.addfile(info, io.BytesIO(data))
        for name in ("run", "var/lib/nginx", "var/log/nginx", "usr/share/nginx"):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
    repo, _, version = NGINX.partition(":")
    engine.call("POST", "/images/create", raw.getvalue(), content_type="application/x-tar",
                query={"fromSrc": "-", "repo": repo, "tag": version,
                       "changes": 'CMD ["/usr/sbin/nginx", "-g", "daemon off;"]'})


class Services(case.Case):
    servers = []

    @classmethod
    def setUpClass(cls):
        nginx_image()
        cls.servers = [Legacy("one"), Legacy("two")]
        cls.network = f"lbt-{os.getpid()}-extra"
        engine.call("POST", "/networks/create", {"Name": cls.network})
        legacy = f"127.0.0.1:{cls.servers[0].port}, 127.0.0.1:{cls.servers[1].port} weight 3"
        cls.build = staticmethod(lambda: cls.make(legacy))
        super().setUpClass()

    @classmethod
    def make(cls, legacy):
        stack = Stack(app={
            "environment": "{ MINE: here }",
            "env_file": "[app.env]",
            "secrets": "{ key: @DIR@/key }",
            "networks": f"[{cls.network}]",
            "cap_drop": "[ALL]",
            "cap_add": "[NET_BIND_SERVICE]",
            "log_max_size": "1m",
            "log_max_files": "2",
        }, extra=f"""\
            files:
              image: {NGINX}
              read_only: true
              tmpfs: [/run, /var/lib/nginx, /var/log/nginx]
              stop_signal: SIGQUIT
              route: /files
              port: 80
              host_ports: @PORTS@
              health: {{ path: /, interval: 1s, timeout: 1s, fall: 2 }}
              scale: {{ min: 2, max: 3 }}
            legacy:
              backends: [{legacy}]
              route: /legacy
              health: {{ path: /, interval: 200ms, timeout: 5s, fall: 1, rise: 1 }}
            """)
        with open(stack.config, encoding="utf-8") as f:
            text = f.read().replace("@DIR@", stack.dir)
        stack.write_config(text)
        with open(stack.dir + "/app.env", "w", encoding="ascii") as f:
            f.write("# for the test\nMINE=file\nOTHER=\"from the file\"\n")
        with open(stack.dir + "/key", "w", encoding="ascii") as f:
            f.write("secret\n")
        return stack

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        for s in cls.servers:
            s.server.shutdown()
        engine.call("DELETE", f"/networks/{cls.network}")

    def legacy(self, n=8):
        return {self.stack.get("/legacy/x").text for _ in range(n)}

    def test_a_third_party_server_unchanged(self):
        r = self.stack.get("/files/a.txt")
        self.assertEqual((r.status, r.text), (200, "the file\n"))
        self.assertEqual(r.get("Content-Type"), "text/plain")
        self.assertIn("nginx", r.get("Server"))
        (port, cid), *_ = sorted(self.stack.ids("files").items())
        engine.kill(cid)
        until(lambda: self.stack.ids("files").get(port) not in (None, cid), 60, "nginx replaced on its port")
        self.assertEqual(self.stack.get("/files/a.txt").status, 200)

    def test_servers_of_others_are_balanced(self):
        seen = [self.stack.get("/legacy/x").text for _ in range(40)]
        self.assertEqual((seen.count("one"), seen.count("two")), (10, 30))
        slots = self.stack.svc("legacy")["slots"]
        self.assertEqual([(s["port"], s["state"]) for s in slots], [(s.port, "ready") for s in self.servers])

    def test_a_sick_one_is_left_out_and_comes_back(self):
        self.servers[0].sick = True
        until(lambda: len(self.stack.slots(name="legacy")) == 1, 30, "out of rotation")
        self.assertEqual(self.legacy(), {"two"})
        self.assertEqual(self.stack.status()["state"], "degraded")
        self.servers[0].sick = False
        until(lambda: len(self.stack.slots(name="legacy")) == 2, 30, "back in rotation")
        self.assertEqual(self.legacy(), {"one", "two"})

    def test_a_restart_of_ctld_leaves_them_in(self):
        with client.Traffic(self.stack.port, target="/legacy/x", threads=2, pause=0.005) as t:
            for _ in range(3):
                self.stack.ctld.kill()
                self.stack.start_ctld()
                self.stack.wait_ok()
        self.assertEqual(t.failures(), [])

    def test_they_cannot_be_scaled(self):
        with self.assertRaises(Exception) as c:
            self.stack.ask("scale.set", {"service": "legacy", "replicas": 1})
        self.assertIn("servers that others run", str(c.exception))

    def test_keys_of_compose_as_the_engine_has_them(self):
        cid = next(iter(self.stack.ids().values()))
        c = engine.inspect(cid)
        env = c["Config"]["Env"]
        self.assertIn("MINE=here", env)
        self.assertNotIn("MINE=file", env)
        self.assertIn("OTHER=from the file", env)
        self.assertEqual((c["HostConfig"]["CapDrop"], c["HostConfig"]["CapAdd"]), (["ALL"], ["NET_BIND_SERVICE"]))
        self.assertEqual(c["HostConfig"]["LogConfig"]["Config"], {"max-size": "1048576", "max-file": "2"})
        mount = next(m for m in c["Mounts"] if m["Destination"] == "/run/secrets/key")
        self.assertEqual((mount["Source"], mount["RW"]), (self.stack.dir + "/key", False))
        self.assertEqual(sorted(c["NetworkSettings"]["Networks"]), sorted([self.stack.project, self.network]))
        self.assertIn("app", c["NetworkSettings"]["Networks"][self.network]["Aliases"], json.dumps(c["NetworkSettings"]))


if __name__ == "__main__":
    case.main()
