"""What the pods of the churn are, and what must be true of each when it is gone."""
import dataclasses
import json
import random

TERMINAL = ("Succeeded", "Failed")

# How often each kind comes, of ten.
KINDS = ["once"] * 4 + ["again"] + ["long"] * 3 + ["early", "force"]

SCRIPTS = {
    # Runs to its end, and is seen to have ended.
    "once": "echo start >>$L; sleep {pause}; echo end >>$L; exit {code}",
    # Fails once, and is started again.
    "again": "echo start >>$L; mkdir $L.first 2>/dev/null && exit {code}; echo end >>$L; exit 0",
    # Runs until it is told to end.
    "long": "trap 'echo end >>$L; exit {code}' TERM; echo start >>$L; while :; do sleep 0.1; done",
}


@dataclasses.dataclass(frozen=True)
class Plan:
    """One pod: `kind` says what becomes of it, `code` is the exit code its container leaves."""

    number: int
    kind: str
    code: int
    pause: float

    @property
    def name(self):
        return f"churn-{self.number}"

    @property
    def lasts(self):
        """Whether it is to be seen running before it is deleted."""
        return self.kind == "long"

    @property
    def ends(self):
        """Whether it comes to its end by itself."""
        return self.kind in ("once", "again")

    @property
    def grace(self):
        return {"force": 0, "early": 2}.get(self.kind, 30)

    def pod(self, image, ledger):
        """The pod as it is posted. Some have more to them, which must go with them as well."""
        script = SCRIPTS.get(self.kind, SCRIPTS["long"]).format(pause=f"{self.pause:.2f}", code=self.code)
        mounts = [{"name": "ledger", "mountPath": "/ledger"}]
        volumes = [{"name": "ledger", "hostPath": {"path": ledger}}]
        if self.number % 2:
            mounts += [{"name": "scratch", "mountPath": "/scratch"}, {"name": "memory", "mountPath": "/memory"}]
            volumes += [{"name": "scratch", "emptyDir": {}}, {"name": "memory", "emptyDir": {"medium": "Memory"}}]
        container = {
            "name": "main",
            "image": image,
            "imagePullPolicy": "Never",
            "command": ["sh", "-c", f"L=/ledger/{self.name}; {script}"],
            "volumeMounts": mounts,
        }
        if self.number % 5 == 0:
            container["resources"] = {"requests": {"cpu": "1m", "memory": "4Mi"}, "limits": {"memory": "64Mi"}}
        if self.number % 7 == 0:
            container["ports"] = [{"containerPort": 80, "hostPort": 20000 + self.number % 10000}]
        spec = {
            "restartPolicy": "OnFailure" if self.kind == "again" else "Never",
            "containers": [container],
            "volumes": volumes,
        }
        if self.number % 3 == 0:
            spec["shareProcessNamespace"] = True
        if self.number % 4 == 0:
            early = {"name": "early", "image": image, "imagePullPolicy": "Never", "command": ["true"]}
            spec["initContainers"] = [early]
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": self.name}, "spec": spec}


def plans(count, seed):
    drawn = random.Random(seed)
    return [
        Plan(number, drawn.choice(KINDS), drawn.choice([0, 1, 7, 42, 143, 255]), drawn.random() * 0.6)
        for number in range(count)
    ]


def phase(pod):
    return pod.get("status", {}).get("phase")


def main_status(pod):
    statuses = pod.get("status", {}).get("containerStatuses") or []
    return next((status for status in statuses if status["name"] == "main"), {})


def is_ready(pod):
    return main_status(pod).get("ready") is True


class Told:
    """All that the API ever told of one pod."""

    def __init__(self):
        self.phases = []
        self.restarts = []
        self.containers = set()
        self.codes = set()
        self.history = []

    def note(self, pod):
        status = main_status(pod)
        seen = {key: status.get(key) for key in ("containerID", "restartCount", "state", "lastState")}
        line = f"{phase(pod)} {pod['metadata'].get('deletionTimestamp', '')} {json.dumps(seen)}"
        if self.history[-1:] != [line]:
            self.history.append(line)
        self.phases.append(phase(pod))
        self.restarts.append(status.get("restartCount", 0))
        # One that was made, and whose start nobody was left to ask for, never ran.
        if "running" in (status.get("state") or {}):
            self.containers.add(status["containerID"])
        for state in (status.get("state") or {}, status.get("lastState") or {}):
            if "terminated" in state:
                self.codes.add(state["terminated"]["exitCode"])
                self.containers.add(state["terminated"].get("containerID"))


def complaints(plan, told, ledger):
    """What is wrong about a pod that is gone: nothing, if all is well."""
    starts, ends = ledger.count("start"), ledger.count("end")
    most = 2 if plan.kind == "again" else 1
    found = []
    if starts > most or len(told.containers) > most:
        found.append(f"started {starts} times, as {sorted(told.containers)}")
    if told.restarts != sorted(told.restarts) or max(told.restarts, default=0) >= most:
        found.append(f"restarts were told as {told.restarts}")
    finals = [told_phase for told_phase in told.phases if told_phase in TERMINAL]
    if len(set(finals)) > 1 or told.phases[len(told.phases) - len(finals) :] != finals:
        found.append(f"phases were told as {told.phases}")
    return found + (lost(plan, told, starts, ends) if plan.ends or plan.lasts else [])


def lost(plan, told, starts, ends):
    """What is missing of a pod whose life was followed to its end."""
    found = []
    wanted = {"once": (1, 1), "again": (2, 1) if plan.code else (1, 0), "long": (1, 1)}[plan.kind]
    if (starts, ends) != wanted:
        found.append(f"started and ended {(starts, ends)} times, not {wanted}")
    codes = {plan.code, 0} if plan.kind == "again" else {plan.code}
    # One that is deleted need not be told of again before it is gone.
    if told.codes - codes or (plan.ends and told.codes != codes):
        found.append(f"exit codes were told as {sorted(told.codes)}, not {sorted(codes)}")
    failed = plan.kind == "once" and plan.code
    if plan.ends and told.phases[-1] != ("Failed" if failed else "Succeeded"):
        found.append(f"its last phase is {told.phases[-1]}")
    return found
