# shellcheck shell=bash
# Progress, failures and small helpers of deploy/up, deploy/down and test/run. Sourced, never run.
#
# A run is a row of steps. Whatever the commands of a step print goes to $UI_LOG; the person sees one line a step.
# A failure names the cause and the remedy and shows the end of the log that matters.

UI_LOG=${UI_LOG:-/dev/null}
UI_STEPS=0
ui_step=0 ui_title='' ui_began=0 ui_open=false ui_broken=false ui_child=''

ui_bold='' ui_red='' ui_green='' ui_yellow='' ui_plain='' ui_terminal=false
if [[ -t 1 && ${TERM:-dumb} != dumb ]]; then
    ui_terminal=true
    if [[ -z ${NO_COLOR:-} ]]; then
        ui_bold=$'\e[1m' ui_red=$'\e[31m' ui_green=$'\e[32m' ui_yellow=$'\e[33m' ui_plain=$'\e[0m'
    fi
fi

ui_now_ms()
{
    local t=${EPOCHREALTIME/[.,]/}
    echo $((t / 1000))
}

# ui_seconds MS: 2134 -> 2.1 s
ui_seconds()
{
    printf '%d.%d s' $(($1 / 1000)) $(($1 % 1000 / 100))
}

ui_elapsed()
{
    ui_seconds $(($(ui_now_ms) - ui_began))
}

# Begin a step: "[3/8] install ..." stays open until ui_ok or ui_die.
ui_begin()
{
    ui_step=$((ui_step + 1))
    ui_title=$1
    ui_began=$(ui_now_ms)
    ui_open=true
    ui_broken=false
    printf '\n--- %s\n' "$1" >>"$UI_LOG"
    printf '%s[%d/%d]%s %s ... ' "$ui_bold" "$ui_step" "$UI_STEPS" "$ui_plain" "$1"
}

# ui_ok [DETAIL]
ui_ok()
{
    ui_rewind
    printf '%sok%s (%s)%s\n' "$ui_green" "$ui_plain" "$(ui_elapsed)" "${1:+: $1}"
    ui_open=false
}

# Say something in the middle of a step, on a line of its own.
ui_note()
{
    if $ui_open; then
        if $ui_terminal; then
            printf '\r\e[K'
        elif ! $ui_broken; then
            printf '\n'
        fi
        ui_broken=true
    fi
    printf '      %s\n' "$1"
    if $ui_open && $ui_terminal; then
        ui_rewind
    fi
}

ui_warn()
{
    ui_note "${ui_yellow}warning:${ui_plain} $1"
}

# Go back to the head of the step's line; off a terminal, begin a new one when something was said in between.
ui_rewind()
{
    if $ui_terminal; then
        printf '\r\e[K'
    elif ! $ui_broken; then
        return 0
    fi
    printf '%s[%d/%d]%s %s ... ' "$ui_bold" "$ui_step" "$UI_STEPS" "$ui_plain" "$ui_title"
}

# Show that a long step is alive: on a terminal the line is redrawn, elsewhere a line every 15 s is enough.
ui_alive_last=0
ui_alive()
{
    local now
    now=$(ui_now_ms)
    if $ui_terminal; then
        ui_rewind
        printf '%s  %.*s' "$(ui_elapsed)" 60 "$1"
    elif ((now - ui_alive_last >= 15000 && now - ui_began >= 15000)); then
        ui_alive_last=$now
        ui_note "$(ui_elapsed): $1"
    fi
}

# ui_die CAUSE [REMEDY [LOGFILE]]: end the run.
ui_die()
{
    if $ui_open; then
        ui_rewind
        printf '%sFAILED%s (%s)\n' "$ui_red" "$ui_plain" "$(ui_elapsed)"
        ui_open=false
    fi
    {
        printf '\n%serror:%s %s\n' "$ui_red" "$ui_plain" "$1"
        [[ -n ${2:-} ]] && printf 'remedy: %s\n' "$2"
        if [[ -n ${3:-} && -s ${3:-} && -f ${3:-} ]]; then
            printf '\nthe end of %s:\n' "$3"
            tail -n 25 -- "$3" | sed 's/^/    /'
        fi
    } >&2
    exit 1
}

# ui_run CAUSE REMEDY COMMAND...: run with all output in the log; a failure ends the run with the log's end.
ui_run()
{
    local cause=$1 remedy=$2 began pid rc=0 last
    shift 2
    printf '+ %s\n' "$*" >>"$UI_LOG"
    "$@" >>"$UI_LOG" 2>&1 </dev/null &
    pid=$!
    ui_child=$pid
    began=$(ui_now_ms)
    while kill -0 "$pid" 2>/dev/null; do
        if (($(ui_now_ms) - began < 1000)); then
            sleep 0.02
            continue
        fi
        last=$(tail -c 400 -- "$UI_LOG" 2>/dev/null | tr '\r\t' '\n ' | tr -cd '[:print:]\n' | sed '/^ *$/d' | tail -n 1)
        ui_alive "$last"
        sleep 0.2
    done
    wait "$pid" || rc=$?
    ui_child=''
    ((rc == 0)) || ui_die "$cause (exit code $rc)" "$remedy" "$UI_LOG"
}

# Whatever ends a script under `set -e` without words ends it here, with words.
ui_trap_unexpected()
{
    set -E
    trap 'ui_unexpected $? "$LINENO" "$BASH_COMMAND"' ERR
    trap 'ui_interrupted 130' INT
    trap 'ui_interrupted 143' TERM
}

# Commands in the background of a script do not see Ctrl-C: end what runs now, with everything below it.
ui_interrupted()
{
    trap - ERR INT TERM
    [[ -z $ui_child ]] || ui_end_tree "$ui_child"
    printf '\ninterrupted: what was done so far stays, and is used when you run this again\n' >&2
    exit "$1"
}

ui_end_tree()
{
    local child
    # shellcheck disable=SC2013 # words are meant
    for child in $(cat "/proc/$1/task/"*/children 2>/dev/null); do
        ui_end_tree "$child"
    done
    kill -TERM "$1" 2>/dev/null || true
}

ui_unexpected()
{
    ((BASH_SUBSHELL == 0)) || return 0
    trap - ERR
    ui_die "unexpected failure: '$3' ended with code $1 (line $2)" \
        "this is a fault of the script: report it together with $UI_LOG" "$UI_LOG"
}

ui_need_root()
{
    if ((EUID != 0)); then
        printf 'error: %s must run as root (it installs packages and starts services)\nremedy: sudo %s\n' \
            "$1" "$1${2:+ $2}" >&2
        exit 77
    fi
}

have()
{
    command -v -- "$1" >/dev/null 2>&1
}

# systemd is PID 1 of this machine (sd_booted(3)).
on_systemd()
{
    [[ -d /run/systemd/system ]]
}

# A process is named by its id and its start time, so that a recycled id is never taken for it.
proc_start()
{
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    stat=${stat##*) }
    # shellcheck disable=SC2086 # split on purpose
    set -- $stat
    [[ $1 != Z ]] || return 1
    echo "${20}"
}

# proc_record FILE PID
proc_record()
{
    local start
    start=$(proc_start "$2") || return 1
    printf '%s %s\n' "$2" "$start" >"$1.new" && mv -f -- "$1.new" "$1"
}

# proc_recorded FILE: prints the id if that very process still runs.
proc_recorded()
{
    local pid start
    [[ -r $1 ]] && read -r pid start <"$1" || return 1
    [[ $pid =~ ^[0-9]+$ && $(proc_start "$pid" || true) == "$start" ]] || return 1
    echo "$pid"
}

# proc_end FILE SECONDS: SIGTERM, wait, SIGKILL; removes the record.
proc_end()
{
    local pid deadline
    if pid=$(proc_recorded "$1"); then
        kill -TERM "$pid" 2>/dev/null || true
        deadline=$(($(ui_now_ms) + $2 * 1000))
        while proc_recorded "$1" >/dev/null; do
            if (($(ui_now_ms) > deadline)); then
                kill -KILL "$pid" 2>/dev/null || true
                deadline=$(($(ui_now_ms) + 5000))
            fi
            sleep 0.05
        done
    fi
    rm -f -- "$1"
}
