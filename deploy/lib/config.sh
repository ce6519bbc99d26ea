# shellcheck shell=bash
# The configuration file and the secrets. Needs ui.sh, daemons.sh.

# The group that owns secrets: a number, because it is one inside the containers (rootfs.sh gives it to the acts image;
# PostgreSQL's entry point reads as root). Users of this machine that happen to have it get nowhere: the directory is
# root's alone, and a bind mount needs no way through it.
SECRET_GID=10001
POSTGRES_SECRET=$LBCTL_ETC/secrets/postgres-password

secret_ensure()
{
    if [[ ! -s $POSTGRES_SECRET ]]; then
        (umask 077 && od -An -v -tx1 -N 24 /dev/urandom | tr -d ' \n' >"$POSTGRES_SECRET.new")
        mv -f -- "$POSTGRES_SECRET.new" "$POSTGRES_SECRET"
    fi
    chown "0:$SECRET_GID" "$POSTGRES_SECRET"
    chmod 0440 "$POSTGRES_SECRET"
}

# config_key FILE KEY DEFAULT: a top-level word. (The full reader is in lbctl; this one only has to find two plain keys.)
config_key()
{
    local value
    value=$(sed -n "s/^$2:[ \t]*\([^# \t]*\).*/\1/p" "$1" 2>/dev/null | tr -d "\"'" | head -n 1)
    printf '%s\n' "${value:-$3}"
}

# config_listen FILE: the first listen address.
config_listen()
{
    local first
    first=$(awk '/^listen:/ { on = 1; sub(/^listen:/, "") } on && /^[^ \t#-]/ && !/^listen:/ && seen { exit }
                 on { sub(/#.*/, ""); print; seen = 1 }' "$1" 2>/dev/null |
        tr ",\"' \t" '\n' | sed -e 's/^-$//' -e 's/^\[\([^]]*\)$/\1/' -e '/^$/d' | head -n 1)
    printf '%s\n' "${first:-0.0.0.0:80}"
}

config_port()
{
    config_listen "$1" | sed -e 's/\]$//' -e 's/.*[^0-9]//'
}

# The address to reach it from this machine.
config_url()
{
    local listen host
    listen=$(config_listen "$1")
    host=${listen%:*}
    case $host in
    "$listen" | 0.0.0.0 | '[::]' | '*') host=localhost ;;
    esac
    listen=$(config_port "$1")
    if [[ $listen == 80 ]]; then
        echo "http://$host"
    else
        echo "http://$host:$listen"
    fi
}

# config_set_port FILE PORT: change the port of a plain listen line and nothing else.
config_set_port()
{
    if ! grep -Eq '^listen:[ \t]*"?([^ \t#"]*:)?[0-9]+"?[ \t]*(#.*)?$' "$1"; then
        ui_die "--port: '$1' has no plain 'listen: ADDRESS:PORT' line to change" "edit listen in $1 by hand"
    fi
    sed -E -i.before "s/^(listen:[ \t]*\"?([^ \t#\"]*:)?)[0-9]+/\1$2/" "$1"
}

# The operator's file, or the one that it will be made from.
config_file()
{
    if [[ -e $LBCTL_CONFIG ]]; then
        echo "$LBCTL_CONFIG"
    else
        config_template "${runtime:-docker}"
    fi
}

# config_ensure PORT: sets config_detail.
config_ensure()
{
    local port=$1
    if [[ ! -e $LBCTL_CONFIG ]]; then
        install -m 0644 "$(config_file)" "$LBCTL_CONFIG.new"
        config_set_port "$LBCTL_CONFIG.new" "$port"
        rm -f -- "$LBCTL_CONFIG.new.before"
        mv -f -- "$LBCTL_CONFIG.new" "$LBCTL_CONFIG"
        config_detail="written to $LBCTL_CONFIG"
    elif [[ $port != "$(config_port "$LBCTL_CONFIG")" ]]; then
        config_set_port "$LBCTL_CONFIG" "$port"
        config_detail="port changed to $port in $LBCTL_CONFIG"
    else
        # shellcheck disable=SC2034 # for the caller
        config_detail="$LBCTL_CONFIG kept"
    fi
}

# config_services FILE: the names of its services.
config_services()
{
    sed -nE '/^services:/,/^[^ #]/s/^  ([A-Za-z0-9_-]+):([ \t].*)?$/\1/p' "$1"
}

# config_missing FILE: what the product's configuration has and this one, of an older version, has not: service names,
# and variables of acts. Nothing for a configuration that is not the one of the assignment.
config_missing()
{
    local name
    config_has_acts "$1" || return 0
    comm -13 <(config_services "$1" | sort) <(config_services "$DEPLOY_DIR/lbctl.yaml" | sort) | sed 's/^/service /'
    sed -nE 's/^ +(ACTS_[A-Z_]+):.*/\1/p' "$DEPLOY_DIR/lbctl.yaml" | while read -r name; do
        grep -Eq "^[^#]*[ {,]$name:" "$1" || echo "variable $name of acts"
    done
}

# An older file is the operator's and stays; what it lacks is said, and where to find it.
config_tell_missing()
{
    local missing
    missing=$(config_missing "$LBCTL_CONFIG" | paste -sd, | sed 's/,/, /g')
    [[ -n $missing ]] || return 0
    ui_warn "$LBCTL_CONFIG is of an older version, and kept as it is; it lacks: $missing"
    ui_warn "to add them, copy these blocks from $DEPLOY_DIR/lbctl.yaml, and run deploy/up again"
}

config_check()
{
    lbctl check "$LBCTL_CONFIG" >>"$UI_LOG" 2>"$UI_LOG.check" ||
        ui_die "the configuration has errors" "correct $LBCTL_CONFIG; man 5 lbctl.yaml lists every key" "$UI_LOG.check"
    rm -f -- "$UI_LOG.check"
}

# config_host_ports FILE: "FIRST LAST" for each service that publishes ports.
config_host_ports()
{
    sed -nE 's/^ +host_ports:[ \t]*"?([0-9]+)(-([0-9]+))?"?[ \t]*(#.*)?$/\1 \3/p' "$1" | awk '{ print $1, $2 ? $2 : $1 }'
}

# foreign_listeners FIRST LAST: "PORT NAME (pid N)" for listeners in that range that the engine does not hold for a
# container of ours.
foreign_listeners()
{
    ss -Hltnp "sport >= :$1 and sport <= :$2" 2>/dev/null | grep -v '"docker-proxy"' |
        sed -nE 's/^.*[^0-9]([0-9]+) +[^ ]+ +users:\(\("([^"]*)",pid=([0-9]+).*/\1 \2 (pid \3)/p' | sort -u || true
}

# The engine that the configuration names, so that images are made where ctld will look for them.
engine_from_config()
{
    local address
    address=$(config_key "$LBCTL_CONFIG" docker "unix://$ENGINE_SOCKET")
    [[ $address == unix:///* ]] || ui_die "$LBCTL_CONFIG names an engine at $address; deploy/up works with a Unix socket only" \
        "make the images there by hand (deploy/images) and start lbd and ctld yourself"
    ENGINE_SOCKET=${address#unix://}
}

# The configuration is (still) the one of the assignment: the acts service below /api/v1.
config_has_acts()
{
    grep -Eq '^  acts:' "$1" && grep -Eq '^ +route:[ \t]*\[?/api/v1\]?[ \t]*(#.*)?$' "$1"
}

# port_holder PORT: who listens there, "nginx (pid 12)"; fails when nobody does.
port_holder()
{
    local line
    line=$(ss -Hltnp "sport = :$1" 2>/dev/null | head -n 1)
    [[ -n $line ]] || return 1
    if [[ $line =~ users:\(\(\"([^\"]*)\",pid=([0-9]+) ]]; then
        port_holder_pid=${BASH_REMATCH[2]}
        port_holder_text="${BASH_REMATCH[1]} (pid $port_holder_pid)"
    else
        # shellcheck disable=SC2034 # for the caller
        port_holder_pid='' port_holder_text="a process that ss(8) cannot name"
    fi
}
