"""Pods as objects: made, changed, watched, asked for over WebSocket, and taken away."""
from cases import shows
from cluster import container, equal, holds, lasting, until


@shows("Pods should be submitted and removed",
       "Pods should run through the lifecycle of Pods and PodStatus")
def a_life(cluster):
    made = cluster.pod("life", container(lasting()), metadata={"labels": {"life": "one"}},
                       terminationGracePeriodSeconds=20)
    path = cluster.path("pods") + f"?labelSelector=life%3Done&resourceVersion={made['metadata']['resourceVersion']}"
    events = cluster.watch(path)
    cluster.ready("life")
    cluster.patch("life", {"metadata": {"labels": {"more": "so"}}})
    cluster.patch("life", {"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "said"}]}}, "status")
    cluster.ready("life")
    cluster.delete("life")
    cluster.gone("life")
    seen = []
    for event in events:
        seen.append(event)
        if event["type"] == "DELETED":
            break
    kinds = [event["type"] for event in seen]
    equal("the last event", "DELETED", (kinds or [None])[-1])
    holds(f"only changes before ({kinds})", set(kinds[:-1]) == {"MODIFIED"})
    holds("its end was told before it went", any("deletionTimestamp" in event["object"]["metadata"] for event in seen))
    holds("what was patched was told", any(event["object"]["metadata"]["labels"].get("more") == "so" for event in seen))


@shows("Pods should be updated",
       "Pods should allow activeDeadlineSeconds to be updated",
       "Pods should patch a pod status")
def changes(cluster):
    cluster.pod("changed", container(lasting()), metadata={"labels": {"time": "one"}})
    cluster.ready("changed")

    def put():
        # The node may write meanwhile: whoever changes a whole pod reads it again then.
        pod = cluster.get("changed")
        pod["metadata"]["labels"]["time"] = "two"
        return cluster.ask("PUT", cluster.path("pods", "changed"), pod)[0] == 200

    until("it is replaced", put)
    found = cluster.json("GET", cluster.path("pods") + "?labelSelector=time%3Dtwo")["items"]
    equal("those with the label", ["changed"], [one["metadata"]["name"] for one in found])
    patched = cluster.patch("changed", {"status": {"message": "patched"}}, "status")
    equal("a patched status", "patched", patched["status"].get("message"))
    cluster.patch("changed", {"spec": {"activeDeadlineSeconds": 2}})
    over = cluster.ended("changed", "Failed")
    equal("why it ended", "DeadlineExceeded", over["status"]["reason"])


@shows("Pods should delete a collection of pods")
def collections(cluster):
    for number in range(3):
        cluster.pod(f"of-many-{number}", container(lasting()), metadata={"labels": {"many": "yes"}})
    cluster.ready("of-many-0")
    path = cluster.path("pods") + "?labelSelector=many%3Dyes"
    cluster.json("DELETE", path)
    until("none is left", lambda: not cluster.json("GET", path)["items"])


@shows("Pods should support remote command execution over websockets",
       "Pods should support retrieving logs from the container over websockets")
def websockets(cluster):
    cluster.pod("sockets", container(lasting("echo 'a line'")))
    cluster.ready("sockets")
    equal("a command", ("remote\n", 0), cluster.run("sockets", "echo remote"))
    equal("a failing one", ("bad\n", 7), cluster.run("sockets", "echo bad >&2; exit 7"))
    path = cluster.path("pods", "sockets", "log") + "?container=app"
    equal("its log", b"a line\n", b"".join(cluster.websocket(path, "binary.k8s.io")))
