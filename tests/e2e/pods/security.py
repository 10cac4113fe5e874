"""Whose containers are, and what they may."""
from cases import shows
from cluster import container, equal, holds


@shows("Security Context When creating a container with runAsUser should run the container with uid 65534",
       "Security Context should support container.SecurityContext.RunAsUser And container.SecurityContext.RunAsGroup",
       "Security Context should support pod.Spec.SecurityContext.RunAsUser And pod.Spec.SecurityContext.RunAsGroup")
def users(cluster):
    of_pod = {"securityContext": {"runAsUser": 1001, "runAsGroup": 2002}}
    equal("a container's user", "65534\n", cluster.output("user", "id -u", securityContext={"runAsUser": 65534}))
    both = {"runAsUser": 1003, "runAsGroup": 2004}
    equal("a container's before its pod's", "1003 2004\n",
          cluster.output("of-container", "echo $(id -u) $(id -g)", spec=of_pod, securityContext=both))
    equal("a pod's", "1001 2002\n", cluster.output("of-pod", "echo $(id -u) $(id -g)", spec=of_pod))


@shows("Security Context When creating a pod with privileged should run the container as unprivileged when false",
       "Security Context when creating containers with AllowPrivilegeEscalation should not allow privilege escalation when false")
def no_more_than_it_has(cluster):
    script = "ip link add dummy0 type dummy || echo refused"
    said = cluster.output("unprivileged", script, securityContext={"privileged": False})
    holds(f"it may not change networks: {said}", "refused" in said)
    context = {"allowPrivilegeEscalation": False, "runAsUser": 1000}
    equal("no new rights", "1\n", cluster.output("no-escalation", "awk '/NoNewPrivs/{print $2}' /proc/self/status",
                                                  securityContext=context))
    equal("new rights", "0\n", cluster.output("escalation", "awk '/NoNewPrivs/{print $2}' /proc/self/status",
                                              securityContext={"allowPrivilegeEscalation": True, "runAsUser": 1000}))


@shows("Security Context When creating a pod with readOnlyRootFilesystem should run the container with writable rootfs "
       "when readOnlyRootFilesystem=false",
       "Kubelet when scheduling a read only busybox container should not write to root filesystem")
def root_file_systems(cluster):
    script = "echo x >/file && cat /file || echo refused"
    equal("one that may be written", "x\n", cluster.output("writable", script,
                                                           securityContext={"readOnlyRootFilesystem": False}))
    said = cluster.output("read-only", script, securityContext={"readOnlyRootFilesystem": True})
    holds(f"one that may not: {said}", "Read-only file system" in said and "refused" in said)


@shows("Sysctls should support sysctls", "Sysctls should reject invalid sysctls")
def kernel_settings(cluster):
    settings = {"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]}
    equal("a pod's own setting", "1\n",
          cluster.output("sysctls", "cat /proc/sys/kernel/shm_rmid_forced", spec={"securityContext": settings}))
    wrong = ["foo-", "safe-and-unsafe", "bar..", "kernel.shmmax"]
    body = {"metadata": {"name": "wrong"}, "spec": {"containers": [container("true")], "securityContext": {
        "sysctls": [{"name": name, "value": "1"} for name in wrong]}}}
    status, answer = cluster.ask("POST", cluster.path("pods"), body)
    equal("names that are none", 422, status)
    for name, is_wrong in zip(wrong, (True, False, True, False)):
        equal(f"{name} is complained of", is_wrong, f'Invalid value: \\"{name}\\"' in answer.decode())
    cluster.pod("unsafe", container("true"), securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1000"}]})
    pod = cluster.ended("unsafe", "Failed")
    equal("one that the node does not allow", "SysctlForbidden", pod["status"].get("reason"))
