# shellcheck shell=bash
# lbd and ctld: users, directories, start, stop. Needs ui.sh, engine.sh.
#
# With systemd they are the units of deploy/systemd; elsewhere supervise.sh keeps each of them running. Both ways give
# them the same users, privileges and directories.

LBCTL_ETC=/etc/lbctl
LBCTL_CONFIG=$LBCTL_ETC/lbctl.yaml
LBCTL_RUN=/run/lbctl
LBCTL_STATE=/var/lib/lbctl
LBCTL_LOGS=/var/log/lbctl
# shellcheck disable=SC2034 # for the scripts that source this file
DAEMONS=(ctld lbd)

daemon_unit()
{
    case $1 in
    lbd) echo lbctl-lb.service ;;
    ctld) echo lbctl-ctl.service ;;
    esac
}

# The account that lbd runs under: no password, no shell, no home.
user_ensure()
{
    getent group lbctl >/dev/null || groupadd --system lbctl
    getent passwd lbctl >/dev/null ||
        useradd --system --gid lbctl --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin \
            --comment 'lbctl balancer' lbctl
}

# As in tmpfiles.d: both programs put their sockets into one directory, and the sticky bit keeps lbd's account from
# removing or replacing what is ctld's.
directories_ensure()
{
    install -d -m 0755 "$LBCTL_ETC" "$LBCTL_LOGS" "$LBCTL_STATE" "$LBCTL_STATE/deploy" "$DEPLOY_RUN"
    install -d -m 0700 "$LBCTL_ETC/secrets"
    install -d -m 1775 -o root -g lbctl "$LBCTL_RUN"
    install -d -m 0750 -o lbctl -g lbctl "$LBCTL_STATE/lb"
}

# daemon_command NAME: sets the array daemon_argv.
daemon_command()
{
    local program
    program=$(daemon_program "$1")
    case $1 in
    lbd)
        # shellcheck disable=SC2054 # the commas are setpriv's
        # What AmbientCapabilities=CAP_NET_BIND_SERVICE does in the unit.
        daemon_argv=(setpriv --reuid=lbctl --regid=lbctl --init-groups --no-new-privs
            --bounding-set=-all,+net_bind_service --inh-caps=-all,+net_bind_service
            --ambient-caps=-all,+net_bind_service --
            "$program" --config "$LBCTL_CONFIG" --run-dir "$LBCTL_RUN" --state-dir "$LBCTL_STATE/lb")
        ;;
    ctld)
        daemon_argv=("$program" --config "$LBCTL_CONFIG" --run-dir "$LBCTL_RUN" --state-dir "$LBCTL_STATE")
        ;;
    esac
}

daemon_program()
{
    echo "/usr/sbin/$1"
}

# Process id of a running daemon.
daemon_pid()
{
    local pid
    if on_systemd; then
        pid=$(systemctl show -p MainPID --value "$(daemon_unit "$1")" 2>/dev/null)
        [[ -n $pid && $pid != 0 ]] && echo "$pid"
    else
        proc_recorded "$DEPLOY_RUN/$1.pid"
    fi
}

# The last lines of a daemon's log, for messages: prints a file name.
daemon_log()
{
    if on_systemd; then
        journalctl -q -n 50 -o cat -u "$(daemon_unit "$1")" >"$LBCTL_LOGS/$1.tail" 2>/dev/null || true
        echo "$LBCTL_LOGS/$1.tail"
    else
        echo "$LBCTL_LOGS/$1.log"
    fi
}

# What a daemon depends on, as one hash: it is restarted when this changes, and only then. lbd takes its services from
# ctld: of the configuration only the part before them is its own.
daemon_hash()
{
    local config
    config=$(<"$LBCTL_CONFIG")
    if [[ $1 == lbd ]]; then
        config=$(awk '/^services:/ { skip = 1; next } /^[^ \t#]/ { skip = 0 } !skip && !/^[ \t]*(#|$)/' "$LBCTL_CONFIG")
    fi
    {
        sha256sum <"$(daemon_program "$1")"
        printf '%s\n' "$config"
        if on_systemd; then
            systemctl cat "$(daemon_unit "$1")" 2>/dev/null || true
        else
            daemon_command "$1"
            printf '%s\n' "${daemon_argv[@]}"
            cat -- "$(supervisor)"
        fi
    } | sha256sum | cut -c 1-32
}

# Installed beside the product: a checkout may go away while the daemons run.
supervisor()
{
    echo /usr/lib/lbctl/supervise.sh
}

# daemon_ensure NAME: sets daemon_what to "started", "restarted (why)" or "runs".
daemon_what=''
daemon_ensure()
{
    local name=$1 hash old
    hash=$(daemon_hash "$name")
    old=$(cat "$LBCTL_STATE/deploy/$name.hash" 2>/dev/null || true)
    if daemon_pid "$name" >/dev/null; then
        if [[ $hash == "$old" ]]; then
            daemon_what=runs
            return 0
        fi
        daemon_stop "$name"
        daemon_what=restarted
    else
        # shellcheck disable=SC2034 # for the caller
        daemon_what=started
    fi
    daemon_start "$name"
    echo "$hash" >"$LBCTL_STATE/deploy/$name.hash"
}

daemon_start()
{
    local name=$1 unit
    if on_systemd; then
        unit=$(daemon_unit "$name")
        systemctl enable "$unit" >>"$UI_LOG" 2>&1 || ui_warn "could not enable $unit: it will not start at boot"
        systemctl reset-failed "$unit" >>"$UI_LOG" 2>&1 || true
        systemctl start "$unit" >>"$UI_LOG" 2>&1 ||
            ui_die "$name does not start ($unit)" "see below, and: journalctl -u $unit" "$(daemon_log "$name")"
    else
        daemon_start_supervised "$name"
    fi
}

daemon_start_supervised()
{
    local name=$1 deadline
    daemon_stop "$name" # a supervisor that was killed leaves its daemon behind
    daemon_command "$name"
    touch "$LBCTL_LOGS/$name.log"
    # Descriptor 9 is the lock of deploy/up, which must not live on in the daemons.
    (
        cd /
        exec setsid "$(supervisor)" "$name" "$DEPLOY_RUN" "$LBCTL_LOGS/$name.log" "${daemon_argv[@]}"
    ) >/dev/null 2>&1 </dev/null 9>&- &
    deadline=$(($(ui_now_ms) + 3000))
    until daemon_pid "$name" >/dev/null; do
        (($(ui_now_ms) < deadline)) ||
            ui_die "$name does not start" "see the end of its log" "$(daemon_log "$name")"
        sleep 0.02
    done
}

daemon_stop()
{
    if on_systemd; then
        systemctl stop "$(daemon_unit "$1")" >>"$UI_LOG" 2>&1 || true
    fi
    # Also with systemd: it may have been started when systemd was not there.
    proc_end "$DEPLOY_RUN/$1.supervisor.pid" 45
    proc_end "$DEPLOY_RUN/$1.pid" 10
    rm -f -- "$LBCTL_STATE/deploy/$1.hash"
}
