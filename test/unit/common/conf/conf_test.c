#include "test/unit/unit.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/file.h"
#include "common/base/macros.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/conf/conf.h"
#include "common/conf/conf_diff.h"

#define F "services:\n  web:\n    static: /srv\n    route: /\n"
#define S                                                                                          \
    "services:\n  web:\n    image: web:1\n" /* a service in lines 2 and 3; more keys from line 4   \
                                               on */

#define R                                                                                          \
    S "    port: 80\n    connect: direct\n    health: { tcp: true }\n    routes: " /* line 7 */

static const struct {
    const char *name, *text;
    const char *error; /* what the first error must contain; NULL: the file is fine */
} rows[] = {
    {"least", S, NULL},
    {"x- keys are skipped", "x-note: 1\n" S "    x-more: [1]\n", NULL},
    {"anchors and aliases", "x-env: &e { A: b }\n" S "    environment: *e\n", NULL},
    {"environment as a list", S "    environment: [A=b, C=]\n", NULL},
    {"command as words", S "    command: sh  -c true\n", NULL},
    {"scale as a number", S "    scale: 3\n", NULL},
    {"listen on IPv6", "listen: '[::1]:80'\n" S, NULL},
    {"listen on several", "listen: [8080, '127.0.0.1:81']\n" S, NULL},
    {"health none", S "    health: none\n", NULL},

    {"empty", "", "t:1:1: the file is empty"},
    {"only a comment", "# nothing\n", "the file is empty"},
    {"no services", "listen: 80\n", "no services"},
    {"services empty", "services: {}\n", "no services"},
    {"services null", "services:\n", "'services' has no value"},
    {"services a list", "services: [a]\n", "'services' must be a mapping"},
    {"a scalar", "hello\n", "t:1:1: here must be keys with values, not a single value"},
    {"a list", "- a\n", "t:1:1: here must be keys with values, not a list"},
    {"unclosed bracket", "services: [\n", "t:2:1: "},
    {"a tab", "services:\n\tweb:\n", "t:2:1: "},
    {"two documents", S "---\n" S, "t:5:1: a second document begins here"},
    {"not UTF-8", "a: \xff\xfe\n", "must be UTF-8"},
    {"NUL", "listen: \"8\\0\"\n" S, "t:1:9: a value must not contain NUL"},

    {"unknown key, near", S "    imgae: x\n", "t:4:5: unknown key 'imgae'; did you mean 'image'?"},
    {"unknown key, far", S "    zebra: x\n", "t:4:5: unknown key 'zebra'; man 5"},
    {"unknown key at the top", "lisen: 80\n" S,
     "t:1:1: unknown key 'lisen'; did you mean 'listen'?"},
    {"unknown key in health", S "    port: 80\n    health: { pth: /x }\n",
     "t:5:15: unknown key 'pth'; did you mean 'path'?"},
    {"unknown key in scale", S "    scale: { mx: 3 }\n",
     "t:4:14: unknown key 'mx'; did you mean 'max'?"},
    {"key twice", S "    port: 80\n    port: 81\n", "t:5:5: key 'port' stands here a second time"},
    {"service twice", S "  web:\n    image: x\n", "t:4:3: key 'web' stands here a second time"},
    {"a Compose key", S "    ports: ['80:80']\n", "t:4:5: 'ports' is not supported: write 'port'"},
    {"missing image", "services:\n  web:\n    port: 80\n",
     "t:2:3: service 'web' has no image; add 'image: NAME:TAG'"},
    {"static and image", S "    static: /srv\n    route: /\n",
     "t:2:3: service 'web' has 'static' (files that lbd serves itself) and 'image'; remove one"},
    {"static and port", F "    port: 80\n",
     "(files that lbd serves itself) and 'port'; remove one"},
    {"static and scale", F "    scale: 2\n",
     "(files that lbd serves itself) and 'scale'; remove one"},
    {"static and health", F "    health: { path: /x }\n", "lbd serves itself) and 'health'"},
    {"static and volumes", F "    volumes: [a:/b]\n", "lbd serves itself) and 'volumes'"},
    {"static without route", "services:\n  web:\n    static: /srv\n",
     "t:2:3: service 'web' has 'static' but no route; add 'route: /PATH'"},
    {"static: relative", "services:\n  web:\n    route: /\n    static: srv\n",
     "t:4:13: 'static' must be an absolute path"},
    {"service without anything", "services:\n  web: 5\n", "t:2:8: here must be keys with values"},
    {"service name", "services:\n  We b:\n    image: x\n", "t:2:3: service name 'We b': use"},
    {"project name", "project: A\n" S, "t:1:10: project 'A': use"},

    {"port: a word", S "    port: http\n", "t:4:11: 'port': 'http' is not a whole number"},
    {"port: a list", S "    port: [80]\n", "t:4:11: 'port' must be a single value, not a list"},
    {"port: too large", S "    port: 65536\n", "65536 is out of range: use 1 to 65535"},
    {"port: negative", S "    port: -1\n", "'-1' is not a whole number"},
    {"no value", S "    port:\n", "t:4:5: 'port' has no value"},
    {"boolean", S "    read_only: yes\n", "'read_only' must be true or false, not 'yes'"},
    {"health status", S "    health: { path: /h, status: [200, 2xx] }\n",
     "t:4:39: 'status': write a status"},
    {"health status, backwards", S "    health: { path: /h, status: 299-200 }\n",
     "'status': write a status"},
    {"health body of tcp", S "    health: { tcp: true, body: x }\n", "'body' goes with 'path'"},
    {"liveness before readiness", S "    health: { path: /h, fall: 3, replace_after: 2 }\n",
     "replace_after 2 is below fall 3"},
    {"liveness, no number", S "    health: { path: /h, replace_after: no }\n", "'replace_after'"},
    {"secret without a file", S "    secrets: { key: etc/key }\n",
     "secret 'key': write NAME: /HOST/FILE"},
    {"secret as a path", S "    secrets: { a/b: /etc/key }\n", "a name without '/'"},
    {"secrets as Compose has them", S "    secrets: [key]\n", "'secrets' must be a mapping"},
    {"capability", S "    cap_add: [net_raw]\n", "'net_raw' in 'cap_add' is no such name"},
    {"network", S "    networks: [a/b]\n", "'a/b' in 'networks' is no such name"},
    {"env_file is not there", S "    env_file: no/such/file\n", "t:4:5: env_file: "},
    {"backends and an image", S "    backends: [10.0.0.1:80]\n",
     "'backends' (servers that others run) and 'image'"},
    {"backends without a health check",
     "services:\n  a:\n    backends: [10.0.0.1:80]\n    route: /a\n",
     "'backends' but no health check"},
    {"backends without a route",
     "services:\n  a:\n    backends: [10.0.0.1:80]\n    health: { tcp: true }\n",
     "'backends' but no route"},
    {"a backend's name", "services:\n  a:\n    backends: [db.local:80]\n",
     "t:3:16: 'db.local:80' is no backend; write ADDRESS:PORT"},
    {"a backend without a port", "services:\n  a:\n    backends: ['10.0.0.1']\n", "is no backend"},
    {"a backend's weight", "services:\n  a:\n    backends: [10.0.0.1:80 weight 0]\n",
     "is no backend"},
    {"a backend twice", "services:\n  a:\n    backends: ['[::1]:80', '[::1]:80']\n",
     "a second time"},
    {"no backends", "services:\n  a:\n    backends: []\n", "must be a list of 1 to"},
    {"rollout", S "    rollout: startfirst\n", "t:4:14: 'rollout' is 'startfirst'; use one of"},
    {"duration without unit", S "    drain: 30\n",
     "'drain': '30' is not a duration: write it with a unit"},
    {"duration too small", S "    port: 1\n    health: { tcp: true, interval: 1ms }\n",
     "'interval' is too small"},
    {"size", S "    mem_limit: 1k\n", "'mem_limit' is too small"},
    {"cpus", S "    cpus: lots\n", "'cpus': 'lots' is not a decimal number"},
    {"listen: a name", "listen: localhost:80\n" S,
     "t:1:9: 'localhost:80' is no address to listen on"},
    {"listen: port 0", "listen: 0\n" S, "is no address to listen on"},
    {"listen: nothing", "listen: []\n" S, "'listen' needs 1 to 16 addresses"},
    {"docker", "docker: /var/run/docker.sock\n" S, "'docker' must be unix:///PATH"},
    {"listen for PROXY headers", "listen: [80, '127.0.0.1:81 proxy']\n" S, NULL},
    {"listen for something else", "listen: '127.0.0.1:81 tls'\n" S, "is no address to listen on"},
    {"trusted proxies", "trusted_proxies: [loopback, 10.0.0.0/8, '2001:db8::/32']\n" S, NULL},
    {"one trusted proxy", "trusted_proxies: 192.0.2.1\n" S, NULL},
    {"no trusted proxies", "trusted_proxies: []\n" S, NULL},
    {"a trusted name", "trusted_proxies: [proxy.local]\n" S, "is no network"},
    {"trusted proxies in a mapping", "trusted_proxies: { a: b }\n" S, "must be a single value"},
    {"request id", "request_id: sometimes\n" S, "must be true or false"},
    {"access log off", "access_log: off\n" S, NULL},
    {"access log to stderr in JSON", "access_log: stderr\naccess_log_format: json\n" S, NULL},
    {"access log to a file", "access_log: /var/log/lbctl/access.log\n" S, NULL},
    {"access log without a path", "access_log: access.log\n" S,
     "'access_log' must be off, stderr or an absolute path"},
    {"access log a list", "access_log: [stderr]\n" S, "must be a single value"},
    {"access log format", "access_log_format: xml\n" S, "use one of: text, json"},
    {"log level", "log_level: loud\n" S, "use one of: error, warn, info, debug"},
    {"relative path", "run_dir: run\n" S, "'run_dir' must be an absolute path"},
    {"signal", S "    stop_signal: TERM\n", "must be a signal's name"},
    {"publish", S "    publish: eth0\n", "'publish' must be an IPv4 or IPv6 address"},
    {"pull policy", S "    pull_policy: never\n", NULL},
    {"pull policy: always", S "    pull_policy: always\n",
     "'pull_policy' is 'always'; use one of: missing, never"},
    {"pull policy: build", S "    pull_policy: build\n", "use one of: missing, never"},
    {"pull policy: a list", S "    pull_policy: [missing]\n", "must be a single value"},
    {"pull timeout", "pull_timeout: 10ms\n" S, "'pull_timeout'"},
    {"manual stop", S "    manual_stop: keep\n", "use one of: replace, hold"},
    {"connect", S "    connect: maybe\n", "use one of: published, direct"},
    {"volume without target", S "    volumes: [data]\n", "t:4:15: volume 'data': write NAME:/PATH"},
    {"volume, relative", S "    volumes: ['./x:/y']\n", "volume './x:/y': write"},
    {"volume, bad mode", S "    volumes: ['x:/y:rx']\n", "volume 'x:/y:rx': write"},
    {"environment: a word", S "    environment: A\n", "must be a mapping, or a list of NAME=VALUE"},
    {"environment: no =", S "    environment: [A]\n", "must be NAME=VALUE"},
    {"environment: twice", S "    environment: [A=1, A=2]\n", "'A' stands here a second time"},
    {"environment: missing value", S "    environment: { A: }\n",
     "a value of 'environment' is missing"},
    {"environment: nested", S "    environment: { A: [1] }\n", "must be a single value"},
    {"labels of ours", S "    labels: { lbctl.slot: x }\n",
     "labels that begin with 'lbctl.' are ours"},
    {"command with quotes", S "    command: sh -c \"a b\"\n", "write it as a list"},
    {"depends on nobody", S "    depends_on: [wbe]\n",
     "depends on 'wbe', which is no service; did you mean 'web'?"},
    {"depends on itself", S "    depends_on: web\n", "service 'web' depends on itself"},
    {"circle", S "    depends_on: [b]\n  b:\n    image: x\n    depends_on: [web]\n",
     "break the circle"},

    {"route without slash", S "    route: api\n", "t:4:12: 'route' is 'api'; write a path prefix"},
    {"route with slash at the end", S "    route: /api/\n", "write a path prefix"},
    {"route with a query", S "    route: /api?x\n", "write a path prefix"},
    {"route with an empty segment", S "    route: /a//b\n", "write a path prefix"},
    {"route without port", S "    route: /a\n", "has a route but no port"},
    {"route without host_ports", S "    route: /a\n    port: 80\n    health: { tcp: true }\n",
     "has a route but no host_ports"},
    {"route without health", S "    route: /a\n    port: 80\n    host_ports: 8000\n",
     "has a route but no health check"},
    {"route twice",
     S "    route: [/a, /a]\n    port: 80\n    host_ports: 8000\n    health: { tcp: true }\n",
     "names route '/a' twice"},
    {"route of another",
     S "    route: /a\n    port: 80\n    connect: direct\n    health: { tcp: true }\n"
       "  b:\n    image: x\n    route: /a\n    port: 80\n    connect: direct\n    health: { tcp: "
       "true }\n",
     "t:10:12: route '/a' of service 'b' belongs to service 'web' (line 4) already"},
    {"routes", R "[{ path: /a }, { path: /b, host: [a.example, '*.b.example'] }]\n", NULL},
    {"route and routes", R "[{ path: /b }]\n    route: /a\n", NULL},
    {"the same path of other hosts", R "[{ host: a.example }, { host: b.example }, {}]\n", NULL},
    {"a scalar for routes", R "/a\n", "'routes' must be a list of at most 256 sections"},
    {"a path among routes", R "[/a]\n", "here must be keys with values"},
    {"unknown key of a route", R "[{ pth: /a }]\n", "unknown key 'pth'; did you mean 'path'?"},
    {"host with a port", R "[{ host: 'a.example:80' }]\n", "'host' is 'a.example:80'; write"},
    {"host with a star inside", R "[{ host: 'a.*.example' }]\n", "write a host's name"},
    {"host and path twice in a service", R "[{ host: A.example }, { host: [x, a.EXAMPLE] }]\n",
     "t:7:35: service 'web' names route 'a.EXAMPLE/' twice (before: line 7)"},
    {"host and path of another service",
     R "[{ path: /a, host: a.example }]\n  b:\n    static: /srv\n    routes: [{ path: /a, host: "
       "a.example }]\n",
     "t:10:14: route 'a.example/a' of service 'b' belongs to service 'web' (line 7) already"},
    {"route and routes alike", R "[{ path: /a }]\n    route: /a\n",
     "t:8:12: service 'web' names route '/a' twice (before: line 7)"},
    {"rewrite with a query", R "[{ rewrite: /a?b }]\n", "'rewrite' is '/a?b'; write a path"},
    {"strip and rewrite", R "[{ path: /a, strip: true, rewrite: /b }]\n", "keep one"},
    {"redirect", R "[{ redirect: 'https://b.example/x' }]\n", NULL},
    {"redirect with more to say", R "[{ redirect: { to: /x?y, status: 302, keep_path: no } }]\n",
     "must be true or false"},
    {"redirect to a path with a query", R "[{ redirect: { to: /x?y } }]\n",
     "add 'keep_path: false'"},
    {"redirect to itself in a fragment", R "[{ redirect: '/x#y' }]\n", "without '#'"},
    {"redirect to another host by two slashes", R "[{ redirect: //x }]\n", "'redirect' is '//x'"},
    {"redirect to javascript", R "[{ redirect: 'javascript:x' }]\n", "write http://"},
    {"redirect with a status of its own", R "[{ redirect: { to: /x, status: 304 } }]\n",
     "status 304 is none"},
    {"redirect without a goal", R "[{ redirect: { status: 302 } }]\n", "redirect has no goal"},
    {"redirect and respond", R "[{ redirect: /x, respond: { status: 200 } }]\n", "keep one"},
    {"redirect and strip", R "[{ path: /a, redirect: /x, strip: true }]\n",
     "the route is answered by lbd itself"},
    {"respond", R "[{ respond: { status: 404, type: text/html, body: '<p>gone' } }]\n", NULL},
    {"respond with 100", R "[{ respond: { status: 100 } }]\n", "out of range"},
    {"edits",
     R "[{ request_headers: { set: { Host: x, X-A: '' }, add: { X-B: c }, remove: [X-C] }, "
       "response_headers: { remove: Server } }]\n",
     NULL},
    {"edits of framing", R "[{ request_headers: { set: { Content-Length: 1 } } }]\n",
     "'Content-Length' frames messages"},
    {"removal of framing", R "[{ response_headers: { remove: transfer-encoding } }]\n",
     "'transfer-encoding' frames messages"},
    {"a second Host", R "[{ request_headers: { add: { host: x } } }]\n", "a request has one Host"},
    {"no Host", R "[{ request_headers: { remove: [HOST] } }]\n", "a request has one Host"},
    {"a name with a blank", R "[{ request_headers: { add: { 'a b': x } } }]\n", "is no name"},
    {"a value of two lines", R "[{ request_headers: { add: { a: \"x\\r\\ny\" } } }]\n",
     "one line of text"},
    {"files with strip", F "    routes: [{ path: /a, strip: true }]\n",
     "its files are found below the route's path"},
    {"files with an answer's header",
     F "    routes: [{ path: /a, response_headers: { set: { Cache-Control: no-cache } } }]\n",
     NULL},
    {"error pages", S "    error_pages: { 502: /srv/502.html, 503: /srv/503.html }\n", NULL},
    {"error page of a success", S "    error_pages: { 200: /srv/x }\n",
     "a status is a number from 400 to 599"},
    {"error page, relative", S "    error_pages: { 503: x.html }\n", "must be an absolute path"},
    {"error pages in a list", S "    error_pages: [/x]\n", "must be a mapping"},
    {"PROXY header", S "    send_proxy: v2\n", NULL},
    {"PROXY header of no version", S "    send_proxy: v3\n", "use one of: off, v1, v2"},
    {"keeping connections",
     S
     "    keepalive_idle: 0\n    keepalive_time: 0\n    keepalive_requests: 1\n    max_body: 10m\n",
     NULL},
    {"no request at all on a connection", S "    keepalive_requests: 0\n", "out of range"},
    {"maintenance",
     S
     "    maintenance: true\n    maintenance_page: /srv/m.html\n    maintenance_retry_after: 5m\n",
     NULL},
    {"maintenance, for how long", S "    maintenance: 5m\n", "must be true or false"},
    {"host_ports backwards", S "    host_ports: 9-8\n", "'host_ports' is '9-8'; write FIRST-LAST"},
    {"host_ports smaller than max",
     S "    port: 80\n    host_ports: 8000-8004\n    scale: { min: 1, max: 10 }\n",
     "may have 10 instances but only 5 host ports (8000-8004)"},
    {"host_ports without port", S "    host_ports: 8000\n", "has host_ports but no port"},
    {"overlapping host_ports",
     S "    port: 80\n    host_ports: 8000-8009\n  b:\n    image: x\n    port: 80\n    host_ports: "
       "8009-8010\n",
     "t:6:3: host_ports 8009-8010 of service 'b' overlap 8000-8009 of service 'web' (line 2)"},
    {"overlap on unlike addresses is none",
     S "    port: 80\n    host_ports: 8000\n  b:\n    image: x\n    port: 80\n    host_ports: "
       "8000\n    publish: 127.0.0.2\n",
     NULL},
    {"overlap with a wildcard",
     S "    port: 80\n    host_ports: 8000\n  b:\n    image: x\n    port: 80\n    host_ports: "
       "8000\n    publish: 0.0.0.0\n",
     "overlap"},
    {"host_ports on the listener's port", S "    port: 80\n    host_ports: 80\n",
     "contain port 80 that lbd listens on"},
    {"health of two kinds", S "    port: 80\n    health: { path: /x, tcp: true }\n",
     "health has both"},
    {"health with a host", S "    port: 80\n    health: { path: /x, host: \"a.example:8080\" }\n",
     NULL},
    {"health with a host of IPv6", S "    port: 80\n    health: { path: /x, host: \"[::1]\" }\n",
     NULL},
    {"health host of tcp", S "    port: 80\n    health: { tcp: true, host: a }\n",
     "'host' goes with 'path'"},
    {"health host that is none", S "    port: 80\n    health: { path: /x, host: \"a b\" }\n",
     "must be a host name or address"},
    {"health of no kind", S "    port: 80\n    health: { fall: 1 }\n",
     "health needs 'path: /PATH' or 'tcp: true'"},
    {"health without port", S "    health: { tcp: true }\n", "has a health check but no port"},
    {"health path", S "    port: 80\n    health: { path: x }\n",
     "must be a path that begins with '/'"},
    {"limits",
     S "    limits: { per_instance: 50, in_flight: 100, queue: 10, queue_timeout: 0s, hold: 0,\n"
       "      hold_timeout: 1m, rate: 10, burst: 20 }\n",
     NULL},
    {"limits as a number", S "    limits: 5\n", "here must be keys with values"},
    {"unknown key in limits", S "    limits: { in_fligth: 5 }\n", "did you mean 'in_flight'?"},
    {"burst without rate", S "    limits: { burst: 5 }\n",
     "t:4:13: limits: 'burst' without 'rate'"},
    {"queue for nothing", S "    limits: { queue: 5 }\n", "without a limit to wait for"},
    {"queue without time", S "    limits: { queue_timeout: 5 }\n", "write it with a unit"},
    {"rate out of range", S "    limits: { rate: 1000001 }\n", "out of range"},
    {"static and limits", F "    limits: { rate: 5 }\n", "and 'limits'; remove one"},
    {"connections", "max_connections: 100\nclient_connections: 10\n" S, NULL},
    {"connections: a word", "client_connections: few\n" S, "is not a whole number"},
    {"scale max below min", S "    scale: { min: 3, max: 2 }\n", "max 2 is below min 3"},
    {"balance as a word", S "    balance: least_in_flight\n", NULL},
    {"balance as a section", S "    balance: { policy: two_choices, slow_start: 10s }\n", NULL},
    {"balance: no policy", S "    balance: fastest\n",
     "t:4:14: 'balance' is 'fastest'; use one of: round_robin, least_in_flight, two_choices, "
     "peak_ewma, hash"},
    {"balance: a list", S "    balance: [hash]\n", "t:4:14: here must be keys with values"},
    {"balance: unknown key", S "    balance: { polcy: hash }\n", "did you mean 'policy'?"},
    {"balance: slow start too long", S "    balance: { slow_start: 2h }\n", "is too large"},
    {"hash", S "    balance: { policy: hash, hash_key: cookie sid, load_bound: 1.25 }\n", NULL},
    {"hash by address", S "    balance: { policy: hash, hash_key: address }\n", NULL},
    {"hash by nothing", S "    balance: { policy: hash, hash_key: header }\n",
     "t:4:40: 'hash_key' is 'header'; write address, header NAME or cookie NAME"},
    {"hash by no name", S "    balance: { policy: hash, hash_key: header a:b }\n",
     "write address, header NAME or cookie NAME"},
    {"hash by something else", S "    balance: { policy: hash, hash_key: path }\n",
     "write address, header NAME or cookie NAME"},
    {"hash key, twice", S "    balance: { policy: hash, hash_key: [a] }\n",
     "must be a single value"},
    {"load bound below one", S "    balance: { policy: hash, load_bound: 0.9 }\n", "is too small"},
    {"hash key without hash", S "    balance: { hash_key: cookie sid }\n",
     "are for 'policy: hash'"},
    {"sticky",
     S "    balance: { sticky: lb, sticky_path: /shop, sticky_same_site: none, sticky_secure: true "
       "}\n",
     NULL},
    {"sticky: no name", S "    balance: { sticky: 'a b' }\n", "write a cookie's name"},
    {"sticky: path", S "    balance: { sticky: a, sticky_path: '/a;b' }\n",
     "'sticky_path' must be a path"},
    {"sticky: same site", S "    balance: { sticky: a, sticky_same_site: no }\n",
     "use one of: lax, strict, none"},
    {"sticky: none without secure", S "    balance: { sticky: a, sticky_same_site: none }\n",
     "browsers drop a cookie"},
    {"static and balance", F "    balance: hash\n", "lbd serves itself) and 'balance'"},
    {"scale zero", S "    scale: 0\n", "out of range"},
    {"per zero", S "    scale: { max: 2, per: 0 }\n", "out of range"},
};

static void test_rows(void **state UNUSED)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t n = strlen(rows[i].text);
        struct conf *c = NULL;
        struct conf_errors errs;
        bool ok = conf_parse("t", rows[i].text, n, &c, &errs);

        if (ok != (rows[i].error == NULL))
            fail_msg("row '%s': want %s, got %s", rows[i].name,
                     rows[i].error == NULL ? "no error" : rows[i].error,
                     errs.n > 0 ? errs.v[0].msg : "no error");
        if (!ok) {
            assert_null(c);
            ROW_HAS_STR(rows[i].name, errs.v[0].msg, rows[i].error);
        }
        conf_free(c);
    }
}

static void test_the_assignment(void **state UNUSED)
{
    struct conf_errors errs;
    const struct conf_service *acts, *pg, *users, *app;
    struct conf *c = NULL;

    if (!conf_load(LBCTL_SOURCE_DIR "/deploy/lbctl.yaml", &c, &errs))
        fail_msg("%s", errs.v[0].msg);
    assert_int_equal(c->listen_n, 1);
    assert_int_equal(c->listen[0].port, 80);
    assert_string_equal(c->listen[0].host, "0.0.0.0");
    assert_string_equal(c->network, "lbctl");
    assert_string_equal(c->docker, "unix:///var/run/docker.sock");
    acts = conf_service_find(c, "acts");
    pg = conf_service_find(c, "postgres");
    assert_non_null(acts);
    assert_non_null(pg);
    assert_null(conf_service_find(c, "act"));
    assert_string_equal(acts->routes.v[0].path, "/api/v1");
    assert_int_equal(acts->port, 80);
    assert_int_equal(acts->host_port_first, 8000);
    assert_int_equal(acts->host_port_last, 8009);
    assert_string_equal(acts->publish, "127.0.0.1");
    assert_string_equal(acts->depends_on.v[0], "postgres");
    assert_int_equal(acts->health.kind, CONF_HEALTH_HTTP);
    assert_string_equal(acts->health.path, "/api/v1/_health");
    assert_int_equal(acts->health.interval_ms, 1000);
    assert_int_equal(acts->health.fall, 1);
    assert_int_equal(acts->scale.min, 1);
    assert_int_equal(acts->scale.max, 10);
    assert_int_equal(acts->scale.every_ms, 120000);
    assert_int_equal(acts->scale.per, 20);
    assert_int_equal(acts->scale.ignore.n, 2);
    assert_int_equal(acts->mem_limit, 256 << 20);
    assert_int_equal(pg->health.kind, CONF_HEALTH_TCP);
    assert_int_equal(pg->scale.max, 1);
    assert_int_equal(pg->scale.every_ms, 0);
    assert_int_equal(pg->stop_grace_ms, 30000);
    assert_string_equal(pg->stop_signal, "SIGINT");
    users = conf_service_find(c, "users");
    app = conf_service_find(c, "app");
    assert_non_null(users);
    assert_non_null(app);
    assert_int_equal(c->services_n, 4);
    assert_int_equal(users->routes.n, 1);
    assert_string_equal(users->routes.v[0].path, "/api/v1/users");
    assert_string_equal(users->image, "users:latest");
    assert_int_equal(users->port, 80);
    assert_int_equal(users->host_port_first, 8080);
    assert_int_equal(users->host_port_last, 8080);
    assert_string_equal(users->publish, "127.0.0.1");
    assert_string_equal(users->depends_on.v[0], "postgres");
    assert_string_equal(users->health.path, "/");
    assert_int_equal(users->scale.min, 1);
    assert_int_equal(users->scale.max, 1);
    assert_int_equal(users->scale.every_ms, 0); /* its requests scale nothing */
    assert_string_equal(app->static_dir, "/usr/share/lbctl/acts-app");
    assert_string_equal(app->routes.v[0].path, "/app");
    assert_null(app->image);
    conf_free(c);
}

static void test_all_errors_of_a_file_are_found_at_once(void **state UNUSED)
{
    static const char text[] =
        "lisen: 80\nservices:\n  a:\n    port: x\n    rout: /a\n  b:\n    image: y\n    drain: 5\n";
    struct conf *c = NULL;
    struct conf_errors errs;

    assert_false(conf_parse("t", text, strlen(text), &c, &errs));
    assert_int_equal(errs.n, 5); /* lisen, port, rout, no image, drain */
    assert_non_null(strstr(errs.v[0].msg, "t:1:1:"));
    assert_non_null(strstr(errs.v[4].msg, "t:8:12:"));
}

/* Thousands of errors, ten megabytes, a hundred thousand brackets: an error each, soon. */
static void test_hostile_files(void **state UNUSED)
{
    char path[] = "/tmp/lbctl-conf-XXXXXX";
    int fd = mkstemp(path);
    size_t n = 10 << 20;
    char *big = mem_zalloc(n + 1);
    struct conf_errors errs;
    struct conf *c = NULL;

    memset(big, 'x', n);
    assert_int_equal(write(fd, big, n), n);
    assert_false(conf_load(path, &c, &errs));
    assert_non_null(strstr(errs.v[0].msg, "larger than 1048576 bytes"));
    memset(big, '[', 100000);
    assert_false(conf_parse("t", big, 100000, &c, &errs));
    assert_int_equal(errs.n, 1);
    for (size_t i = 0; i < 100000; i++)
        big[i] = (char)(i * 2654435761u >> 13);
    assert_false(conf_parse("t", big, 100000, &c, &errs));
    assert_int_equal(errs.n, 1);
    strcpy(big, "services:\n");
    for (int i = 0; i < 200; i++)
        sprintf(big + strlen(big), "  s%d:\n    bad: 1\n", i);
    assert_false(conf_parse("t", big, strlen(big), &c, &errs));
    assert_int_equal(errs.n, CONF_ERRORS_MAX);
    close(fd);
    unlink(path);
    mem_free(big);
}

static struct conf *parsed(const char *text)
{
    struct conf_errors errs;
    struct conf *c = NULL;

    if (!conf_parse("f", text, strlen(text), &c, &errs))
        fail_msg("%s: %s", text, errs.v[0].msg);
    return c;
}

static void test_diff(void **state UNUSED)
{
    static const char *const base =
        "listen: 80\nservices:\n  a:\n    image: x\n    environment: {A: \"1\", B: \"2\"}\n"
        "    volumes: [v:/a:ro]\n    drain: 5s\n";
    static const struct {
        const char *name, *text, *want;
    } diffs[] = {
        {"the same in another dress",
         "{listen: '80', x-mine: 1, services: {a: {drain: \"5s\", volumes: [v:/a:ro], "
         "environment: {A: \"1\", B: \"2\"}, image: x}}}",
         "a=unchanged"},
        {"in place",
         "listen: 80\nservices:\n  a:\n    image: x\n    environment: {A: \"1\", B: "
         "\"2\"}\n    volumes: [v:/a:ro]\n    drain: 6s\n    ready_hold: 2s\n",
         "a=updated drain ready_hold"},
        {"made of something else, a key less",
         "listen: 80\nservices:\n  a:\n    image: x\n    environment: {A: \"1\", B: \"3\"}\n"
         "    drain: 5s\n",
         "a=recreated environment volumes"},
        {"another service, another port", "listen: 81\nproject: p\nservices:\n  b:\n    image: x\n",
         "b=added a=removed top listen project"},
    };
    struct conf *was = parsed(base);

    for (size_t i = 0; i < ARRAY_LEN(diffs); i++) {
        struct conf *is = parsed(diffs[i].text);
        struct conf_diff d;
        struct buf got;

        conf_diff(was, is, &d);
        buf_init(&got, 1000);
        for (size_t k = 0; k < d.n; k++) {
            (void)buf_printf(&got, " %s=%s", d.rows[k].name, conf_change_name(d.rows[k].change));
            for (size_t m = 0; m < d.rows[k].keys.n; m++)
                (void)buf_printf(&got, " %s", d.rows[k].keys.v[m]);
        }
        for (size_t k = 0; k < d.top.n; k++)
            (void)buf_printf(&got, "%s %s", k == 0 ? " top" : "", d.top.v[k]);
        if (strcmp(got.data + 1, diffs[i].want) != 0)
            fail_msg("%s: want \"%s\", got \"%s\"", diffs[i].name, diffs[i].want, got.data + 1);
        assert_int_equal(conf_diff_is_empty(&d), i == 0);
        buf_fini(&got);
        conf_diff_fini(&d);
        conf_free(is);
    }
    conf_free(was);
}

#define ROUTE "    route: /a\n    port: 1\n    connect: direct\n    health: { tcp: true }\n"

static void expect_env(const struct conf_service *s, size_t i, const char *name, const char *value)
{
    assert_true(i < s->environment.n);
    assert_string_equal(s->environment.v[i].key, name);
    assert_string_equal(s->environment.v[i].value, value);
}

/* Files are read in their order; what stands in the configuration itself wins. */
static void test_env_files(void **state UNUSED)
{
    static const char one[] = "# a comment\n\nA=from one\nB = spaced \r\nC=\"quoted = #\"\nD=\n";
    static const char two[] = "B=from two\nE='x'";
    char dir[] = "/tmp/lbctl-conf-XXXXXX", path[64], text[300];
    struct conf_errors errs;
    struct conf *c = NULL;
    struct err e;

    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/one", dir);
    assert_true(file_write_atomic(path, one, strlen(one), 0600, &e));
    (void)snprintf(path, sizeof path, "%s/two", dir);
    assert_true(file_write_atomic(path, two, strlen(two), 0600, &e));
    (void)snprintf(path, sizeof path, "%s/lbctl.yaml", dir);
    (void)snprintf(text, sizeof text,
                   S "    environment: { A: mine }\n    env_file: [one, %s/two]\n", dir);
    if (!conf_parse(path, text, strlen(text), &c, &errs))
        fail_msg("%s", errs.v[0].msg);
    assert_int_equal(c->services[0].environment.n, 5);
    expect_env(&c->services[0], 0, "A", "mine");
    expect_env(&c->services[0], 1, "B", "from two");
    expect_env(&c->services[0], 2, "C", "quoted = #");
    expect_env(&c->services[0], 3, "D", "");
    expect_env(&c->services[0], 4, "E", "x");
    conf_free(c);
    (void)snprintf(path, sizeof path, "%s/two", dir);
    assert_true(file_write_atomic(path, "A=1\nnonsense\n", 13, 0600, &e));
    (void)snprintf(path, sizeof path, "%s/lbctl.yaml", dir);
    assert_false(conf_parse(path, text, strlen(text), &c, &errs));
    assert_non_null(strstr(errs.v[0].msg, "/two:2 is no NAME=VALUE line"));
    (void)snprintf(path, sizeof path, "%s/one", dir);
    assert_int_equal(unlink(path), 0);
    (void)snprintf(path, sizeof path, "%s/two", dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void test_backends(void **state UNUSED)
{
    struct conf *c = parsed("services:\n  a:\n    route: /a\n    health: { tcp: true }\n"
                            "    backends: [10.0.0.5:80, '[2001:db8::1]:8080 weight 3']\n");
    const struct conf_backends *b = &c->services[0].backends;

    assert_int_equal(b->n, 2);
    assert_string_equal(b->v[0].at.host, "10.0.0.5");
    assert_int_equal(b->v[0].weight, 1);
    assert_string_equal(b->v[1].at.host, "2001:db8::1");
    assert_int_equal(b->v[1].at.port, 8080);
    assert_int_equal(b->v[1].weight, 3);
    conf_free(c);
}

static void test_surge(void **state UNUSED)
{
    static const struct {
        const char *keys;
        bool want;
    } all[] = {
        {"", false}, /* no route */
        {ROUTE, true},
        {ROUTE "    volumes: "
               "[v:/a]\n",
         false},
        {ROUTE "    volumes: "
               "[v:/a:ro]\n",
         true},
        {ROUTE "    volumes: [v:/a]\n    rollout: "
               "start-first\n",
         true},
        {ROUTE "    rollout: "
               "stop-first\n",
         false},
    };

    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        char text[300];
        struct conf *c;

        (void)snprintf(text, sizeof text, S "%s", all[i].keys);
        c = parsed(text);
        if (conf_service_may_surge(&c->services[0]) != all[i].want)
            fail_msg("%s", all[i].keys);
        conf_free(c);
    }
}

static void test_no_such_file(void **state UNUSED)
{
    struct conf *c = NULL;
    struct conf_errors errs;

    assert_false(conf_load("/nonexistent/lbctl.yaml", &c, &errs));
    assert_non_null(strstr(errs.v[0].msg, "'/nonexistent/lbctl.yaml': No such file"));
    assert_false(conf_load("/tmp", &c, &errs));
    assert_non_null(strstr(errs.v[0].msg, "not a regular file"));
}

/* The hash tells apart what an instance is made of, and nothing else. */
static void test_hash(void **state UNUSED)
{
    static const struct {
        const char *name, *text;
        bool same;
    } changes[] = {
        {"the same", S, true},
        {"scale is not part of it", S "    scale: 2\n", true},
        {"drain is not part of it", S "    drain: 1s\n", true},
        {"image", "services:\n  web:\n    image: web:2\n", false},
        {"environment", S "    environment: { A: b }\n", false},
        {"environment, divided elsewhere", S "    environment: { Ab: '' }\n", false},
        {"command", S "    command: [a]\n", false},
        {"memory", S "    mem_limit: 64m\n", false},
        {"a secret", S "    secrets: { key: /etc/key }\n", false},
        {"a capability more", S "    cap_add: [CHOWN]\n", false},
        {"a capability less", S "    cap_drop: [CHOWN]\n", false},
        {"a network", S "    networks: [CHOWN]\n", false},
        {"output", S "    log_max_files: 4\n", false},
        {"output as it is by default", S "    log_max_files: 3\n", true},
    };
    char want[17], got[17], seen[ARRAY_LEN(changes)][17];

    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        struct conf *c = NULL;
        struct conf_errors errs;

        assert_true(conf_parse("t", changes[i].text, strlen(changes[i].text), &c, &errs));
        conf_service_hash(&c->services[0], got);
        if (i == 0)
            strcpy(want, got);
        ROW_EQ_U64(changes[i].name, strcmp(got, want) == 0, changes[i].same);
        strcpy(seen[i], got);
        for (size_t k = 0; k < i && !changes[i].same; k++)
            ROW_EQ_U64(changes[i].name, strcmp(seen[k], got) != 0, 1);
        conf_free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_the_assignment),
        cmocka_unit_test(test_all_errors_of_a_file_are_found_at_once),
        cmocka_unit_test(test_hostile_files),
        cmocka_unit_test(test_diff),
        cmocka_unit_test(test_env_files),
        cmocka_unit_test(test_backends),
        cmocka_unit_test(test_surge),
        cmocka_unit_test(test_no_such_file),
        cmocka_unit_test(test_hash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
