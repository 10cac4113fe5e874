#!/usr/bin/env python3
"""Tests of the score: what is no pass must not count as one."""
import contextlib
import io
import pathlib
import tempfile
import unittest

import score

CASE = '<testcase name="{name}" status="{status}">{inner}</testcase>'


def report(folder, tests):
    folder.mkdir(parents=True, exist_ok=True)
    inner = {"failed": "<failure>no</failure>", "skipped": "<skipped/>"}
    rows = "".join(CASE.format(name=f"[It] {name}", status=status, inner=inner.get(status, ""))
                   for name, status in tests.items())
    hooks = CASE.format(name="[SynchronizedBeforeSuite]", status="passed", inner="")
    (folder / "junit_01.xml").write_text(f"<testsuites><testsuite>{hooks}{rows}</testsuite></testsuites>")


class Scores(unittest.TestCase):
    def run_with(self, wanted, ran, before=(), ratchet=False):
        with tempfile.TemporaryDirectory() as folder:
            results = pathlib.Path(folder)
            report(results / "parallel" / "wanted", wanted)
            report(results / "parallel", ran)
            passing = results / "passing.txt"
            passing.write_text("".join(f"{name}\n" for name in before))
            arguments = ["--results", folder, "--passing", str(passing)] + (["--ratchet"] if ratchet else [])
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                code = score.main(arguments)
            return code, said.getvalue(), score.read_list(passing)

    def test_only_what_ran_and_passed_is_a_pass(self):
        wanted = {name: "passed" for name in ("[sig-a] ok", "[sig-a] bad", "[sig-b] slow", "[sig-b] gone", "[sig-b] out")}
        wanted["[sig-b] other"] = "skipped"
        ran = {"[sig-a] ok": "passed", "[sig-a] bad": "failed", "[sig-b] slow": "timedout", "[sig-b] out": "skipped",
               "[sig-b] other": "skipped"}
        code, said, _ = self.run_with(wanted, ran)
        self.assertEqual(code, 0)
        self.assertIn("sig-a     1 of    2", said)
        self.assertIn("sig-b     0 of    3", said)
        self.assertIn("missing  [sig-b] gone", said)
        self.assertIn("1 passed, 4 failed", said)

    def test_what_was_green_and_is_red_fails_the_run(self):
        for ran in ({"[sig-a] x": "failed"}, {"[sig-a] x": "skipped"}, {"[sig-a] x": "interrupted"}, {}):
            code, said, _ = self.run_with({"[sig-a] x": "passed"}, ran, before=["[sig-a] x"])
            self.assertEqual(code, 1, ran)
            self.assertIn("were green", said)

    def test_what_was_not_to_run_is_not_lost(self):
        code, _, kept = self.run_with({"[sig-a] x": "passed"}, {"[sig-a] x": "passed"}, ["[sig-b] y"], ratchet=True)
        self.assertEqual(code, 0)
        self.assertEqual(kept, {"[sig-a] x", "[sig-b] y"})

    def test_a_run_that_says_nothing_is_no_success(self):
        self.assertEqual(self.run_with({}, {})[0], 1)


if __name__ == "__main__":
    unittest.main()
