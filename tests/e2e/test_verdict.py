"""What the churn complains about, and what it does not."""
import unittest

import verdict


def told(phases, codes=(), restarts=(0,), containers=("a",)):
    made = verdict.Told()
    made.phases, made.codes = list(phases), set(codes)
    made.restarts, made.containers = list(restarts), set(containers)
    return made


def plan(kind, code):
    return verdict.Plan(number=1, kind=kind, code=code, pause=0.1)


GOOD = [
    (plan("once", 7), told(["Pending", "Running", "Failed"], {7}), ["start", "end"]),
    (plan("once", 0), told(["Pending", "Succeeded"], {0}), ["start", "end"]),
    (plan("again", 7), told(["Running", "Succeeded"], {7, 0}, (0, 1), "ab"), ["start", "start", "end"]),
    (plan("again", 0), told(["Running", "Succeeded"], {0}), ["start"]),
    (plan("long", 42), told(["Pending", "Running"]), ["start", "end"]),
    (plan("long", 42), told(["Running", "Failed"], {42}), ["start", "end"]),
    (plan("early", 42), told(["Pending"], containers=()), []),
    (plan("force", 42), told(["Pending", "Running"]), ["start"]),
]
BAD = [
    ("a lost start", plan("once", 7), told(["Failed"], {7}), []),
    ("a second start", plan("once", 7), told(["Failed"], {7}), ["start", "end", "start"]),
    ("a second container", plan("force", 7), told(["Running"], containers="ab"), ["start"]),
    ("another exit code", plan("once", 7), told(["Failed"], {137}), ["start", "end"]),
    ("no exit code", plan("once", 7), told(["Failed"]), ["start", "end"]),
    ("another exit code at the end", plan("long", 42), told(["Running", "Failed"], {137}), ["start", "end"]),
    ("killed, not asked", plan("long", 42), told(["Running"]), ["start"]),
    ("a restart that was none", plan("once", 7), told(["Failed"], {7}, (0, 1)), ["start", "end"]),
    ("restarts that shrink", plan("again", 7), told(["Succeeded"], {7, 0}, (1, 0), "ab"), ["start", "start", "end"]),
    ("no second start", plan("again", 7), told(["Running"], {7}, (0,)), ["start"]),
    ("back from its end", plan("early", 7), told(["Running", "Failed", "Running"]), ["start"]),
    ("both ends", plan("early", 7), told(["Failed", "Succeeded"]), ["start"]),
]


class Complaints(unittest.TestCase):
    def test_there_are_none_about_pods_that_went_as_planned(self):
        for case, seen, ledger in GOOD:
            self.assertEqual(verdict.complaints(case, seen, ledger), [], (case, ledger))

    def test_there_is_one_about_everything_else(self):
        for what, case, seen, ledger in BAD:
            self.assertNotEqual(verdict.complaints(case, seen, ledger), [], what)

    def test_every_kind_of_pod_is_drawn(self):
        drawn = verdict.plans(200, seed=1)
        self.assertEqual({plan.kind for plan in drawn}, set(verdict.KINDS))
        self.assertEqual(drawn, verdict.plans(200, seed=1))


if __name__ == "__main__":
    unittest.main()
