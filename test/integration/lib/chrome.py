"""A headless Chromium and one page of it, over the DevTools protocol: a WebSocket and JSON. Standard library only."""
import base64
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import urllib.request

PROGRAM = shutil.which("chromium")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
         "--remote-debugging-port=0", "--remote-allow-origins=*", "--hide-scrollbars", "--lang=en-GB")


class PageError(AssertionError):
    pass


class Socket:
    """A WebSocket client, RFC 6455: text frames, masked, whole messages up to 64 MiB."""

    def __init__(self, host, port, path, timeout):
        self.sock = socket.create_connection((host, port), timeout=timeout)
        self.buf = b""
        key = base64.b64encode(os.urandom(16)).decode()
        self.sock.sendall((f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                           f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n").encode())
        while b"\r\n\r\n" not in self.buf:
            self._more()
        head, _, self.buf = self.buf.partition(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise PageError(head.decode(errors="replace"))

    def _more(self):
        data = self.sock.recv(1 << 18)
        if not data:
            raise PageError("the browser closed the connection")
        self.buf += data

    def _take(self, n):
        parts = [self.buf]
        have = len(self.buf)
        while have < n:
            data = self.sock.recv(1 << 18)
            if not data:
                raise PageError("the browser closed the connection")
            parts.append(data)
            have += len(data)
        whole = b"".join(parts)
        self.buf = whole[n:]
        return whole[:n]

    def send(self, text, opcode=1):
        data = text.encode() if isinstance(text, str) else text
        mask = os.urandom(4)
        n = len(data)
        size = bytes([0x80 | n]) if n < 126 else struct.pack(">BH", 0xfe, n) if n < 65536 else struct.pack(">BQ", 0xff, n)
        key = (mask * (n // 4 + 1))[:n]
        masked = (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(n, "big") if n else b""
        self.sock.sendall(bytes([0x80 | opcode]) + size + mask + masked)

    def receive(self):
        message = b""
        while True:
            first, second = self._take(2)
            n = second & 0x7f
            if n == 126:
                n = struct.unpack(">H", self._take(2))[0]
            elif n == 127:
                n = struct.unpack(">Q", self._take(8))[0]
            data = self._take(n)
            if first & 0xf == 9:
                self.send(data, 10)
            elif first & 0xf == 8:
                raise PageError("the browser closed the page")
            elif first & 0xf in (0, 1):
                message += data
                if first & 0x80:
                    return message.decode()

    def close(self):
        self.sock.close()


class Chrome:
    """Use as a context manager. The profile is fresh, and goes with it."""

    def __init__(self, width=390, height=844, dark=False):
        self.profile = tempfile.mkdtemp(prefix="lbt-chrome.", dir="/tmp")
        self.log = os.path.join(self.profile, "log")
        self.console, self.requests, self._id, self._loaded = [], [], 0, 0
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen([PROGRAM, *FLAGS, f"--user-data-dir={self.profile}/data", "about:blank"],
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        try:
            self._open(width, height, dark)
        except BaseException:
            self.close()
            raise

    def _open(self, width, height, dark):
        where = self.profile + "/data/DevToolsActivePort"
        deadline = time.monotonic() + 30
        while True:
            if os.path.exists(where) and len(lines := open(where, encoding="ascii").read().split("\n")) >= 2:
                break
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise PageError("chromium does not start: " + open(self.log, encoding="utf-8", errors="replace").read()[-2000:])
            time.sleep(0.05)
        self.port = int(lines[0])
        pages = json.load(urllib.request.urlopen(f"http://127.0.0.1:{self.port}/json/list", timeout=10))
        url = next(p["webSocketDebuggerUrl"] for p in pages if p["type"] == "page")
        self.ws = Socket("127.0.0.1", self.port, "/" + url.split("/", 3)[3], 30)
        for domain in ("Page", "Runtime", "Network", "DOM", "Log"):
            self.call(domain + ".enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2, mobile=width < 600)
        self.call("Emulation.setTouchEmulationEnabled", enabled=width < 600)
        self.dark(dark)

    def dark(self, yes):
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": "dark" if yes else "light"}])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if getattr(self, "ws", None):
            self.ws.close()
        try:
            os.killpg(self.process.pid, signal.SIGKILL)  # its helpers too: the group is ours
        except ProcessLookupError:
            pass
        self.process.wait(10)
        shutil.rmtree(self.profile, ignore_errors=True)

    def call(self, method, **params):
        self._id += 1
        self.ws.send(json.dumps({"id": self._id, "method": method, "params": params}))
        while True:
            m = json.loads(self.ws.receive())
            if m.get("id") == self._id:
                if "error" in m:
                    raise PageError(f"{method}: {m['error']}")
                return m["result"]
            self._event(m)

    def _event(self, m):
        p = m.get("params", {})
        if m.get("method") == "Runtime.exceptionThrown":
            d = p["exceptionDetails"]
            self.console.append("exception: " + (d.get("exception", {}).get("description") or d["text"]))
        elif m.get("method") == "Runtime.consoleAPICalled" and p["type"] in ("error", "warning", "assert"):
            self.console.append(p["type"] + ": " + " ".join(str(a.get("value", a.get("description"))) for a in p["args"]))
        elif m.get("method") == "Log.entryAdded" and p["entry"]["level"] == "error":
            self.console.append("log: " + p["entry"]["text"] + " " + p["entry"].get("url", ""))
        elif m.get("method") == "Network.requestWillBeSent":
            self.requests.append(p["request"])

    def js(self, expression):
        """The value of an expression (of a promise: what it resolves to)."""
        r = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True, userGesture=True)
        if "exceptionDetails" in r:
            d = r["exceptionDetails"]
            raise PageError(f"{expression[:200]}: {d.get('exception', {}).get('description') or d['text']}")
        return r["result"].get("value")

    def go(self, url):
        self.call("Page.navigate", url=url)

    def until(self, expression, timeout=15):
        """Wait until an expression is true; its value."""
        deadline = time.monotonic() + timeout
        last = None
        while True:
            try:
                value = self.js(expression)
                if value or value == {}:  # an element comes as an empty object
                    return value
            except PageError as e:
                last = e
            if time.monotonic() > deadline:
                raise PageError(f"not within {timeout} s: {expression}; last: {last}; console: {self.console}; "
                                f"page: {self.js('document.body.innerText')[:800]!r}")
            time.sleep(0.05)

    def click(self, expression):
        """A real click (pointer events at its middle) on the element that an expression gives."""
        box = self.until(f"(() => {{ const e = {expression}; if (!e) return null; e.scrollIntoView({{block: 'center'}});"
                         " const r = e.getBoundingClientRect(); return r.width > 0 ? [r.x + r.width / 2, r.y + r.height / 2]"
                         " : null; })()")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def type(self, selector, text):
        self.click(f"document.querySelector({json.dumps(selector)})")
        self.until(f"document.activeElement === document.querySelector({json.dumps(selector)})")
        self.call("Input.insertText", text=text)

    def choose(self, selector, value):
        self.js(f"(() => {{ const s = document.querySelector({json.dumps(selector)}); s.value = {json.dumps(value)};"
                " s.dispatchEvent(new Event('change', {bubbles: true})); })()")

    def files(self, selector, *paths):
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=list(paths))

    def picture(self, path, whole=False):
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        with open(path, "wb") as f:
            f.write(base64.b64decode(data))
