"""How containers of a pod follow each other, end, and are started again; hooks; what is said of their ends."""
from cases import shows
from cluster import (Failure, container, equal, holds, is_ready, lasting, restarts, status_of, terminated, until)


@shows("InitContainer should invoke init containers on a RestartNever pod",
       "InitContainer should invoke init containers on a RestartAlways pod",
       "InitContainer should not start app containers and fail the pod if init containers fail on a RestartNever pod",
       "InitContainer should not start app containers if init containers fail on a RestartAlways pod")
def init_containers(cluster):
    first, second = container("true", "first"), container("true", "second")
    bad = container("exit 1", "first")
    cluster.pod("init-never", container("true"), initContainers=[first, second])
    cluster.pod("init-always", container(lasting()), initContainers=[first, second], restartPolicy="Always")
    cluster.pod("init-fails", container("true"), initContainers=[bad, second])
    cluster.pod("init-again", container(lasting()), initContainers=[bad, second], restartPolicy="Always")
    for pod in (cluster.ended("init-never"), cluster.ready("init-always")):
        ends = [terminated(pod, name, "initContainerStatuses").get("exitCode") for name in ("first", "second")]
        equal("how those before ended", [0, 0], ends)
        holds("it is initialized", condition(pod, "Initialized") == "True")
    failed = cluster.ended("init-fails", "Failed")
    equal("the first's end", 1, terminated(failed, "first", "initContainerStatuses")["exitCode"])
    for which, name in (("initContainerStatuses", "second"), ("containerStatuses", "app")):
        holds(f"{name} never began", "waiting" in status_of(failed, name, which)["state"])
    again = cluster.wait("init-again", "tries again", lambda pod: status_of(pod, "first", "initContainerStatuses")
                         .get("restartCount", 0) >= 2)
    equal("its phase meanwhile", "Pending", again["status"]["phase"])
    holds("its container waits", "waiting" in status_of(again)["state"])
    equal("it is not initialized", "False", condition(again, "Initialized"))


def condition(pod, kind):
    return next((one["status"] for one in pod["status"]["conditions"] if one["type"] == kind), None)


@shows()
def sidecars(cluster):
    """A sidecar starts before the containers, goes on beside them, is started again, and ends after them."""
    sidecar = container(lasting("echo beside"), "beside", restartPolicy="Always",
                        startupProbe={"exec": {"command": ["true"]}, "periodSeconds": 1})
    cluster.pod("sidecar", container("sleep 3"), initContainers=[sidecar, container("true", "after")])
    pod = cluster.ended("sidecar")
    beside = terminated(pod, "beside", "initContainerStatuses")
    holds("it began before the container", beside["startedAt"] <= terminated(pod)["startedAt"])
    holds("it ended after it", beside["finishedAt"] >= terminated(pod)["finishedAt"])
    cluster.pod("sidecar-dies", container(lasting()), initContainers=[{**sidecar, **container("sleep 1", "beside")}])
    cluster.wait("sidecar-dies", "has its sidecar again",
                 lambda pod: status_of(pod, "beside", "initContainerStatuses").get("restartCount", 0) >= 1)
    equal("the container did not notice", 0, restarts(cluster.get("sidecar-dies")))


@shows()
def restart_rules(cluster):
    """A container's own rules say after which exit codes it is started again, whatever the pod's policy says."""
    rules = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
    count = "echo x >>/count/x; [ $(wc -l </count/x) -lt 3 ] && exit 42; exit 3"
    fields = {"restartPolicy": "Never", "restartPolicyRules": rules,
              "volumeMounts": [{"name": "count", "mountPath": "/count"}]}
    cluster.pod("rules", container(count, **fields), volumes=[{"name": "count", "emptyDir": {}}])
    pod = cluster.ended("rules", "Failed")
    equal("restarts and the last code", (2, 3), (restarts(pod), terminated(pod)["exitCode"]))


@shows()
def restarts_of_all(cluster):
    """A container's rules may start all containers of its pod again, the init containers too."""
    rules = [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}]
    mounts = {"volumeMounts": [{"name": "count", "mountPath": "/count"}]}
    # What was not started yet would not be started again; the second time, too, it is to be there first.
    source = container("until [ -e /count/beside ]; do sleep 0.1; done; rm /count/beside; "
                       "[ $(wc -l </count/init) -lt 2 ] && exit 42; exit 0",
                       restartPolicy="Never", restartPolicyRules=rules, **mounts)
    cluster.pod("all", source, container(lasting("touch /count/beside"), "beside", **mounts),
                initContainers=[container("echo x >>/count/init", "first", **mounts)],
                volumes=[{"name": "count", "emptyDir": {}}])
    pod = cluster.wait("all", "has ended its first container well", lambda pod: terminated(pod).get("exitCode") == 0)
    equal("how often each was started again", (1, 1, 1), (
        status_of(pod, "first", "initContainerStatuses")["restartCount"], restarts(pod), restarts(pod, "beside")))
    holds("the one beside it runs", "running" in status_of(pod, "beside")["state"])
    equal("the condition", "False", condition(pod, "AllContainersRestarting"))


@shows("Container Runtime blackbox test when starting a container that exits should run with the expected status")
def restart_policies(cluster):
    script = "echo x >>/count/x; if [ $(wc -l </count/x) -ge 3 ]; then {last}\nfi; exit {code}"
    for policy, code, last, phase, count in [
            ("Never", 1, "true", "Failed", 0), ("OnFailure", 1, "exit 0", "Succeeded", 2),
            ("Always", 0, lasting(), "Running", 2)]:
        name = f"policy-{policy.lower()}"
        cluster.pod(name, container(script.format(last=last, code=code),
                                    volumeMounts=[{"name": "count", "mountPath": "/count"}]),
                    volumes=[{"name": "count", "emptyDir": {}}], restartPolicy=policy)
        pod = cluster.wait(name, f"is {phase} after {count} restarts", lambda pod, phase=phase, count=count:
                           pod["status"].get("phase") == phase and restarts(pod) == count
                           and (phase != "Running" or is_ready(pod)))
        holds("its state", ("running" if phase == "Running" else "terminated") in status_of(pod)["state"])


@shows("Container Runtime blackbox test on terminated container should report termination message as empty when pod "
       "succeeds and TerminationMessagePolicy FallbackToLogsOnError is set",
       "Container Runtime blackbox test on terminated container should report termination message from file when pod "
       "succeeds and TerminationMessagePolicy FallbackToLogsOnError is set",
       "Container Runtime blackbox test on terminated container should report termination message from log output if "
       "TerminationMessagePolicy FallbackToLogsOnError is set",
       "Container Runtime blackbox test on terminated container should report termination message if "
       "TerminationMessagePath is set as non-root user and at a non-default path")
def last_words(cluster):
    fallback = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    for number, (script, fields, message) in enumerate([
            ("echo log; exit 0", fallback, None),
            ("printf file >/dev/termination-log; echo log", fallback, "file"),
            ("echo log; exit 1", fallback, "log\n"),
            ("printf elsewhere >/dev/other", {"terminationMessagePath": "/dev/other",
                                              "securityContext": {"runAsUser": 1000}}, "elsewhere")]):
        name = f"words-{number}"
        cluster.pod(name, container(script, **fields))
        pod = cluster.ended(name, "Failed" if "exit 1" in script else "Succeeded")
        equal(f"the last words of '{script}'", message, terminated(pod).get("message"))


HANDLER = r"""printf '#!/bin/sh\nread -r line; echo "$line" >>/tmp/asked; printf "HTTP/1.0 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n"\n' >/tmp/answer
chmod +x /tmp/answer; touch /tmp/asked; exec nc -ll -p 8080 -e /tmp/answer"""


@shows("Container Lifecycle Hook when create a pod with lifecycle hook should execute poststart exec hook properly",
       "Container Lifecycle Hook when create a pod with lifecycle hook should execute poststart http hook properly",
       "Container Lifecycle Hook when create a pod with lifecycle hook should execute prestop exec hook properly",
       "Container Lifecycle Hook when create a pod with lifecycle hook should execute prestop http hook properly",
       "PreStop should call prestop when killing a pod")
def hooks(cluster):
    probe = {"exec": {"command": ["sh", "-c", "wget -q -O /dev/null http://127.0.0.1:8080/ready"]}, "periodSeconds": 1}
    cluster.pod("handler", container(HANDLER, readinessProbe=probe))
    address = cluster.ready("handler")["status"]["podIP"]

    def called(path):
        until(f"{path} is asked for", lambda: f"GET /{path} " in cluster.run("handler", "cat /tmp/asked")[0])

    for kind, moment in (("exec", "postStart"), ("httpGet", "postStart"), ("exec", "preStop"), ("httpGet", "preStop")):
        name = f"{moment}-{kind}".lower()
        hook = {"httpGet": {"host": address, "port": 8080, "path": f"/{name}"}} if kind == "httpGet" else {
            "exec": {"command": ["wget", "-q", "-O", "/dev/null", f"http://{address}:8080/{name}"]}}
        cluster.pod(name, container(lasting(), lifecycle={moment: hook}), terminationGracePeriodSeconds=20)
        cluster.ready(name)
        if moment == "preStop":
            asked = cluster.run("handler", "cat /tmp/asked")[0]
            holds("nothing was called before the end", f"GET /{name} " not in asked)
            cluster.delete(name)
        called(name)


@shows("Ephemeral Containers will start an ephemeral container in an existing pod",
       "Ephemeral Containers should update the ephemeral containers in an existing pod")
def ephemeral_containers(cluster):
    cluster.pod("debugged", container(lasting("echo mine >/tmp/mine")))
    cluster.ready("debugged")
    for name in ("look", "look-again"):
        one = {**container(lasting(f"echo {name}"), name), "targetContainerName": "app"}
        cluster.patch("debugged", {"spec": {"ephemeralContainers": [one]}}, "ephemeralcontainers")
        cluster.wait("debugged", f"has {name}", lambda pod, name=name: "running" in status_of(
            pod, name, "ephemeralContainerStatuses").get("state", {}))
        until(f"what {name} says", lambda name=name: cluster.log("debugged", name) == f"{name}\n")
    equal("the container did not notice", 0, restarts(cluster.get("debugged")))


@shows("Kubelet when scheduling a busybox command in a pod should print the output to logs",
       "Kubelet when scheduling a busybox command that always fails in a pod should have an terminated reason",
       "Kubelet when scheduling a busybox command that always fails in a pod should be possible to delete")
def commands_that_end(cluster):
    equal("its output", "hello\n", cluster.output("says", "echo hello"))
    cluster.pod("fails", container("exit 9"), restartPolicy="Always")
    pod = cluster.wait("fails", "has failed", lambda pod: (terminated(pod) or status_of(pod).get("lastState", {})
                                                          .get("terminated", {})).get("exitCode") == 9)
    end = terminated(pod) or status_of(pod)["lastState"]["terminated"]
    equal("its reason", "Error", end["reason"])
    cluster.delete("fails")
    cluster.gone("fails")


@shows("Pods Extended (pod generation) Pod Generation pod generation should start at 1 and increment per update",
       "Pods Extended (pod generation) Pod Generation custom-set generation on new pods and graceful delete",
       "Pods Extended (pod generation) Pod Generation issue 500 podspec updates and verify generation and "
       "observedGeneration eventually converge")
def generations(cluster):
    made = cluster.pod("generations", container(lasting()), metadata={"generation": 100}, activeDeadlineSeconds=5000,
                       terminationGracePeriodSeconds=30)
    equal("a new pod's generation", 1, made["metadata"]["generation"])
    cluster.ready("generations")
    for number in range(500):
        changed = cluster.patch("generations", {"spec": {"activeDeadlineSeconds": 4000 - number}})
        equal("a changed pod's", number + 2, changed["metadata"]["generation"])
    same = cluster.patch("generations", {"metadata": {"labels": {"a": "b"}}})
    equal("one whose labels were changed", 501, same["metadata"]["generation"])
    cluster.wait("generations", "is seen as it is", lambda pod: pod["status"].get("observedGeneration") == 501
                 and all(one.get("observedGeneration") == 501 for one in pod["status"]["conditions"]))
    going = cluster.delete("generations")
    equal("one that is asked to go", 502, going["metadata"]["generation"])
    cluster.gone("generations")


@shows()
def grace(cluster):
    """Who does not end when asked is killed after the time the pod gives."""
    cluster.pod("stubborn", container("trap '' TERM; while :; do sleep 0.1; done"), terminationGracePeriodSeconds=2,
                metadata={"finalizers": ["test.local/look"]})
    cluster.wait("stubborn", "runs", lambda pod: "running" in status_of(pod).get("state", {}))
    cluster.delete("stubborn")
    pod = cluster.wait("stubborn", "ends", terminated)
    if terminated(pod)["exitCode"] != 137:
        raise Failure(f"it was not killed: {terminated(pod)}")
    cluster.patch("stubborn", {"metadata": {"$deleteFromPrimitiveList/finalizers": ["test.local/look"]}})
    cluster.gone("stubborn")
