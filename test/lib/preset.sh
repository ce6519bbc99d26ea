#!/bin/bash
# usage: preset.sh [--target T] PRESET [LABELS [TEST]...]: build another preset (or one target of it) in its own folder and
# run its tests with these labels (a regular expression of whole labels) and these by name; without labels the build alone
# is the test. For ctest (label "presets").
set -euo pipefail
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
target=all
if [[ ${1:-} == --target ]]; then
    target=$2
    shift 2
fi
preset=$1 labels=${2:-}
build=$root/build/$preset

if [[ -e $build/CMakeCache.txt ]] && ! grep -qFx "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$build/CMakeCache.txt"; then
    rm -rf -- "$build"
fi
cd -- "$root"
[[ -e $build/build.ninja ]] || cmake --preset "$preset"
cmake --build "$build" --target "$target"
if [[ -n $labels ]]; then
    # One at a time: the sanitizers want the memory, and another group may be at work beside this.
    ctest --test-dir "$build" -L "^($labels)\$" --no-tests=error --output-on-failure
fi
for name in "${@:3}"; do
    ctest --test-dir "$build" -R "^$name\$" --no-tests=error --output-on-failure
done
