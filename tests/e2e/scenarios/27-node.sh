# What the node decides by itself: who is let in, its own pods, who goes, what containers may use.
"$IRONCLAD" image import --data-dir "$DATA" "$(busybox_archive)" >/dev/null
k create namespace node
pod() { # pod NAME COMMAND [FIELDS OF THE SPECIFICATION] [FIELDS OF THE CONTAINER]
  k -n node apply -f - <<Y
{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "$1"}, "spec": {"terminationGracePeriodSeconds": 1, ${3:-}
 "containers": [{"name": "app", "image": "local.test/busybox:1", "imagePullPolicy": "Never", ${4:-}
                 "command": ["sh", "-c", "$2"]}]}}
Y
}
state() { k -n node get pod "$1" -o jsonpath='{.status.phase} {.status.reason}'; }

# A label that somebody gave the node counts.
k label node e2e disk=fast
pod chosen 'sleep 1000' '"nodeSelector": {"disk": "fast"},'
k -n node wait pod/chosen --for=condition=Ready --timeout=60s
k label node e2e disk-
pod forced 'sleep 1000' '"nodeName": "e2e", "nodeSelector": {"disk": "fast"},'
eventually 30 bash -c "$(declare -f state k); [ \"\$(state forced)\" = 'Failed NodeAffinity' ]"

# A pod of the node's own is shown, and cannot be deleted but with its file.
mkdir -p "$DATA/manifests"
cat >"$DATA/manifests/own.yaml" <<'Y'
apiVersion: v1
kind: Pod
metadata: {name: own, namespace: node}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: app, image: 'local.test/busybox:1', imagePullPolicy: Never, command: [sh, -c, 'echo mine; sleep 1000']}]
Y
eventually 30 k -n node wait pod/own-e2e --for=condition=Ready --timeout=1s
id() { k -n node get pod own-e2e -o jsonpath='{.status.containerStatuses[0].containerID}'; }
before=$(id)
k -n node delete pod own-e2e --wait=false
eventually 30 k -n node wait pod/own-e2e --for=condition=Ready --timeout=1s
equal "the container does not notice" "$before" "$(id)"
equal "its log" "mine" "$(k -n node logs own-e2e)"
rm "$DATA/manifests/own.yaml"
k -n node wait pod/own-e2e --for=delete --timeout=60s

# Whoever writes more than it may goes.
pod greedy 'dd if=/dev/zero of=/scratch/x bs=1M count=3; sleep 1000' \
  '"volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "1Mi"}}],' \
  '"volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],'
eventually 60 bash -c "$(declare -f state k); [ \"\$(state greedy)\" = 'Failed Evicted' ]"

# More is given to a container that runs. (Older kubectls know no subresources.)
pod sized 'sleep 1000' '' '"resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}},'
k -n node wait pod/sized --for=condition=Ready --timeout=60s
sized=/api/v1/namespaces/node/pods/sized
k get --raw "$sized" | sed 's/"resourceVersion":"[0-9]*",//; s/"cpu":"100m"/"cpu":"150m"/g; s/"cpu":"200m"/"cpu":"300m"/g' \
  | k replace --raw "$sized/resize" -f - >/dev/null
limit() { k -n node get pod sized -o jsonpath='{.status.containerStatuses[0].resources.limits.cpu}'; }
eventually 30 bash -c "$(declare -f limit k); [ \"\$(limit)\" = 300m ]"
equal "nothing was started again" 0 "$(k -n node get pod sized -o jsonpath='{.status.containerStatuses[0].restartCount}')"

# A command whose container ends is told so.
pod short 'trap exit TERM; while true; do sleep 0.2; done'
k -n node wait pod/short --for=condition=Ready --timeout=60s
(code=0; k -n node exec short -- sleep 100 || code=$?; echo "$code" >"$E2E_WORK/code") &
sleep 1
k -n node delete pod short
wait
equal "the code of a command whose container ended" 137 "$(cat "$E2E_WORK/code")"

# A pod with users of its own: its root is nobody on the node, and no other pod has its ids.
users() { # users NAME: the pod's ids on the node
  pod "$1" 'id -u; sleep 1000' '"hostUsers": false, "volumes": [{"name": "v", "emptyDir": {}}],' \
    '"volumeMounts": [{"name": "v", "mountPath": "/v"}],' >/dev/null
  k -n node wait "pod/$1" --for=condition=Ready --timeout=60s >/dev/null
  equal "who it is inside" 0 "$(k -n node logs "$1")"
  equal "whose its files are" "0 0" "$(k -n node exec "$1" -- sh -c 'touch /v/x; echo $(stat -c %u /v/x /etc/hosts)')"
  k -n node exec "$1" -- awk '{print $2}' /proc/self/uid_map
}
# Older kernels cannot map the ids of a file system in memory, where a pod's token is.
if [ "$(printf '%s\n' 6.3 "$(uname -r)" | sort -V | head -1)" = 6.3 ]; then
  first=$(users one)
  second=$(users two)
  [ "$first" -ge 65536 ] && [ "$second" -ge 65536 ] && [ "$first" != "$second" ] || fail "ids: $first, $second"
fi
k delete namespace node
