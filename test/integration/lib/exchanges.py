"""Valid HTTP exchanges made from a seed and a number: the request as bytes, and the answer of the backend as bytes. The
same number makes the same exchange, so that any part of a run can be tried again alone."""
import random

UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
PCHAR = UNRESERVED + "!$&'()*+,;=:@"  # RFC 3986 3.3, beside percent-encoded bytes
TCHAR = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~"  # RFC 9110 5.6.2
VALUE = bytes(range(0x21, 0x7f)) + bytes(range(0x80, 0x100))  # RFC 9110 5.5: VCHAR and obs-text
METHODS = ["GET"] * 8 + ["HEAD"] * 3 + ["POST"] * 5 + ["PUT"] * 3 + ["DELETE", "PATCH", "OPTIONS", "PROPFIND", "M-SEARCH",
                                                                     "MKCOL", "X_Y"]
HOSTS = ["t", "example.test:8080", "[::1]:80", "UPPER.Example", "10.0.0.1", "a-b.c_d"]
STATUSES = [200] * 12 + [201, 202, 203, 206, 299, 300, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 409, 410, 418, 422,
                         428, 451, 499, 500, 501, 502, 503, 504, 511, 599]
REASONS = [b"OK", b"Odd  Words", b"", b"caf\xe9", b"a:b;c=\"d\"", b"It's [fine]\tso"]
KNOWN = {  # fields that proxies know, with values that mean nothing to them
    "Accept": b"text/html, */*;q=0.8", "Accept-Language": b"en-GB,en;q=0.9", "Accept-Encoding": b"gzip, deflate",
    "User-Agent": b"Mozilla/5.0 (X11; Linux) x/1", "Referer": b"http://a.test/b?c", "Cookie": b"a=b; c=\"d e\"",
    "Cache-Control": b"no-cache, max-age=0", "Pragma": b"no-cache", "Authorization": b"Basic YTpi", "Range": b"bytes=0-4,7-",
    "If-None-Match": b"\"x\", W/\"y\"", "If-Modified-Since": b"Sun, 06 Nov 1994 08:49:37 GMT", "Origin": b"null",
    "Content-Type": b"application/json; charset=\"utf-8\"", "Via": b"1.0 fred", "Date": b"Sun, 06 Nov 1994 08:49:37 GMT",
    "Max-Forwards": b"3", "X-Request-Id": b"given-by-the-client", "X-Forwarded-Port": b"8443", "Forwarded": b"for=1.2.3.4",
}
ANSWER_KNOWN = {
    "Content-Type": b"text/plain; charset=utf-8", "Content-Encoding": b"gzip", "ETag": b"\"a,b\"", "Vary": b"Accept, X-Y",
    "Cache-Control": b"private, max-age=1", "Last-Modified": b"Sun, 06 Nov 1994 08:49:37 GMT", "Accept-Ranges": b"bytes",
    "Location": b"/api/v1/elsewhere?a=b#c", "WWW-Authenticate": b"Basic realm=\"x\"", "Retry-After": b"3", "Age": b"7",
    "Content-Language": b"de", "Allow": b"GET, HEAD", "Link": b"</a>; rel=preload", "Via": b"1.1 inner",
    "Content-Range": b"bytes 0-4/10",
}


class Message:
    """One message on the wire, and what it says."""

    def __init__(self):
        self.headers, self.body, self.raw = [], b"", b""  # headers: (name, value), as sent, without blanks around


class Exchange:
    def __init__(self, seed, n):
        self.n = n
        r = random.Random("%d/%d" % (seed, n))
        self.slices = r.random()
        self._request(r)
        self._answer(r)

    # ---- parts ----

    @staticmethod
    def _escape(r, text):
        """Some characters percent-encoded (not as a NUL, a dot or a slash: those would change the path)."""
        out = []
        for c in text:
            out.append("%%%02x" % r.choice([0x20, 0x21, 0x25, 0x3f, 0x41, 0x7e, 0x80, 0xc3, 0xff]) if r.random() < 0.05 else c)
        return "".join(out).replace("%e", "%E") if r.random() < 0.5 else "".join(out)

    def _target(self, r):
        path = "/api/v1"
        for _ in range(r.choice([0, 1, 1, 2, 3, 8])):
            segment = self._escape(r, "".join(r.choices(PCHAR, k=r.choice([0, 1, 3, 10, 40]))))
            path += "/" + (segment if segment.strip(".") or segment == "" else "dots")
        if r.random() < 0.4:
            path += "?" + self._escape(r, "".join(r.choices(PCHAR + "/?", k=r.choice([0, 1, 10, 100, 1500]))))
        return path

    @staticmethod
    def _value(r):
        n = r.choice([0, 1, 2, 10, 30, 200]) if r.random() < 0.98 else 4000
        v = bytes(r.choices(VALUE, k=n))
        if n > 4 and r.random() < 0.5:
            v = v[:n // 2] + r.choice([b" ", b"\t", b"  \t"]) + v[n // 2:]
        return v

    def _fields(self, r, known):
        fields = [(k, known[k]) for k in r.sample(sorted(known), r.randrange(0, 6))]
        for _ in range(r.choice([0, 1, 2, 5, 12])):
            fields.append(("X" + "".join(r.choices(TCHAR, k=r.choice([1, 2, 5, 15]))), self._value(r)))
        if r.random() < 0.2:
            fields += [("X-Twice", b"1"), ("x-twice", b"2"), ("X-TWICE", b"")]
        r.shuffle(fields)
        return fields

    @staticmethod
    def _body(r):
        n = r.choice([0, 1, 2, 5, 100, 4096, 8191, 8192, 8193])
        if r.random() < 0.04:
            n = r.choice([16384, 65536, 70001, 300000])
        return r.randbytes(n)

    @staticmethod
    def _chunks(r, body):
        out, at = [], 0
        while at < len(body):
            n = min(len(body) - at, r.choice([1, 2, 3, 10, 500, 4096, 65536]) if len(body) < 10000 else r.randrange(1000, 65536))
            size = r.choice(["%x", "%X", "0%x", "%08x"]) % n
            if r.random() < 0.1:
                size += r.choice([";a", ";a=b", ";a=\"b;c\\\"d\"", ";x;y=z", ";a=" + "v" * 50])
            out.append(size.encode() + b"\r\n" + body[at:at + n] + b"\r\n")
            at += n
        out.append(r.choice([b"0\r\n", b"0\r\n", b"000\r\n", b"0;last\r\n"]))
        if r.random() < 0.2:
            out.append(b"X-Trailer: a\r\n" + r.choice([b"", b"X-Other:b c \r\n"]))
        return b"".join(out) + b"\r\n"

    @staticmethod
    def _lines(r, fields):
        out = []
        for k, v in fields:
            before, after = (b" ", b"") if r.random() < 0.8 else (r.choice([b"", b" ", b"   "]), r.choice([b"", b" ", b"  "]))
            out.append(k.encode() + b":" + before + v + after + b"\r\n")
        return b"".join(out) + b"\r\n"

    # ---- the request ----

    def _request(self, r):
        q = self.request = Message()
        q.method, q.target, q.minor = r.choice(METHODS), self._target(r), 1 if r.random() < 0.88 else 0
        q.host = r.choice(HOSTS)
        q.close = r.random() < 0.05
        fields = self._fields(r, KNOWN)
        q.named = []  # names in Connection: they go no further
        if r.random() < 0.1:
            q.named = ["X-Named", "x-also-named"][:r.randrange(1, 3)]
            fields += [(k, b"for one hop") for k in q.named]
        for k, v, chance in (("TE", b"trailers", 0.05), ("Keep-Alive", b"timeout=5", 0.03), ("Proxy-Connection", b"keep-alive", 0.02),
                             ("X-Forwarded-For", b"9.9.9.9, 8.8.8.8", 0.1), ("x-forwarded-for", b"7.7.7.7", 0.03),
                             ("X-Forwarded-Proto", b"https", 0.05), ("X-Forwarded-Host", b"outer.test", 0.05)):
            if r.random() < chance:
                fields.append((k, v))
        with_body = q.method in ("POST", "PUT", "PATCH") or r.random() < 0.1
        q.body = self._body(r) if with_body else b""
        q.chunked = with_body and q.minor == 1 and r.random() < 0.5
        if with_body and not q.chunked:
            fields.append((r.choice(["Content-Length", "content-length"]),
                           (r.choice(["%d", "%d", "0%d"]) % len(q.body)).encode()))
        if q.chunked:
            fields.append(("Transfer-Encoding", r.choice([b"chunked", b"Chunked", b"CHUNKED"])))
        q.expects = with_body and len(q.body) > 0 and q.minor == 1 and r.random() < 0.03
        if q.expects:
            fields.append(("Expect", r.choice([b"100-continue", b"100-Continue"])))
        options = list(q.named)
        if q.close:
            options.append("close")
        elif q.minor == 0 and r.random() < 0.7:
            options.append("keep-alive")
        if options:
            fields.append(("Connection", ", ".join(options).encode()))
        q.persists = not q.close and (q.minor == 1 or "keep-alive" in options)
        fields.append(("X-Case", b"%d" % self.n))
        r.shuffle(fields)
        fields.insert(r.randrange(0, len(fields) + 1), ("Host", q.host.encode()))
        q.headers = fields
        absolute = r.random() < 0.04 and q.minor == 1 and "_" not in q.host  # nginx refuses that one there
        target = "http://" + q.host + q.target if absolute else q.target
        q.raw = b"%s%s %s HTTP/1.%d\r\n" % (r.choice([b"", b"", b"", b"\r\n"]), q.method.encode(), target.encode(), q.minor)
        q.raw += self._lines(r, fields) + (self._chunks(r, q.body) if q.chunked else q.body)

    # ---- the answer ----

    def _answer(self, r):
        a = self.answer = Message()
        a.status, a.reason = r.choice(STATUSES), r.choice(REASONS)
        if r.random() < 0.06:
            a.status = r.choice([204, 304])
        a.minor = 1 if r.random() < 0.93 else 0
        fields = self._fields(r, ANSWER_KNOWN)
        fields += [("Date", b"Mon, 07 Nov 1994 08:49:37 GMT"), ("Server", b"backend/1 (x)")]
        fields += [("Set-Cookie", b"a=b; Path=/"), ("Set-Cookie", b"c=d; HttpOnly")][:r.choice([0, 0, 1, 2])]
        body = self._body(r)
        kinds = ["length"] * 4 + ["chunked"] * 4 + ["close"]
        kind = r.choice(kinds if a.minor == 1 else ["length", "close"])
        # RFC 9110 6.4.1: HEAD, 204 and 304 have none, whatever their fields say.
        bodiless = self.request.method == "HEAD" or a.status in (204, 304)
        a.body = b"" if bodiless else body
        if kind == "length" and a.status != 204:
            fields.append(("Content-Length", b"%d" % len(body)))
        elif kind == "chunked" and a.status != 204:
            fields.append(("Transfer-Encoding", r.choice([b"chunked", b"CHUNKED"])))
        a.named = []
        options = []
        by_close = kind == "close" and not bodiless
        a.closes = by_close or r.random() < 0.05
        # Unannounced, a close would meet the next request on its way, and only some may be repeated.
        if a.closes and a.minor == 1 and (not by_close or r.random() < 0.5):
            options.append("close")
        elif not a.closes and a.minor == 0:
            options.append("keep-alive")
        if r.random() < 0.06:
            a.named = ["X-Answer-Named"]
            options += a.named
            fields.append(("X-Answer-Named", b"for one hop"))
        if options:
            fields.append((r.choice(["Connection", "connection"]), ", ".join(options).encode()))
        if r.random() < 0.03:
            fields.append(("Keep-Alive", b"timeout=5, max=100"))
        r.shuffle(fields)
        a.headers = fields
        a.raw = b"HTTP/1.%d %d %s\r\n" % (a.minor, a.status, a.reason) + self._lines(r, fields)
        if not bodiless:
            a.raw += self._chunks(r, body) if kind == "chunked" else body
        if self.request.expects:
            a.interim = b"HTTP/1.1 100 Continue\r\n\r\n"

    def cut(self, raw):
        """The same bytes in some pieces."""
        r = random.Random(self.slices)
        n = r.choice([1, 1, 1, 2, 3, 6])
        at = sorted(r.randrange(0, len(raw) + 1) for _ in range(n - 1))
        return [p for p in (raw[i:j] for i, j in zip([0] + at, at + [len(raw)])) if p]
