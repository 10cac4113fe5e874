# Two nodes and both address families: pods, Services of every kind, affinity, slices, mirrored Endpoints, ports of the
# node and names, each over IPv4 and IPv6 and from both nodes.
TWO=$E2E_WORK/dual
NODE_IP6=fd00:5::77
# By this the processes of its pods are found, among those of other runs.
mark=$(basename "$E2E_WORK")
export KUBECONFIG=$E2E_WORK/dual.kubeconfig
mine=()
dual_end() {
  [ ${#mine[@]} = 0 ] || kill "${mine[@]}" 2>/dev/null || true
  "$IRONCLAD" down --purge --data-dir "$TWO" >/dev/null 2>&1 || true
  ip addr del "$NODE_IP6/64" dev uplink0 2>/dev/null || true
}
trap dual_end EXIT
ip addr add "$NODE_IP6/64" dev uplink0 nodad
"$IRONCLAD" up --data-dir "$TWO" --kubeconfig "$KUBECONFIG" --node-name d --node-ip "$NODE_IP,$NODE_IP6" --port 7446 \
  --nodes 2 --service-cidr 10.98.0.0/16,fd00:98::/112 --pod-cidr 10.246.0.0/16,fd00:246::/56
"$IRONCLAD" image import --data-dir "$TWO" "$(busybox_archive)"

pod() { # NAME NODE [FIELDS OF THE SPECIFICATION] [PORTS]
  cat <<YAML
---
apiVersion: v1
kind: Pod
metadata: {name: $1, labels: {app: $1, set: "${1%-*}"}}
spec:
  nodeName: $2
  terminationGracePeriodSeconds: 0
  ${3:-}
  containers:
  - name: c
    image: local.test/busybox:1
    imagePullPolicy: Never
    command: ["sh", "-c", "mkdir /w && echo $1 > /w/index.html && exec httpd -f -p [::]:8080 -h /w -r $mark-$1-"]
    ports: [${4:-}]
YAML
}
service() { # NAME SPEC
  cat <<YAML
---
apiVersion: v1
kind: Service
metadata: {name: $1}
spec: {$2}
YAML
}
DUAL='ipFamilyPolicy: RequireDualStack'
{
  pod web-1 d $'hostname: one\n  subdomain: web-names'
  pod web-2 d-2
  pod asker-1 d
  pod asker-2 d-2
  for number in 1 2 3; do
    case $number in
      1) port='{containerPort: 8080, hostPort: 8091, hostIP: 127.0.0.1}' ;;
      2) port="{containerPort: 8080, hostPort: 8091, hostIP: $NODE_IP}" ;;
      3) port="{containerPort: 8080, hostPort: 8091, hostIP: $NODE_IP, protocol: UDP}" ;;
    esac
    pod "port-$number" d '' "$port"
  done
  service web "type: NodePort, $DUAL, selector: {set: web}, ports: [{port: 80, targetPort: 8080, nodePort: 30490}]"
  service web-names "clusterIP: None, $DUAL, selector: {set: web}, ports: [{port: 80}]"
  service both "$DUAL, selector: {app: web-1}, ports: [{name: t, port: 90, targetPort: 8080}, {name: u, port: 90, targetPort: 9090, protocol: UDP}]"
  service slices "$DUAL, ports: [{name: a, port: 81}, {name: b, port: 82}]"
  service mirrored "ports: [{port: 80}]"
  service moving "type: ExternalName, externalName: web.default.svc.cluster.local"
} | k apply -f -
k wait --for=condition=Ready pod --all --timeout=90s
addresses() { k get pod "$1" -o jsonpath='{range .status.podIPs[*]}{.ip}{"\n"}{end}'; }
clusters() { k get service "$1" -o jsonpath='{range .spec.clusterIPs[*]}{@}{"\n"}{end}'; }
at() { case "$1" in *:*) echo "[$1]:$2" ;; *) echo "$1:$2" ;; esac; } # ADDRESS PORT
from() { # WHO URL: from a pod, or from the machine itself, which is the first node
  case "$1" in
    machine) page --globoff "http://$2/" ;;
    *) k exec "$1" -- timeout 3 wget -q -O - "http://$2/" ;;
  esac
}
gives() { [[ "$(from "$1" "$2")" =~ $3 ]]; }
everywhere() { # PATTERN ADDRESS...: answers from the machine and from pods of both nodes
  local who place
  for place in "${@:2}"; do
    for who in machine asker-1 asker-2; do eventually 20 gives "$who" "$place" "$1"; done
  done
}

# Pods of both nodes, and node ports at both nodes' addresses.
for number in 1 2; do
  equal "families of web-$number" 2 "$(addresses "web-$number" | wc -l)"
  for address in $(addresses "web-$number"); do everywhere "^web-$number\$" "$(at "$address" 8080)"; done
done
for address in $(clusters web); do everywhere '^web-[12]$' "$(at "$address" 80)"; done
for node in d d-2; do
  ips=$(k get node "$node" -o jsonpath='{range .status.addresses[?(@.type=="InternalIP")]}{.address}{"\n"}{end}')
  equal "families of node $node" 2 "$(wc -l <<<"$ips")"
  for address in $ips; do everywhere '^web-[12]$' "$(at "$address" 30490)"; done
done

# Affinity, switched on and off while the Service is used.
answers() { # WHO URL: how many different ones give an answer
  k exec "$1" -- sh -c "for turn in $(seq -s ' ' 12); do timeout 3 wget -q -O - http://$2/; done" | sort -u | wc -l
}
one() { [ "$(answers "$@")" = 1 ]; }
both() { [ "$(answers "$@")" = 2 ]; }
for affinity in ClientIP None; do
  k patch service web -p "{\"spec\": {\"sessionAffinity\": \"$affinity\"}}"
  for place in $(for address in $(clusters web); do at "$address" 80; done) "$NODE_IP:30490" "[$NODE_IP6]:30490"; do
    case $affinity in
      ClientIP) eventually 20 one asker-2 "$place" ;;
      None) eventually 20 both asker-2 "$place" ;;
    esac
  done
done

# The same port number over TCP and UDP. What speaks UDP runs in the pods' networks.
network_of() { echo "/proc/$(pgrep -o -f "$mark-$1-")/ns/net"; }
nsenter --net="$(network_of web-1)" python3 -c '
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
s.bind(("::", 9090))
while True:
    data, peer = s.recvfrom(99)
    s.sendto(b"udp " + data, peer)' >/dev/null 2>&1 &
mine+=($!)
udp() { # WHO ADDRESS PORT
  nsenter --net="$(network_of "$1")" python3 -c '
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(2)
s.sendto(b"hello", (sys.argv[1], int(sys.argv[2])))
print(s.recv(99).decode())' "$2" "$3"
}
hello() { [ "$(udp "$@")" = "udp hello" ]; }
for who in asker-1 asker-2; do
  for address in $(addresses web-1); do eventually 20 hello "$who" "$address" 9090; done
  for address in $(clusters both); do
    eventually 20 hello "$who" "$address" 90
    eventually 20 gives "$who" "$(at "$address" 90)" '^web-1$'
  done
done

# Several slices with several addresses and ports for one Service.
slice() { # NAME SERVICE FAMILY PORT-NAME ADDRESS...
  cat <<YAML
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: $1, labels: {kubernetes.io/service-name: $2}}
addressType: $3
ports: [{name: $4, port: 8080}]
endpoints:
$(for address in "${@:5}"; do echo "- {addresses: ['$address']}"; done)
YAML
}
mapfile -t first < <(addresses web-1)
mapfile -t second < <(addresses web-2)
{
  slice s-1 slices IPv4 a "${first[0]}"
  slice s-2 slices IPv4 b "${second[0]}"
  slice s-3 slices IPv6 a "${first[1]}"
  slice s-4 slices IPv6 b "${second[1]}"
} | k apply -f -
for address in $(clusters slices); do
  everywhere '^web-1$' "$(at "$address" 81)"
  everywhere '^web-2$' "$(at "$address" 82)"
done
slice s-2 slices IPv4 b "${second[0]}" "${first[0]}" | k apply -f -
eventually 20 both asker-2 "$(at "$(clusters slices | head -1)" 82)"

# Endpoints that somebody made are mirrored, changed and removed.
endpoints() { k apply -f - <<<"{\"apiVersion\": \"v1\", \"kind\": \"Endpoints\", \"metadata\": {\"name\": \"mirrored\"},
  \"subsets\": [{\"addresses\": [{\"ip\": \"$1\"}], \"ports\": [{\"port\": 8080}]}]}" 2>/dev/null; }
mirror=$(at "$(clusters mirrored)" 80)
endpoints "${first[0]}"
everywhere '^web-1$' "$mirror"
endpoints "${second[0]}"
everywhere '^web-2$' "$mirror"
k delete endpoints mirrored
no_slice() { [ -z "$(k get endpointslices -l kubernetes.io/service-name=mirrored -o name)" ]; }
eventually 20 no_slice
gone() { ! from asker-2 "$mirror"; }
eventually 20 gone

# Ports of the node that differ by address or protocol only.
equal "a port on the loopback" port-1 "$(from machine 127.0.0.1:8091)"
equal "the same at the node's address" port-2 "$(from machine "$NODE_IP:8091")"
equal "the same from the other node" port-2 "$(from asker-2 "$NODE_IP:8091")"

# Names, in both families; and a Service that becomes another kind.
finds() { k exec "$1" -- nslookup "$2.default.svc.cluster.local" | grep -qF "$3"; }
for who in asker-1 asker-2; do
  for address in $(clusters web); do eventually 20 finds "$who" web "$address"; done
  for address in "${first[@]}"; do eventually 20 finds "$who" one.web-names "$address"; done
  for address in "${first[@]}" "${second[@]}"; do eventually 20 finds "$who" web-names "$address"; done
  for address in $(clusters web); do eventually 20 finds "$who" moving "$address"; done
done
equal "its own name" one "$(k exec web-1 -- hostname)"
contains "its whole name" one.web-names.default.svc.cluster.local "$(k exec web-1 -- cat /etc/hosts)"
become() { k patch service moving --type=merge -p "{\"spec\": $1}"; }
become '{"type": "ClusterIP", "externalName": null, "selector": {"set": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}'
for who in asker-1 asker-2; do eventually 20 gives "$who" moving.default.svc.cluster.local '^web-[12]$'; done
become '{"type": "ExternalName", "externalName": "web.default.svc.cluster.local", "clusterIP": null, "clusterIPs": null, "ipFamilies": null, "ipFamilyPolicy": null}'
for who in asker-1 asker-2; do eventually 20 finds "$who" moving "$(clusters web | head -1)"; done
become '{"type": "NodePort", "externalName": null, "ports": [{"port": 80, "targetPort": 8080, "nodePort": 30491}]}'
everywhere '^web-[12]$' "$NODE_IP:30491"
become '{"type": "ExternalName", "externalName": "web.default.svc.cluster.local", "ports": null, "clusterIP": null, "clusterIPs": null, "ipFamilies": null, "ipFamilyPolicy": null}'
closed() { ! from machine "$NODE_IP:30491"; }
eventually 20 closed
dual_end
trap - EXIT
