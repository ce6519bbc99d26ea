#!/bin/bash
# The systemd units are valid and stay sandboxed: exposure (0 best, 10 worst) at most 2.0.
# shellcheck source-path=SCRIPTDIR/../lib
set -euo pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=check.sh
. "$here/../lib/check.sh"
command -v systemd-analyze >/dev/null || check_skip 'systemd is not installed'

for unit in lbctl-lb.service lbctl-ctl.service; do
    # The programs need not be installed on the machine that tests: any program will do for the check of the syntax.
    sed -E 's|^(Exec[A-Za-z]+=)[^ ]+|\1/bin/true|; /^Documentation=/d' "$here/../../deploy/systemd/$unit" >"$check_dir/$unit"
    check "verify $unit" '' "$(systemd-analyze verify "$check_dir/$unit" 2>&1 | grep -F "$unit" || true)"
    exposure=$(systemd-analyze security --offline=yes "$check_dir/$unit" 2>/dev/null |
        sed -n 's/.*exposure level for .*: \([0-9]*\)\.\([0-9]\).*/\1\2/p')
    check "exposure of $unit, was $exposure" yes "$( ((${exposure:-99} <= 20)) && echo yes || echo no)"
done
check_end
