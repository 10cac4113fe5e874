#!/usr/bin/env python3
"""Tests of the page of figures: what a run printed is what it shows."""
import json
import unittest
from unittest import mock

import status


class Pages(unittest.TestCase):
    def test_a_section_replaces_the_one_that_was_there(self):
        with mock.patch.object(status, "measured", lambda: "abc"):
            page = status.replaced("", "bench", ["old figures"])
            page = status.replaced(page, "conformance", ["a table"])
            page = status.replaced(page, "bench", ["new figures"])
        self.assertNotIn("old figures", page)
        titles = [line for line in page.splitlines() if line.startswith("#")]
        self.assertEqual(titles, ["# Status", "## Conformance", "## Benchmarks"])
        self.assertIn("commit abc", page)

    def test_a_bound_that_is_missed_is_said(self):
        line = json.dumps({"bound": 60.0, "holds": False, "name": "commits", "peer": None, "unit": "%", "value": 40.05})
        lines = status.bench(f"noise\n{line}\n")
        self.assertEqual(lines[-1], "| commits | 40 % | 60 |  | **missed** |")

    def test_a_peer_is_named_with_its_figure(self):
        peer = {"name": "etcd", "value": 7500.0}
        line = json.dumps({"bound": 8.0, "holds": True, "name": "puts", "peer": peer, "unit": "times", "value": 9.0})
        self.assertEqual(status.bench(line)[-1], "| puts | 9 times | 8 | etcd: 7500 | holds |")

    def test_tests_that_did_not_pass_are_named(self):
        summary = {"passed": 1, "run": 2, "groups": {"sig-a": [1, 2]}, "red": {"[sig-a] x": "missing"}}
        lines = status.conformance(json.dumps(summary))
        self.assertIn("| sig-a | 1 | 2 |", lines)
        self.assertIn("- missing: `[sig-a] x`", lines)

    def test_the_replayers_table_is_taken_as_it_stands(self):
        lines = status.compat("x\narea     cases   body\nwatch       14   100.0%\nTOTAL      734    84.7%\n")
        self.assertEqual(lines[-1], "| TOTAL | 734 | 84.7% |")


if __name__ == "__main__":
    unittest.main()
