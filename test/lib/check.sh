# shellcheck shell=bash
# For tests in shell: rows with names; a failing row prints name, want and got. Sourced.
check_failed=0 check_done=0
check_dir=$(mktemp -d)
trap 'rm -rf -- "$check_dir"' EXIT

# check NAME WANT GOT
check()
{
    check_done=$((check_done + 1))
    if [[ $2 != "$3" ]]; then
        check_failed=$((check_failed + 1))
        printf 'FAIL %s\n  want: %s\n  got:  %s\n' "$1" "$2" "$3"
    fi
}

# check_until NAME SECONDS COMMAND...: the command succeeds within that time.
check_until()
{
    local name=$1 deadline=$((SECONDS + $2))
    shift 2
    check_done=$((check_done + 1))
    until "$@"; do
        if ((SECONDS > deadline)); then
            check_failed=$((check_failed + 1))
            printf 'FAIL %s: not within the time: %s\n' "$name" "$*"
            return 0
        fi
        sleep 0.02
    done
}

check_end()
{
    printf '%d checks, %d failed\n' "$check_done" "$check_failed"
    ((check_done > 0 && check_failed == 0))
}

# skip REASON: exit 77, or fail under strict.
check_skip()
{
    echo "SKIP: $1"
    [[ ${LBCTL_TEST_STRICT:-} != 1 ]] || exit 1
    exit 77
}
