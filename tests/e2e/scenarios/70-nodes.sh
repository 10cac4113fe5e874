# A second cluster, of three nodes on this machine: its pods, Services and node ports from everywhere; its nodes outlive
# its server, and it leaves nothing behind.
THREE=$E2E_WORK/three
export KUBECONFIG=$E2E_WORK/three.kubeconfig
three() {
  "$IRONCLAD" up --data-dir "$THREE" --kubeconfig "$KUBECONFIG" --node-name n --node-ip "$NODE_IP" --port 7443 \
    --service-cidr 10.97.0.0/16 --pod-cidr 10.245.0.0/16 "$@"
}
# Whatever goes wrong, the first cluster's end finds only what is its own.
trap '"$IRONCLAD" down --purge --data-dir "$THREE" >/dev/null 2>&1' EXIT
three --nodes 3
contains "status" "n-3: process" "$("$IRONCLAD" status --data-dir "$THREE")"
equal "ready nodes" 3 "$(k get nodes --no-headers | grep -c ' Ready ')"
"$IRONCLAD" image import --data-dir "$THREE" "$(busybox_archive)"

pod() { # NAME NODE HOST-NETWORK COMMAND
  cat <<YAML
---
apiVersion: v1
kind: Pod
metadata: {name: $1, labels: {app: $1}}
spec:
  nodeName: "$2"
  hostNetwork: $3
  terminationGracePeriodSeconds: 0
  containers:
  - {name: c, image: "local.test/busybox:1", imagePullPolicy: Never, command: ["sh", "-c", "$4"]}
YAML
}
{
  pod web n-3 false "mkdir /w && hostname > /w/index.html && echo '<a href=/x>' > /w/page.html && exec httpd -f -p 8080 -h /w"
  for node in n n-2 n-3; do
    pod "in-$node" "$node" false "exec sleep 1000000"
    pod "on-$node" "$node" true "exec sleep 1000000"
  done
  cat <<YAML
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: 8080, nodePort: 30480}]}
YAML
} | k apply -f -
k wait --for=condition=Ready pod --all --timeout=60s
equal "the host's name on a node" n-2 "$(k exec on-n-2 -- hostname)"

address() { k get node "$1" -o jsonpath='{.status.addresses[0].address}'; }
service=$(k get service web -o jsonpath='{.spec.clusterIP}')
targets="$(k get pod web -o jsonpath='{.status.podIP}') 8080
$service 80
$(address n) 30480
$(address n-2) 30480
$(address n-3) 30480"
ask() { # COMMAND... -- ADDRESS PORT, given as the last two words
  local words=("${@:1:$#-2}") address=${*: -2:1} port=${*: -1}
  "${words[@]}" sh -c "printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 2 $address $port" | tail -1 | tr -d '\r'
}
answers() { [ "$(ask "$@")" = web ]; }
while read -r address port; do
  for pod in in-n in-n-2 in-n-3 on-n on-n-2 on-n-3; do
    eventually 15 answers k exec "$pod" -- "$address" "$port"
  done
  eventually 15 page "http://$address:$port/"
done <<<"$targets"

# What would happen to a packet is what happens.
traced=$("$IRONCLAD" net trace --data-dir "$THREE" in-n-2 web:80)
contains "a trace" "default/web gets it on port 8080/TCP" "$traced"
contains "the end of a trace" "it arrives" "$traced"
if traced=$("$IRONCLAD" net trace --data-dir "$THREE" in-n-2 web:81); then fail "no such port: $traced"; fi
contains "a trace to a port nobody has" "it is refused at once" "$traced"

# Through the API server, to pods and Services of any node, with links that lead there again.
pods=/api/v1/namespaces/default/pods services=/api/v1/namespaces/default/services
equal "a pod through the API" web "$(k get --raw $pods/web:8080/proxy/)"
equal "a Service through the API" web "$(k get --raw $services/http:web:80/proxy/index.html)"
equal "a page through the API" "<a href=$pods/web:8080/proxy/x>" "$(k get --raw $pods/web:8080/proxy/page.html)"
equal "a node through the API" ok "$(k get --raw /api/v1/nodes/n-3/proxy/healthz)"
contains "no port" "no service port 81" "$(k get --raw $services/web:81/proxy/ 2>&1 || true)"

# The server dies; its nodes do not.
before=$(cat "$THREE/nodes/n-2/ironclad.pid")
kill -9 "$(cat "$THREE/ironclad.pid")"
equal "a Service without the server" web "$(page "http://$service/")"
three
equal "the agent of a node" "$before" "$(cat "$THREE/nodes/n-2/ironclad.pid")"
equal "restarts" 0 "$(k get pod web -o jsonpath='{.status.containerStatuses[0].restartCount}')"
# An agent dies, and is started again.
kill -9 "$before"
another_agent() { [ -s "$THREE/nodes/n-2/ironclad.pid" ] && [ "$(cat "$THREE/nodes/n-2/ironclad.pid")" != "$before" ]; }
eventually 15 another_agent
eventually 15 k exec in-n-2 -- true

"$IRONCLAD" down --data-dir "$THREE"
three --nodes 2
only_two() { [ "$(k get nodes --no-headers | wc -l)" = 2 ]; }
eventually 15 only_two
"$IRONCLAD" down --purge --data-dir "$THREE"
trap - EXIT
[ ! -e "$THREE" ] || fail "the data is still there"
