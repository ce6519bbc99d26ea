#!/bin/bash
# Make the file system of a minimal Debian with PostgreSQL, without an image registry: base.sh OUTPUT.tar
#
# Packages come from the Debian archives that this machine's apt is set up to use. deploy/up imports the result as the
# base image of Dockerfile. Runs as root; takes about half a minute.
set -euo pipefail

readonly output=$1

# The archives as apt knows them (classic and deb822 files alike), Debian's own only.
archives()
{
    # shellcheck disable=SC2016 # apt expands these
    apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        awk -v keyring="$1" '$1 == "Debian" && !seen[$0]++ {
            printf "deb [signed-by=\"%s\"] %s %s %s\n", keyring, $2, $3, $4
        }'
}

main()
{
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg codename proxy scheme
    local -a lists options=()

    [[ -r $keyring ]] || { echo "base.sh: $keyring is missing: install debian-archive-keyring" >&2; return 1; }
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
    mapfile -t lists < <(archives "$keyring")
    if ((${#lists[@]} == 0)); then # never updated, or a machine image that was shipped without lists
        apt-get -q update
        mapfile -t lists < <(archives "$keyring")
    fi
    if ((${#lists[@]} == 0)); then
        echo "base.sh: apt knows no Debian archive: check /etc/apt/sources.list*" >&2
        return 1
    fi
    for scheme in http https; do
        eval "$(apt-config shell proxy "Acquire::$scheme::Proxy")"
        [[ -z ${proxy:-} ]] || options+=(--aptopt="Acquire::$scheme::Proxy \"$proxy\"")
    done

    echo "a minimal Debian $codename with PostgreSQL, from packages: about half a minute"

    # What a database container never reads is never unpacked: texts, and the compiler behind PostgreSQL's JIT (150 MB;
    # without it PostgreSQL says "JIT not available" to nobody and interprets, which is faster for short queries).
    # The first hooks: no cluster at package installation, and the user id that the official image has, so that a volume can
    # be used by either. (Nothing in /tmp may be removed by a hook: mmdebstrap keeps its apt configuration there, and would
    # go on with the host's.)
    # shellcheck disable=SC2016 # the hooks' $1 is mmdebstrap's
    mmdebstrap --quiet --variant=essential --format=tar --skip=cleanup/reproducible "${options[@]}" \
        --include=postgresql \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/info/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/lintian/*' \
        --dpkgopt='path-exclude=/usr/lib/postgresql/*/lib/bitcode/*' \
        --dpkgopt='path-exclude=/usr/lib/postgresql/*/lib/llvmjit*' \
        --dpkgopt='path-exclude=/usr/lib/*/libLLVM*' \
        --dpkgopt='path-exclude=/usr/lib/llvm-*/*' \
        --dpkgopt='path-exclude=/usr/lib/*/libz3.so*' \
        --essential-hook='echo "postgres:x:999:999:PostgreSQL:/var/lib/postgresql:/bin/bash" >>"$1/etc/passwd"' \
        --essential-hook='echo "postgres:x:999:" >>"$1/etc/group"' \
        --essential-hook='mkdir -p "$1/etc/postgresql-common"' \
        --essential-hook='echo "create_main_cluster = false" >"$1/etc/postgresql-common/createcluster.conf"' \
        --customize-hook='rm -rf "$1"/usr/share/perl "$1"/usr/lib/*/perl "$1"/usr/share/perl5 "$1"/usr/bin/perl5*' \
        --customize-hook='rm -rf "$1"/usr/share/postgresql/*/man "$1"/usr/share/postgresql/*/contrib' \
        --customize-hook='rm -rf "$1"/usr/share/i18n "$1"/var/cache/*/* "$1"/var/log/*' \
        --customize-hook='rm -f "$1"/etc/ssl/private/ssl-cert-snakeoil.key "$1"/etc/resolv.conf "$1"/etc/hostname' \
        "$codename" "$output" "${lists[@]}"
}

main
