# What dies comes back: a container is restarted, a pod is replaced, and only the ready get traffic.
restarts() { k get pod client -o jsonpath='{.status.containerStatuses[0].restartCount}'; }
k delete pod client --now
k run client --image=local.test/busybox:1 --restart=Always --command -- sleep 3600
k wait --for=condition=Ready pod/client --timeout=20s
equal "restarts at first" 0 "$(restarts)"
k exec client -- kill 1 || true
k exec client -- sh -c 'kill -9 -1' 2>/dev/null || true
container=$(k get pod client -o jsonpath='{.status.containerStatuses[0].containerID}')
# Of all that sleep on this machine, the one that is in the container.
for pid in $(pgrep -f '^sleep 3600$'); do
  grep -q "${container#ironclad://}" "/proc/$pid/cgroup" 2>/dev/null && kill -9 "$pid" || true
done
once() { [ "$(restarts)" -ge 1 ]; }
eventually 30 once
k wait --for=condition=Ready pod/client --timeout=40s

old=$(k get pods -l app=hello -o jsonpath='{.items[0].metadata.name}')
k delete pod "$old" --wait=false
replaced() { [ "$(k get pods -l app=hello --no-headers | grep -c '1/1 *Running')" = 2 ] && ! k get pod "$old"; }
eventually 40 replaced

cat >"$E2E_WORK/unready.yaml" <<YAML
apiVersion: v1
kind: Pod
metadata:
  name: unready
  labels: {app: hello}
spec:
  containers:
  - name: c
    image: ironclad.local/hello
    readinessProbe:
      exec: {command: [cat, /tmp/ready]}
      periodSeconds: 1
YAML
k apply -f "$E2E_WORK/unready.yaml"
runs() { [ "$(k get pod unready -o jsonpath='{.status.phase}')" = Running ]; }
eventually 20 runs
sleep 2
for _ in $(seq 30); do page http://127.0.0.1:30080/hostname; done >"$E2E_WORK/answered"
! grep -q unready "$E2E_WORK/answered" || fail "a pod that is not ready got traffic"
k delete pod unready --now
