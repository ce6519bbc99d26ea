"""Messages that two programs could read in two ways, for test/bench/strictness: name, RFC section, raw bytes, a pattern that
tells in what arrives (in lower case) whether the odd thing was passed on as it was, and why lbd does what it does."""
HEAD = b"Host: t\r\n"
GET = b"GET /api/v1/x HTTP/1.1\r\n" + HEAD
POST = b"POST /api/v1/x HTTP/1.1\r\n" + HEAD
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"

LENGTH = "a body has one length, in digits; a server behind that reads another one starts the next request elsewhere"
CODING = "chunked is the one coding that we can undo; another name may be chunked for the next program"
NAME = "a name with such a byte is another name for some programs"
VALUE = "a control byte ends the line, or the string, for some programs"
LINE = "CRLF is the end of a line; where a lone LF or CR is another's line end, a header can be hidden"
HOST = "routes and caches hang on it"
CHUNK = "sizes that C's number parser takes and the grammar does not are read in two ways"
LAX = "allowed; refusing it would break clients and gain nothing"

REQUESTS = [
    ("two lengths, unlike", "9112 6.3", POST + b"Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde", rb"length:.*length:", LENGTH),
    ("two lengths, equal", "9112 6.3", POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde", rb"length:.*length:",
     LENGTH + "; the RFC lets us take equal ones, no client sends them"),
    ("list of equal lengths", "9112 6.3", POST + b"Content-Length: 5, 5\r\n\r\nabcde", rb"length: ?5, ?5", LENGTH),
    ("length with plus", "9110 8.6", POST + b"Content-Length: +5\r\n\r\nabcde", rb"\+5", LENGTH),
    ("length with minus", "9110 8.6", POST + b"Content-Length: -1\r\n\r\n", rb"-1", LENGTH),
    ("length in hexadecimal", "9110 8.6", POST + b"Content-Length: 0x5\r\n\r\nabcde", rb"0x5", LENGTH),
    ("empty length", "9110 8.6", POST + b"Content-Length:\r\n\r\n", rb"length: ?\r", LENGTH),
    ("length over 64 bits", "9110 8.6", POST + b"Content-Length: 18446744073709551621\r\n\r\nabcde", rb"1844", LENGTH),
    ("length, then chunked", "9112 6.3", POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + END, rb"content-length: ?5",
     "the RFC lets a proxy take the coding and drop the length; nobody honest sends both"),
    ("chunked, then length", "9112 6.3", POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + END, rb"content-length: ?5",
     "the RFC lets a proxy take the coding and drop the length; nobody honest sends both"),
    ("gzip, chunked", "9112 6.1", POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + END, rb"gzip", CODING),
    ("chunked twice", "9112 6.1", POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + END,
     rb"chunked.*chunked", CODING),
    ("xchunked", "9112 6.1", POST + b"Transfer-Encoding: xchunked\r\n\r\n" + END, rb"xchunked", CODING),
    ("identity", "9112 6.1", POST + b"Transfer-Encoding: identity\r\n\r\n", rb"identity", CODING),
    ("vertical tab before chunked", "9112 6.1", POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + END, rb"\x0bchunked", CODING),
    ("chunked in HTTP/1.0", "9112 6.1", b"POST /api/v1/x HTTP/1.0\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + END,
     rb"transfer-encoding", "the RFC calls the framing of such a message faulty"),
    ("blank before the colon", "9112 5.1", POST + b"Content-Length : 5\r\n\r\nabcde", rb"length :", NAME),
    ("empty name", "9112 5", GET + b": v\r\n\r\n", rb"\n: ?v", NAME),
    ("no colon", "9112 5", GET + b"foo\r\n\r\n", rb"\nfoo\r", NAME),
    ("control byte in a name", "9110 5.1", GET + b"A\x01: b\r\n\r\n", rb"a\x01", NAME),
    ("high byte in a name", "9110 5.1", GET + b"A\xe4: b\r\n\r\n", rb"a\xe4", NAME),
    ("underscore in a name", "9110 5.1", GET + b"A_B: c\r\n\r\n", rb"a_b", LAX + "; nginx drops such fields without a word"),
    ("folded line", "9112 5.2", GET + b"A: b\r\n c\r\n\r\n", rb"a: b\r\n c", LINE),
    ("NUL in a value", "9110 5.5", GET + b"A: b\x00c\r\n\r\n", rb"b\x00c", VALUE),
    ("control byte in a value", "9110 5.5", GET + b"A: b\x01c\r\n\r\n", rb"b\x01c", VALUE),
    ("DEL in a value", "9110 5.5", GET + b"A: b\x7fc\r\n\r\n", rb"b\x7fc", VALUE),
    ("high bytes in a value", "9110 5.5", GET + b"A: b\xc3\xa4c\r\n\r\n", rb"b\xc3\xa4c", LAX),
    ("bare CR in a value", "9112 2.2", GET + b"A: b\rc: d\r\n\r\n", rb"b\rc", LINE),
    ("bare LF after the request line", "9112 2.2", b"GET /api/v1/x HTTP/1.1\nHost: t\r\n\r\n", rb"1\nhost", LINE),
    ("bare LF after a field", "9112 2.2", b"GET /api/v1/x HTTP/1.1\r\nHost: t\nA: b\r\n\r\n", rb"t\na: b", LINE),
    ("an empty line before", "9112 2.2", b"\r\n" + GET + b"\r\n", rb"^\r\n", LAX),
    ("blank in the target", "9112 3.2", b"GET /api/v1/x y HTTP/1.1\r\n" + HEAD + b"\r\n", rb"x y", "where the target ends is a guess"),
    ("two blanks", "9112 3", b"GET  /api/v1/x HTTP/1.1\r\n" + HEAD + b"\r\n", rb"get  /", "where the target begins is a guess"),
    ("fragment in the target", "9112 3.2", b"GET /api/v1/x#y HTTP/1.1\r\n" + HEAD + b"\r\n", rb"x#y",
     "no part of a request; what is cut off where is a guess"),
    ("high bytes in the target", "3986 2", b"GET /api/v1/\xc3\xa4 HTTP/1.1\r\n" + HEAD + b"\r\n", rb"\xc3\xa4",
     "must be percent-encoded; programs differ in how they store it"),
    ("control byte in the target", "3986 2", b"GET /api/v1/\x01 HTTP/1.1\r\n" + HEAD + b"\r\n", rb"\x01", VALUE),
    ("path that climbs", "3986 5.2.4", b"GET /api/v1/x/../../y HTTP/1.1\r\n" + HEAD + b"\r\n", rb"\.\.",
     "it passes a route that it leaves once the dots are taken away"),
    ("path that climbs, encoded", "3986 6.2.2", b"GET /api/v1/%2e%2e/y HTTP/1.1\r\n" + HEAD + b"\r\n", rb"%2e%2e",
     "to lbd these are names: it takes encoding off nowhere on the proxied path, and says so"),
    ("absolute form", "9112 3.2.2", b"GET http://t/api/v1/x HTTP/1.1\r\n" + HEAD + b"\r\n", rb"http://t", LAX),
    ("no Host", "9112 3.2", b"GET /api/v1/x HTTP/1.1\r\n\r\n", rb".", HOST),
    ("two Hosts", "9112 3.2", GET + b"Host: u\r\n\r\n", rb"host:.*host:", HOST),
    ("invalid Host", "9112 3.2", b"GET /api/v1/x HTTP/1.1\r\nHost: a/b\r\n\r\n", rb"a/b", HOST),
    ("Host unlike the authority", "9112 3.2.2", b"GET http://a/api/v1/x HTTP/1.1\r\nHost: b\r\n\r\n", rb"host: ?b",
     "the RFC lets a proxy replace Host; the client that sends both unlike is not one"),
    ("HTTP/1.2", "9112 2.3", b"GET /api/v1/x HTTP/1.2\r\n" + HEAD + b"\r\n", rb"http/1\.2", "no such version; the RFC lets us answer as 1.1, too"),
    ("HTTP/2 preface", "9113 3.4", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", rb"pri", "HTTP/2 is not spoken on this port"),
    ("no version (HTTP/0.9)", "9112 2.3", b"GET /api/v1/x\r\n\r\n", rb"^get /api/v1/x\r", "has no head in which framing could stand"),
    ("CONNECT", "9110 9.3.6", b"CONNECT t:80 HTTP/1.1\r\nHost: t:80\r\n\r\n", rb"connect", "no forward proxy"),
    ("unknown method", "9110 9.1", b"FROB /api/v1/x HTTP/1.1\r\n" + HEAD + b"\r\n", rb"frob", LAX),
    ("101 fields", "9110 5.4", GET + b"A: b\r\n" * 100 + b"\r\n", rb"a: b", "every list has a maximum"),
    ("head of 33 KB", "9110 5.4", GET + b"A: " + b"b" * 33000 + b"\r\n\r\n", rb"a: bbb", "every buffer has a maximum"),
    ("chunk size with 0x", "9112 7.1", CHUNKED + b"0x3\r\nabc\r\n" + END, rb"0x3", CHUNK),
    ("chunk size with plus", "9112 7.1", CHUNKED + b"+3\r\nabc\r\n" + END, rb"\+3", CHUNK),
    ("blank before the chunk size", "9112 7.1", CHUNKED + b" 3\r\nabc\r\n" + END, rb"\n 3", CHUNK),
    ("blank after the chunk size", "9112 7.1", CHUNKED + b"3 \r\nabc\r\n" + END, rb"3 \r", CHUNK),
    ("chunk size over 64 bits", "9112 7.1", CHUNKED + b"10000000000000003\r\nabc\r\n" + END, rb"10000000000000003", CHUNK),
    ("chunk data longer than announced", "9112 7.1", CHUNKED + b"3\r\nabcd\r\n" + END, rb"abcd", LENGTH),
    ("bare LF after the chunk size", "9112 7.1", CHUNKED + b"3\nabc\r\n" + END, rb"3\nabc", LINE),
    ("chunk extension", "9112 7.1.1", CHUNKED + b"3;a=b\r\nabc\r\n" + END, rb"a=b", LAX),
    ("LF in a chunk extension", "9112 7.1.1", CHUNKED + b"3;a\nb\r\nabc\r\n" + END, rb";a\nb", LINE),
    ("trailer fields", "9112 7.1.2", CHUNKED + b"3\r\nabc\r\n0\r\nX-T: v\r\n\r\n", rb"x-t", LAX),
    ("bare LF at the end of a trailer", "9112 7.1.2", CHUNKED + b"3\r\nabc\r\n0\r\nX-T: v\n\r\n", rb"x-t: v\n", LINE),
]

OK = b"HTTP/1.1 200 OK\r\n"
RESPONSES = [
    ("two lengths, unlike", "9112 6.3", OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok", rb"length:.*length:", LENGTH),
    ("two lengths, equal", "9112 6.3", OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", rb"length:.*length:", LENGTH),
    ("length with plus", "9110 8.6", OK + b"Content-Length: +2\r\n\r\nok", rb"\+2", LENGTH),
    ("length and chunked", "9112 6.3", OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n" + END,
     rb"content-length: ?2", LENGTH),
    ("chunked twice", "9112 6.1", OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n" + END,
     rb"chunked.*chunked", CODING),
    ("gzip coding", "9112 6.1", OK + b"Transfer-Encoding: gzip\r\n\r\nok", rb"gzip", CODING),
    ("folded line", "9112 5.2", OK + b"A: b\r\n c\r\nContent-Length: 2\r\n\r\nok", rb"b\r\n c",
     "the RFC lets a proxy unfold it; no server of today folds"),
    ("NUL in a value", "9110 5.5", OK + b"A: b\x00c\r\nContent-Length: 2\r\n\r\nok", rb"b\x00c", VALUE),
    ("blank before the colon", "9112 5.1", OK + b"A : b\r\nContent-Length: 2\r\n\r\nok", rb"a : b",
     "the RFC lets a proxy take the blank away; we would rather hear of it"),
    ("bare LF", "9112 2.2", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", rb"ok\n", LINE),
    ("no reason phrase, no blank", "9112 4", b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", rb"200\r", LAX),
    ("status of two digits", "9112 4", b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok", rb"1 20 ", "no status"),
    ("HTTP/2.0 in the status line", "9112 2.3", b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok", rb"http/2", "not what we asked for"),
    ("101 nobody asked for", "9110 15.2.2", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", rb"101",
     "what follows would be in a protocol that the client does not expect"),
    ("noise", "9112 4", b"SSH-2.0-OpenSSH_9.2\r\n", rb"ssh", "no HTTP"),
    ("more bytes than announced", "9112 6.3", OK + b"Content-Length: 2\r\n\r\nokEVIL", rb"evil",
     "the answer is whole and passes; what follows it is dropped with the connection"),
    ("no length at all", "9112 6.3", OK + b"\r\nok", rb"ok", LAX),
    ("bad chunk size", "9112 7.1", OK + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\nok\r\n" + END, rb"0x2", CHUNK),
]
