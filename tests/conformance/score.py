#!/usr/bin/env python3
"""Reads what a run of the conformance suite reported, prints a table, and fails when a test that was green is red.

A test passed if it ran and said so. One that was skipped, timed out, was interrupted or never reported did not pass.
"""
import argparse
import collections
import csv
import json
import pathlib
import re
import sys
import xml.etree.ElementTree as xml

PREFIX = re.compile(r"^\[(It|DeferCleanup|BeforeEach|AfterEach)\] ")
HOOKS = re.compile(r"^\[(BeforeSuite|AfterSuite|SynchronizedBeforeSuite|SynchronizedAfterSuite|ReportAfterSuite"
                   r"|ReportBeforeSuite)\]")
SIG = re.compile(r"\[(sig-[a-z-]+)\]")


def cases(folder):
    """Every test that the reports in a folder tell of: name and what became of it."""
    for path in sorted(pathlib.Path(folder).glob("junit*.xml")):
        for case in xml.parse(path).getroot().iter("testcase"):
            name = case.get("name", "")
            if not HOOKS.match(name):
                yield PREFIX.sub("", name), outcome(case), case


def outcome(case):
    """`passed`, or in one word why not."""
    for child, word in (("failure", "failed"), ("error", "failed"), ("skipped", "skipped")):
        if case.find(child) is not None:
            return word
    status = case.get("status", "passed")
    return status if status else "passed"


def wanted(folder):
    """The tests that were to run: a dry run passes over all others."""
    return {name for name, result, _ in cases(pathlib.Path(folder) / "wanted") if result != "skipped"}


def collect(results):
    """What became of every test that was to run; `missing` if nothing was heard of it."""
    told = {}
    for part in ("parallel", "serial"):
        folder = pathlib.Path(results) / part
        expected = wanted(folder)
        told.update({name: "missing" for name in expected if name not in told})
        for name, result, _ in cases(folder):
            if name in expected or result not in ("skipped",):
                told[name] = result
    return told


def groups(path):
    """Groups of tests by name, from a table."""
    if not path:
        return {}
    with open(path, newline="") as file:
        return {row["test"]: f'{row["sig"]}  {row["group"]}' for row in csv.DictReader(file, delimiter="\t")}


def count(told, grouped):
    """How many tests of each group passed, and how many there are."""
    counted = collections.defaultdict(lambda: [0, 0])
    for name, result in told.items():
        sig = SIG.search(name)
        group = grouped.get(name) or (sig.group(1) if sig else "others")
        counted[group][0] += result == "passed"
        counted[group][1] += 1
    return counted


def table(counted):
    """Lines of a table: each group with how many of its tests passed."""
    rows = sorted(counted.items()) + [("all", [sum(a for a, _ in counted.values()), sum(b for _, b in counted.values())])]
    width = max(len(group) for group, _ in rows)
    return [f"{group:<{width}}  {passed:>4} of {total:>4}" for group, (passed, total) in rows]


def read_list(path):
    """Names of tests, one a line."""
    path = pathlib.Path(path)
    if not path.exists():
        return set()
    lines = (line.strip() for line in path.read_text().splitlines())
    return {line for line in lines if line and not line.startswith("#")}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", required=True, help="the folder that a run wrote")
    parser.add_argument("--passing", required=True, help="tests that passed before, one a line")
    parser.add_argument("--map", help="a table of groups: columns sig, group, test")
    parser.add_argument("--ratchet", action="store_true", help="write the list anew")
    options = parser.parse_args(arguments)

    told = collect(options.results)
    if not told:
        print("No test reported anything; see the logs in", options.results)
        return 1
    before = read_list(options.passing)
    passed = {name for name, result in told.items() if result == "passed"}
    red = sorted(name for name in told if name not in passed)
    lost = sorted(name for name in before if name in told and name not in passed)
    counted = count(told, groups(options.map))
    lines = table(counted)
    print("\n".join(lines))
    for name in red:
        print(f"{told[name]:<8} {name}")
    summary = {"passed": len(passed), "run": len(told), "groups": counted, "lost": lost,
               "red": {name: told[name] for name in red}}
    results = pathlib.Path(options.results)
    (results / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    (results / "table.txt").write_text("\n".join(lines) + "\n")
    if options.ratchet:
        kept = passed | {name for name in before if name not in told}
        head = "# Tests of the official conformance suite that passed; written by `RATCHET=1 make conformance`.\n"
        pathlib.Path(options.passing).write_text(head + "".join(f"{name}\n" for name in sorted(kept)))
    if lost:
        print(f"{len(lost)} tests that were green are red:")
        print("\n".join(f"  {name}" for name in lost))
        return 1
    print(f"{len(passed)} passed, {len(red)} failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
