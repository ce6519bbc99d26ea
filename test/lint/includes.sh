#!/bin/sh
# The layers' one rule: who may include whom (includes.rules). Cores are pure: no sockets, no clocks, no threads.
set -eu
cd "$(dirname "$0")/../.."
rules=test/lint/includes.rules

find common lb ctl acts-service -name '*.[ch]' | sort | xargs grep -nHE '^[[:space:]]*#[[:space:]]*include' |
    awk -v rules="$rules" '
    BEGIN {
        while ((getline line < rules) > 0) {
            if (line ~ /^#/ || line == "") continue
            if (line ~ /^confine /) {
                sub(/^confine /, "", line)
                split(line, p, / : /)
                confined[p[1]] = p[2]
                continue
            }
            split(line, p, / \| /)
            allowed[p[1]] = p[2]
        }
        pure = "^(sys/(socket|epoll|un|wait|stat|mman)|netinet/.*|arpa/inet|netdb|pthread|time|sys/time|unistd|fcntl|poll|signal|threads)\\.h$"
    }
    {
        split($0, p, ":")
        file = p[1]; place = p[1] ":" p[2]
        own = $0 ~ /include[ \t]*"/
        name = $0
        sub(/^[^<"]*[<"]/, "", name)
        sub(/[>"].*$/, "", name)
        folder = file
        while (sub(/\/[^\/]*$/, "", folder) && !(folder in allowed)) ;
        if (!(folder in allowed)) { print place ": no rule for the folder of this file"; bad = 1; next }
        ok = 0
        n = split(allowed[folder], a, " ")
        for (i = 1; i <= n; i++) if (name ~ "^" a[i]) ok = 1
        library = name ~ /^(event2|curl|jansson|yaml|libpq|cmocka|openssl|zlib|systemd)/
        if (!ok && (own || library)) {
            print place ": " folder " must not include " name " (" rules ")"
            bad = 1
        }
        if (own && name !~ /\// ) { print place ": write the whole path of " name; bad = 1 }
        if (folder ~ /\/core$/ && name ~ pure) {
            print place ": a core is pure, it must not include " name
            bad = 1
        }
        for (c in confined)
            if (name ~ "^" c && file !~ "^" confined[c]) {
                print place ": " name " is confined to " confined[c]
                bad = 1
            }
    }
    END { exit bad }'

# every header guards itself by the name of its path
bad=0
for h in $(find common lb ctl acts-service -name '*.h' | sort); do
    if ! grep -qE '^#ifndef (LBCTL|ACTS)_[A-Z0-9_]+_H$' "$h"; then
        echo "$h: no include guard LBCTL_..._H or ACTS_..._H"
        bad=1
    fi
done
exit "$bad"
