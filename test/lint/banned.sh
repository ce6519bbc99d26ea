#!/bin/sh
# Words that our C sources do not use, and what to use instead. Exceptions stand in banned.exceptions, each with a reason.
set -eu
cd "$(dirname "$0")/../.."
lint=test/lint

# word (extended regular expression) | instead
rules='(atoi|atol|atoll|atof|strto(l|ul|ll|ull|d|f|ld|imax|umax))[ ]*\( | str_to_* of common/base/str.h
(v?sprintf|strn?cpy|strn?cat|stpcpy|strtok(_r)?|gets|v?f?scanf|v?sscanf)[ ]*\( | snprintf, str.h, buf.h
(malloc|calloc|realloc|reallocarray|free|strdup|strndup|v?asprintf)[ ]*\( | mem.h
alloca[ ]*\( | mem.h
(usleep|nanosleep|sleep|clock_nanosleep)[ ]*\( | a timer with a deadline
(system|popen|exec[lv][pe]*)[ ]*\( | nothing: no shell
(exit|_exit|quick_exit|abort|assert)[ ]*\( | struct err, bug(); exit only in a file with main()
(evthread_use_pthreads|event_base_new[a-z_]*|event_init)[ ]*\( | loop_new(): one base per thread, without locks
(rand|srand|random|drand48|rand_r)[ ]*\( | getrandom
(localtime|gmtime|ctime|asctime|inet_ntoa|inet_addr|gethostbyname|setlocale)[ ]*\( | the thread-safe one
goto[ ] | AUTO() and early returns'

sources=$(find common lb ctl acts-service -name '*.[ch]' | sort)
# shellcheck disable=SC2086 # names have no blanks
awk -f "$lint/strip.awk" $sources > "${TMPDIR:-/tmp}/lint-banned.$$"
trap 'rm -f "${TMPDIR:-/tmp}/lint-banned.$$"' EXIT

# exceptions: FILE WORD reason...
allowed() { # file word
    awk -v f="$1" -v w="$2" '$1 == f && $2 == w { found = 1 } END { exit !found }' "$lint/banned.exceptions"
}

bad=0
old_ifs=$IFS
IFS='
'
for rule in $rules; do
    pattern=$(printf '%s' "${rule%|*}" | sed 's/ *$//')
    instead=$(printf '%s' "${rule##*|}" | sed 's/^ *//')
    for hit in $(grep -E "(^[^:]*:[0-9]*:|[^A-Za-z0-9_.>])$pattern" "${TMPDIR:-/tmp}/lint-banned.$$" || true); do
        file=${hit%%:*}
        word=$(printf '%s' "${hit#*:*:}" | grep -oE "(^|[^A-Za-z0-9_.>])$pattern" | head -n 1 | tr -cd 'A-Za-z0-9_')
        if [ "$word" = exit ] && grep -q '^int main(' "$file"; then
            continue
        fi
        # a library that gives NULL only without memory: abort(), with that comment, as mem.h does
        line=${hit#*:}
        if [ "$word" = abort ] && sed -n "${line%%:*}p" "$file" | grep -q 'out of memory'; then
            continue
        fi
        if ! allowed "$file" "$word"; then
            printf '%s\n    banned: %s; use %s\n' "$hit" "$word" "$instead"
            bad=1
        fi
    done
done
IFS=$old_ifs

# comments count for these
for file in $sources; do
    if grep -nHE '(TODO|FIXME|XXX|HACK)\b' "$file"; then
        bad=1
    fi
done

# an exception that nothing needs any more goes
while read -r file word reason; do
    case $file in '' | '#'*) continue ;; esac
    if [ -z "$reason" ]; then
        echo "$lint/banned.exceptions: $file $word: no reason"
        bad=1
    fi
    if ! grep -E "^$file:[0-9]+:(.*[^A-Za-z0-9_])?$word([^A-Za-z0-9_]|\$)" "${TMPDIR:-/tmp}/lint-banned.$$" > /dev/null; then
        echo "$lint/banned.exceptions: $file does not use $word any more"
        bad=1
    fi
done < "$lint/banned.exceptions"
exit "$bad"
