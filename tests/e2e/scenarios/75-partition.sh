# A node that cannot be reached: its pods move after their time, everything on the healthy side goes on, and when the
# link is mended the node is a node again and runs no pod twice.
TWO=$E2E_WORK/two
export KUBECONFIG=$E2E_WORK/two.kubeconfig
trap 'touch "$E2E_WORK/mended"; "$IRONCLAD" down --purge --data-dir "$TWO" >/dev/null 2>&1' EXIT
"$IRONCLAD" up --data-dir "$TWO" --kubeconfig "$KUBECONFIG" --node-name p --node-ip "$NODE_IP" --port 7444 --nodes 2 \
  --service-cidr 10.98.0.0/16 --pod-cidr 10.246.0.0/16
"$IRONCLAD" image import --data-dir "$TWO" "$(busybox_archive)"
k apply -f - <<YAML
apiVersion: v1
kind: Pod
metadata: {name: near, labels: {app: near}}
spec:
  nodeName: p
  terminationGracePeriodSeconds: 0
  containers:
  - {name: c, image: "local.test/busybox:1", imagePullPolicy: Never, command: ["sh", "-c", "mkdir /w && echo near > /w/index.html && exec httpd -f -p 8080 -h /w"]}
---
apiVersion: v1
kind: Service
metadata: {name: near}
spec: {selector: {app: near}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: far}
spec:
  selector: {matchLabels: {app: far}}
  template:
    metadata: {labels: {app: far}}
    spec:
      terminationGracePeriodSeconds: 1
      affinity:
        nodeAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
          - weight: 100
            preference: {matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [p-2]}]}
      tolerations:
      - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 5}
      - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 5}
      containers:
      - {name: c, image: "local.test/busybox:1", imagePullPolicy: Never, command: ["sh", "-c", "mkdir /w && hostname > /w/index.html && exec httpd -f -p 8080 -h /w"]}
---
apiVersion: v1
kind: Service
metadata: {name: far}
spec: {selector: {app: far}, ports: [{port: 80, targetPort: 8080}]}
YAML
k rollout status deployment/far --timeout=60s
k wait --for=condition=Ready pod/near --timeout=60s
pods_of() { k get pods -l app=far --no-headers -o custom-columns=N:.metadata.name,H:.spec.nodeName,D:.metadata.deletionTimestamp; }
contains "where the Deployment runs" p-2 "$(pods_of)"
service() { k get service "$1" -o jsonpath='{.spec.clusterIP}'; }
near=$(service near) far=$(service far)
eventually 15 page "http://$near/"
eventually 15 page "http://$far/"

link=$(ip -o link | grep 'the node p-2' | awk -F': ' '{print $2}' | cut -d@ -f1)
[ -n "$link" ] || fail "the cable to p-2 is not found: $(ip -o link)"
ip link set "$link" down
cut=$(date +%s)
lost=$E2E_WORK/lost-near
: >"$lost"
(
  while [ ! -e "$E2E_WORK/mended" ]; do
    page "http://$near/" >/dev/null 2>>"$lost" || true
    k exec near -- nslookup far.default.svc.cluster.local >/dev/null 2>&1 || echo "no name" >>"$lost"
    sleep 0.2
  done
) &
state() { k get node p-2 -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}'; }
unknown() { [ "$(state)" = Unknown ]; }
eventually 90 unknown
# A node is given up when its lease is 50 seconds old, which it may have been renewed 10 seconds before.
[ $(($(date +%s) - cut)) -ge 35 ] || fail "the node was given up after $(($(date +%s) - cut)) seconds"
moved() { pods_of | grep -q ' p  *<none>' && k get --raw "/api/v1/namespaces/default/services/far:80/proxy/" >/dev/null; }
eventually 60 moved
eventually 15 page "http://$far/"
contains "the pod that cannot be asked" p-2 "$(pods_of)"
touch "$E2E_WORK/mended"
wait
equal "what was lost on the healthy side" "" "$(sort "$lost" | uniq -c | head -3)"

ip link set "$link" up
ready() { [ "$(state)" = True ]; }
eventually 60 ready
once() { [ "$(pods_of | wc -l)" = 1 ]; }
eventually 60 once
untainted() { [ -z "$(k get node p-2 -o jsonpath='{.spec.taints}')" ]; }
eventually 30 untainted
# Pods of the mended node are reached again.
k delete pod -l app=far
on_far() { pods_of | grep -q 'p-2  *<none>' && [ "$(pods_of | wc -l)" = 1 ]; }
eventually 60 on_far
k rollout status deployment/far --timeout=60s
eventually 30 page "http://$far/"
"$IRONCLAD" down --purge --data-dir "$TWO"
trap - EXIT
