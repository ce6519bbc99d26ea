# shellcheck shell=bash
# Debian packages: asked for only when missing. Needs ui.sh.

# To build, to run and to make images: what deploy/up needs on a fresh Debian 12.
# shellcheck disable=SC2034 # used by the scripts that source this file
PACKAGES_DEPLOY=(
    gcc libc6-dev cmake ninja-build pkg-config
    libevent-dev libcurl4-openssl-dev libjansson-dev libpq-dev libyaml-dev libmd-dev
    curl ca-certificates jq iproute2 procps util-linux mmdebstrap
)
# What test/run needs beside those.
# shellcheck disable=SC2034
PACKAGES_TEST=(libcmocka-dev python3 postgresql-15 wrk valgrind chromium fonts-dejavu-core libpcre2-8-0)
# Proxies that tests compare with: unpacked, not installed, because their packages start a server on port 80.
# shellcheck disable=SC2034
PACKAGES_TEST_PEERS=(nginx)
# Nice to have in tests; what needs them is skipped without them.
# shellcheck disable=SC2034
PACKAGES_TEST_OPTIONAL=(bsdextrautils clang libclang-rt-14-dev clang-format shellcheck python3-yaml mandoc systemd)

# packages_missing NAME...: prints those that are not installed.
packages_missing()
{
    local installed name
    installed=" $(dpkg-query -W -f '${db:Status-Status} ${binary:Package}\n' 2>/dev/null |
        sed -n 's/^installed \([^:]*\).*/\1/p' | tr '\n' ' ')"
    for name in "$@"; do
        [[ $installed == *" $name "* ]] || echo "$name"
    done
}

# packages_ensure NAME...: sets packages_added to the number installed.
packages_added=0
packages_ensure()
{
    local missing
    packages_added=0
    if ! have dpkg-query || ! have apt-get; then
        ui_die "this is no Debian: dpkg and apt-get are missing" \
            "use Debian 12, or install what README.md lists by hand and start lbd and ctld yourself"
    fi
    mapfile -t missing < <(packages_missing "$@")
    ((${#missing[@]} > 0)) || return 0
    ui_note "installing ${missing[*]}"
    packages_install "${missing[@]}"
    packages_added=${#missing[@]}
}

packages_install()
{
    local -a apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Lock::Timeout=120
        -o Acquire::Retries=3 -o Dpkg::Options::=--force-confold)
    # Lists that cannot deliver all of it are stale or missing: fetch them, but only then.
    if ! "${apt[@]}" --simulate --no-install-recommends install "$@" >>"$UI_LOG" 2>&1 || packages_lists_old; then
        ui_run "apt-get update failed" "check the network and /etc/apt/sources.list*, then run this again" \
            "${apt[@]}" update
    fi
    ui_run "apt-get could not install: $*" \
        "see the messages below; often 'apt-get -f install' or 'apt-get update' by hand helps" \
        "${apt[@]}" --no-install-recommends install "$@"
}

# packages_unpack DIR NAME...: the files of these packages below DIR, without installing them.
packages_unpack()
{
    local dir=$1 name
    shift
    mkdir -p "$dir"
    for name in "$@"; do
        [[ ! -e $dir/.$name ]] || continue
        (cd -- "$dir" && apt-get -q -o APT::Sandbox::User=root download "$name" && dpkg-deb -x "$name"_*.deb . &&
            rm -f -- "$name"_*.deb && touch ".$name") >>"$UI_LOG" 2>&1 || return 1
    done
}

# Package lists older than a day name files that a mirror may no longer have.
packages_lists_old()
{
    [[ -z $(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -mtime -1 -print -quit 2>/dev/null) ]]
}
