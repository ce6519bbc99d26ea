#!/bin/bash
# deploy/lib/process.sh: which runtime deploy/up takes, and what it says where no engine can run.
# shellcheck source-path=SCRIPTDIR/../../deploy/lib source-path=SCRIPTDIR/../lib
set -euo pipefail
# shellcheck source=all.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../../deploy/lib/all.sh"
# shellcheck source=check.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../lib/check.sh"

UI_LOG=$check_dir/log
LBCTL_CONFIG=$check_dir/lbctl.yaml
engine_can_run=true
engine_ensure()
{
    $engine_can_run || ui_die "no engine" "none can run here"
}

# decide WISH: the runtime, and what was said.
decide()
{
    local runtime=''
    (
        runtime_decide "$1" 2>"$check_dir/said" >&2
        echo "$runtime"
    ) || echo refused
}

said()
{
    grep -c "$1" "$check_dir/said" || true
}

check 'an engine runs' docker "$(decide '')"
check 'an engine runs, auto' docker "$(decide auto)"
check 'processes are wished' process "$(decide process)"
engine_can_run=false
check 'no engine can run: processes' process "$(decide '')"
check 'and it is said in one line' 1 "$(said 'no container engine can be started here: instances will be processes')"
check 'no engine can run, auto' process "$(decide auto)"
check 'docker is wished: that stays, and will fail later' docker "$(decide docker)"
check 'the file for processes' "$DEPLOY_DIR/lbctl-process.yaml" "$(runtime=process && config_file)"
check 'the file for containers' "$DEPLOY_DIR/lbctl.yaml" "$(runtime=docker && config_file)"
check 'it has the acts service' yes "$(config_has_acts "$DEPLOY_DIR/lbctl-process.yaml" && echo yes || echo no)"

printf 'runtime: process\nservices: {}\n' >"$LBCTL_CONFIG"
engine_can_run=true
check 'the operator wrote process' process "$(decide '')"
check 'and wishes docker now' refused "$(decide docker)"
printf 'services: {}\n' >"$LBCTL_CONFIG"
engine_can_run=false
check 'the operator has containers: no engine is no reason to take others' docker "$(decide '')"
check 'and wishes processes now' refused "$(decide process)"
check_end
