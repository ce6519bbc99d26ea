#!/bin/bash
# The PostgreSQL image on the real engine: killed while it makes its cluster, killed while it runs, two on one volume,
# another password, a directory that is not its own.
# shellcheck source-path=SCRIPTDIR/../../deploy/lib source-path=SCRIPTDIR/../lib
set -euo pipefail
export LBCTL_DOCKER_SOCKET=${LBCTL_TEST_DOCKER:-/var/run/docker.sock}
# shellcheck source=all.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../../deploy/lib/all.sh"
# shellcheck source=check.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../lib/check.sh"

engine_answers || check_skip "no engine answers on $ENGINE_SOCKET"
[[ -n $(image_id "$POSTGRES_IMAGE") ]] || check_skip "image $POSTGRES_IMAGE is missing; deploy/up makes it"

project=lbctl-pgtest-$$
volume=$project-data
secret=$check_dir/password

post()
{
    engine_get "$1" -X POST -H 'Content-Type: application/json' ${2:+-d "$2"}
}

# create NAME [PGDATA]: prints the id.
create()
{
    post "/containers/create?name=$project-$1" "$(jq -cn --arg image "$POSTGRES_IMAGE" --arg project "$project" \
        --arg volume "$volume:/var/lib/postgresql/data" --arg secret "$secret:/run/secrets/password:ro" \
        --arg pgdata "${2:-/var/lib/postgresql/data}" \
        '{Image: $image, Labels: {"lbctl.test": $project},
          Env: ["POSTGRES_USER=app", "POSTGRES_DB=things", "POSTGRES_PASSWORD_FILE=/run/secrets/password",
                "PGDATA=\($pgdata)"],
          HostConfig: {Binds: [$volume, $secret], NetworkMode: $project}}')" | jq -r .Id
}

# shellcheck disable=SC2317 # called by the trap
remove_all()
{
    local id
    for id in $(engine_containers "lbctl.test=$project"); do
        engine_remove_container "$id" || true
    done
    engine_get "/networks/$project" -X DELETE >/dev/null 2>&1 || true
    engine_get "/volumes/$volume" -X DELETE >/dev/null 2>&1 || true
    rm -rf -- "$check_dir"
}
trap remove_all EXIT
post /networks/create "{\"Name\": \"$project\"}" >/dev/null

logs()
{
    engine_get "/containers/$1/logs?stdout=1&stderr=1" --output - | tr -cd '[:print:]\n'
}

says()
{
    logs "$1" | grep -qF -- "$2"
}

# sql ID PASSWORD STATEMENT: over the network, as a client does.
sql()
{
    local address
    address=$(engine_get "/containers/$1/json" | jq -r '.NetworkSettings.Networks[].IPAddress')
    PGCONNECT_TIMEOUT=2 PGPASSWORD=$2 psql -h "$address" -U app -d things -Atqc "$3" 2>/dev/null
}

answers()
{
    [[ $(sql "$1" "$2" 'SELECT 1') == 1 ]]
}

first="it's a \"pass\\word\""
printf '%s' "$first" >"$secret"
chmod 0440 "$secret"

for wait in 0.2 0.4 0.6 0.8; do
    id=$(create init)
    post "/containers/$id/start" >/dev/null
    sleep "$wait"
    engine_remove_container "$id"
done
a=$(create a)
post "/containers/$a/start" >/dev/null
check_until 'first start, after four that were killed in the middle' 30 answers "$a" "$first"
check 'a wrong password is refused' '' "$(sql "$a" wrong 'SELECT 1' || true)"
sql "$a" "$first" 'CREATE TABLE t(x int); INSERT INTO t VALUES (42)'

post "/containers/$a/kill" >/dev/null
post "/containers/$a/start" >/dev/null
check_until 'it recovers from SIGKILL' 30 answers "$a" "$first"
check 'and has its data' 42 "$(sql "$a" "$first" 'SELECT x FROM t')"

b=$(create b)
post "/containers/$b/start" >/dev/null
check_until 'a second one on the same volume waits' 10 says "$b" 'another container still uses this volume'
post "/containers/$a/stop?t=20" >/dev/null
check 'SIGINT ends it in order' 0 "$(engine_get "/containers/$a/json" | jq .State.ExitCode)"
check_until 'then the second one serves' 30 answers "$b" "$first"
check 'and has the data' 42 "$(sql "$b" "$first" 'SELECT x FROM t')"

second='quite another'
printf '%s' "$second" >"$secret"
post "/containers/$b/restart?t=20" >/dev/null
check_until 'a changed password file is applied at the next start' 30 answers "$b" "$second"
check 'and the old password no longer works' '' "$(sql "$b" "$first" 'SELECT 1' || true)"

c=$(create c /etc)
post "/containers/$c/start" >/dev/null
check_until 'a directory with other files is refused' 10 says "$c" 'holds no cluster but is not empty'
check_end
