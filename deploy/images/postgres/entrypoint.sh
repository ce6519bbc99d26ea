#!/bin/bash
# First process of the PostgreSQL container: makes the cluster when there is none, then becomes PostgreSQL.
#
# Environment, named as in the official image:
#   POSTGRES_USER           superuser to create (postgres)
#   POSTGRES_DB             database to create (as the user)
#   POSTGRES_PASSWORD_FILE  file with the user's password; or POSTGRES_PASSWORD
#   POSTGRES_INITDB_ARGS    further arguments of initdb
#   PGDATA                  where the cluster is (/var/lib/postgresql/data)
# The password file rules: what it says is set at every start, so a changed file needs a restart and nothing else.
# User and database are created with the cluster and never afterwards.
#
# Safe to kill at any moment: a cluster counts as made when PG_VERSION is in its place, which is the last step; what is
# left of an unfinished one is known by a marker, and only then is anything removed.
set -euo pipefail
shopt -s nullglob dotglob

export PGDATA=${PGDATA:-/var/lib/postgresql/data}
readonly user=${POSTGRES_USER:-postgres}
readonly database=${POSTGRES_DB:-$user}
readonly marker=$PGDATA/.lbctl-init-unfinished
readonly lock=$PGDATA/.lbctl-lock
readonly draft=$PGDATA/.lbctl-init

say()
{
    echo "entrypoint: $*" >&2
}

die()
{
    say "$*"
    exit 1
}

find_server()
{
    local -a found=(/usr/lib/postgresql/*/bin/postgres)
    ((${#found[@]} == 1)) || die "${#found[@]} PostgreSQL servers in this image, want 1"
    bin=${found[0]%/postgres}
    major=${bin#/usr/lib/postgresql/}
    major=${major%/bin}
}

as_postgres()
{
    if ((EUID == 0)); then
        setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"
    else
        "$@"
    fi
}

read_password()
{
    local file=${POSTGRES_PASSWORD_FILE:-}
    password=${POSTGRES_PASSWORD:-}
    if [[ -n $file ]]; then
        [[ -r $file ]] || die "POSTGRES_PASSWORD_FILE: cannot read '$file'; mount the secret there"
        password=$(<"$file")
    fi
    unset POSTGRES_PASSWORD
    [[ $password != *$'\n'* ]] || die "the password has more than one line"
}

prepare_directories()
{
    mkdir -p "$PGDATA" /var/run/postgresql
    if ((EUID == 0)); then
        # A volume filled under another user id (or a fresh one, which is root's).
        find "$PGDATA" /var/run/postgresql \! -user postgres -exec chown -h postgres:postgres {} +
    fi
    chmod 700 "$PGDATA"
}

# PostgreSQL's own lock names a process id, and every container's server is process 1: it cannot see that a predecessor
# still runs on the same volume. A file lock can. The descriptor stays open in PostgreSQL and all its children.
take_lock()
{
    exec 8>>"$lock"
    if ! flock -n 8; then
        say "another container still uses this volume; waiting for it to end"
        flock -w 60 8 || die "another container still uses this volume after 60 s; stop it first"
    fi
}

cluster_exists()
{
    [[ -s $PGDATA/PG_VERSION ]]
}

# Everything in PGDATA that is neither ours nor part of every file system.
strangers()
{
    local f
    for f in "$PGDATA"/*; do
        case $f in
        "$lock" | "$marker" | */lost+found) ;;
        *) printf '%s\n' "$f" ;;
        esac
    done
}

refuse_strangers()
{
    local first
    if cluster_exists || [[ -e $marker ]]; then
        return 0
    fi
    first=$(strangers | sed -n 1p) # reads all: head would leave the writer to SIGPIPE, and end the script without a word
    [[ -z $first ]] || die "'$PGDATA' holds no cluster but is not empty (${first##*/}); mount an empty volume"
}

clear_unfinished()
{
    local f
    strangers | while IFS= read -r f; do
        rm -rf -- "$f"
    done
}

# One SQL command without a server, connected to nothing but the files.
run_single()
{
    as_postgres "$bin/postgres" --single -j -D "$1" -c log_min_messages=error postgres >/dev/null <<<"$2"$'\n'
}

# Through a pipe: the password is in no file and on no command line.
set_password()
{
    run_single "$1" "ALTER ROLE $(quote_name "$user") PASSWORD $(quote_literal "$password");"
}

quote_literal()
{
    printf "'%s'" "${1//\'/\'\'}"
}

quote_name()
{
    printf '"%s"' "${1//\"/\"\"}"
}

make_cluster()
{
    local f
    local -a more
    [[ -n $password ]] || die "no password: set POSTGRES_PASSWORD_FILE (or POSTGRES_PASSWORD)"
    read -r -a more <<<"${POSTGRES_INITDB_ARGS:-}"
    [[ ! -e $marker ]] || say "the last start was interrupted while it made the cluster; beginning anew"
    clear_unfinished
    : >"$marker"
    sync -f "$PGDATA"

    say "making a PostgreSQL $major cluster for user '$user', database '$database'"
    as_postgres "$bin/initdb" -D "$draft" --username="$user" --no-sync --no-instructions \
        --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 "${more[@]}" >/dev/null
    set_password "$draft"
    echo 'host all all all scram-sha-256' >>"$draft/pg_hba.conf"
    [[ $database == postgres ]] || run_single "$draft" "CREATE DATABASE $(quote_name "$database");"
    rm -f "$draft/postmaster.opts"

    for f in "$draft"/*; do
        [[ ${f##*/} == PG_VERSION ]] || mv -- "$f" "$PGDATA/"
    done
    sync -f "$PGDATA"
    mv -- "$draft/PG_VERSION" "$PGDATA/"
    rmdir -- "$draft"
    sync -f "$PGDATA"
}

check_cluster()
{
    local have
    have=$(<"$PGDATA/PG_VERSION")
    [[ $have == "$major" ]] || die "the volume holds a cluster of PostgreSQL $have, this image is $major;" \
        "dump it with an image of $have, then restore it into an empty volume"
    rm -rf -- "$marker" "$draft"
}

main()
{
    if (($# > 0)) && [[ $1 != postgres && $1 != -* ]]; then
        exec "$@"
    fi
    [[ ${1:-} != postgres ]] || shift

    # As process 1 a shell ignores signals it has no handler for.
    trap 'exit 130' INT
    trap 'exit 143' TERM
    find_server
    read_password
    refuse_strangers
    prepare_directories
    take_lock
    if cluster_exists; then
        check_cluster
        [[ -z $password ]] || set_password "$PGDATA"
    else
        make_cluster
        check_cluster
    fi
    unset password
    local -a drop=()
    ((EUID != 0)) || drop=(setpriv --reuid=postgres --regid=postgres --init-groups --)
    exec "${drop[@]}" "$bin/postgres" -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/var/run/postgresql \
        -c jit=off "$@"
}

main "$@"
