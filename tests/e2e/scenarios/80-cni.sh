# CNI, both ways. A second cluster's pods are put on the first one's network by its plugin, which is this same binary;
# they are taken off although that cluster was dead meanwhile. Then on a bridge, by the plugins of others, if they are
# installed.
OTHER=$E2E_WORK/other
first_kubeconfig=$KUBECONFIG
export KUBECONFIG=$E2E_WORK/other.kubeconfig
mkdir -p "$E2E_WORK/cni/conf" "$E2E_WORK/cni/bin"
trap '"$IRONCLAD" down --purge --data-dir "$OTHER" >/dev/null 2>&1' EXIT
other() { # POD-CIDR FOLDERS...
  "$IRONCLAD" up --data-dir "$OTHER" --kubeconfig "$KUBECONFIG" --node-name o --node-ip "$NODE_IP" --port 7445 \
    --service-cidr 10.99.0.0/16 --pod-cidr "$1" --cni-conf-dir "$2" --cni-bin-dir "$3"
  eventually 30 k get serviceaccount default
}
pod() { # NAME [PORTS]
  k apply -f - <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $1, labels: {app: $1}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: local.test/busybox:1
    imagePullPolicy: Never
    command: ["sh", "-c", "mkdir /w && hostname > /w/index.html && exec httpd -f -p 8080 -h /w"]
    ports: [${2:-}]
YAML
  k wait --for=condition=Ready "pod/$1" --timeout=60s
}
address() { k get pod "$1" -o jsonpath='{.status.podIP}'; }
attached() { grep -o "\"cni:" "$DATA/network/sandboxes.json" | wc -l; }

# Called as runtimes call it.
ln -s "$IRONCLAD" "$E2E_WORK/cni/bin/ironclad"
call() { # COMMAND [NAME=VALUE...]
  env CNI_COMMAND="$1" "${@:2}" "$E2E_WORK/cni/bin/ironclad" <<<"{\"cniVersion\":\"1.1.0\",\"name\":\"n\",\"type\":\"ironclad\",\"dataDir\":\"$DATA\"}" || true
}
contains "versions" '"supportedVersions"' "$(call VERSION)"
equal "status" "" "$(call STATUS)"
contains "no container" '"code":4' "$(call ADD CNI_IFNAME=eth0 CNI_NETNS=/proc/self/ns/net)"
contains "nobody there" '"code":11' "$(DATA=/nonexistent call STATUS)"

cat >"$E2E_WORK/cni/conf/10-ironclad.conflist" <<JSON
{"cniVersion": "1.1.0", "name": "first", "plugins": [
  {"type": "ironclad", "dataDir": "$DATA", "capabilities": {"portMappings": true}}]}
JSON
other 10.244.0.0/16 "$E2E_WORK/cni/conf" "$E2E_WORK/cni/bin"
"$IRONCLAD" image import --data-dir "$OTHER" "$(busybox_archive)"
pod guest "{containerPort: 8080, hostPort: 8085}"
pod stays
contains "an address of the first cluster's" 10.244. "$(address guest)"
equal "attached" 2 "$(attached)"
equal "a pod on the other network" guest "$(page "http://$(address guest):8080/")"
equal "a port of the node" guest "$(page "http://$NODE_IP:8085/")"
target=$(address guest)
first() { KUBECONFIG=$first_kubeconfig "$@"; }
"$IRONCLAD" image import --data-dir "$DATA" "$(busybox_archive)"
first k run asker --image=local.test/busybox:1 --image-pull-policy=Never --command -- sleep 3600
first k wait --for=condition=Ready pod/asker --timeout=60s
equal "from a pod of the first cluster" guest "$(first k exec asker -- timeout 3 wget -q -O - "http://$target:8080/")"
first k delete pod asker --now
k expose pod guest --port=80 --target-port=8080
service=$(k get service guest -o jsonpath='{.spec.clusterIP}')
service_answers() { [ "$(k exec stays -- timeout 3 wget -q -O - "http://$service/")" = guest ]; }
eventually 20 service_answers
named() { k exec stays -- nslookup guest.default.svc.cluster.local | grep -q "$service"; }
eventually 20 named

# The first cluster is killed, its pods' network with it: pods that end meanwhile are taken off when it is back.
kill -9 "$(cat "$DATA/ironclad.pid")"
equal "while the first cluster is dead" guest "$(page "http://$(address guest):8080/")"
first up
# The second one is killed, and a pod of it is taken off by the next process.
kill -9 "$(cat "$OTHER/ironclad.pid")"
other 10.244.0.0/16 "$E2E_WORK/cni/conf" "$E2E_WORK/cni/bin"
k delete pod guest --wait=true
no_port() { ! page "http://$NODE_IP:8085/"; }
eventually 20 no_port
"$IRONCLAD" down --purge --data-dir "$OTHER"
equal "sandboxes of the second cluster that are left" 0 "$(attached)"

if [ -x /usr/lib/cni/bridge ] && command -v iptables >/dev/null; then
  mkdir "$E2E_WORK/cni/bridge"
  cat >"$E2E_WORK/cni/bridge/10-bridge.conflist" <<JSON
{"cniVersion": "0.4.0", "name": "bridge", "plugins": [
  {"type": "bridge", "bridge": "e2ebr0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$E2E_WORK/cni/addresses",
            "ranges": [[{"subnet": "10.88.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
  other 10.88.0.0/16 "$E2E_WORK/cni/bridge" /usr/lib/cni
  "$IRONCLAD" image import --data-dir "$OTHER" "$(busybox_archive)"
  pod guest "{containerPort: 8080, hostPort: 8086}"
  pod stays
  contains "an address of the bridge" 10.88.0. "$(address guest)"
  equal "a pod on a bridge" guest "$(page "http://$(address guest):8080/")"
  equal "pod to pod on a bridge" guest "$(k exec stays -- timeout 3 wget -q -O - "http://$(address guest):8080/")"
  equal "a port of the node by portmap" guest "$(page "http://$NODE_IP:8086/")"
  k delete pod guest --wait=true
  "$IRONCLAD" down --purge --data-dir "$OTHER"
  left=$(find "$E2E_WORK/cni/addresses" -name '10.88.*' 2>/dev/null | wc -l)
  equal "addresses that are still given out" 0 "$left"
  # What these plugins never take away: their bridge and chains.
  ip link del e2ebr0
  for family in ip ip6; do
    for table in nat filter; do nft delete table "$family" "$table" 2>/dev/null || true; done
  done
else
  echo "left out: no plugins of others are installed"
fi
trap - EXIT
