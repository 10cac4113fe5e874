"""The list of cases; each says which of upstream's conformance tests it stands for."""

CASES = []


def shows(*tests):
    """Marks a function as a case: it stands for these tests, named without their group and labels."""
    def mark(function):
        CASES.append((function, tests))
        return function
    return mark
