#!/usr/bin/env python3
"""Pods that come and go by the hundred, while their cluster is killed again and again.

churn.py --pods N --kills N --data FOLDER --ledger FOLDER [--namespace NAME] [--image NAME] [--seed N] -- UP ...

Each container writes into the ledger, a folder of the node, when it starts and how it ends. What the API told of it and
what the ledger holds must agree: nothing is lost, nothing runs twice, every exit code is the one that was left.
"""
import argparse
import base64
import http.client
import json
import os
import queue
import random
import ssl
import subprocess
import sys
import threading
import time

import verdict

# How long one pod may take for one step of its life; kills come between, and machines can be slow.
PATIENCE = 300
# How many pods live at once.
AT_ONCE = 16
# The share of kills that come while the cluster is just starting.
EARLY_KILLS = 0.25


class Api:
    """The API server, which may be gone at any moment: every request is tried until it is answered."""

    def __init__(self):
        view = subprocess.check_output(["kubectl", "config", "view", "--raw", "-o", "json"])
        config = json.loads(view)
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self.context = ssl.create_default_context(cadata=authority)
        self.headers = {"Content-Type": "application/json", "Authorization": f"Bearer {user['token']}"}
        self.address = cluster["server"].removeprefix("https://")
        self.local = threading.local()

    def connection(self):
        return http.client.HTTPSConnection(self.address, context=self.context, timeout=30)

    def once(self, method, path, body=None):
        if getattr(self.local, "connection", None) is None:
            self.local.connection = self.connection()
        try:
            self.local.connection.request(method, path, json.dumps(body) if body else None, self.headers)
            answer = self.local.connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            self.local.connection.close()
            self.local.connection = None
            raise

    def ask(self, method, path, body=None, accepted=(200, 201, 202)):
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                status, answer = self.once(method, path, body)
                if status in accepted:
                    return answer
                problem = f"{method} {path}: {status} {answer.get('message')}"
                if status < 500 and status != 429:
                    raise AssertionError(problem)
            except (OSError, http.client.HTTPException, ValueError) as error:
                problem = f"{method} {path}: {error}"
            if time.monotonic() > deadline:
                raise AssertionError(problem)
            time.sleep(0.05)


class Watch(threading.Thread):
    """Follows the pods of a namespace, and keeps what was ever told of each."""

    def __init__(self, api, namespace):
        super().__init__(daemon=True)
        self.api = api
        self.path = f"/api/v1/namespaces/{namespace}/pods"
        self.changed = threading.Condition()
        self.pods = {}
        self.told = {}

    def run(self):
        while True:
            try:
                listed = self.api.ask("GET", self.path)
                with self.changed:
                    self.pods = {}
                    for pod in listed["items"]:
                        self.note("ADDED", pod)
                    self.changed.notify_all()
                self.follow(listed["metadata"]["resourceVersion"])
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(0.05)

    def follow(self, version):
        connection = self.api.connection()
        try:
            path = f"{self.path}?watch=1&timeoutSeconds=20&resourceVersion={version}"
            connection.request("GET", path, headers=self.api.headers)
            answer = connection.getresponse()
            while line := answer.readline():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                with self.changed:
                    self.note(event["type"], event["object"])
                    self.changed.notify_all()
        finally:
            connection.close()

    def note(self, kind, pod):
        name = pod["metadata"]["name"]
        self.told.setdefault(name, verdict.Told()).note(pod)
        if kind == "DELETED":
            self.pods.pop(name, None)
        else:
            self.pods[name] = pod

    def wait(self, name, holds):
        """Waits until something holds for the pod (None when it is not there)."""
        with self.changed:
            if not self.changed.wait_for(lambda: holds(self.pods.get(name)), timeout=PATIENCE):
                raise AssertionError(f"{name} is stuck: {json.dumps((self.pods.get(name) or {}).get('status'))}")


class Killer(threading.Thread):
    """Kills the cluster, and starts it again, as often as was asked for."""

    def __init__(self, options, progress):
        super().__init__()
        self.up = options.up
        self.pid_file = os.path.join(options.data, "ironclad.pid")
        self.wanted, self.pods = options.kills, options.pods
        self.random = random.Random(options.seed + 1)
        self.progress = progress
        self.kills = 0
        self.failure = None

    def run(self):
        try:
            while self.kills < self.wanted:
                # Spread over the pods, so that there are always some on their way.
                self.progress.reach(self.kills * self.pods // self.wanted)
                time.sleep(self.random.random() * 0.4)
                self.kill()
                while not self.bring_up():
                    pass
        except Exception as error:  # Told at the end, by who waits for this thread. Without a cluster nothing goes on.
            self.failure = f"the cluster could not be killed and started: {error}"
            print(self.failure, flush=True)
            self.progress.give_up()

    def kill(self):
        """Kills the process that the lock file names, if it is ours."""
        try:
            with open(self.pid_file) as file:
                pid = int(file.read())
            if os.path.realpath(f"/proc/{pid}/exe") != os.path.realpath(self.up[0]):
                return
            os.kill(pid, 9)
            self.kills += 1
        except (OSError, ValueError):
            pass  # It is not there yet.

    def bring_up(self):
        """Starts the cluster. False if it was killed while it started."""
        process = subprocess.Popen(self.up, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        before = self.kills
        if self.kills < self.wanted and self.random.random() < EARLY_KILLS:
            time.sleep(self.random.random() * 0.8)
            self.kill()
        said, _ = process.communicate(timeout=PATIENCE)
        if process.returncode == 0:
            return self.kills == before
        if self.kills == before:
            raise AssertionError(f"{' '.join(self.up)} failed: {said}")
        return False


class Progress:
    """How many pods have begun."""

    def __init__(self):
        self.changed = threading.Condition()
        self.begun = 0
        self.given_up = False

    def give_up(self):
        with self.changed:
            self.given_up = True

    def begin(self):
        with self.changed:
            self.begun += 1
            self.changed.notify_all()

    def reach(self, number):
        with self.changed:
            if not self.changed.wait_for(lambda: self.begun >= number, timeout=PATIENCE * 4):
                raise AssertionError(f"only {self.begun} pods began")


class Churn:
    def __init__(self, options):
        self.options = options
        self.api = Api()
        self.watch = Watch(self.api, options.namespace)
        self.progress = Progress()
        self.plans = queue.SimpleQueue()
        self.problems = []
        self.started = time.monotonic()

    def run(self):
        plans = verdict.plans(self.options.pods, self.options.seed)
        for plan in plans:
            self.plans.put(plan)
        self.watch.start()
        killer = Killer(self.options, self.progress)
        workers = [threading.Thread(target=self.work) for _ in range(AT_ONCE)]
        for thread in [killer, *workers]:
            thread.start()
        for thread in [*workers, killer]:
            thread.join()
        if killer.failure:
            self.problems.append(killer.failure)
        self.judge(plans)
        seconds = time.monotonic() - self.started
        print(f"{len(plans)} pods, {killer.kills} kills, {seconds:.0f} s, {len(self.problems)} problems")
        return self.problems

    def work(self):
        while not self.progress.given_up:
            try:
                plan = self.plans.get_nowait()
            except queue.Empty:
                return
            try:
                self.progress.begin()
                if plan.number % 100 == 0:
                    print(f"pod {plan.number}, {time.monotonic() - self.started:.0f} s", flush=True)
                self.live(plan)
            except Exception as error:  # One pod's trouble is told, and the others go on.
                self.problems.append(f"{plan.name} ({plan.kind}): {error}")

    def live(self, plan):
        """One pod, from its making to its end."""
        path = f"/api/v1/namespaces/{self.options.namespace}/pods"
        pod = plan.pod(self.options.image, self.options.ledger)
        # An answer may have been lost with the server: then it is there already.
        self.api.ask("POST", path, pod, accepted=(201, 409))
        if plan.lasts:
            self.watch.wait(plan.name, lambda pod: pod and verdict.is_ready(pod))
            self.wait_for_start(plan)
        elif plan.ends:
            self.watch.wait(plan.name, lambda pod: pod and verdict.phase(pod) in verdict.TERMINAL)
        else:
            time.sleep(plan.pause)
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": plan.grace}
        self.api.ask("DELETE", f"{path}/{plan.name}", options, accepted=(200, 202, 404))
        self.watch.wait(plan.name, lambda pod: pod is None)

    def wait_for_start(self, plan):
        """Waits until the container itself says that it runs: before, it would not hear that it is to end."""
        deadline = time.monotonic() + PATIENCE
        while "start" not in self.ledger(plan):
            if time.monotonic() > deadline:
                raise AssertionError("it is ready, and never said that it began")
            time.sleep(0.02)

    def ledger(self, plan):
        """What the pod's container wrote."""
        try:
            with open(os.path.join(self.options.ledger, plan.name)) as file:
                return file.read().split()
        except FileNotFoundError:
            return []

    def judge(self, plans):
        for plan in plans:
            lines = self.ledger(plan)
            told = self.watch.told.get(plan.name, verdict.Told())
            found = verdict.complaints(plan, told, lines)
            self.problems += [f"{plan.name} ({plan.kind}): {what}" for what in found]
            self.problems += [f"  {line}" for line in told.history if found]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, required=True)
    parser.add_argument("--kills", type=int, required=True)
    parser.add_argument("--data", required=True, help="the cluster's directory")
    parser.add_argument("--ledger", required=True)
    parser.add_argument("--namespace", default="churn")
    parser.add_argument("--image", default="local.test/busybox:1")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("up", nargs="+", help="the command that starts the cluster")
    options = parser.parse_args()
    problems = Churn(options).run()
    for problem in problems[:50]:
        print(problem)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
