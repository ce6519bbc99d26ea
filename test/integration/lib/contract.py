"""The contract of acts and users as a table: rows in order, on services that begin empty.

A row is (name, service, method, target, body, status, what the answer must hold, headers). A service with "!" is asked
at itself: the path rule does not lead that path to it. What the answer must hold is None for "no body", ANY, a value
that the JSON must equal, or a function of the JSON. walk() sends all rows to the ports that it is given."""
import base64
import json
import urllib.parse

from . import client

ANY = object()
API = "/api/v1"
PICTURE = "d2Fsa2VkIGEgc3RyYW5nZXIgaG9tZQ=="
TIME = "05-11-2024:07-59-23"
SHA1 = "d56224b0b0949fab9a2d2f4d6ad0da84deebc172"
ODD_NAME = " '\"/%\\?#ಕನ್ನಡ" + "n" * 9980
KEYS = {"actId", "username", "timestamp", "caption", "upvotes", "categoryName", "imgB64"}
# Headers that the application sets and a proxy has no business with.
KEPT = ("Content-Type", "Content-Length", "Allow", "Access-Control-Allow-Origin", "Access-Control-Allow-Methods",
        "Access-Control-Allow-Headers", "Access-Control-Max-Age", "Retry-After")


def enc(name):
    """Percent-encode everything, dots too: a proxy may resolve plain ones."""
    return urllib.parse.quote(name, safe="").replace(".", "%2E")


def act(number, **more):
    """A valid upload with members replaced; None takes one out. The id goes in as text, of any length."""
    a = {"username": "meera", "timestamp": TIME, "caption": "any", "categoryName": "tree care", "imgB64": PICTURE, **more}
    a = {k: v for k, v in a.items() if v is not None}
    return "{" + (f'"actId": {number}, ' if number is not None else "") + json.dumps(a)[1:]


class Table:
    def __init__(self):
        self.rows = []
        self.id = 7001

    def row(self, name, method, target, body=None, status=200, want=ANY, service="acts", headers=()):
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        self.rows.append((name, service, method, target, body, status, want, headers))

    def get(self, name, target, status=200, want=ANY, **more):
        self.row(name, "GET", API + target, None, status, want, **more)

    def post(self, name, target, body, status=201, want=ANY, **more):
        self.row(name, "POST", API + target, body, status, want, **more)

    def delete(self, name, target, status=200, want=ANY, **more):
        self.row(name, "DELETE", API + target, None, status, want, **more)

    def upload(self, name, status=201, number=ANY, **more):
        """An upload with an id of its own, unless one is given."""
        if number is ANY:
            self.id += 1
            number = self.id
        self.post(name, "/acts", act(number, **more), status)
        return number


def users(t):
    def add(name, body, status):
        t.post(name, "/users", body, status, {} if status == 201 else ANY, service="users")

    t.get("no users", "/users", 204, None, service="users")
    add("meera", {"username": "meera", "password": SHA1}, 201)
    add("meera again", {"username": "meera", "password": SHA1}, 400)
    add("Meera, upper-case hash", {"username": "Meera", "password": SHA1.upper()}, 201)
    t.get("two users", "/users", 200, lambda j: sorted(j) == ["Meera", "meera"], service="users")
    t.get("a slash at the end", "/users/", 200, lambda j: len(j) == 2, service="users")
    add("any characters", {"username": ODD_NAME, "password": SHA1}, 201)
    t.get("any characters, listed", "/users", 200, lambda j: ODD_NAME in j, service="users")
    t.delete("any characters, deleted by the encoded path", "/users/" + enc(ODD_NAME), 200, {}, service="users")
    t.delete("any characters, deleted again", "/users/" + enc(ODD_NAME), 400, service="users")
    for what, password in (("39 digits", SHA1[:39]), ("41 digits", SHA1 + "0"), ("no digits", ""), ("a g", SHA1[:39] + "g"),
                           ("0x", "0x" + SHA1[:38]), ("a sign", "+" + SHA1[:39]), ("an underscore", SHA1[:20] + "_" + SHA1[:19]),
                           ("a line end", SHA1 + "\n"), ("a blank", SHA1[:39] + " "), ("a number", 7), ("null", None)):
        add("password with " + what, {"username": "ravi", "password": password}, 400)
    add("no password", {"username": "ravi"}, 400)
    add("no name", {"password": SHA1}, 400)
    add("empty name", {"username": "", "password": SHA1}, 400)
    add("number as name", {"username": 7, "password": SHA1}, 400)
    add("NUL in the name", {"username": "a\0", "password": SHA1}, 400)
    for body in ("[]", "null", "", '"x"', '{"username": "ravi", "password": "' + SHA1, '{"username": "ravi"} {}'):
        add(f"body {body[:24]!r}", body, 400)
    t.delete("nobody", "/users/nobody", 400, service="users")
    t.delete("no name", "/users/%00", 400, service="users")
    add("unknown key, any order", '{"x": [1], "password": "%s", "username": "ravi"}' % SHA1, 201)
    t.delete("ravi", "/users/ravi", 200, {}, service="users", headers=(("Content-Type", "application/json"),))
    add("ann", {"username": "ann", "password": SHA1}, 201)
    for path, allowed in (("/users", ("GET", "POST")), ("/users/ann", ("DELETE",)), ("/_count", ("GET", "DELETE"))):
        forbidden(t, path, allowed, "users")
    t.get("health is not of users", "/_health", 404, service="users!")


def categories(t):
    def add(name, body, status):
        t.post(name, "/categories", body, status)

    t.get("no categories", "/categories", 204, None)
    add("tree care", ["tree care"], 201)
    add("tree care again", ["tree care"], 400)
    t.get("one category", "/categories", 200, {"tree care": 0})
    t.get("a slash at the end", "/categories/", 200, {"tree care": 0})
    for body in ("[]", '["a","b"]', '[""]', "[7]", '{"name":"x"}', '"x"', "", "[", "null", '["a\\u0000"]', b'["\xff"]'):
        add(f"body {body!r}", body, 400)
    for name in ("acts", "_health-tips", "a/b", "..", ".", "?x=1#y", "n" * 5000, "50%", "' \"", "ಕನ್ನಡ", "\U0001f418",
                 "Tree care", "upvote", "tab\tand\nline"):
        short = repr(name[:20])
        add(f"name {short}", [name], 201)
        t.get(f"list of {short}", f"/categories/{enc(name)}/acts", 204, None)
        t.get(f"size of {short}", f"/categories/{enc(name)}/acts/size", 200, [0])
        t.upload(f"act in {short}", categoryName=name)
        t.get(f"its name {short}", f"/categories/{enc(name)}/acts", 200,
              lambda j, name=name: len(j) == 1 and j[0]["categoryName"] == name)
        t.get(f"range {short}", f"/categories/{enc(name)}/acts?start=1&end=1", 200, lambda j: len(j) == 1)
        t.delete(f"delete {short}", f"/categories/{enc(name)}", 200)
        t.delete(f"delete {short} again", f"/categories/{enc(name)}", 400)
    t.get("size of none", "/categories/none/acts/size", 400)
    t.get("list of none", "/categories/none/acts", 204, None)
    add("one with three acts", ["three"], 201)
    ids = [t.upload(f"act {i} of three", categoryName="three") for i in range(3)]
    t.get("three in all", "/acts/count", 200, [3])
    t.get("three in the list of categories", "/categories", 200, {"tree care": 0, "three": 3})
    t.delete("its acts go too", "/categories/three", 200)
    t.get("none in all", "/acts/count", 200, [0])
    t.upload("its ids are free again", number=ids[0])
    t.delete("one act", f"/acts/{ids[0]}", 200)


def uploads(t):
    for number in ("0", "1733000000123", "9007199254740993", "18446744073709551615", "9" * 40):
        t.upload(f"id {number}", number=number)
        t.upload(f"id {number} again", 400, number=number)
        t.row(f"id {number} comes back", "GET", API + "/categories/tree%20care/acts", None, 200,
              lambda j, number=number: j[0]["actId"] == int(number))
        t.delete(f"id {number} goes", f"/acts/{number}", 200)
    for number in ("-1", "1.5", "true", "null", '"x"', "[]", None):
        t.upload(f"id {number}", 400, number=number)
    t.post("another category", "/categories", ["other"], 201)
    one = t.upload("in the one")
    t.upload("its id in the other", 400, number=one, categoryName="other")
    t.delete("the other goes", "/categories/other", 200)

    long = base64.b64encode(bytes(range(256))).decode()
    broken = [long[i:i + 76] for i in range(0, len(long), 76)]
    good = [("timestamp", x) for x in ("29-02-2024:00-00-00", "31-12-1999:59-59-23", "01-01-2031:00-00-00")]
    good += [("imgB64", x) for x in ("YWJj", "YWI=", long, "\n".join(broken) + "\n", "\r\n".join(broken) + "\r\n")]
    good += [("caption", x) for x in ("", "c" * 100_000, "\U0001f418 ಕ", "'\"\\", "a\nb")]
    for key, value in good:
        number = t.upload(f"{key} {value[:24]!r}", **{key: value})
        want = value.replace("\r", "").replace("\n", "") if key == "imgB64" else value
        t.get(f"{key} {value[:24]!r} as sent", "/categories/tree%20care/acts", 200,
              lambda j, n=number, k=key, w=want: [a[k] for a in j if a["actId"] == n] == [w] and set(j[0]) == KEYS)
    number = t.upload("a picture of 5 MB", imgB64=base64.b64encode(b"\7" * (5 << 20)).decode())
    t.delete("it goes", f"/acts/{number}", 200)
    t.upload("a picture above 16 MiB", 413, imgB64="A" * (16 << 20))
    bad = [("timestamp", x) for x in (
        "29-02-2023:00-00-00", "31-04-2024:10-10-10", "13-13-2024:10-10-10", "00-05-2024:10-10-10", "05-11-2024:07-10-45",
        "05-11-2024:60-00-00", "5-11-2024:7-9-3", "2024-11-05T23:59:07", "05/11/2024:07-59-23", " " + TIME, TIME + " ",
        TIME + "x", "", 5, None)]
    bad += [("imgB64", x) for x in ("", "\r\n\n", "YWJ", "YW=j", "YWJj=", "YW*j", "YW j", "YW-_",
                                    "data:image/png;base64,YWJj", 7, None)]
    bad += [("upvotes", 0), ("upvotes", 5), ("upvotes", "0"), ("caption", 7), ("caption", None), ("caption", "a\0"),
            ("categoryName", "Tree care"), ("categoryName", ""), ("categoryName", None), ("username", ""),
            ("username", 7), ("username", None), ("username", "nobody")]
    for key, value in bad:
        t.upload(f"{key} {value!r}", 400, **{key: value})
    for name in ("an", "anna", "ANN", "ann "):
        t.upload(f"user {name!r}", 400, username=name)
    t.upload("user 'ann'", 201, username="ann")
    t.post("upvotes null", "/acts", act(1)[:-1] + ', "upvotes": null}', 400)
    t.post("caption null", "/acts", act(1).replace('"any"', "null"), 400)
    t.delete("a user goes", "/users/ann", 200, service="users")
    t.upload("and is not known any more", 400, username="ann")
    text = act(1)
    for what, body in (("empty", ""), ("array", "[]"), ("null", "null"), ("cut off", text[:-1]), ("two", text + text)):
        t.post(f"body {what}", "/acts", body, 400)
    t.id += 1
    turned = json.dumps(dict(reversed(list(json.loads(act(t.id)).items())), x={"a": [None]}))
    t.post("unknown key, other order", "/acts", turned, 201)
    for kind in ("application/json", "application/json;charset=utf-8", "application/json; charset=UTF-8", "text/plain"):
        t.id += 1
        t.post(f"type {kind}", "/acts", act(t.id), 201, headers=(("Content-Type", kind),))
    t.id += 1
    t.post("expects 100-continue", "/acts", act(t.id), 201, headers=(("Expect", "100-continue"),))
    t.delete("all go", "/categories/tree%20care", 200)
    t.post("and the category comes back", "/categories", ["tree care"], 201)


def lists(t):
    def span(n, query, status, check=ANY):
        t.get(f"{n} acts{query}", "/categories/tree%20care/acts" + query, status, check)

    def of(ids):
        return lambda j: [a["actId"] for a in j] == ids

    def fill(n):
        while len(ids) < n:
            ids.append(t.upload(f"act {len(ids) + 1} of {n}"))

    ids = []
    span(0, "", 204, None)
    t.get("0 acts, size", "/categories/tree%20care/acts/size", 200, [0])
    span(0, "?start=1&end=1", 204, None)
    span(0, "?start=0&end=5", 204, None)
    span(0, "?start=2", 400)  # judged before the acts are looked for, and after the category:
    for query in ("?start=1&end=1", "?start=2", "?start=a&end=b", "?start=0&end=500"):
        t.get("no category" + query, "/categories/none/acts" + query, 204, None)
    fill(5)
    span(5, "", 200, of(ids[::-1]))
    fill(100)
    span(100, "", 200, of(ids[::-1]))
    fill(101)
    span(101, "", 413)
    t.get("101 acts, size", "/categories/tree%20care/acts/size", 200, [101])
    span(101, "?start=1&end=100", 200, of(ids[:0:-1]))
    span(101, "?start=1&end=101", 413)
    span(101, "?start=2&end=101", 200, of(ids[99::-1]))
    span(101, "?start=101&end=101", 200, of(ids[:1]))
    fill(150)
    for query, status in (("?start=140&end=300", 400), ("?start=0&end=5", 400), ("?start=5&end=4", 400),
                          ("?start=1&end=150", 413), ("?start=2", 400), ("?end=2", 400), ("?start=&end=", 400),
                          ("?start=a&end=b", 400), ("?start=1.0&end=2", 400), ("?start=-1&end=2", 400),
                          ("?start=" + "1" * 30 + "&end=" + "2" * 30, 400)):
        span(150, query, status)
    span(150, "?start=1&end=2", 200, of([ids[149], ids[148]]))
    t.delete("the newest goes", f"/acts/{ids[149]}", 200)
    span(149, "?start=1&end=2", 200, of([ids[148], ids[147]]))
    t.post("a category for the order", "/categories", ["order"], 201)
    for at in ("01-03-2023:00-00-00", "31-01-2024:00-00-00", "02-02-2023:00-00-00"):
        t.upload(f"at {at}", categoryName="order", timestamp=at)
    t.get("newest first", "/categories/order/acts", 200, lambda j: [a["timestamp"][:10] for a in j] == [
        "31-01-2024", "01-03-2023", "02-02-2023"])
    day = ["31-01-2024:59-59-01", "31-01-2024:59-00-02", "31-01-2024:00-01-02", "31-01-2024:01-01-02"]
    for at in day:
        t.upload(f"at {at}", categoryName="order", timestamp=at)
    t.get("by hour, then minute, then second", "/categories/order/acts?start=1&end=4", 200,
          lambda j: [a["timestamp"] for a in j] == day[::-1])


def forbidden(t, path, allowed, service="acts"):
    for method in ("GET", "POST", "DELETE", "PUT", "PATCH"):
        for body in (None, "{broken") if method not in allowed else ():
            t.row(f"{method} {path} {body or ''}", method, API + path, body, 405, service=service)
    t.row(f"OPTIONS {path}", "OPTIONS", API + path, None, 204, None, service=service)


def methods(t):
    for path, allowed in (("/categories", ("GET", "POST")), ("/categories/x", ("DELETE",)),
                          ("/categories/x/acts", ("GET",)), ("/categories/x/acts/size", ("GET",)), ("/acts", ("POST",)),
                          ("/acts/7001", ("DELETE",)), ("/acts/upvote", ("POST",)), ("/acts/count", ("GET",)),
                          ("/_count", ("GET", "DELETE")), ("/_health", ("GET",)), ("/_crash", ("POST",))):
        forbidden(t, path, allowed)
    for number in ("abc", "-1", "99999999", "1%2E0", "%20"):
        t.delete(f"act {number}", f"/acts/{number}", 400)
    one = t.upload("to vote for")
    t.post("upvote", "/acts/upvote", f"[{one}]", 200)
    t.post("upvote by text", "/acts/upvote", f'["{one}"]', 200)
    t.get("two votes", "/categories/tree%20care/acts?start=1&end=1", 200, lambda j: j[0]["upvotes"] == 2)
    for body in (f"[{one},{one}]", "[]", '["7001x"]', str(one), "{}", "[99999999]", "", "[null]", "[1.0]"):
        t.post(f"upvote {body}", "/acts/upvote", body, 400)
    for method, path, status in (("GET", "/acts/count", 200), ("GET", "/categories", 200), ("DELETE", "/acts/99999999", 400),
                                 ("GET", "/categories/tree%20care/acts/size", 200)):
        t.row(f"{method} {path} with a body that means nothing", method, API + path, "{}", status)
    t.get("unknown route", "/nothing", 404)
    t.get("healthy", "/_health", 200, None)
    t.row("HEAD", "HEAD", API + "/acts/count", None, 200)


def counter(t):
    for service, path in (("acts", "/categories"), ("users", "/users")):
        # users' counter is asked at the service itself, as acts' is behind the path rule
        t.delete(f"{service}: counter to 0", "/_count", 200, {}, service=service + "!")
        t.get(f"{service}: 0", "/_count", 200, [0], service=service + "!")
        for i in range(3):
            t.get(f"{service}: good {i}", path, 200, service=service)
        for i in range(2):
            t.post(f"{service}: bad {i}", path, "broken", 400, service=service)
        t.row(f"{service}: forbidden", "PUT", API + path, None, 405, service=service)
        t.row(f"{service}: root is not counted", "GET", "/", None, 200, ANY, service=service + "!")
        t.get(f"{service}: unknown is not counted", "/_nothing", 404, service=service + "!")
        t.get(f"{service}: 6", "/_count", 200, [6], service=service + "!")
    t.get("acts: health is not counted", "/_health", 200, None)
    t.get("acts: still 6", "/_count", 200, [6])


def clean(t):
    for name in ("tree care", "order"):
        t.delete(f"clean: {name}", f"/categories/{enc(name)}", 200)
    for name in ("meera", "Meera"):
        t.delete(f"clean: {name}", f"/users/{name}", 200, service="users")
    t.get("clean: nothing", "/acts/count", 200, [0])


def table():
    t = Table()
    for part in (users, categories, uploads, lists, methods, counter, clean):
        part(t)
    return t.rows


def check(row, got):
    """What is wrong with an answer, or None."""
    _, _, method, _, _, status, want, _ = row
    if got.status != status:
        return f"status {got.status}, want {status}"
    if got.get("Access-Control-Allow-Origin") != "*":
        return "no CORS header"
    if want is None:
        return None if got.body == b"" else f"body {got.body[:100]!r}, want none"
    if status == 405 and not got.get("Allow"):
        return "no Allow"
    if want is ANY or method == "HEAD":
        return None
    value = json.loads(got.body)
    good = want(value) if callable(want) else value == want
    return None if good else f"body {got.body[:200]!r}"


def walk(rows, ports):
    """Send the rows; ports: {service: port}. Returns ([faults], [(name, status, kept headers, body)])."""
    faults, seen, open_ = [], [], {}
    try:
        for row in rows:
            name, service, method, target, body, _, _, headers = row
            port = ports[service]
            if port not in open_ or open_[port].must_close:
                if port in open_:
                    open_[port].close()
                open_[port] = client.Conn(port, timeout=30)
            try:
                got = open_[port].request(method, target, body, headers)
            except (OSError, client.HttpError) as e:
                open_.pop(port).close()
                faults.append(f"{service} '{name}': {e}")
                seen.append((name, None, (), b""))
                continue
            wrong = check(row, got)
            if wrong is not None:
                faults.append(f"{service} '{name}': {method} {target[:80]}: {wrong}")
            seen.append((name, got.status, tuple((h, got.get(h)) for h in KEPT), got.body))
    finally:
        for c in open_.values():
            c.close()
    return faults, seen
