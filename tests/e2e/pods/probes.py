"""Probes of all four kinds: when they start, what they end, and what they keep from traffic."""
import calendar
import time

from cases import shows
from cluster import container, equal, holds, is_ready, lasting, restarts, status_of

# A server of gRPC's health service as far as one answer: settings, then, when a call has come, headers, what it
# answers (printf's words for the byte) and trailers.
GRPC = r"""printf '#!/bin/sh
printf "\\000\\000\\000\\004\\000\\000\\000\\000\\000"; head -c 60 >/dev/null
printf "\\000\\000\\023\\001\\004\\000\\000\\000\\001\\210\\137\\020application/grpc"
printf "\\000\\000\\007\\000\\000\\000\\000\\000\\001\\000\\000\\000\\000\\002\\010\\%s"
printf "\\000\\000\\017\\001\\005\\000\\000\\000\\001\\100\\013grpc-status\\0010"; sleep 1
' "$(cat /serving)" >/tmp/answer; chmod +x /tmp/answer; exec nc -ll -p 5000 -e /tmp/answer"""

HTTP = "mkdir -p /www; echo ok >/www/healthz; exec httpd -f -p 8080 -h /www"
QUICK = {"periodSeconds": 1, "failureThreshold": 2, "timeoutSeconds": 5}
EXEC = {"exec": {"command": ["cat", "/tmp/health"]}, **QUICK}
WEB = {"httpGet": {"path": "/healthz", "port": 8080}, "initialDelaySeconds": 1, **QUICK}
CALL = {"grpc": {"port": 5000}, "initialDelaySeconds": 2, **QUICK}


def grpc(serving):
    return f"printf '{serving}' >/serving; {GRPC}"


@shows('Probing container should be restarted with a exec "cat /tmp/health" liveness probe',
       "Probing container should be restarted with a /healthz http liveness probe",
       "Probing container should be restarted with a GRPC liveness probe")
def the_sick_are_started_again(cluster):
    sick = {"exec": (lasting("touch /tmp/health; (sleep 2; rm /tmp/health) &"), EXEC),
            "http": (f"(sleep 3; rm /www/healthz) & {HTTP}", WEB),
            "grpc": (grpc("002"), CALL)}
    for kind, (script, probe) in sick.items():
        cluster.pod(f"sick-{kind}", container(script, livenessProbe=probe), restartPolicy="Always")
    for kind in sick:
        cluster.wait(f"sick-{kind}", "is started again", lambda pod: restarts(pod) >= 1)


@shows("Probing container should have monotonically increasing restart count")
def restarts_are_counted(cluster):
    cluster.pod("counted", container(HTTP.replace("echo ok", "false && echo"), livenessProbe=WEB), restartPolicy="Always")
    seen = []

    def look(pod):
        seen.append(restarts(pod))
        return seen[-1] >= 2

    cluster.wait("counted", "is started again and again", look)
    equal("the count never falls", sorted(seen), seen)


@shows('Probing container should *not* be restarted with a exec "cat /tmp/health" liveness probe',
       "Probing container should *not* be restarted with a /healthz http liveness probe",
       "Probing container should *not* be restarted with a tcp:8080 liveness probe",
       "Probing container should *not* be restarted with a GRPC liveness probe",
       "Probing container with readiness probe that fails should never be ready and never restart",
       "Probing container with readiness probe should not be ready before initial delay and never restart")
def the_healthy_are_left_alone(cluster):
    tcp = {"tcpSocket": {"port": 8080}, "initialDelaySeconds": 1, **QUICK}
    healthy = {"exec": (lasting("touch /tmp/health"), {"livenessProbe": EXEC}),
               "http": (HTTP, {"livenessProbe": WEB}), "tcp": (HTTP, {"livenessProbe": tcp}),
               "grpc": (grpc("001"), {"livenessProbe": CALL, "readinessProbe": CALL}),
               "never-ready": (lasting(), {"readinessProbe": {"exec": {"command": ["false"]}, **QUICK}}),
               "later": (HTTP, {"readinessProbe": {**WEB, "initialDelaySeconds": 4}})}
    for kind, (script, probes) in healthy.items():
        cluster.pod(f"healthy-{kind}", container(script, **probes), restartPolicy="Always")
    for kind in healthy:
        if kind != "never-ready":
            cluster.ready(f"healthy-{kind}")
    time.sleep(8)  # several rounds of every probe: long enough for a wrong one to act
    for kind in healthy:
        pod = cluster.get(f"healthy-{kind}")
        equal(f"restarts ({kind}: {status_of(pod)})", 0, restarts(pod))
        equal(f"it is ready ({kind})", kind != "never-ready", is_ready(pod))
    later = cluster.get("healthy-later")
    ready = next(one for one in later["status"]["conditions"] if one["type"] == "Ready")["lastTransitionTime"]
    began = status_of(later)["state"]["running"]["startedAt"]
    holds("it was not ready before its time", seconds(ready) - seconds(began) >= 4)


def seconds(text):
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))


@shows()
def startup(cluster):
    """Nothing else is asked before the startup probe was answered; if it never is, the container is started again."""
    liveness = {"exec": {"command": ["test", "-e", "/tmp/begun"]}, "periodSeconds": 1, "failureThreshold": 1}
    begun = {"exec": {"command": ["test", "-e", "/tmp/begun"]}, "periodSeconds": 1, "failureThreshold": 60}
    cluster.pod("starts-late", container(lasting("sleep 4; touch /tmp/begun"), livenessProbe=liveness, startupProbe=begun),
                restartPolicy="Always")
    never = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 2}
    cluster.pod("starts-never", container(lasting(), startupProbe=never), restartPolicy="Always")
    pod = cluster.ready("starts-late")
    equal("it had its time", (0, True), (restarts(pod), status_of(pod)["started"]))
    cluster.wait("starts-never", "is started again", lambda pod: restarts(pod) >= 1)
