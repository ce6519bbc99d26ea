#!/bin/sh
# Manual pages: correct roff, and one for every installed program and for the configuration file.
set -eu
cd "$(dirname "$0")/../.."
if ! command -v mandoc > /dev/null; then
    echo "SKIP: mandoc is not installed (package mandoc)"
    exit 77
fi
bad=0
pages=$(find docs -name '*.[1-8]' | sort)
for want in lbd.8 ctld.8 lbctl.1 lbctl.yaml.5; do
    if ! printf '%s\n' "$pages" | grep -q "/$want\$"; then
        echo "docs: no manual page $want"
        bad=1
    fi
done
for page in $pages; do
    mandoc -T lint -W warning "$page" || bad=1
done

# the pages name every key, command and option that the tables have
page=$(printf '%s\n' "$pages" | grep '/lbctl.yaml.5$' || true)
if [ -n "$page" ]; then
    text=$(mandoc -T utf8 "$page" | col -b)
    missing=$(sed -n 's/^CONF([A-Z]*, [a-z_]*, "\([a-z_]*\)".*/\1/p' common/conf/conf.def | sort -u | while read -r key; do
        printf '%s\n' "$text" | grep -q -w -- "$key" || echo "$page: says nothing about the key '$key'"
    done)
    if [ -n "$missing" ]; then
        printf '%s\n' "$missing"
        bad=1
    fi
fi
exit "$bad"
