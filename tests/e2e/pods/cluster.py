"""The API of a cluster, for tests: objects, waiting, logs, and commands over WebSocket."""
import base64
import http.client
import json
import os
import ssl
import struct
import subprocess
import threading
import time
from urllib.parse import quote, urlsplit

IMAGE = "local.test/busybox:1"
PATIENCE = 150  # seconds: a machine may be slow, a cluster may not be stuck


class Failure(Exception):
    """What a case found wrong."""


def equal(what, wanted, got):
    if wanted != got:
        raise Failure(f"{what}: wanted {wanted!r}, got {got!r}")


def holds(what, condition):
    if not condition:
        raise Failure(f"{what} does not hold")


def until(what, look, patience=PATIENCE):
    """Looks until what is found is true, and answers it."""
    deadline = time.monotonic() + patience
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Failure(f"{what}: it never came")
        time.sleep(0.2)


def container(command=None, name="app", **more):
    """A container that runs a shell script, or what the image says."""
    made = {"name": name, "image": IMAGE, "imagePullPolicy": "Never", **more}
    return {**made, "command": ["sh", "-c", command]} if command else made


def lasting(script=""):
    """A script that goes on until it is asked to end."""
    return f"{script}\ntrap 'exit 0' TERM; while :; do sleep 0.1; done"


class Cluster:
    """A cluster by its kubeconfig, and the namespace in which a case works."""

    def __init__(self, kubectl, namespace):
        config = json.loads(subprocess.check_output([kubectl, "config", "view", "--raw", "-o", "json"]))
        user, cluster = config["users"][0]["user"], config["clusters"][0]["cluster"]
        self.namespace = namespace
        self.address = urlsplit(cluster["server"]).netloc
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self.tls = ssl.create_default_context(cadata=authority)
        self.who = {"Authorization": f"Bearer {user['token']}"}
        self.connections = threading.local()

    def ask(self, method, path, body=None, kind="application/json"):
        """The status and the body of an answer; a connection that was closed meanwhile is made anew."""
        data = None if body is None else json.dumps(body)
        for attempt in (0, 1):
            connection = getattr(self.connections, "open", None)
            if connection is None:
                connection = http.client.HTTPSConnection(self.address, context=self.tls, timeout=60)
                self.connections.open = connection
            try:
                connection.request(method, path, data, {"Content-Type": kind, **self.who})
                answer = connection.getresponse()
                return answer.status, answer.read()
            except (http.client.HTTPException, OSError):
                self.connections.open = None
                if attempt:
                    raise

    def json(self, method, path, body=None, kind="application/json"):
        status, answer = self.ask(method, path, body, kind)
        if status >= 300:
            raise Failure(f"{method} {path}: {status} {answer.decode()[:500]}")
        return json.loads(answer)

    def watch(self, path):
        """Opens a watch at once; its events are read as they are asked for, until a minute passes without one."""
        connection = http.client.HTTPSConnection(self.address, context=self.tls, timeout=60)
        connection.request("GET", path + "&watch=true&timeoutSeconds=300", headers=self.who)
        answer = connection.getresponse()
        equal(f"a watch of {path}", 200, answer.status)
        return (json.loads(line) for line in answer)

    def path(self, resource, name="", part=""):
        path = f"/api/v1/namespaces/{self.namespace}/{resource}"
        return path + (f"/{name}" if name else "") + (f"/{part}" if part else "")

    def create(self, resource, name, **fields):
        return self.json("POST", self.path(resource), {"metadata": {"name": name}, **fields})

    def pod(self, name, *containers, metadata=None, **spec):
        """Makes a pod of these containers."""
        spec = {"terminationGracePeriodSeconds": 1, "restartPolicy": "Never", **spec}
        spec["containers"] = list(containers)
        body = {"metadata": {"name": name, **(metadata or {})}, "spec": spec}
        return self.json("POST", self.path("pods"), body)

    def get(self, name):
        return self.json("GET", self.path("pods", name))

    def patch(self, name, change, part=""):
        kind = "application/strategic-merge-patch+json"
        return self.json("PATCH", self.path("pods", name, part), change, kind)

    def delete(self, name, grace=None):
        query = "" if grace is None else f"?gracePeriodSeconds={grace}"
        return self.json("DELETE", self.path("pods", name) + query)

    def wait(self, name, what, look, patience=PATIENCE):
        """Waits until something holds of a pod, and answers the pod."""
        last = {}

        def found():
            last["pod"] = self.get(name)
            return last["pod"] if look(last["pod"]) else None

        try:
            return until(f"pod {name} {what}", found, patience)
        except Failure as failure:
            raise Failure(f"{failure}; its status: {json.dumps(last['pod'].get('status'))}") from None

    def ready(self, name):
        return self.wait(name, "is ready", is_ready)

    def ended(self, name, phase="Succeeded"):
        """Waits for a pod's end; another end than this is a failure."""
        over = ("Succeeded", "Failed")
        pod = self.wait(name, "ends", lambda pod: pod["status"].get("phase") in over)
        equal(f"how pod {name} ended ({json.dumps(pod['status'])}, {self.log_of_any(pod)})", phase, pod["status"]["phase"])
        return pod

    def gone(self, name):
        until(f"pod {name} is gone", lambda: self.ask("GET", self.path("pods", name))[0] == 404)

    def log(self, name, container="app"):
        path = self.path("pods", name, "log") + f"?container={container}"
        status, text = self.ask("GET", path)
        equal(f"the log of {name}/{container}", 200, status)
        return text.decode()

    def log_of_any(self, pod):
        logs = (self.ask("GET", self.path("pods", pod["metadata"]["name"], "log") + f"?container={one['name']}")[1]
                for one in pod["spec"]["containers"])
        return b" | ".join(logs).decode(errors="replace")[:500]

    def output(self, name, script, phase="Succeeded", spec=None, **fields):
        """What a pod prints that runs a script to its end."""
        self.pod(name, container(script, **fields), **(spec or {}))
        self.ended(name, phase)
        return self.log(name)

    def run(self, name, script, container="app"):
        """The output of a command in a container, and its code."""
        query = "&".join(f"command={quote(word)}" for word in ("sh", "-c", script))
        path = self.path("pods", name, "exec") + f"?container={container}&stdout=true&stderr=true&{query}"
        streams = {}
        for frame in self.websocket(path, "v4.channel.k8s.io"):
            if frame:
                streams[frame[0]] = streams.get(frame[0], b"") + frame[1:]
        verdict = json.loads(streams.get(3, b"{}") or b"{}")
        code = 0
        if verdict.get("status") == "Failure":
            causes = verdict.get("details", {}).get("causes", [])
            code = next((int(cause["message"]) for cause in causes if cause.get("reason") == "ExitCode"), -1)
        return (streams.get(1, b"") + streams.get(2, b"")).decode(), code

    def websocket(self, path, protocol):
        """The messages that come over a WebSocket until it is closed."""
        connection = http.client.HTTPSConnection(self.address, context=self.tls, timeout=60)
        key = base64.b64encode(os.urandom(16)).decode()
        headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                   "Sec-WebSocket-Key": key, "Sec-WebSocket-Protocol": protocol, **self.who}
        connection.request("GET", path, headers=headers)
        answer = connection.response_class(connection.sock, method="GET")
        answer.begin()
        equal(f"an upgrade of {path}", (101, protocol), (answer.status, answer.getheader("Sec-WebSocket-Protocol")))
        messages, whole = [], b""
        while True:
            first = answer.fp.read(2)
            if len(first) < 2:
                break
            length = first[1] & 0x7F
            if length == 126:
                length, = struct.unpack(">H", answer.fp.read(2))
            elif length == 127:
                length, = struct.unpack(">Q", answer.fp.read(8))
            content = answer.fp.read(length)
            if first[0] & 0x0F == 8:
                break
            whole += content
            if first[0] & 0x80:
                messages.append(whole)
                whole = b""
        connection.close()
        return messages


def is_ready(pod):
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def status_of(pod, name="app", which="containerStatuses"):
    """A container's status, empty if there is none yet."""
    return next((one for one in pod["status"].get(which, []) if one["name"] == name), {})


def restarts(pod, name="app"):
    return status_of(pod, name).get("restartCount", 0)


def terminated(pod, name="app", which="containerStatuses"):
    return status_of(pod, name, which).get("state", {}).get("terminated", {})
