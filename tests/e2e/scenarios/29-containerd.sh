# A node whose containers are containerd's: pods of a Deployment live, are looked into, restarted and deleted over CRI, on
# our pod network by our plugin, and stay what they are while our process is dead.
for tool in containerd ctr runc; do
  command -v "$tool" >/dev/null || { echo "left out: $tool is not installed"; return 0; }
done
THEIRS=$E2E_WORK/theirs
OTHER=$THEIRS/cluster
export KUBECONFIG=$THEIRS/kubeconfig
SOCKET=$THEIRS/containerd.sock
mkdir -p "$THEIRS/conf" "$THEIRS/bin"
theirs() { ctr --address "$SOCKET" --namespace k8s.io "$@"; }
other() {
  "$IRONCLAD" up --data-dir "$OTHER" --kubeconfig "$KUBECONFIG" --node-name theirs --node-ip "$NODE_IP" --port 7446 \
    --service-cidr 10.98.0.0/16 --pod-cidr 10.245.0.0/16 --container-runtime-endpoint "unix://$SOCKET" "$@"
}
# Whatever happened: nothing of it stays, and no step keeps the next from being taken.
clean_up() {
  set +e
  "$IRONCLAD" down --purge --data-dir "$OTHER"
  theirs tasks list --quiet | while read -r task; do theirs tasks delete --force "$task"; done
  kill "$containerd" && wait "$containerd"
  awk -v below="$THEIRS/" 'index($5, below) == 1 { print $5 }' /proc/self/mountinfo | sort -r | xargs -r umount --lazy
  rm -rf "$THEIRS"
} >/dev/null 2>&1
trap clean_up EXIT

cat >"$THEIRS/config.toml" <<TOML
version = 2
root = "$THEIRS/root"
state = "$THEIRS/state"
[grpc]
address = "$SOCKET"
[ttrpc]
address = "$SOCKET.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
path = "$THEIRS/opt"
[plugins."io.containerd.grpc.v1.cri"]
restrict_oom_score_adj = true
sandbox_image = "local.test/pause:1"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "$THEIRS/bin"
conf_dir = "$THEIRS/conf"
TOML
ln -s "$IRONCLAD" "$THEIRS/bin/ironclad"
cat >"$THEIRS/conf/10-ironclad.conflist" <<JSON
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "ironclad", "dataDir": "$OTHER", "capabilities": {"portMappings": true}}]}
JSON
[ -e /usr/lib/cni/loopback ] && ln -s /usr/lib/cni/loopback "$THEIRS/bin/loopback"
containerd --config "$THEIRS/config.toml" >"$THEIRS/containerd.log" 2>&1 &
containerd=$!
python3 "$E2E_ROOT/tests/images/busybox.py" "$THEIRS/pause.tar" local.test/pause:1 --command sleep --command 1000000
eventually 60 theirs images import "$THEIRS/pause.tar"
theirs images import "$(busybox_archive)"

other
contains "the runtime's name" containerd:// "$(k get node theirs -o jsonpath='{.status.nodeInfo.containerRuntimeVersion}')"
contains "images" local.test/busybox:1 "$("$IRONCLAD" image ls --data-dir "$OTHER")"
refusal=$("$IRONCLAD" image import --data-dir "$OTHER" "$(busybox_archive)" 2>&1) && fail "an archive was taken in"
contains "what to do instead" "--namespace k8s.io images import" "$refusal"
[ ! -e "$OTHER/cri.sock" ] || fail "our runtime listens"
k create configmap words --from-literal=word=hello
k apply -f - <<YAML
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      volumes: [{name: words, configMap: {name: words}}]
      containers:
      - name: c
        image: local.test/busybox:1
        imagePullPolicy: Never
        command: [sh, -c, 'trap "exit 3" USR1; cat /words/word; echo; mkdir -p /w; hostname >/w/index.html; httpd -p 8080 -h /w; while :; do sleep 0.2; done']
        volumeMounts: [{name: words, mountPath: /words}]
        readinessProbe: {exec: {command: [test, -e, /tmp/ready]}, periodSeconds: 1}
        resources: {limits: {memory: 64Mi, cpu: 500m}}
YAML
k expose deployment web --port=80 --target-port=8080
of_web() { k get pods -l app=web -o jsonpath="{.items[*]$1}"; }
run() { [ "$(of_web .status.phase)" = "Running Running" ]; }
eventually 60 run
equal "ready before they said so" "" "$(k get deployment web -o jsonpath='{.status.readyReplicas}')"
read -r one two <<<"$(of_web .metadata.name)"
for pod in "$one" "$two"; do k exec "$pod" -- touch /tmp/ready; done
k rollout status deployment/web --timeout=60s
about_one() { k get pod "$one" -o jsonpath="{.status$1}"; }
contains "whose container it is" containerd:// "$(about_one '.containerStatuses[0].containerID')"
contains "an address of our network" 10.245. "$(about_one .podIP)"
equal "a log" hello "$(k logs "$one")"
equal "a command's input" typed "$(echo typed | k exec -i "$one" -- cat)"
equal "a page of a pod" "$one" "$(page "http://$(about_one .podIP):8080/")"
by_name() { k exec "$one" -- timeout 3 wget -q -O - http://web.default.svc.cluster.local/ | grep -q '^web-'; }
eventually 20 by_name
pod_group() { find /sys/fs/cgroup/memory /sys/fs/cgroup -maxdepth 5 -type d -name "pod$1" -print -quit 2>/dev/null || true; }
uid=$(k get pod "$one" -o jsonpath='{.metadata.uid}')
group=$(pod_group "$uid")
contains "the limit of the pod as a whole" 67108864 \
  "$(cat "$group/memory.limit_in_bytes" "$group/memory.max" 2>/dev/null || true)"

# Our process is killed: its containers do not notice, and what ends meanwhile is found out.
pids() { theirs tasks list | awk '$3 == "RUNNING" { print $1, $2 }' | sort; }
before=$(pids)
address=$(k get pod "$two" -o jsonpath='{.status.podIP}')
kill -9 "$(cat "$OTHER/ironclad.pid")"
equal "a page while we are dead" "$two" "$(page "http://$address:8080/")"
other
equal "containers after our death" "$before" "$(pids)"
k exec "$one" -- sh -c 'kill -USR1 1' || true
again() { [ "$(about_one '.containerStatuses[0].restartCount')" = 1 ]; }
eventually 30 again
equal "how it ended" 3 "$(about_one '.containerStatuses[0].lastState.terminated.exitCode')"
equal "the other one's restarts" 0 "$(k get pod "$two" -o jsonpath='{.status.containerStatuses[0].restartCount}')"

k delete deployment web
gone() { [ -z "$(of_web .metadata.name)" ] && [ -z "$(pids)" ] && [ -z "$(pod_group "$uid")" ]; }
eventually 60 gone
equal "sandboxes on our network" 0 "$(grep -o '"cni:' "$OTHER/network/sandboxes.json" | wc -l)"
# What runs when the cluster is taken away goes with it.
k run last --image=local.test/busybox:1 --image-pull-policy=Never --command -- sleep 3600
k wait --for=condition=Ready pod/last --timeout=60s
"$IRONCLAD" down --purge --data-dir "$OTHER"
equal "tasks that are left" "" "$(pids)"
equal "containers that are left" "" "$(theirs containers list --quiet)"
clean_up
trap - EXIT
