#!/bin/bash
# usage: fuzz.sh [TARGET]...: build the fuzzers (preset fuzz) and run every target (or those named) for
# $LBCTL_FUZZ_SECONDS (20), as many at a time as there are CPUs or $LBCTL_FUZZ_JOBS, from a copy of its corpus and with
# the same seed each time. For ctest (label "presets"). A find is kept in build/fuzz/finds and printed so that it can be
# tried anywhere.
set -euo pipefail
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
build=$root/build/fuzz
seconds=${LBCTL_FUZZ_SECONDS:-20}

"$root/test/lib/preset.sh" --target fuzzers fuzz
mkdir -p "$build/finds"

# quoted_words FILE.def...: the names in quotes of these tables, as a dictionary.
quoted_words()
{
    sed -n 's/^[A-Z_]*(\([A-Za-z_]*, \)*"\([a-z][a-z0-9_.-]*\)".*/"\2"/p' "$@" | sort -u
}

# dictionary NAME: prints the words that the target's language has, if we know them.
dictionary()
{
    case $1 in
    http_*) cat "$root/test/fuzz/http.dict" ;;
    conf) quoted_words "$root"/common/conf/*.def ;;
    chan | proto | table) quoted_words "$root/common/wire/proto.def" ;;
    esac
}

# print_find NAME FILE: the input and how to try it.
print_find()
{
    printf 'to try it again:\n  base64 -d >find <<END\n'
    base64 -- "$2"
    printf 'END\n  cmake --preset fuzz && cmake --build build/fuzz --target fuzz_%s && build/fuzz/test/fuzz/fuzz_%s find\n' \
        "$1" "$1"
    printf '(kept as %s; mended, it becomes a file in test/fuzz/corpus/%s and a row in a unit test)\n' "$2" "$1"
}

run_one()
{
    local name=${1##*/fuzz_} work find found=0
    local -a words=()
    work=$(mktemp -d)
    mkdir "$work/corpus"
    [[ ! -d $root/test/fuzz/corpus/$name ]] || cp -r -- "$root/test/fuzz/corpus/$name/." "$work/corpus/"
    dictionary "$name" >"$work/dict"
    [[ ! -s $work/dict ]] || words=(-dict="$work/dict")
    rm -f -- "$build/finds/$name-"*
    if "$1" -max_total_time="$seconds" -seed=1 -max_len=65536 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        ${words[@]+"${words[@]}"} -artifact_prefix="$build/finds/$name-" "$work/corpus" >"$build/finds/$name.log" 2>&1; then
        printf 'fuzz %s: %s runs, nothing found\n' "$name" \
            "$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/finds/$name.log")"
    else
        found=1
        printf 'fuzz %s: FOUND something\n' "$name"
        tail -n 40 "$build/finds/$name.log"
        for find in "$build/finds/$name-"*; do
            [[ ! -f $find ]] || print_find "$name" "$find"
        done
    fi
    if [[ -n ${LBCTL_FUZZ_KEEP:-} ]]; then
        mkdir -p "$LBCTL_FUZZ_KEEP/$name"
        cp -r -- "$work/corpus/." "$LBCTL_FUZZ_KEEP/$name/"
    fi
    rm -rf -- "$work"
    return "$found"
}
export -f run_one dictionary quoted_words print_find
export root build seconds

targets=("${@/#/$build/test/fuzz/fuzz_}")
if (($# == 0)); then
    mapfile -t targets < <(find "$build/test/fuzz" -maxdepth 1 -type f -name 'fuzz_*' -perm -u+x | sort)
fi
printf '%s\n' "${targets[@]}" | xargs -P "${LBCTL_FUZZ_JOBS:-$(nproc)}" -I{} bash -c 'run_one {}'
