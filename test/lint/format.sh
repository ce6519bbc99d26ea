#!/bin/sh
# Sources are formatted by clang-format 14 and the tree's .clang-format. `format.sh --fix` does it.
set -eu
cd "$(dirname "$0")/../.."
tool=
for name in clang-format-14 clang-format; do
    if command -v "$name" > /dev/null && "$name" --version | grep -q 'version 14\.'; then
        tool=$name
        break
    fi
done
if [ -z "$tool" ]; then
    echo "SKIP: clang-format 14 is not installed (package clang-format-14)"
    exit 77
fi
mode='--dry-run -Werror'
if [ "${1:-}" = --fix ]; then
    mode=-i
fi
# shellcheck disable=SC2086 # options are words
find common lb ctl acts-service test -name '*.[ch]' | sort | xargs "$tool" $mode
