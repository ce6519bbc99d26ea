# shellcheck shell=bash
# The container engine: found, or started and remembered as ours. Needs ui.sh, packages.sh.
#
# An engine that answers is used as it is and never stopped by us. Everything is asked through the REST API with curl, so
# that the version of a docker client (or its absence) makes no difference.

ENGINE_DEFAULT=/var/run/docker.sock
ENGINE_SOCKET=${LBCTL_DOCKER_SOCKET:-$ENGINE_DEFAULT}
DEPLOY_RUN=/run/lbctl-deploy # root's own: unlike /run/lbctl, nobody else may write here
ENGINE_RECORD=$DEPLOY_RUN/engine.pid
ENGINE_LOG=/var/log/lbctl/dockerd.log

engine_answers()
{
    [[ -S $ENGINE_SOCKET ]] &&
        [[ $(curl -s -m 3 --unix-socket "$ENGINE_SOCKET" http://engine/_ping 2>/dev/null) == OK ]]
}

# engine_get PATH [CURL OPTIONS...]: body on stdout; fails on any status >= 400.
engine_get()
{
    curl -sS -f -m 30 --unix-socket "$ENGINE_SOCKET" "${@:2}" "http://engine$1"
}

engine_version()
{
    engine_get /version 2>/dev/null | jq -r '"\(.Version), API \(.ApiVersion)"'
}

# Make sure that an engine answers; sets engine_detail.
engine_detail=''
engine_ensure()
{
    if engine_answers; then
        engine_detail="$(engine_version), was running"
        return 0
    fi
    [[ $ENGINE_SOCKET == "$ENGINE_DEFAULT" ]] ||
        ui_die "no engine answers on $ENGINE_SOCKET" "start it; only the one on $ENGINE_DEFAULT is started from here"
    have dockerd || packages_ensure docker.io iptables
    if on_systemd; then
        engine_start_unit
    else
        engine_start_background
    fi
    # shellcheck disable=SC2034 # for the caller
    engine_detail="$(engine_version), started"
}

engine_start_unit()
{
    mkdir -p "$DEPLOY_RUN"
    ui_run "systemd could not start docker.service" "look at: journalctl -u docker" systemctl start docker.service
    engine_wait /dev/null '' || ui_die "docker.service runs, but $ENGINE_SOCKET does not answer" \
        "look at: journalctl -u docker"
    echo unit >"$ENGINE_RECORD"
}

engine_start_background()
{
    local pid
    mkdir -p "$DEPLOY_RUN" "${ENGINE_LOG%/*}"
    if pid=$(engine_starting); then
        ui_note "dockerd (pid $pid) runs already; waiting for it to answer"
        engine_wait /dev/null "$pid" || ui_die "dockerd (pid $pid) does not answer on $ENGINE_SOCKET" \
            "end it and run this again, or name its socket in LBCTL_DOCKER_SOCKET"
        return 0
    fi
    have iptables || packages_ensure iptables
    # Its own session: it outlives this script and its terminal. Descriptor 9 is the lock of deploy/up.
    setsid dockerd -H "unix://$ENGINE_SOCKET" >"$ENGINE_LOG" 2>&1 </dev/null 9>&- &
    pid=$!
    proc_record "$ENGINE_RECORD" "$pid" || true
    if ! engine_wait "$ENGINE_LOG" "$pid"; then
        proc_end "$ENGINE_RECORD" 10
        ui_die "dockerd was started but does not answer on $ENGINE_SOCKET" "$(engine_remedy)" "$ENGINE_LOG"
    fi
}

# Prints the id of a dockerd that somebody else has just started. A pid file that names another program is left from a
# crash of the machine, and dockerd would refuse to start over it: it is removed.
engine_starting()
{
    local f=/var/run/docker.pid pid
    [[ -r $f ]] || return 1
    pid=$(<"$f")
    if [[ $pid =~ ^[0-9]+$ && $(cat "/proc/$pid/comm" 2>/dev/null) == dockerd ]]; then
        echo "$pid"
        return 0
    fi
    rm -f -- "$f"
    return 1
}

# engine_wait LOG PID: until it answers, at most 60 s; gives up at once when PID is gone.
engine_wait()
{
    local deadline=$(($(ui_now_ms) + 60000))
    until engine_answers; do
        [[ -z $2 ]] || kill -0 "$2" 2>/dev/null || return 1
        (($(ui_now_ms) < deadline)) || return 1
        ui_alive "$(tail -n 1 -- "$1" 2>/dev/null | sed 's/.*msg=//')"
        sleep 0.1
    done
}

engine_remedy()
{
    if grep -qi 'iptables' "$ENGINE_LOG" 2>/dev/null; then
        echo "the kernel lacks the iptables tables Docker needs: try 'update-alternatives --set iptables /usr/sbin/iptables-legacy'"
    elif grep -qi 'cgroup' "$ENGINE_LOG" 2>/dev/null; then
        echo "the control groups are not mounted: install cgroupfs-mount, or run this on a host instead of in a container"
    elif grep -qi 'permission denied\|operation not permitted' "$ENGINE_LOG" 2>/dev/null; then
        echo "this machine does not let root start an engine (an unprivileged container?): use a host or a privileged container"
    else
        echo "the log below says why; 'dockerd --debug' by hand says more"
    fi
}

# The engine that answers was started by us.
engine_is_ours()
{
    [[ -r $ENGINE_RECORD ]] || return 1
    [[ $(<"$ENGINE_RECORD") == unit ]] || proc_recorded "$ENGINE_RECORD" >/dev/null
}

engine_stop()
{
    if [[ $(cat "$ENGINE_RECORD" 2>/dev/null) == unit ]]; then
        systemctl stop docker.service docker.socket >>"$UI_LOG" 2>&1 || true
        rm -f -- "$ENGINE_RECORD"
    else
        proc_end "$ENGINE_RECORD" 30
    fi
}

# Ids of all containers, running or not, that carry a label.
engine_containers()
{
    engine_get /containers/json -G --data-urlencode all=1 \
        --data-urlencode "filters={\"label\":[\"$1\"]}" | jq -r '.[].Id'
}

engine_remove_container()
{
    engine_get "/containers/$1?force=1&v=1" -X DELETE >/dev/null
}
