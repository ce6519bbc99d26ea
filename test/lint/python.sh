#!/bin/sh
# Python files of the tests compile, and use nothing but Debian's interpreter.
set -eu
cd "$(dirname "$0")/../.."
find test -name '*.py' | sort | xargs /usr/bin/python3 -W error -c '
import pathlib, sys
for name in sys.argv[1:]:
    compile(pathlib.Path(name).read_text(encoding="utf-8"), name, "exec")
'
if grep -rnE '^#!.*(env python|/usr/local)' test --include='*.py'; then
    echo "write #!/usr/bin/python3"
    exit 1
fi
