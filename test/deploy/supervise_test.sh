#!/bin/bash
# deploy/lib/supervise.sh: a killed daemon is back at once, a broken one is not tried in a tight loop, SIGTERM ends all.
# shellcheck source-path=SCRIPTDIR/../../deploy/lib source-path=SCRIPTDIR/../lib
set -euo pipefail
# shellcheck source=all.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../../deploy/lib/all.sh"
# shellcheck source=check.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../lib/check.sh"

supervise()
{
    local name=$1
    shift
    setsid "$DEPLOY_LIB/supervise.sh" "$name" "$check_dir" "$check_dir/$name.log" "$@" </dev/null >/dev/null 2>&1 &
}

running()
{
    proc_recorded "$check_dir/$1.pid" >/dev/null
}

another_than()
{
    local now
    now=$(proc_recorded "$check_dir/$1.pid") && [[ $now != "$2" ]]
}

supervise steady sleep 1000
check_until 'the daemon starts' 5 running steady
for round in 1 2 3; do
    old=$(proc_recorded "$check_dir/steady.pid")
    began=$(ui_now_ms)
    kill -KILL "$old"
    check_until "killed ($round): another one runs" 5 another_than steady "$old"
    took=$(($(ui_now_ms) - began))
    # 0.1 s is meant for the first; short lives wait longer each time
    check "killed ($round): within 0.9 s, was $took ms" yes "$( ((took <= 900)) && echo yes || echo no)"
done
last=$(proc_recorded "$check_dir/steady.pid")
proc_end "$check_dir/steady.supervisor.pid" 20
check 'SIGTERM to the supervisor ends the daemon' gone "$(kill -0 "$last" 2>/dev/null && echo alive || echo gone)"
check 'no records are left' '' "$(find "$check_dir" -name 'steady*pid')"
check 'the log tells of each death' 3 "$(grep -c 'ended with code 137' "$check_dir/steady.log")"

supervise broken false
sleep 1.3
proc_end "$check_dir/broken.supervisor.pid" 20
# after 0, 0.1, 0.3, 0.7 s
tries=$(grep -c 'ended with code 1 ' "$check_dir/broken.log")
check "a broken program is tried a few times, was $tries" yes "$( ((tries >= 2 && tries <= 5)) && echo yes || echo no)"

# shellcheck disable=SC2016 # expanded by the inner shell
supervise stubborn bash -c 'trap "echo asked" TERM; while :; do read -r -t 1 <> <(:) || :; done'
check_until 'the stubborn one starts' 5 running stubborn
old=$(proc_recorded "$check_dir/stubborn.pid")
super=$(proc_recorded "$check_dir/stubborn.supervisor.pid")
kill -TERM "$super"
check_until 'a daemon is asked with SIGTERM first' 5 grep -q asked "$check_dir/stubborn.log"
kill -KILL "$old"
check_until 'and the supervisor ends with it' 5 test ! -e "$check_dir/stubborn.supervisor.pid"
check 'it was not started again' gone "$(running stubborn && echo alive || echo gone)"

printf '%s\n' "$$ 1" >"$check_dir/other.pid"
check 'a recycled process id is not taken for the daemon' no "$(running other && echo yes || echo no)"
proc_end "$check_dir/other.pid" 1
check_end
