#!/bin/bash
# Put a program and exactly the files it needs at run time into an otherwise empty root: rootfs.sh PROGRAM DIRECTORY
#
# Shared libraries and loader (as ldd finds them), a user, a place for temporary files. No shell, no package manager:
# what is not there needs no updates and helps no intruder.
set -euo pipefail

readonly program=$1 root=$2
readonly uid=10001

copy_libraries()
{
    local lib
    # libgcc_s is loaded by name when a thread is cancelled; ldd does not show it.
    while read -r lib; do
        install -D -m 0755 -- "$(realpath -- "$lib")" "$root$lib"
    done < <({
        ldd -- "$program" | awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\// { print $1 }'
        gcc_library
    } | sort -u)
}

gcc_library()
{
    local f
    for f in /lib/*/libgcc_s.so.1 /usr/lib/*/libgcc_s.so.1; do
        if [[ -e $f ]]; then
            echo "$f"
            return
        fi
    done
}

main()
{
    if ldd -- "$program" | grep 'not found' >&2; then
        echo "rootfs.sh: '$program' cannot run here either: install the libraries named above" >&2
        return 1
    fi
    umask 022
    mkdir -p "$root"/{etc,tmp,usr/bin}
    chmod 1777 "$root/tmp"
    echo "app:x:$uid:$uid:application:/:/usr/sbin/nologin" >"$root/etc/passwd"
    echo "app:x:$uid:" >"$root/etc/group"
    echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
    copy_libraries
    install -m 0755 -- "$program" "$root/usr/bin/${program##*/}"
    strip --strip-unneeded "$root/usr/bin/${program##*/}"
}

main
