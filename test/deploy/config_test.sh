#!/bin/bash
# deploy/lib/config.sh: listen lines read and changed, the port's holder named.
# shellcheck source-path=SCRIPTDIR/../../deploy/lib source-path=SCRIPTDIR/../lib
set -euo pipefail
# shellcheck source=all.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../../deploy/lib/all.sh"
# shellcheck source=check.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../lib/check.sh"

file=$check_dir/c.yaml

# listen_row NAME TEXT PORT URL
listen_row()
{
    printf '%b' "$2" >"$file"
    check "port: $1" "$3" "$(config_port "$file")"
    check "url: $1" "$4" "$(config_url "$file")"
}

listen_row 'no listen line' 'services: {}\n' 80 http://localhost
listen_row 'empty file' '' 80 http://localhost
listen_row 'port only' 'listen: 8080\n' 8080 http://localhost:8080
listen_row 'any address' 'listen: 0.0.0.0:80\n' 80 http://localhost
listen_row 'one address' 'listen: 127.0.0.5:81  # why\n' 81 http://127.0.0.5:81
listen_row 'quoted' 'listen: "0.0.0.0:82"\n' 82 http://localhost:82
listen_row 'IPv6' 'listen: "[::]:83"\n' 83 http://localhost:83
listen_row 'IPv6 loopback' 'listen: "[::1]:83"\n' 83 'http://[::1]:83'
listen_row 'flow list' 'listen: [0.0.0.0:84, "[::]:85"]\n' 84 http://localhost:84
listen_row 'flow list of ports' 'listen: [86]\n' 86 http://localhost:86
listen_row 'block list' 'listen:\n  - 0.0.0.0:87\n  - 127.0.0.1:88\nworkers: 2\n' 87 http://localhost:87
listen_row 'comment before' '# listen: 1.2.3.4:5\nlisten: 0.0.0.0:89\n' 89 http://localhost:89

# port_row NAME BEFORE PORT AFTER
port_row()
{
    printf '%b' "$2" >"$file"
    config_set_port "$file" "$3"
    check "set port: $1" "$(printf '%b' "$4")" "$(cat "$file")"
}

port_row 'address kept' 'a: 1\nlisten: 0.0.0.0:80\nservices: {x: {port: 80}}\n' 8080 \
    'a: 1\nlisten: 0.0.0.0:8080\nservices: {x: {port: 80}}\n'
port_row 'comment kept' 'listen: 127.0.0.1:80 # mine\n' 81 'listen: 127.0.0.1:81 # mine\n'
port_row 'port only' 'listen: 80\n' 9000 'listen: 9000\n'
port_row 'quoted' 'listen: "[::]:80"\n' 81 'listen: "[::]:81"\n'

printf 'listen: [80, 81]\n' >"$file"
check 'set port: a list is refused' 'error: --port:' "$( (config_set_port "$file" 82 2>&1 || true) | grep -o 'error: --port:')"
check 'set port: a refused list is unchanged' 'listen: [80, 81]' "$(cat "$file")"

printf '  a:\n    host_ports: 9100-9105  # six\n  b:\n    host_ports: "7000"\n' >"$file"
check 'host ports' $'9100 9105\n7000 7000' "$(config_host_ports "$file")"
check 'the product configuration has the acts service' yes \
    "$(config_has_acts "$DEPLOY_DIR/lbctl.yaml" && echo yes || echo no)"
check 'the example has not' no "$(config_has_acts "$DEPLOY_DIR/examples/hello.yaml" && echo yes || echo no)"
check 'services' 'postgres acts users app' "$(config_services "$DEPLOY_DIR/lbctl.yaml" | paste -sd' ')"
check 'nothing is missing in the product configuration' '' "$(config_missing "$DEPLOY_DIR/lbctl.yaml")"
check 'nothing is missing in a configuration of its own' '' "$(config_missing "$DEPLOY_DIR/examples/hello.yaml")"
sed '/^  users:/,$d; /ACTS_USERS_URL/d' "$DEPLOY_DIR/lbctl.yaml" >"$file"
check 'what an older one lacks' 'service app,service users,variable ACTS_USERS_URL of acts' "$(config_missing "$file" | paste -sd,)"
check 'it is said, with the place of the new one' yes \
    "$(LBCTL_CONFIG=$file UI_LOG=/dev/null config_tell_missing 2>&1 | tr -d '\n' |
        grep -q "lacks: service app, service users, variable ACTS_USERS_URL of acts.*$DEPLOY_DIR/lbctl.yaml" && echo yes || echo no)"
printf 'services:  # ours\n  acts:\n    route: /api/v1\n    environment: { ACTS_USERS_URL: "", ACTS_DB_HOST: x }\n\n  # later: nothing\n  users: { image: u }\nlog: { level: info }\n' >"$file"
check 'services of a file with comments and flow style' 'acts users' "$(config_services "$file" | paste -sd' ')"
check 'variables in flow style are there' '' "$(config_missing "$file" | grep -E 'USERS_URL|DB_HOST' || true)"
check 'word with quotes' x "$(printf 'project: "x" # y\n' >"$file" && config_key "$file" project lbctl)"
check 'word by default' lbctl "$(printf 'a: b\n' >"$file" && config_key "$file" project lbctl)"

/usr/bin/python3 -c 'import socket, time
s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1], flush=True); time.sleep(60)' \
    >"$check_dir/port" &
holder=$!
check_until 'a listener' 10 test -s "$check_dir/port"
port_holder "$(cat "$check_dir/port")"
check 'the holder of a port is named' "python3 (pid $holder)" "$port_holder_text"
port=$(cat "$check_dir/port")
check 'it is a foreign listener' "$port python3 (pid $holder)" "$(foreign_listeners "$port" "$port")"
kill "$holder"
wait "$holder" 2>/dev/null || true
check 'a free port has no holder' no "$(port_holder "$(cat "$check_dir/port")" && echo yes || echo no)"
check_end
