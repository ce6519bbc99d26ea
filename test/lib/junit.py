#!/usr/bin/python3
"""Read what `ctest --output-junit` wrote, and say it shortly: junit.py FILE...

Prints a line "passed N", "failed N", "skipped N", and then "FAIL name: why" or "SKIP name: why" for each test that is not
plainly passed. A test that could not be run at all (no executable, a fixture that failed) is a failure, not a skip.
"""
import sys
import xml.etree.ElementTree as ET


def reason(case):
    """The line in which the test itself says why it was skipped."""
    out = case.findtext("system-out") or ""
    for line in out.splitlines():
        if "SKIP" in line or "skip" in line:
            return line.strip()
    return "it does not say why"


def judge(case):
    status = case.get("status")
    if status == "run":
        return "passed", ""
    if status == "fail":
        return "failed", "its output is above"
    skipped = case.find("skipped")
    message = skipped.get("message") if skipped is not None else ""
    if status == "disabled":
        return "skipped", "disabled"
    if message and message.startswith("SKIP_"):
        return "skipped", reason(case)
    return "failed", f"not run: {message or status}"


def main(files):
    count = {"passed": 0, "failed": 0, "skipped": 0}
    lines = []
    for name in files:
        for case in ET.parse(name).getroot().iter("testcase"):
            kind, why = judge(case)
            count[kind] += 1
            if kind != "passed":
                lines.append(f"{'FAIL' if kind == 'failed' else 'SKIP'} {case.get('name')}: {why}")
    for kind, n in count.items():
        print(kind, n)
    print("\n".join(lines))


if __name__ == "__main__":
    main(sys.argv[1:])
