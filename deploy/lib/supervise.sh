#!/bin/bash
# Keep one daemon running where systemd does not: supervise.sh NAME RECORDS LOG COMMAND...
#
# Starts COMMAND again whenever it ends, 0.1 s later; a daemon that does not live for two seconds waits longer each time,
# up to 5 s. Its output goes to LOG, which is kept below 2 x LOG_MAX. In RECORDS: NAME.pid names the daemon,
# NAME.supervisor.pid this process (id and start time). SIGTERM ends both: the daemon first, with 40 s of grace.
set -uo pipefail

# shellcheck source=ui.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/ui.sh"

readonly name=$1 records=$2 log=$3
shift 3
readonly log_max=${LOG_MAX:-10485760} grace_s=40
readonly delay_first_ms=100 delay_max_ms=5000 long_life_ms=2000

child='' timer='' stopping=false

note()
{
    printf '%(%Y-%m-%dT%H:%M:%S%z)T supervise: %s\n' -1 "$1" >>"$log"
}

on_term()
{
    stopping=true
    [[ -z $child ]] || kill -TERM "$child" 2>/dev/null
    [[ -z $timer ]] || kill "$timer" 2>/dev/null # end the wait for the next look at the log
}

# Copied and emptied in place: the daemon appends, so it goes on at the new beginning. A line written between the two
# steps is lost; a daemon that must lose none logs to the journal.
rotate()
{
    local size
    size=$(stat -c %s -- "$log" 2>/dev/null) || return 0
    if ((size > log_max)); then
        cp -f -- "$log" "$log.1" && : >"$log"
    fi
}

# Wait for MS or for a signal.
pause()
{
    sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))" &
    timer=$!
    wait "$timer"
    kill "$timer" 2>/dev/null
    timer=''
}

# Until the child has ended; sets child_rc. Looks at the log now and then.
wait_child()
{
    local ended='' deadline=0
    timer=''
    while kill -0 "$child" 2>/dev/null; do
        if [[ -z $timer ]]; then
            sleep "$($stopping && echo 0.2 || echo 10)" &
            timer=$!
        fi
        wait -n -p ended "$child" "$timer" 2>/dev/null # not the shell's own "Killed"
        child_rc=$?
        ended=${ended:-} # unset by wait when a signal came
        [[ $ended != "$child" ]] || break
        if [[ $ended == "$timer" ]]; then
            timer=''
            rotate
        fi
        if $stopping; then
            ((deadline > 0)) || deadline=$(($(ui_now_ms) + grace_s * 1000))
            (($(ui_now_ms) < deadline)) || kill -KILL "$child" 2>/dev/null
        fi
    done
    if [[ $ended != "$child" ]]; then
        wait "$child" 2>/dev/null
        child_rc=$?
    fi
    [[ -z $timer ]] || kill "$timer" 2>/dev/null
    timer=''
}

main()
{
    local began lived delay=$delay_first_ms
    exec </dev/null >>"$log" 2>&1
    trap on_term TERM INT
    trap '' HUP
    ulimit -n 65536 2>/dev/null || true
    proc_record "$records/$name.supervisor.pid" $$
    until $stopping; do
        began=$(ui_now_ms)
        "$@" &
        child=$!
        proc_record "$records/$name.pid" "$child"
        ! $stopping || kill -TERM "$child" 2>/dev/null
        wait_child
        child=''
        lived=$(($(ui_now_ms) - began))
        if $stopping; then
            note "$name ended with code $child_rc, as asked"
            break
        fi
        ((lived < long_life_ms)) || delay=$delay_first_ms
        note "$name ended with code $child_rc after $(ui_seconds "$lived"); starting again in $delay ms"
        pause "$delay"
        ((lived >= long_life_ms)) || delay=$((delay * 2 < delay_max_ms ? delay * 2 : delay_max_ms))
    done
    rm -f -- "$records/$name.pid" "$records/$name.supervisor.pid"
}

main "$@"
