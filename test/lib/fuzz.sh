#!/bin/bash
# usage: fuzz.sh: build the preset fuzz and run every target for $LBCTL_FUZZ_SECONDS (20), as many at a time as there are
# CPUs, from a copy of its corpus. For ctest (label "presets"). A find is kept in build/fuzz/finds.
set -euo pipefail
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
build=$root/build/fuzz
seconds=${LBCTL_FUZZ_SECONDS:-20}

"$root/test/lib/preset.sh" fuzz
mkdir -p "$build/finds"

run_one()
{
    local name=${1##*/fuzz_} work
    work=$(mktemp -d)
    [[ ! -d $root/test/fuzz/corpus/$name ]] || cp -r -- "$root/test/fuzz/corpus/$name/." "$work/"
    if "$1" -max_total_time="$seconds" -seed=1 -max_len=65536 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$build/finds/$name-" "$work" >"$build/finds/$name.log" 2>&1; then
        printf 'fuzz %s: %s runs, nothing found\n' "$name" \
            "$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/finds/$name.log")"
    else
        printf 'fuzz %s: FOUND something\n' "$name"
        tail -n 40 "$build/finds/$name.log"
        return 1
    fi
    rm -rf -- "$work"
}
export -f run_one
export root build seconds

find "$build/test/fuzz" -maxdepth 1 -type f -name 'fuzz_*' -perm -u+x | sort |
    xargs -P "$(nproc)" -I{} bash -c 'run_one {}'
