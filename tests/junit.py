# SPDX-License-Identifier: GPL-2.0-or-later
"""
Adds up a report in JUnit's form: prints "PASSED FAILED SKIPPED", then a line for each skipped test
with its reason.
"""

import sys
import xml.etree.ElementTree as xml


def main(path):
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    skips = []
    for case in xml.parse(path).iter("testcase"):
        name = f"{case.get('classname', '')}::{case.get('name', '')}"
        if case.find("failure") is not None or case.find("error") is not None:
            counts["failed"] += 1
        elif (skip := case.find("skipped")) is not None:
            counts["skipped"] += 1
            skips.append(f"{name}: {' '.join((skip.get('message') or 'no reason').split())}")
        else:
            counts["passed"] += 1
    print(*counts.values())
    print(*skips, sep="\n")


main(sys.argv[1])
