#!/usr/bin/env python3
"""Writes one section of docs/status.md out of what a run left; the page is written by nothing else.

status.py conformance SUMMARY   summary.json of `make conformance`
status.py compat TABLE          the table that the replayer of recorded conversations prints
status.py bench LOG             what `make bench` printed
"""
import argparse
import datetime
import json
import pathlib
import re
import subprocess

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "status.md"
HEAD = """# Status

What works and what it costs, as runs of the tools found it: each section is written by the command it names, with
`RATCHET=1`, and tells the commit that was measured.
"""
SECTIONS = {
    "conformance": ("Conformance", "make conformance", "Tests of the official suite, by special interest group and subject."),
    "compat": ("Recorded conversations", "make compat", "Answers compared with those that the reference API server gave."),
    "bench": ("Benchmarks", "make bench", "What each means stands in [bench/README.md](../bench/README.md)."),
}


def table(head, rows):
    """A table in Markdown; all but the first column are figures."""
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]


def conformance(text):
    """How many tests of each group passed, and the names of those that did not."""
    summary = json.loads(text)
    groups = sorted(summary["groups"].items())
    rows = [(name, passed, total) for name, (passed, total) in groups] + [("all", summary["passed"], summary["run"])]
    lines = table(("group", "passed", "of"), rows)
    if summary["red"]:
        lines += ["", "Not passed:", ""] + [f"- {result}: `{name}`" for name, result in sorted(summary["red"].items())]
    return lines


def compat(text):
    """The replayer's table, as it stands."""
    rows = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if line.strip()]
    start = next(index for index, row in enumerate(rows) if row[0] == "area")
    width = len(rows[start])
    return table(rows[start], [row for row in rows[start + 1:] if len(row) == width])


def bench(text):
    """One line for each figure; they are printed as objects in JSON."""
    figures = [json.loads(line) for line in text.splitlines() if line.startswith('{"') and '"bound"' in line]
    rows = [(figure["name"], f'{figure["value"]:.3g} {figure["unit"]}', shown(figure["bound"]), shown_peer(figure["peer"]),
             "holds" if figure["holds"] else "**missed**") for figure in figures]
    return table(("figure", "value", "bound", "peer", ""), rows)


def shown_peer(peer):
    """What the same costs elsewhere, and where."""
    return "" if peer is None else f'{peer["name"]}: {shown(peer["value"])}'


def shown(number):
    return "" if number is None else f"{number:.6g}"


def measured():
    """The commit, and whether something on top of it was not committed."""
    def git(*words):
        return subprocess.check_output(("git", *words), cwd=PAGE.parent.parent, text=True).strip()
    changed = git("status", "--porcelain", "--untracked-files=no")
    return git("rev-parse", "--short", "HEAD") + (" and changes to it" if changed else "")


def replaced(page, name, lines):
    """The page with a section put in place of the one that was there, or after all others."""
    title, command, about = SECTIONS[name]
    stamp = f"{about} Written by `RATCHET=1 {command}` on {datetime.date.today()}, commit {measured()}."
    section = "\n".join([f"## {title}", "", stamp, ""] + lines) + "\n"
    parts = re.split(r"(?m)^(?=## )", page or HEAD)
    kept = [part.rstrip() + "\n" for part in parts if not part.startswith(f"## {title}\n")]
    titles = [title for title, _, _ in SECTIONS.values()]
    order = sorted(kept[1:] + [section], key=lambda part: titles.index(part.split("\n", 1)[0][3:]))
    return "\n".join([kept[0], *order])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("section", choices=SECTIONS)
    parser.add_argument("file", type=pathlib.Path)
    options = parser.parse_args()
    lines = {"conformance": conformance, "compat": compat, "bench": bench}[options.section](options.file.read_text())
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(replaced(PAGE.read_text() if PAGE.exists() else "", options.section, lines))


if __name__ == "__main__":
    main()
