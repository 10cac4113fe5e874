"""More and less for containers that run."""
from cases import shows
from cluster import container, equal, lasting, restarts, status_of

MEBIBYTE = 1 << 20


def resources(request, limit=None):
    """Of "CPU MEMORY" in thousandths and MiB: as Kubernetes writes it. Without a limit there is none."""
    def amounts(text):
        cpu, memory = (int(part) for part in text.split())
        return {key: value for key, value in (("cpu", f"{cpu}m"), ("memory", f"{memory}Mi")) if value[0] != "0"}
    made = {"requests": amounts(request), "limits": amounts(limit or "0 0")}
    return {key: value for key, value in made.items() if value}


def enforced(cluster, pod, name):
    """What a container's own groups say: its processor quota in thousandths and its memory limit in MiB, 0 for none."""
    script = "cd /sys/fs/cgroup; if [ -e cpu.max ]; then cat cpu.max memory.max; else " \
             "echo $(cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us); cat memory/memory.limit_in_bytes; fi"
    said, code = cluster.run(pod, script, name)
    equal(f"looking into {pod}/{name} ({said})", 0, code)
    cpu, memory = said.splitlines()
    quota, period = cpu.split()
    thousandths = 0 if quota in ("max", "-1") else int(quota) * 1000 // int(period)
    limit = 0 if memory == "max" or int(memory) > 1 << 50 else int(memory) // MEBIBYTE
    return thousandths, limit


def resized(cluster, name, before, after, replace=False, policies=None):
    """Makes a pod with the containers `before`, makes them `after`, and looks that this is so without a restart but of
    those whose policy wants one."""
    policies = policies or {}
    cluster.pod(name, *(container(lasting(), one, resources=what, resizePolicy=policies.get(one, [])) for one, what in
                        before.items()), restartPolicy="Always")
    cluster.ready(name)
    change = {"spec": {"containers": [{"name": one, "resources": what} for one, what in after.items()]}}
    if replace:
        pod = cluster.get(name)
        for one in pod["spec"]["containers"]:
            one["resources"] = after[one["name"]]
        cluster.json("PUT", cluster.path("pods", name, "resize"), pod)
    else:
        cluster.patch(name, change, "resize")

    def is_done(pod):
        conditions = {one["type"] for one in pod["status"]["conditions"]}
        return not conditions & {"PodResizePending", "PodResizeInProgress"} and all(
            status_of(pod, one).get("resources", {}) == what
            and status_of(pod, one).get("allocatedResources", {}) == what.get("requests", {})
            and restarts(pod, one) == (1 if one in policies else 0)
            for one, what in wanted(before, after).items())

    cluster.wait(name, "has what was asked for", is_done)
    for one, what in wanted(before, after).items():
        limits = what.get("limits", {})
        amount = (int(limits.get("cpu", "0m")[:-1]), int(limits.get("memory", "0Mi")[:-2]))
        equal(f"what holds for {one}", amount, enforced(cluster, name, one))


def wanted(before, after):
    """A patch adds to what there is and changes it."""
    return {one: {kind: {**what.get(kind, {}), **after.get(one, {}).get(kind, {})}
                  for kind in ("requests", "limits") if what.get(kind) or after.get(one, {}).get(kind)}
            for one, what in before.items()}


def guaranteed(*amounts):
    return {f"c{number + 1}": resources(amount, amount) for number, amount in enumerate(amounts)}


MANY = "Pod InPlace Resize Container guaranteed pods with multiple containers 3 containers - "


@shows(MANY + "increase cpu & mem on c1, c2, decrease cpu & mem on c3 - net increase",
       MANY + "increase cpu & mem on c1, decrease cpu & mem on c2, c3 - net decrease",
       MANY + "increase: CPU (c1,c3), memory (c2, c3) ; decrease: CPU (c2)")
def guaranteed_containers(cluster):
    before = guaranteed("20 30", "20 30", "20 30")
    resized(cluster, "more", before, guaranteed("30 40", "30 40", "10 25"))
    resized(cluster, "less", before, guaranteed("30 40", "10 25", "10 25"))
    resized(cluster, "both-ways", before, guaranteed("30 30", "10 40", "30 40"))


@shows("Pod InPlace Resize Container burstable pods - extended 6 containers - various operations performed (including "
       "adding limits and requests)",
       "Pod InPlace Resize Container burstable pods - extended resize with equivalents")
def burstable_containers(cluster):
    before = {"adds-limits": resources("20 30"), "adds-requests": {}, "adds-both": resources("20 0"),
              "more": resources("20 30", "40 60"), "less": resources("20 30", "40 60"), "same": resources("20 30", "40 60")}
    after = {"adds-limits": resources("20 30", "50 60"), "adds-requests": resources("20 30"),
             "adds-both": resources("20 30", "40 60"), "more": resources("30 40", "50 70"),
             "less": resources("10 20", "30 50"), "same": resources("20 30", "40 60")}
    resized(cluster, "six", before, after)
    # Both are the smallest share that there is.
    resized(cluster, "equivalents", {"c1": resources("2 30")}, {"c1": resources("1 30")})


@shows("Pod InPlace Resize Container resize pod via the replace endpoint")
def replaced(cluster):
    resized(cluster, "replaced", guaranteed("20 30"), guaranteed("30 40"), replace=True)


@shows()
def restarted(cluster):
    """A container whose policy says so is started again to be given more memory, and the others are not."""
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    resized(cluster, "restarted", guaranteed("20 30", "20 30"), guaranteed("20 40", "20 40"), policies={"c1": policy})


@shows()
def shared_by_a_pod(cluster):
    """What a pod may use together holds for its containers, although none of them has a limit."""
    cluster.pod("together", container(lasting(), "one"), container(lasting(), "two"),
                resources=resources("50 40", "100 80"))
    pod = cluster.ready("together")
    equal("its class", "Burstable", pod["status"]["qosClass"])
    greedy = "dd if=/dev/zero of=/dev/shm/x bs=1M count=60 2>/dev/null; tail /dev/zero"
    cluster.pod("together-greedy", container(greedy), resources=resources("50 40", "100 80"))
    pod = cluster.ended("together-greedy", "Failed")
    end = status_of(pod)["state"]["terminated"]
    equal("how one that takes more ends", (137, "OOMKilled"), (end["exitCode"], end["reason"]))
