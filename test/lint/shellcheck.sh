#!/bin/sh
# Every shell script of the tree passes shellcheck.
set -eu
cd "$(dirname "$0")/../.."
if ! command -v shellcheck > /dev/null; then
    echo "SKIP: shellcheck is not installed (package shellcheck)"
    exit 77
fi
scripts=$(find . \( -name .git -o -name build -o -name 'build-*' -o -name node_modules \) -prune -o -type f -size -256k -print |
    sort | while read -r f; do
    if head -n 1 "$f" | grep -qE '^#! ?(/usr)?/bin/(env )?(ba|da)?sh'; then
        printf '%s\n' "$f"
    elif [ "${f%.sh}" != "$f" ]; then
        printf '%s\n' "$f"
    fi
done)
# shellcheck disable=SC2086 # names have no blanks
shellcheck -x -P SCRIPTDIR $scripts
