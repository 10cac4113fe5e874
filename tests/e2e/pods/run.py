#!/usr/bin/env python3
"""Pods with real containers, side by side: what upstream's conformance tests of the node look at, and what its ladders
of node features promise. Every name in conformance.txt must have a case.

run.py KUBECTL [WORD...]   only the cases whose names contain one of the words
"""
import concurrent.futures
import os
import pathlib
import sys
import time
import traceback

import environment, lifecycle, objects, probes, resize, security  # noqa: E401,F401 (they fill the list of cases)
from cases import CASES
from cluster import Cluster, Failure, until

SIDE_BY_SIDE = 12


def unproved():
    """The names that no case stands for, and those that cases name although they are not on the list."""
    listed = set(pathlib.Path(__file__).with_name("conformance.txt").read_text(encoding="utf-8").splitlines())
    named = {test for _, tests in CASES for test in tests}
    return sorted(listed ^ named)


def perform(case, kubectl):
    """Runs one case in a namespace of its own, and answers what went wrong and how long it took."""
    began = time.monotonic()
    cluster = Cluster(kubectl, f"pods-{case.__name__.replace('_', '-')}-{os.getpid()}")
    problem = None
    try:
        cluster.json("POST", "/api/v1/namespaces", {"metadata": {"name": cluster.namespace}})
        account = cluster.path("serviceaccounts", "default")
        until("the namespace has its account", lambda: cluster.ask("GET", account)[0] == 200)
        case(cluster)
    except Failure as failure:
        problem = str(failure)
    except Exception:  # pylint: disable=broad-except
        problem = traceback.format_exc()
    finally:
        cluster.ask("DELETE", f"/api/v1/namespaces/{cluster.namespace}")
    return problem, time.monotonic() - began


def main():
    kubectl, words = sys.argv[1], sys.argv[2:]
    missing = unproved()
    if missing:
        print("names without a case, or cases of names that are not listed:", *missing, sep="\n  ")
        return 1
    chosen = [case for case, _ in CASES if not words or any(word in case.__name__ for word in words)]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        running = {pool.submit(perform, case, kubectl): case for case in chosen}
        for done in concurrent.futures.as_completed(running):
            problem, took = done.result()
            failed += problem is not None
            print(f"{'FAIL' if problem else 'ok  '}  {running[done].__name__} ({took:.1f} s) {problem or ''}", flush=True)
    print(f"{len(chosen) - failed} of {len(chosen)} cases passed")
    return 1 if failed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
