"""What containers are given: commands and arguments, environment from every source, names and addresses."""
import base64
import json

from cases import shows
from cluster import container, equal, holds, lasting

DEFAULTS = "local.test/defaults:1"  # says "image says so" by its entrypoint and arguments


def field(name, path):
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def resource(name, what):
    return {"name": name, "valueFrom": {"resourceFieldRef": {"resource": what}}}


@shows("Containers should use the image defaults if command and args are blank",
       "Containers should be able to override the image's default arguments (container cmd)",
       "Containers should be able to override the image's default command (container entrypoint)",
       "Containers should be able to override the image's default command and arguments")
def commands(cluster):
    for number, (fields, said) in enumerate([
            ({}, "image says so\n"),
            ({"args": ["args"]}, "image args\n"),
            ({"command": ["echo", "command"]}, "command\n"),
            ({"command": ["echo"], "args": ["both", "of them"]}, "both of them\n")]):
        cluster.pod(f"commands-{number}", {**container(), "image": DEFAULTS, **fields})
        cluster.ended(f"commands-{number}")
        equal(f"what {fields} says", said, cluster.log(f"commands-{number}"))


@shows("Variable Expansion should allow composing env vars into new env vars",
       "Variable Expansion should allow substituting values in a container's args",
       "Variable Expansion should allow substituting values in a container's command")
def expansion(cluster):
    env = [{"name": "A", "value": "one"}, {"name": "B", "value": "$(A);$(LATER);$$(A)"}, {"name": "LATER", "value": "x"}]
    fields = {"command": ["sh", "-c", 'echo "$B" "$@" $(A)', "sh"], "args": ["$(A)", "$(NONE)", "$$(A)"], "env": env}
    cluster.pod("expansion", {**container(), **fields})
    cluster.ended("expansion")
    equal("what was put in", "one;$(LATER);$(A) one $(NONE) $(A) one\n", cluster.log("expansion"))


@shows("ConfigMap should be consumable as environment variable names with various prefixes",
       "ConfigMap should be consumable via environment variable",
       "ConfigMap should be consumable via the environment",
       "Secrets should be consumable as environment variable names variable names with various prefixes",
       "Secrets should be consumable from pods in env vars",
       "Secrets should be consumable via the environment")
def maps_in_the_environment(cluster):
    cluster.create("configmaps", "settings", data={"a": "1", "b-c": "2", "d.e": "3"})
    secret = {key: base64.b64encode(value.encode()).decode() for key, value in (("k", "s1"), ("9", "s2"))}
    cluster.create("secrets", "keys", data=secret)
    sources = [{"configMapRef": {"name": "settings"}}, {"prefix": "p-", "configMapRef": {"name": "settings"}},
               {"prefix": "S_", "secretRef": {"name": "keys"}}, {"secretRef": {"name": "keys"}},
               {"secretRef": {"name": "none", "optional": True}}]
    env = [{"name": "ONE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "b-c"}}},
           {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "k"}}},
           {"name": "NOT", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "z", "optional": True}}}]
    # Not through a shell, which would leave out what is no name of its own.
    cluster.pod("maps", {**container(env=env, envFrom=sources), "command": ["cat", "/proc/self/environ"]})
    cluster.ended("maps")
    said = cluster.log("maps").split("\0")
    for line in ("a=1", "b-c=2", "d.e=3", "p-a=1", "p-b-c=2", "S_k=s1", "S_9=s2", "k=s1", "ONE=2", "KEY=s1"):
        holds(f"{line} in {said}", line in said)
    holds("no variable without a value", not any(line.startswith("NOT=") for line in said))


@shows("Downward API should provide pod name, namespace and IP address as env vars",
       "Downward API should provide host IP as an env var",
       "Downward API should provide hostIPs as an env var",
       "Downward API should provide pod UID as env vars",
       "Downward API should provide container's limits.cpu/memory and requests.cpu/memory as env vars",
       "Downward API should provide default limits.cpu/memory from node allocatable",
       "Pods should get a host IP")
def downward(cluster):
    env = [field("NAME", "metadata.name"), field("SPACE", "metadata.namespace"), field("IP", "status.podIP"),
           field("HOST", "status.hostIP"), field("HOSTS", "status.hostIPs"), field("UID_", "metadata.uid"),
           field("NODE", "spec.nodeName"), field("LABEL", "metadata.labels['mark']"),
           *(resource(what.replace(".", "_").upper(), what)
             for what in ("limits.cpu", "limits.memory", "requests.cpu", "requests.memory"))]
    limited = {"requests": {"cpu": "250m", "memory": "32Mi"}, "limits": {"cpu": "1250m", "memory": "64Mi"}}
    cluster.pod("limited", container("env", env=env, resources=limited), metadata={"labels": {"mark": "m"}})
    cluster.pod("free", container("env", env=env), metadata={"labels": {"mark": "m"}})
    said = {name: dict(line.split("=", 1) for line in cluster.log(name).splitlines() if "=" in line)
            for name in ("limited", "free") if cluster.ended(name)}
    pod = cluster.get("limited")
    host = pod["status"]["hostIP"]
    holds("an address of its host", host and pod["status"]["hostIPs"][0]["ip"] == host)
    wanted = {"NAME": "limited", "SPACE": cluster.namespace, "IP": pod["status"]["podIP"], "HOST": host,
              "HOSTS": ",".join(one["ip"] for one in pod["status"]["hostIPs"]), "UID_": pod["metadata"]["uid"],
              "NODE": pod["spec"]["nodeName"], "LABEL": "m", "LIMITS_CPU": "2", "LIMITS_MEMORY": str(64 << 20),
              "REQUESTS_CPU": "1", "REQUESTS_MEMORY": str(32 << 20)}
    equal("what a limited container is told", wanted, {key: said["limited"].get(key) for key in wanted})
    node = cluster.json("GET", f"/api/v1/nodes/{pod['spec']['nodeName']}")["status"]["allocatable"]
    cpu = node["cpu"]
    whole = -(-int(cpu[:-1]) // 1000) if cpu.endswith("m") else int(cpu)
    equal("the processors of a free one", str(whole), said["free"]["LIMITS_CPU"])
    equal("the memory of a free one", str(quantity(node["memory"])), said["free"]["LIMITS_MEMORY"])


def quantity(text):
    units = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "k": 1000, "M": 10**6, "G": 10**9}
    for unit, size in units.items():
        if text.endswith(unit):
            return int(text[:-len(unit)]) * size
    return int(text)


@shows("ServiceAccounts should mount an API token into pods",
       "ServiceAccounts should mount projected service account token")
def tokens(cluster):
    cluster.create("serviceaccounts", "worker")
    there = "/var/run/secrets/kubernetes.io/serviceaccount"
    spec = {"serviceAccountName": "worker", "securityContext": {"runAsUser": 1000, "fsGroup": 2000},
            "volumes": [{"name": "mine", "projected": {"sources": [
                {"serviceAccountToken": {"path": "token", "audience": "somebody", "expirationSeconds": 4000}}]}}]}
    script = f"for f in token namespace ca.crt; do cat {there}/$f; echo; echo ===; done; cat /mine/token; echo; " \
             "echo ===; stat -Lc '%a %g' /mine/token"
    said = cluster.output("tokens", script, spec=spec, volumeMounts=[{"name": "mine", "mountPath": "/mine"}])
    token, namespace, authority, other, mode = (part.strip() for part in said.split("===\n"))
    pod = cluster.get("tokens")
    equal("the namespace", cluster.namespace, namespace)
    root = cluster.json("GET", cluster.path("configmaps", "kube-root-ca.crt"))
    equal("the authority", root["data"]["ca.crt"].strip(), authority)
    equal("a token's mode and group", "640 2000", mode)
    review = cluster.json("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token}})["status"]
    equal("whose token it is", f"system:serviceaccount:{cluster.namespace}:worker", review["user"]["username"])
    equal("its pod", [pod["metadata"]["uid"]], review["user"]["extra"]["authentication.kubernetes.io/pod-uid"])
    claims = json.loads(base64.urlsafe_b64decode(other.split(".")[1] + "=="))
    equal("the other's audience and life", (["somebody"], 4000), (claims["aud"], claims["exp"] - claims["iat"]))


@shows("DNS should support configurable pod DNS nameservers")
def nameservers(cluster):
    config = {"nameservers": ["192.0.2.53"], "searches": ["one.test", "two.test"],
              "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}
    said = cluster.output("nameservers", "cat /etc/resolv.conf", spec={"dnsPolicy": "None", "dnsConfig": config})
    equal("resolv.conf", ["nameserver 192.0.2.53", "options ndots:2 edns0", "search one.test two.test"],
          sorted(said.splitlines()))


@shows("Kubelet when scheduling an agnhost Pod with hostAliases should write entries to /etc/hosts",
       "KubeletManagedEtcHosts should test kubelet managed /etc/hosts file")
def hosts(cluster):
    mount = {"volumeMounts": [{"name": "own", "mountPath": "/etc/hosts", "subPath": "hosts"}]}
    cluster.create("configmaps", "hosts", data={"hosts": "192.0.2.1 mine\n"})
    aliases = [{"ip": "192.0.2.7", "hostnames": ["seven", "seven.test"]}]
    cluster.pod("hosts", container(lasting(), "managed"), container(lasting(), "own", **mount), hostAliases=aliases,
                volumes=[{"name": "own", "configMap": {"name": "hosts"}}])
    cluster.pod("hosts-of-node", container("cat /etc/hosts"), hostNetwork=True)
    pod = cluster.ready("hosts")
    managed, _ = cluster.run("hosts", "cat /etc/hosts", "managed")
    holds(f"it is managed: {managed}", managed.startswith("# Kubernetes-managed hosts file."))
    holds("an alias", "192.0.2.7\tseven\tseven.test" in managed)
    holds("itself", f"{pod['status']['podIP']}\thosts" in managed)
    equal("one that was mounted", "192.0.2.1 mine\n", cluster.run("hosts", "cat /etc/hosts", "own")[0])
    cluster.ended("hosts-of-node")
    with open("/etc/hosts", encoding="utf-8") as file:
        holds("the node's is the node's", file.read() in cluster.log("hosts-of-node"))
